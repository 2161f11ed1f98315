//! Layouts: where in a zip which blob goes.

use std::ops::Range;

use bytes::Bytes;

use super::page::Page;
use super::render::Builder;
use super::{MAX_PAGES, MAX_RECIPE, RecipeError, pieces};
use crate::domain::blob::BlobId;
use crate::domain::manifest::MAX_ZIP;
use crate::domain::module::ModuleVersion;

/// A zip as its recipe tells it: bytes that are known, and chunks.
///
/// Takes about 24 bytes per part and 32 per chunk, and up to [`super::MAX_FRAMING`] for headers and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    len: u64,
    /// In order, without gaps; each goes to the start of the next one.
    pub(super) places: Vec<Place>,
    pub(super) literals: Vec<u8>,
    pub(super) ids: Vec<BlobId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Bytes of [`Layout::literals`], from here on.
    Literal { from: usize },
    /// One of [`Layout::ids`].
    Chunk { index: usize },
}

/// A part of a range of a zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span<'a> {
    /// These bytes.
    Literal(&'a [u8]),
    /// `take` bytes of a chunk, from its byte `skip` on. Whether the blob is long enough is for the reader to check.
    Chunk {
        /// The chunk.
        id: BlobId,
        /// Bytes of it to leave out at its start.
        skip: usize,
        /// Bytes of it that belong to the range, at least 1.
        take: usize,
    },
}

/// Why a zip was not put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError<E> {
    /// A chunk cannot be had, or the zip not be written.
    #[error("{0}")]
    Io(E),
    /// A chunk is not as long as the recipe says: the recipe was not made from these chunks.
    #[error("chunk {id} has {got} bytes where the recipe says {want}")]
    ChunkLength {
        /// The chunk.
        id: BlobId,
        /// The recipe's length in bytes.
        want: usize,
        /// The chunk's own, in bytes.
        got: usize,
    },
}

impl Layout {
    pub(super) fn empty(len: u64) -> Self {
        Self { len, places: Vec::new(), literals: Vec::new(), ids: Vec::new() }
    }

    /// Rebuilds the picture of the zip of `module`, with `len` bytes, from the recipe's pages in order.
    ///
    /// # Errors
    /// [`RecipeError`] when the pages are damaged, over a bound, or do not come to `len` bytes.
    pub fn from_pages<P: AsRef<[u8]>>(module: &ModuleVersion, len: u64, pages: &[P]) -> Result<Self, RecipeError> {
        if len > MAX_ZIP {
            return Err(RecipeError::Bounds("its zip is over 500 MiB"));
        }
        if pages.is_empty() || pages.len() > MAX_PAGES {
            return Err(RecipeError::Bounds("it has no pages, or more than a manifest may list"));
        }
        let total = pages.iter().try_fold(0_usize, |sum, page| sum.checked_add(page.as_ref().len()));
        if total.is_none_or(|total| total > MAX_RECIPE) {
            return Err(RecipeError::Bounds("its pages are over 64 MiB"));
        }
        let mut builder = Builder::new(module.zip_prefix(), len);
        for (page, bytes) in pages.iter().enumerate() {
            let refuse = |what| Err(RecipeError::Page { page, what });
            let is_last = page + 1 == pages.len();
            match Page::decode(page, bytes.as_ref())? {
                Page::Plain(_) if pages.len() > 1 => return refuse("a plain one has to be the only one"),
                Page::Plain(ids) if ids.len() as u64 != pieces(len) => {
                    return refuse("it has more or fewer chunks than the zip's length takes");
                }
                Page::Plain(ids) => return Builder::plain(len, ids),
                Page::Files { end, .. } if end.is_some() != is_last => {
                    return refuse("the end record has to be in the last one, and only there");
                }
                Page::Files { files, end } => {
                    files.iter().try_for_each(|file| builder.file(file))?;
                    if let Some(end) = end {
                        return builder.finish(&end);
                    }
                }
            }
        }
        Err(RecipeError::Bounds("it has no end record"))
    }

    /// Length of the zip in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the zip has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks with their lengths in bytes, in the order of the zip; one that comes twice is there twice.
    pub fn chunks(&self) -> impl Iterator<Item = (BlobId, usize)> + '_ {
        self.spans(0..self.len).filter_map(|span| match span {
            Span::Literal(_) => None,
            Span::Chunk { id, take, .. } => Some((id, take)),
        })
    }

    /// The parts of `range` in order. What of `range` lies past the end is left out.
    pub fn spans(&self, range: Range<u64>) -> impl Iterator<Item = Span<'_>> + '_ {
        let range = range.start..range.end.min(self.len);
        let first = self.places.partition_point(|place| place.at <= range.start).saturating_sub(1);
        let places = self.places.iter().enumerate().skip(first);
        places.take_while(move |(_, place)| place.at < range.end).filter_map(move |(index, place)| {
            let end = self.places.get(index + 1).map_or(self.len, |next| next.at).min(range.end);
            let start = place.at.max(range.start);
            // Both are below 500 MiB: a literal lies in memory, and a chunk is a blob.
            let skip = usize::try_from(start - place.at).ok()?;
            let take = usize::try_from(end.checked_sub(start)?).ok()?;
            Some(match place.what {
                What::Literal { from } => Span::Literal(self.literals.get(from + skip..from + skip + take)?),
                What::Chunk { index } => Span::Chunk { id: *self.ids.get(index)?, skip, take },
            })
            .filter(|_| take > 0)
        })
    }
}

/// Puts a zip together: `get` gives the chunks, `out` takes the bytes in order.
///
/// # Errors
/// [`JoinError::Io`] with what `get` or `out` say, [`JoinError::ChunkLength`] when the recipe lies.
pub fn join<E>(
    layout: &Layout,
    mut get: impl FnMut(&BlobId) -> Result<Bytes, E>,
    mut out: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), JoinError<E>> {
    for span in layout.spans(0..layout.len()) {
        match span {
            Span::Literal(bytes) => out(bytes).map_err(JoinError::Io)?,
            Span::Chunk { id, take, .. } => {
                let chunk = get(&id).map_err(JoinError::Io)?;
                if chunk.len() != take {
                    return Err(JoinError::ChunkLength { id, want: take, got: chunk.len() });
                }
                out(&chunk).map_err(JoinError::Io)?;
            }
        }
    }
    Ok(())
}
