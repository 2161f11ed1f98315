//! modswarm: a content-addressed peer-to-peer mirror network for Go modules.

pub mod domain;
pub mod upstream;
pub mod swarm;
pub mod transfer;
pub mod store;
pub mod sumdb;
pub mod verified;
