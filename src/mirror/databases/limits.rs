//! Bounds of the work on checksum databases, each with its unit and its reason.

use std::time::Duration;

/// How long a seed waits after a new record for the next before it pins: a run that seeds brings hundreds within seconds, and each pin is
/// a state that the whole site fetches the news of.
pub(super) const PIN_QUIET: Duration = Duration::from_millis(300);
/// How long a seed puts off pinning while records keep coming: other nodes cannot answer for them until then.
pub(super) const PIN_AT_MOST: Duration = Duration::from_secs(3);
/// After a pin that failed (the upstream is away) it is tried again so much later, or when the next record comes.
pub(super) const PIN_RETRY: Duration = Duration::from_secs(30);
/// How long a lookup waits for the tiles of a record that has just come. A seed needs a round trip or two, another node what gossip
/// takes after [`PIN_AT_MOST`].
pub(super) const LOOKUP_WAIT: Duration = Duration::from_secs(10);
/// How long a seed run waits at its end for the tiles of its last records: a few round trips, or an upstream that is away, and
/// then they come with the next try.
pub(super) const SETTLE_WAIT: Duration = Duration::from_secs(20);
/// How long the question whether a database is supported waits for the first head, after a start.
pub(super) const SUPPORTED_WAIT: Duration = Duration::from_secs(3);
/// Manifests whose proofs are read together at the start.
pub(super) const SCAN_PAGE: usize = 1024;
/// Tiles of an offered state that are fetched and checked together: half a megabyte in memory.
pub(super) const OFFER_BATCH: usize = 64;
/// Offered states that are remembered as nothing new: each peer that connects offers one.
pub(super) const SEEN: usize = 64;
/// Blobs on their way from the network, at most a page of a state each.
pub(super) const QUEUE: usize = 16;
/// Answers to lookups that are kept in memory, in bytes, for each database: twice what the largest module graphs take (some
/// 5,000 records of 800 bytes with the tree head).
pub(super) const LOOKUPS_BYTES: usize = 8 << 20;
