//! What the mirror can answer. *Miss*, *failure* and *forgery* are different things, and stay different up to the
//! status line: only a proven miss may become 404, because a 404 sends a go command with `,direct` to the internet
//! with a path that may be private (GOPROXY.md, facts 23 and 24).

use std::time::Duration;

use bytes::Bytes;

use super::zip_body::ZipBody;

/// The answer to one GOPROXY request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Here it is.
    Found(Answer),
    /// The site and, where there is one, the upstream do not have it.
    Miss {
        /// For the user of the go command, one sentence.
        reason: String,
    },
    /// It exists, or may exist, and cannot be had now.
    Unavailable {
        /// For the user of the go command, one sentence.
        reason: String,
    },
    /// A policy of this node or of its upstream forbids it.
    Refused {
        /// For the user of the go command, one sentence.
        reason: String,
    },
}

/// A body and how long it may be kept.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What kind of file it is.
    pub kind: Kind,
    /// The bytes, or where they come from.
    pub body: Body,
    /// For a mutable answer that was remembered: how old it is.
    pub age: Option<Duration>,
}

/// The kinds of answers of the protocol; content type and cache life hang on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `@v/list`.
    List,
    /// `@latest`, and `.info` of a branch, a commit or a prefix: may be another version tomorrow.
    MutableInfo,
    /// `.info` of a canonical version.
    Info,
    /// `.mod`.
    GoMod,
    /// `.zip`.
    Zip,
    /// A tile of a checksum database.
    Tile,
    /// A record of a checksum database under the head that is pinned now.
    Lookup,
    /// The head that is pinned now, and whether there is one.
    Head,
}

/// The bytes of an answer.
#[derive(Debug, Clone)]
pub enum Body {
    /// All of them, in memory: everything but zips is small.
    Bytes(Bytes),
    /// A zip, streamed out of the store.
    Zip(ZipBody),
}

impl Outcome {
    /// An answer that is in memory.
    #[must_use]
    pub fn found(kind: Kind, bytes: Bytes) -> Self {
        Self::Found(Answer { kind, body: Body::Bytes(bytes), age: None })
    }
}
