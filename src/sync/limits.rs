//! Bounds of the catalog's traffic, each with its unit and its reason.

use std::time::Duration;

/// The longest announcement in bytes: one small manifest with its proof fits, and gossip stays a doorbell.
pub const MAX_ANNOUNCEMENT: usize = 4 << 10;
/// How often catalogs are compared with a random neighbour. Gossip brings news at once, this is for what it lost.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(120);
/// Announcements that are being checked and stored at once: they share the store's fsyncs, so a few dozen cost little more than one. What
/// comes on top is ignored, and the next comparison of catalogs brings it.
pub const IN_WORK: usize = 64;
/// Comparisons of catalogs at once: each may bring many manifests, and a node that joins connects to several peers within
/// a second that all have the same.
pub const COMPARISONS: usize = 2;
/// Manifests of a comparison that are stored at once.
pub const ACCEPT_AT_ONCE: usize = 256;
/// How often it is looked whether the catalog or the neighbours have changed: a glance at numbers in memory.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// When replicas that could not be had are tried again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// After a look at the catalog, so many times as long as it took is waited at least: 2 % of a processor.
pub const LOOK_SHARE: u32 = 50;
/// Replicas fetched at once: what a developer waits for comes beside them.
pub const REPLICAS_AT_ONCE: usize = 2;
/// Bytes on disk beyond which no replica is fetched: what a workstation can spare without being asked.
pub const REPLICATE_UP_TO: u64 = 20_000_000_000;

/// Members in one answer to a node that looks for neighbours: a random few of those that are connected. It wants eight.
pub const MEMBERS_TOLD: usize = 32;
/// Addresses of each of them.
pub const MEMBER_ADDRESSES: usize = 4;
/// Bytes of the longest answer: that many members with ids of 64 bytes and addresses of 128 at most.
pub const MAX_MEMBERS: usize = MEMBERS_TOLD * (64 + MEMBER_ADDRESSES * 136) + 64;
/// Bytes of a question for members, which says nothing but its version.
pub const MAX_MEMBERS_QUESTION: usize = 16;
/// Answers that one peer has at once; one who asks more often is told nobody.
pub const MEMBERS_BURST: u32 = 8;
/// The time in which a peer earns one more answer.
pub const MEMBERS_EVERY: Duration = Duration::from_secs(30);
/// Peers whose questions are counted; four times as many as may be connected.
pub const MEMBERS_COUNTED: usize = 1024;
/// A neighbour must have told whom it knows within so long: it has it in memory.
pub const MEMBERS_WAIT: Duration = Duration::from_secs(10);
/// Streams on which members are told, of one peer and of all: each lives for one question.
pub const MEMBERS_STREAMS: (usize, usize) = (2, 64);
/// How often it is looked with whom bytes were exchanged: a glance at as many counters as there are peers.
pub const TRAFFIC_EVERY: Duration = Duration::from_secs(10);
