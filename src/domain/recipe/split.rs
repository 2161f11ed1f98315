//! Splitting: one pass over the data.

use std::collections::HashSet;
use std::io;

use super::layout::{Layout, Span};
use super::plan::Plan;
use crate::domain::blob::{BlobId, ReadAt};
use crate::domain::manifest::MAX_ZIP;
use crate::domain::module::ModuleVersion;

/// A zip, split: what a manifest says of it, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Length of the zip in bytes.
    pub len: u64,
    /// BLAKE3 of the zip.
    pub blake3: [u8; 32],
    /// The recipe's pages, in order.
    pub pages: Vec<BlobId>,
    /// Whether it was split by file, and not into plain pieces.
    pub by_file: bool,
    /// How many different chunks there are.
    pub chunks: usize,
    /// Their length in bytes.
    pub chunk_bytes: u64,
    /// Length of all pages in bytes.
    pub page_bytes: u64,
}

/// Why a zip was not split. Odd bytes are no reason: they are split into plain pieces.
#[derive(Debug, thiserror::Error)]
pub enum SplitError<E> {
    /// Over the limit of the go command.
    #[error("a zip of {0} bytes is over the limit of 500 MiB")]
    TooLong(u64),
    /// The zip cannot be read.
    #[error("the zip cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A blob cannot be put where it belongs.
    #[error("{0}")]
    Emit(E),
}

/// Where the blobs go, each once.
struct Sink<'a, E> {
    emit: &'a mut dyn FnMut(BlobId, Vec<u8>) -> Result<(), E>,
    seen: HashSet<BlobId>,
}

impl<E> Sink<'_, E> {
    /// The blob's id, and its length if it is new.
    fn put(&mut self, bytes: Vec<u8>) -> Result<(BlobId, Option<usize>), SplitError<E>> {
        let (id, len) = (BlobId::of(&bytes), bytes.len());
        let is_new = self.seen.insert(id);
        if is_new {
            (self.emit)(id, bytes).map_err(SplitError::Emit)?;
        }
        Ok((id, is_new.then_some(len)))
    }
}

/// Splits any bytes, taken for the zip of `module`, into chunks and pages, and gives each of them once to `emit`.
///
/// Reads the headers first, then all of the data once; holds the headers and names in memory and one chunk.
///
/// # Errors
/// [`SplitError`]; some blobs may have been emitted then.
pub fn split<E>(
    module: &ModuleVersion,
    zip: &dyn ReadAt,
    emit: &mut dyn FnMut(BlobId, Vec<u8>) -> Result<(), E>,
) -> Result<Split, SplitError<E>> {
    if zip.len() > MAX_ZIP {
        return Err(SplitError::TooLong(zip.len()));
    }
    let mut sink = Sink { emit, seen: HashSet::new() };
    let mut plan = Plan::of(module, zip).map_err(SplitError::Read)?;
    if let Some(split) = carry_out(&mut plan, module, zip, &mut sink)? {
        return Ok(split);
    }
    // Only a mistake in this module, or bytes that changed while they were read, lead here.
    let mut plan = Plan::plain(zip);
    let split = carry_out(&mut plan, module, zip, &mut sink)?;
    split.ok_or_else(|| SplitError::Read(io::Error::other("it changes while it is read")))
}

/// Emits chunks and pages; `None`, before any page is emitted, when the pages do not give back what was planned.
fn carry_out<E>(
    plan: &mut Plan,
    module: &ModuleVersion,
    zip: &dyn ReadAt,
    sink: &mut Sink<'_, E>,
) -> Result<Option<Split>, SplitError<E>> {
    let len = plan.layout().len();
    let mut split = Split {
        len,
        blake3: [0; 32],
        pages: Vec::new(),
        by_file: matches!(plan, Plan::Files { .. }),
        chunks: 0,
        chunk_bytes: 0,
        page_bytes: 0,
    };
    let mut whole = blake3::Hasher::new();
    let mut ids = Vec::with_capacity(plan.layout().ids.len());
    let mut at = 0;
    for span in plan.layout().spans(0..len) {
        match span {
            Span::Literal(bytes) => {
                whole.update(bytes);
                at += bytes.len() as u64;
            }
            Span::Chunk { take, .. } => {
                let mut chunk = vec![0; take];
                zip.read_exact_at(at, &mut chunk).map_err(SplitError::Read)?;
                whole.update(&chunk);
                at += take as u64;
                let (id, new) = sink.put(chunk)?;
                ids.push(id);
                split.chunks += usize::from(new.is_some());
                split.chunk_bytes += new.unwrap_or(0) as u64;
            }
        }
    }
    split.blake3 = *whole.finalize().as_bytes();
    let pages = plan.pages(&ids);
    let rebuilt = Layout::from_pages(module, len, &pages).ok();
    let planned = plan.layout();
    if rebuilt.is_none_or(|it| it.places != planned.places || it.literals != planned.literals || it.ids != ids) {
        return Ok(None);
    }
    for page in pages {
        split.page_bytes += page.len() as u64;
        split.pages.push(sink.put(page)?.0);
    }
    Ok(Some(split))
}
