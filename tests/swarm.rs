//! Nodes on loopback: finding each other, fetching from each other, and what happens when one of them lies or leaves.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "swarm/common.rs"]
mod common;

#[path = "swarm/catalog.rs"]
mod catalog;
#[path = "swarm/fetch.rs"]
mod fetch;
#[path = "swarm/floods.rs"]
mod floods;
#[path = "swarm/gossip.rs"]
mod gossip;
#[path = "swarm/hostile.rs"]
mod hostile;
#[path = "swarm/network.rs"]
mod network;
