//! The engine: what a node does in the network as state machines without any I/O.
//!
//! Each is driven the same way: `handle(event, now) -> actions` and `deadline()`, the moment at which it wants to be called
//! with a tick. `now` is the time since any fixed moment, as a [`Duration`](std::time::Duration); randomness comes from a
//! seed that is given at the start. So the daemon drives them with libp2p and the real clock, and `netsim` drives the very
//! same code with a simulated network and virtual time, a thousand nodes in one process.
//!
//! | module | job |
//! |---|---|
//! | [`beacon`] | when to shout on a LAN, and what is heard there |
//! | [`neighbours`] | whom to dial, whom to keep, whom to let go |
//! | [`reconcile`] | two nodes find out which manifests only one of them has |
//! | [`slices`] | which blobs of an item make a slice |
//! | [`seek`] | a node wants what no neighbour holds: which of the other holders answer |
//! | [`spread`] | many nodes want the same item: who sends which slice of it to whom |

pub mod beacon;
pub mod neighbours;
pub mod reconcile;
pub mod seek;
pub mod slices;
pub mod spread;
