//! Transfer: frames on long-lived streams, by which nodes give each other blobs and parts of their catalogs.
//!
//! Two streams per peer and direction, opened once and used for everything: one for bulk, one for small things (so that
//! a question does not stand behind megabytes). Never a stream per request: a swarm drops incoming streams that are not
//! accepted in the same instant. Frames are in [`wire`], every bound is in [`limits`].
//!
//! * **Client** ([`Fetcher`]): a work list, cut into batches, at several peers at once. *Who gets which want* is the
//!   pure [`plan`], which knows no clock and no socket. Every blob is checked against its name as it lands, in the task of
//!   the stream it came on; wrong bytes count against the peer, twice is a ban.
//! * **Server** ([`serve`]): answers from what is [`Held`] and nothing else; a question never causes a fetch.
//! * *Miss* (nobody has it), *failure* (somebody may have it) and *forgery* (somebody lied) are different outcomes
//!   everywhere: in frames, in [`FetchError`] and in [`Asked`].
//!
//! Memory: a fetch holds at most [`limits::FETCH_WINDOW`], a served stream three loads of about 1 MiB. The reader of a
//! stream never waits for one who asked, so one slow receiver holds up nobody else: what may be outstanding for it
//! is bounded before it is asked for.
//!
//! Not in here: what the blobs are, which of them a recipe needs, rate limits, who may join.

mod accept;
mod catalog;
mod compare;
pub use crate::domain::digest;
mod error;
mod fetch;
mod held;
mod judge;
mod lane;
pub mod limits;
mod links;
mod load;
mod open;
mod pending;
pub mod plan;
mod serve;
mod sketches;
mod traffic;
pub mod wire;

pub use accept::{StreamLimits, accept_all};
pub use catalog::{Asked, SyncReport};
pub use error::{AlreadyServing, CatalogError, FetchError};
pub use fetch::Fetcher;
pub use held::{Held, MemoryHeld, conformance};
pub use open::Opening;
pub use plan::{FetchReport, PeerShare};
pub use serve::{ServeLimits, serve};
pub use traffic::{PeerTraffic, Traffic};
