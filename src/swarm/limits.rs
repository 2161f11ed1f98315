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

/// Addresses remembered for one peer; a machine with docker bridges and a VPN has about six.
pub const MAX_FOUND_ADDRESSES: usize = 8;
/// Addresses of one peer that are dialled at once. They are in the order in which they are likely to lead somewhere, and a
/// whole machine's docker bridges need no packet each.
pub const DIALS_PER_PEER: u8 = 2;
/// Reasons of failed dials that are kept for `modswarm doctor`.
pub const MAX_REASONS: usize = 2048;
/// Characters of such a reason.
pub const MAX_REASON: usize = 200;

/// UDP port of the beacon: the number of the swarm's TCP port.
pub const BEACON_PORT: u16 = 6638;
/// Nodes heard on the LAN that may wait for the event loop: 300 that are switched on at once. More of them are heard again.
pub const HEARD: usize = 512;
/// How often the interfaces are looked at: a laptop that comes to another network finds its peers there within this time.
pub const INTERFACES_EVERY: Duration = Duration::from_secs(10);
/// A pause after an error of the beacon's socket, so that one that lasts takes no processor.
pub const SOCKET_REST: Duration = Duration::from_secs(1);
/// Addresses of copies of this node and of other sites' nodes that are kept for people.
pub const MAX_NOTED: usize = 16;
/// Time between two mDNS questions of a node. *Every* node answers each by multicast: N nodes that ask every 5 minutes (the
/// library's own default) send N² answers of about 350 bytes in that time, which are 140 B/s at 11 nodes and 1.1 MB/s at 1,000.
/// The beacon finds who comes later, so this is for what only mDNS reaches.
pub const MDNS_EVERY: Duration = Duration::from_secs(3600);
/// How long an mDNS answer holds; longer than [`MDNS_EVERY`], or peers would come and go.
pub const MDNS_HOLDS: Duration = Duration::from_secs(2 * 3600 + 600);

/// Peers remembered on disk: more than a node ever has, so that some of them are still where they were.
pub const MAX_REMEMBERED: usize = 256;
/// Bytes of that file that are read; 256 peers with 8 addresses each take 150 KB.
pub const MAX_REMEMBERED_BYTES: u64 = 1 << 20;
/// The file is written at most so often, and when the node stops: it is worth little, and a disk may be an SD card.
pub const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// The first time it is written after the start: peers have introduced themselves by then.
pub const REMEMBER_FIRST: Duration = Duration::from_secs(5);

/// A name lookup may take so long.
pub const LOOKUP: Duration = Duration::from_secs(10);
/// Addresses of one name that are dialled.
pub const MAX_RESOLVED: usize = 8;

/// A listener must report its address within so long, or the start has failed.
pub const LISTEN: Duration = Duration::from_secs(5);
/// A connection without any stream is closed after so long. In a swarm the connection *is* the membership, so: never,
/// in practice (libp2p's own default is 10 s).
pub const IDLE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time between two pings of a peer, in each direction.
///
/// Idle cost: a ping and its answer are 32 bytes each, with Yamux (12) and Noise (18) 62, in TCP/IP packets of 114 bytes, and a bare
/// acknowledgement of 52: 280 bytes. Both ends ping, so a connection costs 560 bytes in 60 s, both directions together:
/// 9.3 B/s, of which this node sends half. Ten neighbours: 93 B/s, beacons (10 x 96 bytes in 256 s) 4 B/s. At 15 s it was 373 B/s.
///
/// A pulled cable is noticed after [`PING_INTERVAL`] + [`PING_TIMEOUT`] at the latest: 90 s, 60 s on average. libp2p's TCP
/// transport has no setting for keepalive, by which the kernel would do it for less.
pub const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A ping unanswered for so long has failed; long enough to stand behind a window of bulk data on a slow line.
pub const PING_TIMEOUT: Duration = Duration::from_secs(30);
/// Pings in a row that fail before the connection is closed (a cable was pulled: TCP alone would wait for many minutes).
pub const PING_FAILURES: u32 = 1;
/// A failed ping does not count while bytes have been exchanged within so long: it stands behind them.
pub const PING_FORGIVEN: Duration = Duration::from_secs(25);
/// Bytes of a peer's self-description (agent) that are kept for the status page.
pub const MAX_AGENT: usize = 64;
/// Bytes of the name of a protocol that is kept; those of this project have about 20.
pub const MAX_PROTOCOL: usize = 64;
/// Protocols of one peer that are kept; a node has three of its own.
pub const MAX_PROTOCOLS: usize = 16;
