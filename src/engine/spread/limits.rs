//! Every bound of the spreading of items, with its unit and its reason.

/// Slices of an item. Each costs a bit per neighbour in memory and an announcement per neighbour on the wire; with more of them
/// the last one is no sooner everywhere.
pub const MAX_SLICES: u32 = 1024;
