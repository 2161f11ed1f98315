//! Where module versions come from. A source puts what it has through the door into the store, and says how that went.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::intake::Intake;
use crate::domain::dirhash::H1;
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// How much of a module version is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// `.info` and go.mod.
    GoMod,
    /// These and the zip.
    Zip,
}

/// A module version that is wanted in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    /// Which.
    pub module: ModuleVersion,
    /// How much of it.
    pub level: Level,
    /// `h1:` of the zip, where the one who asks knows it (from a go.sum).
    pub zip_h1: Option<H1>,
    /// `h1:` of the go.mod, where the one who asks knows it.
    pub go_mod_h1: Option<H1>,
}

impl Want {
    /// A want of someone who knows no hash.
    #[must_use]
    pub fn new(module: ModuleVersion, level: Level) -> Self {
        Self { module, level, zip_h1: None, go_mod_h1: None }
    }
}

/// Why a source did not deliver. The variants never turn into each other on the way up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It does not have it, and is sure of that.
    #[error("{0}")]
    Miss(String),
    /// It may have it, but cannot be reached or did not finish.
    #[error("{0}")]
    Failed(String),
    /// It cannot be reached at all, so nothing is known of what it has.
    #[error("{0}")]
    Away(String),
    /// What it sent is not what was asked for. Nothing was stored.
    #[error("{0}")]
    Forged(String),
    /// It will not say.
    #[error("{0}")]
    Refused(String),
    /// This node cannot store it.
    #[error("{0}")]
    Local(String),
}

/// What an upstream says of a query: a version and its `.info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The canonical version.
    pub version: Version,
    /// The answer, byte for byte.
    pub info: Bytes,
}

/// What a source's work gives.
pub type Work<'a, T> = BoxFuture<'a, Result<T, SourceError>>;

/// Somewhere to get module versions from: the peers, an upstream; later a directory or a bundle.
pub trait Source: Send + Sync + 'static {
    /// For logs: `peers`, `upstream`.
    fn name(&self) -> &'static str;

    /// Brings `want` into the store: when this is `Ok`, the store answers for it.
    fn obtain<'a>(&'a self, want: &'a Want, intake: &'a Intake) -> Work<'a, ()>;

    /// The tagged versions of a module. Only an upstream knows more than the catalog does.
    fn list<'a>(&'a self, _path: &'a ModulePath) -> Work<'a, BTreeSet<Version>> {
        Box::pin(async { Err(SourceError::Miss("only an upstream lists versions".into())) })
    }

    /// What `query` (a branch, a commit, a prefix) stands for now; `latest` for the newest version.
    fn resolve<'a>(&'a self, _path: &'a ModulePath, _query: &'a str) -> Work<'a, Resolved> {
        Box::pin(async { Err(SourceError::Miss("only an upstream resolves queries".into())) })
    }

    /// Whether an upstream gets to hear of what is wanted here, perhaps by way of another node.
    fn asks_outside(&self) -> bool {
        self.is_upstream()
    }

    /// Whether [`Source::list`] and [`Source::resolve`] can have an answer that the catalog does not. Such a source is never
    /// asked for private modules.
    fn is_upstream(&self) -> bool {
        false
    }
}
