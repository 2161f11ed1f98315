//! Every bound of the spreading of items, with its unit and its reason.

use std::time::Duration;

/// Slices of an item. Each costs a bit per neighbour in memory and an announcement per neighbour on the wire; with more of them
/// the last one is no sooner everywhere.
pub const MAX_SLICES: u32 = 1024;

/// Bytes that count for a slice whose size nobody told ([`Event::Sizes`](super::Event::Sizes)): the largest blob, of which a slice is
/// at least one where there is much to send.
pub const SLICE_BYTES: u32 = 1 << 20;

/// Slices that are offered or on their way out at a time, however slow the line: one runs, and the next one is agreed upon
/// meanwhile, so that the line does not stand still for a round trip.
pub const SLICES_OUT: usize = 2;

/// How much of a slice has gone out, in hundredths, when the next one is offered. Earlier, neighbours wait for it that others could serve;
/// later, the line stands still while they decline. Measured from 0 to 100 with 20 and 100 receivers: 0.75 of the bound at 0, 0.85 at
/// 75, 0.80 at 100.
pub const AHEAD_OUT: u64 = 75;

/// How much of a slice has come in, in hundredths, when the next one is accepted. Two at a time share the line: both come late, and
/// are passed on late. Measured as above: 0.76 of the bound at 0, 0.87 at 85, 0.85 at 100.
pub const AHEAD_IN: u64 = 85;

/// A slice is nearly out, or in, also when what the line carries in this time is left of it: for small slices a round trip is more
/// than the shares above. Measured with 100 receivers and 21 MB: 0.79 of the bound without it in slices of 256 KiB, 0.83 with it, and
/// 0.85 with it in slices of 512 KiB.
pub const LEAD: Duration = Duration::from_millis(12);

/// Slices that come in at a time in a crowd: one, and the next when that is [nearly there](AHEAD_IN).
pub const SLICES_IN: usize = 2;

/// Slices that come in at a time over all items: each item may have its first one on the way though others keep the line busy, so
/// that a small item does not wait for a large one.
pub const SLICES_IN_ALL: usize = 8;

/// How much of what the line carries may be under way, beyond those slices: a round trip with room to spare.
pub const WINDOW: Duration = Duration::from_millis(50);

/// The same in a crowd: what is under way beyond the slice that runs shares the line with it, and both come late.
pub const CROWD_WINDOW: Duration = Duration::from_millis(10);

/// Bytes under way at most each way, unless two slices are more: memory of the receiver.
pub const WINDOW_BYTES: u64 = 16 << 20;

/// How long a line's rate is measured at a time.
pub const MEASURE: Duration = Duration::from_millis(50);

/// A pause after which a measurement starts anew: nothing was to be sent.
pub const IDLE: Duration = Duration::from_millis(500);

/// A fetch without a byte for so long is over. Two round trips of a bad line, and short enough for a user to bear it.
pub const PROGRESS: Duration = Duration::from_secs(5);

/// How many times the duration of a slice at its line's measured rate a fetch may be without a byte: others are served before it.
pub const PROGRESS_SLICES: u32 = 4;

/// An offer that is not answered for so long, or an accepted one that does not move, no longer takes room on the line: the
/// next one gets it. Engines answer in microseconds; this is many round trips.
pub const ANSWER: Duration = Duration::from_secs(1);

/// For how long the only holder lets the others pass on what it has sent once, before it sends it again to a neighbour that got nothing
/// in that time.
pub const HOLD_BACK: Duration = Duration::from_secs(1);

/// The same in slices at the measured rate, if that is more: on a slow line nobody gets anything in a second.
pub const HOLD_BACK_SLICES: u32 = 8;

/// How many neighbours hold a slice when its only full holder stops to send it again. With 2 the share of the bound is the same, and
/// the holder sends up to 1.75 times the item rather than up to 1.25 times (100 receivers, 8 slices).
pub const ENOUGH_COPIES: u32 = 1;

/// A neighbour that lacks no more slices than this is not held back: the first holder helps where the crowd ends.
pub const LAST_SLICES: u32 = 1;

/// A wanted item of which nothing is coming and of which nothing was heard for so long is stuck.
pub const STUCK: Duration = Duration::from_secs(5);

/// The same for an item of which no neighbour has said anything: nobody is going to.
pub const STUCK_ALONE: Duration = Duration::from_secs(1);

/// How many times [`STUCK`] nothing may land of a wanted item, whatever the neighbours say of their own progress: liars do not put
/// a user off for ever.
pub const STUCK_ANYWAY: u32 = 12;

/// How many times as long as its slices usually take one may take before others come in past it, and, in the end game, before it is
/// asked for a second time.
pub const OVERDUE_SLICES: u32 = 3;

/// What is added to that: small slices vary more.
pub const OVERDUE: Duration = Duration::from_millis(500);

/// Stalled fetches from a neighbour after which it is taken for slow: its offers for this item are accepted only if nobody else has any.
pub const STALLS: u8 = 2;

/// Fetches that brought wrong bytes or nothing after which a neighbour's offers for this item are no longer accepted: one may be a
/// broken disk, or a blob that was collected in that moment.
pub const FALSE_OFFERS: u8 = 2;

/// How often the same slice is given to the same neighbour: a fetch may fail. One that never says that it got anything gets no more.
pub const GIVEN: u8 = 2;

/// Items that a neighbour has spoken of and that this node neither holds nor wants, per neighbour: a build asks for some tens of
/// modules at a time.
pub const HEARD_PER_PEER: usize = 256;

/// The same over all neighbours; about 1 KiB each.
pub const HEARD: usize = 4096;

/// The shortest time to a deadline: however things stand, a driver is not kept busy by ticks alone.
pub const TICK: Duration = Duration::from_millis(1);

/// How long the answer holds that an item is not held here: looking costs a read per slice.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The numbers by which a [`Spread`](super::Spread) goes; each is described at the constant that is its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Rules {
    pub slices_out: usize,
    pub slices_in: usize,
    pub slices_in_all: usize,
    pub window: Duration,
    pub crowd_window: Duration,
    pub window_bytes: u64,
    pub progress: Duration,
    pub answer: Duration,
    pub hold_back: Duration,
    pub enough_copies: u32,
    pub stuck: Duration,
    pub stuck_alone: Duration,
    pub overdue: Duration,
    pub heard_per_peer: usize,
    pub heard: usize,
    pub ahead_out: u64,
    pub ahead_in: u64,
    pub lead: Duration,
    pub last_slices: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            slices_out: SLICES_OUT,
            slices_in: SLICES_IN,
            slices_in_all: SLICES_IN_ALL,
            window: WINDOW,
            crowd_window: CROWD_WINDOW,
            window_bytes: WINDOW_BYTES,
            progress: PROGRESS,
            answer: ANSWER,
            hold_back: HOLD_BACK,
            enough_copies: ENOUGH_COPIES,
            stuck: STUCK,
            stuck_alone: STUCK_ALONE,
            overdue: OVERDUE,
            heard_per_peer: HEARD_PER_PEER,
            heard: HEARD,
            ahead_out: AHEAD_OUT,
            ahead_in: AHEAD_IN,
            lead: LEAD,
            last_slices: LAST_SLICES,
        }
    }
}
