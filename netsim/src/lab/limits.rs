//! Every limit, wait and size of the lab, each with its unit and its reason.

use std::time::Duration;

/// The most that a crowd may take, as a multiple of [`super::bound::seconds`].
pub(super) const MOST_OF_BOUND: f64 = 1.5;
/// The most that a seed may send while a crowd gets one zip, as a multiple of the zip.
pub(super) const MOST_SEED_ZIPS: f64 = 1.6;
/// The most that a node may send and receive when nothing happens, in bytes per second.
pub(super) const MOST_IDLE: f64 = 100.0;
/// Neighbours that each node of a site is to find, or all others where there are fewer.
pub(super) const NEIGHBOURS: usize = 8;

/// Nodes at most: a host's number is the last byte of its address.
pub(super) const MAX_NODES: usize = 200;

/// What a queue in front of a line holds, in time: a cheap switch has some 500 KB for a port of 100 Mbit/s.
pub(super) const QUEUE: Duration = Duration::from_millis(40);
/// What may leave at once, in time. Below some 5 ms a busy machine's timers cost throughput.
pub(super) const BURST: Duration = Duration::from_millis(10);
/// Bytes of the smallest burst: packets larger than that are cut by the kernel, so it is well above one packet.
pub(super) const LEAST_BURST: u64 = 16 << 10;

/// A node that is not ready by then never will be.
pub(super) const READY: Duration = Duration::from_secs(60);
/// Nodes find each other, and learn of what a seed holds, within this, or the lab gives up.
pub(super) const SETTLED: Duration = Duration::from_secs(120);
/// A command that only asks or sets something has ended by then.
pub(super) const COMMAND: Duration = Duration::from_secs(60);
/// Bringing a module to the seed, with a download from the internet in `--real`.
pub(super) const SEEDING: Duration = Duration::from_secs(600);
/// Between two looks at processes and counters in `/proc`; a look at 30 nodes takes less than 5 ms.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Between two looks at the counters of lines; a look is a process, of 2 ms.
pub(super) const LOOK_AT_LINES: Duration = Duration::from_millis(100);
/// Between two questions `modswarm status` to each node: a question is two processes.
pub(super) const ASK: Duration = Duration::from_millis(500);
/// How long the bare stream flows: far longer than the burst, and slow start is over.
pub(super) const PROBE: Duration = Duration::from_secs(2);
/// Bytes of a read or a write of the bare stream and of a relay.
pub(super) const PIECE: usize = 16 << 10;
/// Lines of a node's log that are shown when it has failed.
pub(super) const LOG_LINES: usize = 12;

/// Pieces on the way in one direction of a relayed connection: 16 MiB if all are full, 100 Mbit/s with over a second of delay.
pub(super) const RELAY_PIECES: usize = 1024;
/// What a relay lets wait in front of its line, in time; then it stops reading, and TCP slows the sender down.
pub(super) const RELAY_QUEUE: Duration = Duration::from_millis(100);
/// Connections that a relay passes on at a time: a node of an office has a dozen.
pub(super) const RELAY_CONNECTIONS: usize = 64;
/// How long a relay waits for the other end to take a connection.
pub(super) const RELAY_CONNECT: Duration = Duration::from_secs(10);
/// How long a relay rests when the kernel has no more sockets for it.
pub(super) const RELAY_REST: Duration = Duration::from_millis(200);
