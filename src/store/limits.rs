//! Every bound of the store, with its unit and its reason.

use crate::domain::blob::MAX_BLOB;
use crate::domain::manifest::MAX_ENVELOPE;

/// A segment is sealed once it is this long, in bytes: few enough files for a terabyte (4,000 handles), small enough
/// that compacting one is a pause of a second.
pub const SEGMENT_BYTES: u64 = 256 << 20;
/// The highest sequence number that a record may have: with a million records a second it is reached after 146,000 years, so a higher
/// one was not written by a store, and counting on from it would overflow.
pub const MAX_SEQ: u64 = 1 << 62;
/// A segment is sealed once it holds this many records: bounds the open segment's index in memory to some 25 MiB.
pub const SEGMENT_RECORDS: usize = 1 << 18;
/// The longest payload that a record header may claim, in bytes: an envelope is the longest thing stored, the rest is
/// room for what it may grow to. Checked before memory is taken for the payload.
pub const MAX_PAYLOAD: usize = 2 << 20;
/// Bytes that one `put` may carry: one request is one piece of one batch, and stands in memory until it is written.
pub const MAX_PUT_BYTES: usize = 64 << 20;
/// Requests that wait for the writer; more make their callers wait.
pub const WRITE_QUEUE: usize = 256;
/// The writer stops collecting a batch at this many bytes: some 50 ms of writing on a plain SSD, which is about the
/// price of the fsync that they share.
pub const BATCH_BYTES: usize = 16 << 20;
/// The writer stops collecting a batch at this many requests.
pub const BATCH_REQUESTS: usize = 1024;
/// Records are gathered into one buffer of this many bytes per write call, so that a batch is not in memory twice.
pub const WRITE_BUFFER: usize = 4 << 20;
/// A payload of this many bytes is written by a call of its own: copying it into the buffer costs more than the call.
pub const WRITE_APART: usize = 64 << 10;
/// A scan reads a segment through a window of this many bytes.
pub const SCAN_WINDOW: usize = 256 << 10;
/// Memory for the Bloom filters of sealed segments, in bytes (some 50 million records). The filters of the segments
/// over it are probed on disk, one read of 64 bytes each.
pub const BLOOM_MEMORY: u64 = 64 << 20;
/// Records at most this many bytes apart are fetched with one read: what lies between costs less than another call.
pub const READ_GAP: u64 = 4 << 10;
/// The most bytes of one coalesced read.
pub const READ_RUN: u64 = 4 << 20;
/// The most bytes that one `get_many` or `read_many` gives. Who wants more asks in slices.
pub const READ_MANY_BYTES: u64 = 64 << 20;
/// Blocking calls under way at once through `Store::run`; more wait. Deeper than any disk's queue.
pub const BLOCKING_CALLS: usize = 64;
/// sled's page cache, in bytes: the operating system caches the file as well.
pub const INDEX_CACHE: u64 = 32 << 20;
/// sled's own segments, in bytes: with this size a flushed index survived a power cut, with the default it did not.
pub const INDEX_SEGMENT: usize = 16 << 20;
/// Envelopes up to this many bytes stand in the index; longer ones are read from their segment. sled rewrites a leaf of
/// 16 values at a time, and moves leaves over `INDEX_SEGMENT` / 4 into files that do not survive a power cut.
pub const INLINE_ENVELOPE: usize = 16 << 10;
/// The index is flushed after this many changes: so many are replayed after a crash, in well under a second.
pub const CHECKPOINT_CHANGES: usize = 4096;
/// Indexes that were set aside and are kept for inspection; older ones are removed, as all of it is derived.
pub const KEEP_BAD_INDEXES: usize = 3;
/// How often an index that is still locked by a `Store` of this process is tried again, 20 ms apart (3 s): sled lets
/// go of its file in the background.
pub const INDEX_LOCK_TRIES: usize = 150;
/// The longest module path or version that the catalog takes, in bytes: both are index keys.
pub const MAX_NAME: usize = 4 << 10;
/// The longest key of a fact, in bytes.
pub const MAX_FACT_KEY: usize = 8 << 10;
/// The longest value of a fact, in bytes.
pub const MAX_FACT: usize = 64 << 10;
/// The most entries of the wanted list: anyone who can reach the proxy can make one.
pub const MAX_WANTED: usize = 10_000;
/// A wanted entry is written again at most this often, in seconds: a build that retries is not a disk load.
pub const WANTED_RENEW: u64 = 3600;
/// The most module paths that one page of `Store::modules` gives.
pub const MODULES_PAGE: usize = 1000;

const _: () =
    assert!(MAX_PAYLOAD >= MAX_ENVELOPE && MAX_PAYLOAD >= MAX_BLOB && MAX_PAYLOAD >= MAX_FACT + MAX_FACT_KEY + 64);
const _: () = assert!(
    17 * (INLINE_ENVELOPE + MAX_NAME) < INDEX_SEGMENT / 4 && 17 * (MAX_FACT + MAX_FACT_KEY) < INDEX_SEGMENT / 4
);
