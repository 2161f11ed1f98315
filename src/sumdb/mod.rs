//! The checksum database at both of its ends: asking one ([`Client`]), and answering for one ([`Server`]).
//!
//! A node that has an upstream asks the database for each new module version and keeps the *proof*
//! ([`SumdbProof`](crate::domain::sumdb::SumdbProof)); every other node checks that proof alone. Since the go command
//! insists on asking for itself, each node also answers it, from what it holds:
//!
//! ```text
//!  upstream database ──lookup, tiles──> Client ──proof──> manifest ──> every node
//!                                          │ tiles, head                  │
//!                                          └───────> store <──────────────┘
//!                                                      └──> Server ──> go command
//! ```
//!
//! Invariants:
//! * a byte from upstream or from disk is believed only after it was checked against a head that the database signed;
//! * the head never moves back, and it moves forward only when the new tree is shown to contain the old one. Two signed
//!   heads that do not fit are a [`Fork`]: evidence that convinces everybody, kept and never resolved by guessing;
//! * the server says `supported` only when it can answer every lookup and every tile that follows from it.
//!
//! There is no network, disk or clock in here: both come in through [`Ops`]. Retries and time-outs belong to its
//! implementation.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::domain::tlog::Tile;

mod client;
mod error;
mod memory;
mod server;

pub use client::Client;
pub use error::{ClientError, Fork, Kind};
pub use memory::MemoryOps;
pub use server::{MAX_OLD_HEADS, PinError, Server, TileAnswer, tiles_for_consistency, tiles_for_record};

/// What an implementation of [`Ops`] fails with.
pub type OpsError = Box<dyn std::error::Error + Send + Sync>;

/// The outside world of a [`Client`]: one database upstream, and what is kept of it.
pub trait Ops: Send + Sync {
    /// Gets `path` of the database, at most `limit` bytes of it. The path is `latest` or begins with `lookup/` or `tile/`, is
    /// escaped already, and comes after the database's base URL and a slash.
    ///
    /// `None` is "not found" (404 or 410); what takes more than `limit` bytes is an error.
    fn fetch<'a>(&'a self, path: &'a str, limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>>;

    /// The data of a tile or of a wider version of it, as once given to [`Ops::save_tiles`].
    fn load_tile(&self, tile: Tile) -> BoxFuture<'_, Result<Option<Bytes>, OpsError>>;

    /// Keeps tiles, all of them authenticated. A wider tile takes the place of a narrower one, never the other way round.
    fn save_tiles(&self, tiles: Vec<(Tile, Bytes)>) -> BoxFuture<'_, Result<(), OpsError>>;

    /// The signed head that was saved last, if any.
    fn load_head(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, OpsError>>;

    /// Keeps the signed head in place of the one before; durable when it returns. Never called twice at a time.
    fn save_head<'a>(&'a self, note: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>>;
}
