//! Every bound of asking seeds: frames, waits, streams and the budget, each with its unit and its reason.

use std::time::Duration;

use super::budget::{Allowance, Rate};
use crate::transfer::limits as transfer;

// ---- frames ----

/// Bytes of a question's header: two names of [`transfer::MAX_NAME`] bytes with room for the rest.
pub const MAX_QUESTION: usize = 2 * transfer::MAX_NAME + 64;
/// Bytes of a reason, which somebody reads in a terminal.
pub const MAX_REASON: usize = 1024;
/// Bytes of an answer's header: a reason with room for the rest.
pub const MAX_REPLY: usize = MAX_REASON + 64;
/// Envelopes in one answer: the newest version by `@latest` and by the list, with room for what a later seed finds
/// worth telling.
pub const MAX_ENVELOPES: usize = 4;

// ---- asking ----

/// Questions under way at one seed: the go command asks for about ten things at a time, and several may run.
pub const QUESTIONS: usize = 16;
/// Streams to one seed that are kept open while nothing is asked: a build asks for one thing after the other.
pub const IDLE_STREAMS: usize = 2;
/// Seeds whose streams are kept at hand; those of seeds that are gone are closed first. A site has a few.
pub const MAX_SEEDS: usize = 64;
/// Seeds that are asked one after the other for one thing: a miss costs a question to each.
pub const SEEDS_ASKED: usize = 3;
/// A seed from which nothing came for so long is silent: five times [`WORKING_EVERY`].
pub const SILENCE: Duration = Duration::from_secs(10);
/// The longest that one seed may work on one question: 500 MiB, the most that a zip may have, take this long at 0.6
/// MB/s. A seed that works for ever is a liar, and the seed's own fetch goes on in any case.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// "I am working" that may come beyond one for every half [`WORKING_EVERY`]: what a busy line has held back.
pub const WORKING_SLACK: u32 = 16;
/// How long a peer that is connected may take to introduce itself before it counts as no seed: a few round trips.
pub const INTRODUCTION: Duration = Duration::from_millis(500);

// ---- serving ----

/// Streams of one peer: what it may ask at once, and half as many of a connection that has not broken yet.
pub const STREAMS_PER_PEER: usize = QUESTIONS + QUESTIONS / 2;
/// Streams of all peers: [`IDLE_STREAMS`] of as many as may be connected. About 100 KiB of buffers each.
pub const STREAMS: usize = 512;
/// Questions with which the source is busy at the same time, over all peers; the others wait and are told so.
pub const SEEKS: usize = 32;
/// How often a seed says that it is working.
pub const WORKING_EVERY: Duration = Duration::from_secs(2);

/// Questions of one peer that may go to the source. The module graph of a large project has some 2,000 go.mod files
/// that a new workstation asks for within a minute; ten a second after that is more than anybody types.
pub const PEER_RATE: Rate = Rate { burst: 4096, per_second: 10 };
/// Questions of all peers that may go to the source: a site of new workstations, and then what one upstream proxy
/// takes from one address without complaint.
pub const ALL_RATE: Rate = Rate { burst: 16_384, per_second: 100 };
/// Both.
pub const ALLOWANCE: Allowance = Allowance { peer: PEER_RATE, all: ALL_RATE };
/// Peers whose questions are counted. Four times as many as may be connected; those who asked for nothing lately go
/// first.
pub const MAX_COUNTED: usize = 1024;
