//! Nodes with a checksum database: what they take, what they refuse, and what they answer for it.
//!
//! The database is the fixture one, with a key of its own, behind the fixture proxy.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/state.rs"]
mod state;
#[path = "../common/sumdb.rs"]
mod sumdb;

mod client;
mod go;
mod offers;
mod proofs;
mod serving;
#[cfg(unix)]
mod toolchain;
mod travel;

pub(crate) use site::{Site, file, mount, record};
