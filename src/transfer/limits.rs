//! Every bound of the transfer layer: frames, windows, waits and stream counts, each with its unit and its reason.

use std::time::Duration;

use crate::domain::blob::MAX_BLOB;
use crate::domain::manifest::MAX_ENVELOPE;
use crate::engine::reconcile::limits::{PAGE_SYMBOLS, SYMBOL_BYTES};

// ---- frames ----

/// Ids in one want or one question for envelopes: 8 KiB of request for up to 256 MiB of answer.
pub const MAX_IDS: usize = 256;
/// Bytes of a request's header: [`MAX_IDS`] ids of 32 bytes with room for the rest.
pub const MAX_REQUEST: usize = 16 << 10;
/// Bytes of an answer's header; it is a few integers.
pub const MAX_REPLY: usize = 64;
/// Bytes of any payload: the longest is an envelope.
pub const MAX_PAYLOAD: usize = MAX_ENVELOPE;
/// Bytes of an encoded page of symbols: a full one of the longest.
pub const MAX_SKETCH: usize = 64 + PAGE_SYMBOLS as usize * SYMBOL_BYTES;
/// Versions in one page of a module's versions.
pub const VERSIONS_PAGE: usize = 1024;
/// Bytes of an encoded page of versions (a pseudo-version is about 40 bytes).
pub const MAX_VERSIONS_PAGE: usize = 128 << 10;
/// Bytes of a module path or version in a question; golang.org/x/mod sets no limit, file systems stop far below.
pub const MAX_NAME: usize = 2048;
/// Bytes of the answer to one question for envelopes, after which the server leaves the rest for another question.
pub const ENVELOPES_BUDGET: u32 = 1 << 20;

// ---- asking ----

/// Bytes that one batch of wants asks for: big enough that asking costs nothing, small enough to be moved elsewhere.
pub const BATCH_BYTES: u64 = 1 << 20;
/// A batch is not cut smaller than this for the sake of sharing the work among peers, in bytes.
pub const MIN_BATCH_BYTES: u64 = 128 << 10;
/// Bytes asked of one peer and not there yet: 1 Gbit/s at 30 ms round trip is 3.75 MiB.
pub const PEER_WINDOW: u64 = 4 << 20;
/// Blobs asked of one peer and not there yet.
pub const PEER_IDS: usize = 8 * MAX_IDS;
/// Bytes that one fetch has asked for or holds unread, over all peers: the memory that a fetch can take.
pub const FETCH_WINDOW: u64 = 16 << 20;
/// Blobs that one fetch has asked for or holds unread.
pub const FETCH_IDS: usize = 32 * MAX_IDS;
/// Peers that one fetch has questions at, at the same time.
pub const FETCH_PEERS: usize = 8;
/// A fetch of at most so many bytes goes over the stream for small things and does not stand behind bulk.
pub const SMALL_FETCH: u64 = 64 << 10;
/// A peer from which nothing came for so long loses its wants.
pub const PROGRESS: Duration = Duration::from_secs(10);
/// So many bytes count as progress even if no blob is complete (1 MiB over a slow line takes a while): 6.5 kB/s.
pub const PROGRESS_BYTES: u64 = 64 << 10;
/// A peer that lost its wants so often is not asked again in this fetch.
pub const MAX_STALLS: u32 = 2;
/// A peer whose stream broke so often is not asked again in this fetch.
pub const MAX_FAILURES: u32 = 3;
/// A want that is outstanding for so long is also given to a peer that has nothing else to do.
pub const END_GAME: Duration = Duration::from_secs(1);
/// Answers with wrong bytes or broken rules before a peer is banned. One may be a bad disk that has been noticed since.
pub const MAX_FAULTS: u32 = 2;
/// How often a fetch looks at its deadlines.
pub const TICK: Duration = Duration::from_millis(250);
/// A question about the catalog is answered within so long, or the peer counts as silent.
pub const ANSWER: Duration = Duration::from_secs(10);
/// A question that goes to all peers waits for so long: it stands between a developer and the word that the site does not have a
/// module, and one machine that is asleep must not make all others wait.
pub const ASK_ALL: Duration = Duration::from_secs(2);
/// Versions that a peer may list of one module.
pub const MAX_VERSIONS: usize = 65_536;
/// How often a comparison is begun anew when the peer is busy or has forgotten it, before it is left to the next one.
pub const COMPARE_TRIES: u32 = 4;
/// Wait before a comparison is begun anew; up to twice as long, so that a site does not come back in step.
pub const COMPARE_RETRY: Duration = Duration::from_millis(500);
/// Peers whose streams are kept at hand; those of peers that are gone are closed first.
pub const MAX_LINKS: usize = 512;
/// Requests that may wait for one stream's writer.
pub const LANE_QUEUE: usize = 64;

// ---- opening streams ----

/// Attempts to open a stream. An accept queue without a slot drops 4 to 12 % of concurrent opens on an idle server.
pub const OPEN_TRIES: u32 = 5;
/// One attempt, from the request to the server's greeting.
pub const OPEN: Duration = Duration::from_secs(3);
/// Wait before the second attempt; grows by itself with each further one.
pub const OPEN_RETRY: Duration = Duration::from_millis(40);

// ---- serving ----

/// Streams of one peer: two kinds, twice, since a reconnecting peer's old streams may take a moment to break.
pub const STREAMS_PER_PEER: usize = 4;
/// Streams of all peers. Each costs at most [`SERVE_QUEUE`] requests and three [`SERVE_BUDGET`]s of memory.
pub const STREAMS: usize = 256;
/// Requests read ahead on one stream; beyond that the peer's writes wait (that is Yamux's job).
pub const SERVE_QUEUE: usize = 32;
/// Bytes loaded from the store at a time, before the last blob (which may go over by its own length).
pub const SERVE_BUDGET: usize = MAX_BLOB;
/// Loads from the store at a time, over all streams: more only makes a disk seek.
pub const SERVE_LOADS: usize = 4;
/// The same for small things, which do not wait for those: a go.mod comes while zips are on their way.
pub const SMALL_LOADS: usize = 2;
/// Comparisons of catalogs that a server remembers. Each costs 32 bytes of memory for each manifest (3.2 MB for
/// 100,000), the list of ids that they share another 32.
pub const SKETCHES: usize = 8;
/// Symbols are computed for so many at a time: it is work for a processor.
pub const SKETCHES_AT_ONCE: usize = 2;
/// A comparison that nobody asked about for so long is forgotten, at the latest after twice as long.
pub const SKETCH_IDLE: Duration = Duration::from_secs(20);
/// A comparison that is older than this may be forgotten for the sake of another peer's.
pub const SKETCH_TURN: Duration = Duration::from_secs(2);
/// Comparisons that one peer may begin at once: to begin one costs 30 ms of a processor for 100,000 manifests.
pub const SKETCH_BURST: u32 = 8;
/// Time after which it may begin another one: an honest peer does every few minutes.
pub const SKETCH_REFILL: Duration = Duration::from_secs(2);
/// Peers whose allowance is remembered; those who have it all are forgotten first.
pub const SKETCH_PEERS: usize = 1024;
/// Bytes gathered before a small write goes out. Yamux cuts writes into 16 KiB frames, Noise into 64 KiB.
pub const WRITE_BUFFER: usize = 64 << 10;
/// Bytes handed to the stream under one deadline.
pub const WRITE_PIECE: usize = 256 << 10;
/// A piece must be taken within so long, or the reader is gone: it asked and does not read.
pub const WRITE: Duration = Duration::from_secs(30);
/// A frame that has begun must end within so long.
pub const REST_OF_FRAME: Duration = Duration::from_secs(30);
/// Bytes that a reader takes from the stream at a time for headers and small payloads. One Yamux frame: with a larger
/// buffer more of every large payload takes the way through it instead of going straight to its place.
pub const READ_BUFFER: usize = 16 << 10;
/// Bytes read under one deadline and counted as progress.
pub const READ_PIECE: usize = 64 << 10;
/// Peers whose traffic is counted; those without a stream are forgotten first.
pub const MAX_METERED: usize = 4096;
