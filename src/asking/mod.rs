//! Asking seeds: "obtain this for the site", "is there anything newer", "what does this branch stand for".
//!
//! A node that has an upstream is a *seed*, and accepts the protocol [`wire::SEED`]; the others read from the
//! introductions of their peers (libp2p identify) who does. So a node knows without a round trip whether there is
//! anybody to ask: with no seed reachable a miss is answered at once.
//!
//! * **Client** ([`Asker`]): a few long-lived streams to each seed, one question at a time on each. A question that
//!   stands alone on its stream is cancelled by closing the stream, and a slow one holds up no other. What comes is a
//!   [`Answer`]: envelopes that nobody has checked yet. Whoever asks puts them through the door.
//! * **Server** ([`serve`]): answers from what is at hand, and else goes to the source, within a [`budget`] for each
//!   peer and for all of them. While it does, it says every [`limits::WORKING_EVERY`] that it is working: a long
//!   download is not silence. How long *progress* may stay out is bounded; the whole only by [`limits::LONGEST`].
//! * *Miss* (the upstream does not have it), *failure* (it may), *refusal* (nobody will say) stay apart on the wire.
//!
//! A question never makes a seed ask another seed: nodes that have an upstream are built without an asker.
//!
//! Not in here: what the answers mean for the catalog, and who decides what may be asked outside (the mirror).

pub mod budget;
mod client;
pub mod limits;
mod serve;
pub mod wire;

pub use client::{AskError, AskRules, Asker};
pub use serve::{Seed, ServeRules, serve};
pub use wire::{Answer, Question};
