//! Every bound of the driver of the spreading, with its unit and its reason.

use std::time::Duration;

/// Bytes of one message: the longest has a bit for each of [`MAX_SLICES`](crate::engine::spread::limits::MAX_SLICES) slices.
pub const MAX_MESSAGE: usize = 1 << 10;
/// Messages that may wait for one neighbour's stream. One that does not read them is started anew with.
pub const LANE_QUEUE: usize = 512;
/// Messages of all neighbours, and results of own work, that may wait for the driver; then the streams wait.
pub const INPUTS: usize = 1024;
/// Orders of this node's own fetches that may wait for the driver.
pub const ORDERS: usize = 64;
/// Streams of one neighbour: one, and the one before it that may take a moment to break.
pub const STREAMS_PER_PEER: usize = 2;
/// Streams of all neighbours.
pub const STREAMS: usize = 256;
/// Messages of one stream that are read in one go, before [`PACE`] must have passed.
pub const PACED: u32 = 256;
/// The least time for [`PACED`] messages: 2,560 a second. A crowd over 1 Gbit/s lines says about 500 per neighbour.
pub const PACE: Duration = Duration::from_millis(100);
/// Looks into the store at a time; each reads a few rows.
pub const LOOKS: usize = 2;
/// Looks under way or waiting; to a neighbour beyond it the item counts as not held.
pub const MAX_LOOKS: usize = 256;
/// How often the engine is told what moved, as long as something is wanted or given: a slice takes 20 ms and more on a line of
/// 100 Mbit/s, and the next one is agreed upon before it is over. Costs a few microseconds each time.
pub const MOVED: Duration = Duration::from_millis(5);
/// A stream of messages must be written within so long, or its reader is gone.
pub const WRITE: Duration = Duration::from_secs(10);
/// Blobs between the network and the one who gathers a slice.
pub const BLOBS: usize = 64;
