//! Bounds of the catalog's traffic, each with its unit and its reason.

use std::time::Duration;

/// The longest announcement in bytes: one small manifest with its proof fits, and gossip stays a doorbell.
pub const MAX_ANNOUNCEMENT: usize = 4 << 10;
/// How often catalogs are compared with a random neighbour. Gossip brings news at once, this is for what it lost.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(120);
/// Announcements that are being checked and stored at once: they share the store's fsyncs, so a few dozen cost little more than one. What
/// comes on top is ignored, and the next comparison of catalogs brings it.
pub const IN_WORK: usize = 64;
/// Announcements of the site's orders that are looked at beyond [`IN_WORK`]: a revocation does not wait for a busy hour.
pub const ORDERS_IN_WORK: usize = 8;
/// Comparisons of catalogs at once: each may bring many manifests, and a node that joins connects to several peers within
/// a second that all have the same.
pub const COMPARISONS: usize = 2;
/// Manifests of a comparison that are stored at once.
pub const ACCEPT_AT_ONCE: usize = 256;
/// Announcements that a neighbour may make at once, and how many a second after that. What comes on top is ignored, and the
/// comparison of catalogs brings it.
pub const HEARD_BURST: u32 = 200;
/// As said there, a second.
pub const HEARD_RATE: u32 = 50;
/// Announcements of all neighbours that are taken at once, and how many a second after that. It bounds what this node passes on,
/// so that no neighbour takes it for a flood.
pub const TAKEN_BURST: u32 = 400;
/// As said there, a second.
pub const TAKEN_RATE: u32 = 100;
/// Announcements of one neighbour beyond its share within [`FLOOD_WINDOW`] that are a flood. An honest one passes on at most what
/// [`TAKEN_BURST`] and [`TAKEN_RATE`] say, and adds what [`OWN_BURST`] and [`OWN_RATE`] say: 1,200 altogether in that time.
pub const FLOOD: u32 = 3000;
/// The time in which a flood is counted.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(5);
/// Neighbours whose announcements are counted; more than there can be connections.
pub const HEARD_PEERS: usize = 512;
/// Manifests that this node announces one by one, at once; from then on it only says that its catalog has changed.
pub const OWN_BURST: u32 = 100;
/// As said there, a second: less than what a neighbour takes.
pub const OWN_RATE: u32 = 40;
/// How often it is said that the catalog has changed: the neighbours compare catalogs then.
pub const CHANGED_EVERY: Duration = Duration::from_secs(2);
/// Two comparisons with the same neighbour begin at least so far apart.
pub const APART: Duration = Duration::from_secs(2);
/// Of two nodes that meet, the one with the higher name leaves the first comparison to the other for so long: often there is
/// nothing left to find then.
pub const MEET_GRACE: Duration = Duration::from_millis(300);
/// Manifests that were offered and not taken, and are not fetched again: 128 KiB.
pub const LEFT_OUT: usize = 4096;
/// After so long they are looked at again: what stood in their way may be gone.
pub const LEFT_OUT_FOR: Duration = Duration::from_secs(3600);
/// Seeks that this node may send at once, and the time for another one.
pub const SEEK_BURST: u32 = 8;
/// As said there, a second.
pub const SEEK_RATE: u32 = 1;
/// How long a seek waits for somebody to connect: a developer waits for it.
pub const SEEK: Duration = Duration::from_millis(2500);
/// Addresses of a seeker.
pub const SEEK_ADDRESSES: usize = 8;
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
