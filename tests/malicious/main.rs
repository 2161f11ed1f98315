//! What bad input and malicious nodes can do to a site: nothing.
//!
//! Each test gives a node something that is not what it claims to be, by an entrance that it really has: an upstream, a peer
//! that speaks the real protocols (streams, gossip), a checksum database. Not one byte of it may reach a client, the answer
//! says what is wrong, and the log names the peer.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/sumdb.rs"]
mod sumdb;

mod archive;
mod zips;
