//! Every bound of the swarm layer: queues, messages, waits and connection counts, each with its unit and its reason.

use std::time::Duration;

/// Commands that may wait for the event loop. The loop never waits itself, so a full queue means a caller that floods.
pub const COMMANDS: usize = 256;
/// News that may wait for the one who reads them. Beyond that news is dropped and counted: the loop must not wait for a
/// reader, and all that news tells can also be had from the watch channels and by catalog catch-up.
pub const NEWS: usize = 1024;
/// Bans that may wait for the event loop; each is one peer caught lying twice.
pub const BANS: usize = 64;

/// Bytes of one announcement. Gossip is a doorbell: what is larger is announced by its id and fetched.
pub const MAX_ANNOUNCEMENT: usize = 4 << 10;
/// Bytes of one gossipsub message on the wire, protocol overhead included. gossipsub silently sends nothing when a
/// message is over its own cap, so the cap is far above [`MAX_ANNOUNCEMENT`].
pub const MAX_GOSSIP_MESSAGE: usize = 64 << 10;

/// Connections at most, both directions. 22 KiB of memory each for TCP.
pub const MAX_CONNECTIONS: u32 = 256;
/// Incoming connections at most: a quarter stays for the ones this node dials, so that others cannot fill it up.
pub const MAX_INCOMING: u32 = 192;
/// Handshakes with strangers under way at once; each costs a key exchange.
pub const MAX_PENDING_INCOMING: u32 = 64;
/// Own dials under way at once.
pub const MAX_PENDING_OUTGOING: u32 = 32;
/// Connections with one peer. Two can come about when both ends dial at once, and with a limit of one each end could
/// refuse the connection that the other one keeps.
pub const MAX_PER_PEER: u32 = 4;

/// From this many connected peers on, peers that were merely discovered are not dialled any more (static ones are).
/// A mesh of 8 to 12 active connections spreads as fast as a full one and costs a site of N nodes N and not N² of them.
pub const ENOUGH_PEERS: usize = 12;
/// How long a discovered peer is left alone when there are [`ENOUGH_PEERS`], until the count is looked at again.
pub const ENOUGH_RECHECK: Duration = Duration::from_secs(30);
/// Discovered peers that are remembered. mDNS answers are not authenticated: anyone on the LAN can invent peers.
pub const MAX_FOUND: usize = 1024;
/// Addresses remembered for one discovered peer; a machine with docker bridges and a VPN has about six.
pub const MAX_FOUND_ADDRESSES: usize = 8;
/// Of two nodes that discover each other the one with the higher peer id leaves the first move to the other for so long.
pub const DIAL_GRACE: Duration = Duration::from_secs(3);
/// The lower one of two waits up to so long before it dials: a LAN that is switched on in the morning discovers itself
/// within the same second.
pub const DIAL_SPREAD: Duration = Duration::from_millis(200);

/// First wait before a failed dial is repeated; it doubles with every failure.
pub const REDIAL_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before a failed dial is repeated. Static peers are dialled for ever: an office's line may be down for days, and
/// a seed that was restarted is to be found again before anybody wonders.
pub const REDIAL_LONGEST: Duration = Duration::from_secs(15);
/// A connection that lasted so long resets the back-off; one that is torn down at once does not.
pub const STABLE: Duration = Duration::from_secs(10);
/// Wait before an address where a node with *our own* identity answered (a copied data directory) is tried again.
pub const REDIAL_CLONE: Duration = Duration::from_secs(600);
/// A name lookup may take so long.
pub const LOOKUP: Duration = Duration::from_secs(10);
/// Addresses of one name that are dialled.
pub const MAX_RESOLVED: usize = 8;

/// A listener must report its address within so long, or the start has failed.
pub const LISTEN: Duration = Duration::from_secs(5);
/// A connection without any stream is closed after so long. In a swarm the connection *is* the membership, so: never,
/// in practice (libp2p's own default is 10 s).
pub const IDLE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time between two pings of a peer.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A ping unanswered for so long has failed; long enough to stand behind a window of bulk data on a slow line.
pub const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pings in a row that fail before the connection is closed (a cable was pulled: TCP alone would wait for many minutes).
pub const PING_FAILURES: u32 = 2;
/// Bytes of a peer's self-description (agent) that are kept for the status page.
pub const MAX_AGENT: usize = 64;
/// Bytes of the name of a protocol that is kept; those of this project have about 20.
pub const MAX_PROTOCOL: usize = 64;
/// Protocols of one peer that are kept; a node has three of its own.
pub const MAX_PROTOCOLS: usize = 16;

/// Two nodes greet each other within so long after the Noise handshake: one round trip, and a machine that has just been
/// woken up.
pub const GREETING: Duration = Duration::from_secs(5);
/// Peers whose passes are remembered before those without a connection are forgotten.
pub const MAX_PASSES: usize = 2 * MAX_CONNECTIONS as usize;
/// How often it is looked whether a connected member's certificate has ended: a glance at numbers in memory.
pub const MEMBERS_LOOK: Duration = Duration::from_secs(1);
/// Refusals that are remembered, for the one who wonders why two nodes do not find each other.
pub const MAX_REFUSALS: usize = 64;
/// One line in the log for each refused peer and reason in so long: both ends dial again and again.
pub const REFUSAL_LOG: Duration = Duration::from_secs(600);
