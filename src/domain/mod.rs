//! The pure core: what a Go module version *is*, and nothing of where it comes from.
//!
//! No tokio, libp2p, sled, axum, file system, socket, clock or randomness in here (`tests/layers.rs` holds
//! that): bytes and times are arguments, values come back.

pub mod blob;
pub mod closure;
pub mod codec;
pub mod digest;
pub mod dirhash;
pub mod gomod;
pub mod gosum;
pub mod info;
pub mod manifest;
pub mod membership;
pub mod module;
pub mod note;
pub mod pattern;
pub mod publication;
pub mod publish;
pub mod recipe;
pub mod request;
pub mod site;
pub mod sumdb;
pub mod tlog;
pub mod toolchain;
pub mod trust;
pub mod zip;
