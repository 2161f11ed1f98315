//! Every bound of the comparison of catalogs, with its unit and its reason.

/// Symbols of the first answer when nothing is known of the difference: enough for some sixteen manifests, in 600 bytes.
pub const FIRST_SYMBOLS: u32 = 32;
/// Symbols of one answer at most: 142 KB, and the memory of an answer on both sides.
pub const PAGE_SYMBOLS: u32 = 8192;
/// Bytes of a symbol in an answer at most: two sums of 8 bytes, and a count of up to 10.
pub const SYMBOL_BYTES: usize = 26;
/// Symbols of one part at most: with what is made of them 8 MB of memory, and enough for a difference of 65,536.
pub const MAX_SYMBOLS: u32 = 98_304;
/// A difference that is thought to be larger than this (in manifests) is found part by part.
pub const MAX_DIFFERENCE: u64 = 65_536;
/// What a part is to have of the difference, in manifests: half of what it may have, because it is only estimated.
pub const PART_DIFFERENCE: u64 = 32_768;
/// Bits of a key that name a part: 1024 parts of 32,768 manifests are more than [`MAX_CATALOG`].
pub const MAX_PART_BITS: u8 = 10;
/// Manifests of a catalog that a peer may say it has; Go's own index had 20 million versions of everybody's modules in 2024.
pub const MAX_CATALOG: u64 = 1 << 25;
/// Symbols that honest catalogs may need beyond two for each manifest of both: small differences scatter.
pub const SPARE_SYMBOLS: u64 = 96;
/// Steps of peeling for each symbol and each key that was found. Honest ones take `2 ln(symbols)`, which is 23; only keys that
/// somebody has chosen take more.
pub const STEPS_EACH: u64 = 96;
/// Steps that are always allowed: few symbols scatter.
pub const SPARE_STEPS: u64 = 4096;
/// Symbols from which the size of the difference is estimated: an error of 3 %.
pub const ESTIMATED_FROM: usize = 2048;
