//! Every bound of the choice of neighbours, with its unit and its reason.

use std::time::Duration;

/// From this many neighbours on (static ones beside them) nobody is dialled that was merely found. A random graph of this
/// degree is connected and spreads as fast as a full mesh, and costs a site of N nodes N and not N² connections.
pub const TARGET: usize = 8;
/// Neighbours that a node picks by itself even when [`TARGET`] others have dialled in: who comes in is chosen by others,
/// perhaps all by one machine that wants to stand around this node.
pub const OWN_LEAST: usize = 3;
/// Neighbours that were found and that this node dialled, at most.
pub const OWN_MOST: usize = 12;
/// With more neighbours (static ones beside them) idle surplus ones are let go.
pub const HIGH: usize = 12;
/// Dials to found peers under way at once: each costs the other side a key exchange, and what comes in meanwhile counts.
pub const DIALS_AT_ONCE: usize = 3;

/// Found peers that are kept. What is heard on a LAN is not authenticated: anybody can invent peers.
pub const MAX_FOUND: usize = 1024;
/// Addresses kept for one found peer; a machine with docker bridges and a VPN has about six. The newest push out the oldest.
pub const MAX_ADDRESSES: usize = 8;
/// Banned peers that are kept; the swarm refuses them in any case, this only saves dials.
pub const MAX_BANNED: usize = 1024;
/// Peers that were let go and are remembered for it.
pub const MAX_TRIMMED: usize = 256;

/// Of two nodes that find each other one leaves the first move to the other for so long.
pub const GRACE: Duration = Duration::from_secs(3);
/// The time between two picks is random up to so long, and longer where more is found: see [`SPREAD_PER_PEER`].
pub const SPREAD_LEAST: Duration = Duration::from_millis(200);
/// What each found peer adds to the time between two picks: 300 machines that are switched on in the same second dial over
/// several seconds, and see who dialled them meanwhile.
pub const SPREAD_PER_PEER: Duration = Duration::from_millis(10);
/// The longest time between two picks.
pub const SPREAD_MOST: Duration = Duration::from_secs(3);
/// Remembered peers are left alone for so long after the start: what is found on the LAN is there for certain, and has had
/// its [`GRACE`] by then.
pub const REMEMBERED_AFTER: Duration = Duration::from_secs(4);

/// First wait before a failed dial is repeated; it doubles with every failure.
pub const REDIAL_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before a static peer is dialled again. Static peers are dialled for ever: an office's line may be down for
/// days, and a seed that was restarted is to be found again before anybody wonders.
pub const REDIAL_LONGEST: Duration = Duration::from_secs(15);
/// Longest wait before a found peer is dialled again: there are others.
pub const REDIAL_FOUND: Duration = Duration::from_secs(300);
/// Failures in a row after which a peer known by hearsay only is dropped; who is still there is told of again.
pub const GIVE_UP: u32 = 6;
/// A connection that lasted so long resets the back-off; one that is torn down at once does not.
pub const STABLE: Duration = Duration::from_secs(10);
/// Wait before an address where a node with *our own* identity answered (a copied data directory) is tried again.
pub const REDIAL_CLONE: Duration = Duration::from_secs(600);

/// So long must there be more than [`HIGH`] neighbours before one is let go: a site that is switched on settles by itself.
pub const TRIM_AFTER: Duration = Duration::from_secs(60);
/// Time between two that are let go, give or take a half.
pub const TRIM_EVERY: Duration = Duration::from_secs(10);
/// A neighbour that was used (or came) within so long is not let go.
pub const TRIM_IDLE: Duration = Duration::from_secs(60);
/// A neighbour that was let go is not dialled for so long; one that comes back within it needs this node, and is kept for
/// as long as its connection stands.
pub const TRIM_REST: Duration = Duration::from_secs(3600);

/// First wait between two questions to neighbours for further members; it doubles until somebody new connects.
pub const ASK_FIRST: Duration = Duration::from_secs(2);
/// Longest wait between two such questions: a site of five nodes asks for ever, at next to no cost.
pub const ASK_LONGEST: Duration = Duration::from_secs(900);
