//! placeholder

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod equality;
mod errors;
mod fixtures;
mod requests;
mod versions;
