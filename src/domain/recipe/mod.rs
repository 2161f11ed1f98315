//! Recipes: how a module zip is taken apart into blobs, and put together again bit for bit.
//!
//! A new version of a module mostly repeats the files of the one before. In the zip nothing repeats: every local header
//! and every directory record carries `module@version/`, so no window over the zip's bytes stays the same. Hence a
//! zip is split at its files. A *chunk* is the data of one file as it lies in the zip (1 MiB pieces of a longer one),
//! and the recipe holds the rest: names with `module@version/` taken off, checksums, lengths, and the header fields
//! that all files of a zip usually share. Local headers, data descriptors, directory and end record are computed.
//!
//! * `join(split(z)) == z` for any bytes `z`. [`split`] renders its own recipe and compares; whatever does not come
//!   out the same (no zip, a file outside of `module@version/`, bytes between files, a directory in another order, zip64
//!   sizes, ...) is cut into plain 1 MiB pieces. Nothing is ever packed again, so no id depends on a compressor.
//! * The recipe is an array of *pages*, blobs themselves, each readable alone. Where a page ends is decided by the hash
//!   of the last file's *name*: an edited file changes one page, and never where the others begin.
//! * One zip has one recipe: [`split`] is deterministic, and of a page there is only one encoding.
//! * A [`Layout`] is the rebuilt picture. From it any range of the zip is served without touching the rest.
//! * Pages come from peers: [`Layout::from_pages`] checks every length before it takes memory for it and holds at most
//!   [`MAX_FRAMING`] bytes of headers and names. That chunks have the right *content* is not for this module to say: the
//!   caller checks each blob against its id, and the zip against its `h1:` and BLAKE3.
//!
//! # What it costs
//!
//! Measured by `netsim bench upgrades` over 28 upgrades of 19 modules, 266 MB of zips. Every zip was split by file, and joined
//! bit for bit.
//!
//! | | sent | of it recipe |
//! |---|---|---|
//! | the upgrade in the middle | 9.3 % | |
//! | all bytes of all upgrades | 17.3 % | 0.32 % (pages 0.27, manifests 0.05) |
//! | the same without the costliest upgrade | 6.1 % | |
//! | `FastCDC`, 64 KiB on average, over the zips | 66 % | |
//!
//! The costliest is one that regenerates nearly all of 40 MB of source (modernc.org/sqlite v1.33.1, 79 %): 70 % of all that
//! was sent. Pieces of 64 KiB in place of 1 MiB send 16.9 % for 9 % more blobs, of 16 KiB 16.6 % for 26 % more:
//! a deflate stream is another one from the first edit on.
//!
//! Files in a page, on average, against bytes of pages and of manifests sent, in KB:
//!
//! | 4 | 8 | **16** | 32 | 64 |
//! |---|---|---|---|---|
//! | 462 + 373 | 555 + 210 | **717 + 128** | 953 + 86 | 1150 + 66 |
//!
//! 8 sends the least, by 10 %. 16 was taken because manifests are gossiped to everyone and pages only to those who want the zip.
//!
//! Not here: several small files in one chunk (the recipe is a fiftieth of what is sent, so there is nothing to win),
//! deltas between versions of a file, and zip64 but for its end record, which Go writes from 65,535 files on.

mod layout;
mod page;
mod plan;
mod render;
mod split;

pub use layout::{JoinError, Layout, Span, join};
pub use split::{Split, SplitError, split};

use super::blob::MAX_BLOB;
use super::codec::CodecError;

/// The version byte that every page starts with.
pub const FORMAT: u8 = 1;
/// The most pages of a recipe: 28,000. Their ids, 32 bytes each, have to fit into a manifest beside a go.mod of 64 KiB and an
/// `.info` of 64 KiB.
pub const MAX_PAGES: usize = 28_000;
/// The most bytes of an encoded page: 64 KiB.
pub const MAX_PAGE: usize = 64 << 10;
/// The most bytes of all pages of a recipe: 64 MiB, about twice what [`super::zip::MAX_FILES`] files take.
pub const MAX_RECIPE: usize = 64 << 20;
/// The most bytes of a zip that are rendered from a recipe (headers, names, inline data) and so are held in memory while
/// a [`Layout`] is: 64 MiB. A zip of 60,000 files takes 15 MiB.
pub const MAX_FRAMING: usize = 64 << 20;
/// Up to this many bytes a file's data stands in the page, where a longer one is a chunk. At 64 there are 3.5 % fewer blobs
/// than at 32 (where an id is as long as the data) for 0.4 % more recipe; 256 costs 13 % more recipe.
pub const MAX_INLINE: usize = 64;
/// The most files in a page: 256.
const MAX_PAGE_FILES: usize = 256;
/// Files in a page on average, as a power of two: 16. See "What it costs" above.
const PAGE_FILES_LOG2: u32 = 4;

/// Pages that do not describe a zip, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// Written by a later version of modswarm.
    #[error("recipe format {0} is not known here (this version reads {FORMAT})")]
    Format(u8),
    /// A page that is not in canonical encoding.
    #[error("page {page} of the recipe cannot be read: {source}")]
    Codec {
        /// Which page, from 0.
        page: usize,
        /// What is wrong with its bytes.
        source: CodecError,
    },
    /// A page that decodes and makes no sense.
    #[error("page {page} of the recipe is refused: {what}")]
    Page {
        /// Which page, from 0.
        page: usize,
        /// The rule that it breaks.
        what: &'static str,
    },
    /// Over a bound of this module.
    #[error("the recipe is refused: {0}")]
    Bounds(&'static str),
    /// The parts do not add up to the length that the manifest tells.
    #[error("the recipe gives a zip of {got} bytes where the manifest says {want}")]
    Length {
        /// The manifest's length in bytes.
        want: u64,
        /// What the recipe comes to; where it goes over, the length at which that was seen.
        got: u64,
    },
}

/// How many blobs `len` bytes of data make.
fn pieces(len: u64) -> u64 {
    len.div_ceil(MAX_BLOB as u64)
}

#[cfg(test)]
mod tests;
