//! Plans: how a zip would be split, found by reading its headers only.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use super::layout::{Layout, Span};
use super::page::{Data, EndRecord, File, Page, Shape, Sums};
use super::render::Builder;
use super::{MAX_INLINE, MAX_PAGE_FILES, MAX_PAGES, MAX_RECIPE, PAGE_FILES_LOG2, pieces};
use crate::domain::blob::{BlobId, MAX_BLOB, ReadAt};
use crate::domain::module::ModuleVersion;
use crate::domain::zip::{self, BUFFER, END_LEN, END64_LEN, End, LOCATOR_LEN, Local, Record, ZipError};

/// Stands for the chunks that are not read yet.
const UNREAD: BlobId = BlobId::from_bytes([0; 32]);
/// A page is closed when its files come to this many bytes, about. A file that does alone makes the zip plain.
const MAX_PAGE_WEIGHT: usize = 32 << 10;
/// The most bytes of a comment on the zip; a longer one makes it plain.
const MAX_COMMENT: usize = 8 << 10;

/// What a zip is to be split into.
pub(super) enum Plan {
    /// Files, which render to exactly this zip; the layout has [`UNREAD`] for every chunk.
    Files { layout: Layout, files: Vec<File>, end: EndRecord, pages: Vec<Range<usize>> },
    /// 1 MiB pieces.
    Plain { layout: Layout },
}

impl Plan {
    /// Plans for `zip`: by file if that gives the same bytes again.
    pub(super) fn of(module: &ModuleVersion, zip: &dyn ReadAt) -> io::Result<Self> {
        match by_file(module, zip) {
            Ok(plan) => Ok(plan),
            Err(Odd::Failed(error)) => Err(error),
            Err(Odd::Plain) => Ok(Self::plain(zip)),
        }
    }

    /// The plan that always works.
    pub(super) fn plain(zip: &dyn ReadAt) -> Self {
        let count = usize::try_from(pieces(zip.len())).unwrap_or(usize::MAX);
        let layout = Builder::plain(zip.len(), std::iter::repeat_n(UNREAD, count));
        Self::Plain { layout: layout.unwrap_or_else(|_| Layout::empty(0)) }
    }

    pub(super) fn layout(&self) -> &Layout {
        match self {
            Self::Files { layout, .. } | Self::Plain { layout } => layout,
        }
    }

    /// The encoded pages, once the ids of all chunks are known.
    pub(super) fn pages(&mut self, ids: &[BlobId]) -> Vec<Vec<u8>> {
        let Self::Files { files, end, pages, .. } = self else { return vec![Page::Plain(ids.to_vec()).encode()] };
        let slots = files.iter_mut().filter_map(|file| match &mut file.data {
            Data::Inline(_) => None,
            Data::Chunks { ids, .. } => Some(ids),
        });
        slots.flatten().zip(ids).for_each(|(slot, id)| *slot = *id);
        let page = |range: &Range<usize>| {
            let end = (range.end == files.len()).then(|| end.clone());
            Page::Files { files: files[range.clone()].to_vec(), end }.encode()
        };
        pages.iter().map(page).collect()
    }
}

/// Why a zip is not split by file.
enum Odd {
    /// It is not what Go or another plain zip writer makes. No fault: it is split into pieces.
    Plain,
    /// The medium failed.
    Failed(io::Error),
}

impl From<ZipError> for Odd {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Read(error) => Self::Failed(error),
            _ => Self::Plain,
        }
    }
}

fn by_file(module: &ModuleVersion, zip: &dyn ReadAt) -> Result<Plan, Odd> {
    let place = End::find(zip)?;
    let mut records: Vec<Record> = Vec::new();
    let mut weight = 0;
    zip::each_record(zip, &place, &mut |record| {
        weight += weigh(&record);
        if weight > MAX_RECIPE / 2 || records.len() == zip::MAX_FILES {
            return Err(ZipError::TooManyFiles);
        }
        records.push(record);
        Ok(())
    })?;
    let prefix = module.zip_prefix();
    let mut shapes: HashSet<Rc<Shape>> = HashSet::new();
    let mut builder = Builder::new(prefix.clone(), zip.len());
    let mut files = Vec::with_capacity(records.len());
    let mut following: Vec<u64> = records.iter().skip(1).map(|record| record.offset).collect();
    following.push(place.directory);
    for (record, next) in records.into_iter().zip(following) {
        if record.offset != builder.at() {
            return Err(Odd::Plain);
        }
        let file = read_file(zip, record, next, prefix.as_bytes(), &mut shapes)?;
        builder.file(&file).map_err(|_| Odd::Plain)?;
        files.push(file);
    }
    let end = read_end(zip, builder.at() + builder.directory_len())?;
    let layout = builder.finish(&end).map_err(|_| Odd::Plain)?;
    let pages = cut(&files).ok_or(Odd::Plain)?;
    if !renders(&layout, zip)? {
        return Err(Odd::Plain);
    }
    Ok(Plan::Files { layout, files, end, pages })
}

/// About how many bytes of a page a file takes.
fn weigh(record: &Record) -> usize {
    let ids = usize::try_from(pieces(record.packed)).unwrap_or(usize::MAX);
    let fields = record.name.len() + record.extra.len() + record.comment.len();
    ids.saturating_mul(32).saturating_add(2 * fields)
}

/// What a page says of the file that `record` describes and that ends where the `next` one starts.
fn read_file(
    zip: &dyn ReadAt,
    record: Record,
    next: u64,
    prefix: &[u8],
    shapes: &mut HashSet<Rc<Shape>>,
) -> Result<File, Odd> {
    let name = record.name.strip_prefix(prefix).ok_or(Odd::Plain)?.to_vec();
    let local = Local::read(zip, record.offset)?;
    let gap = local.data_offset.checked_add(record.packed).and_then(|end| next.checked_sub(end));
    let sums = match gap.ok_or(Odd::Plain)? {
        0 => Sums::Header,
        12 => Sums::Bare,
        16 => Sums::Signed,
        24 => Sums::SignedWide,
        _ => return Err(Odd::Plain),
    };
    let shape = Rc::new(Shape {
        made_by: record.made_by,
        needs: record.needs,
        flags: record.flags,
        method: record.method,
        time: record.time,
        date: record.date,
        internal: record.internal,
        external: record.external,
        local_extra: local.extra(zip)?,
        extra: record.extra,
        comment: record.comment,
        sums,
    });
    let shape = shapes.get(&shape).cloned().unwrap_or_else(|| {
        shapes.insert(Rc::clone(&shape));
        shape
    });
    let packed = u32::try_from(record.packed).map_err(|_| Odd::Plain)?;
    let data = if packed as usize <= MAX_INLINE {
        let mut bytes = vec![0; packed as usize];
        zip::read_at(zip, local.data_offset, &mut bytes, "a file's data")?;
        Data::Inline(bytes)
    } else {
        Data::Chunks { packed, ids: vec![UNREAD; (packed as usize).div_ceil(MAX_BLOB)] }
    };
    let unpacked = u32::try_from(record.unpacked).map_err(|_| Odd::Plain)?;
    Ok(File { name, shape, crc: record.crc, unpacked, data })
}

/// The end record, which should start at `at`.
fn read_end(zip: &dyn ReadAt, at: u64) -> Result<EndRecord, Odd> {
    let left = zip.len().checked_sub(at).and_then(|left| usize::try_from(left).ok()).ok_or(Odd::Plain)?;
    if left > END64_LEN + LOCATOR_LEN + END_LEN + MAX_COMMENT {
        return Err(Odd::Plain);
    }
    let mut bytes = vec![0; left];
    zip::read_at(zip, at, &mut bytes, "its end record")?;
    let is_wide = bytes.starts_with(b"PK\x06\x06") && left >= END64_LEN + LOCATOR_LEN;
    let field = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let wide = is_wide.then(|| (field(12), field(14)));
    let comment = END_LEN + if is_wide { END64_LEN + LOCATOR_LEN } else { 0 };
    Ok(EndRecord { wide, comment: bytes.get(comment..).ok_or(Odd::Plain)?.to_vec() })
}

/// Whether the bytes that `layout` knows are those of `zip`.
fn renders(layout: &Layout, zip: &dyn ReadAt) -> Result<bool, Odd> {
    let mut buf = vec![0; BUFFER];
    let mut at = 0;
    for span in layout.spans(0..layout.len()) {
        match span {
            Span::Chunk { take, .. } => at += take as u64,
            Span::Literal(bytes) => {
                for part in bytes.chunks(BUFFER) {
                    zip::read_at(zip, at, &mut buf[..part.len()], "a header")?;
                    if buf[..part.len()] != *part {
                        return Ok(false);
                    }
                    at += part.len() as u64;
                }
            }
        }
    }
    Ok(true)
}

/// Where pages end: after a file whose name hashes to a multiple of the average, and when a page is full.
///
/// A zip of so many files that the page ids would not fit into a manifest gets pages of twice the average, and so on.
fn cut(files: &[File]) -> Option<Vec<Range<usize>>> {
    let hashes: Vec<u8> = files.iter().map(|file| BlobId::of(&file.name).as_bytes()[0]).collect();
    (PAGE_FILES_LOG2..=u8::BITS).find_map(|log2| {
        let mask = u8::try_from((1_u32 << log2) - 1).unwrap_or(u8::MAX);
        let most = (8_usize << log2).min(MAX_PAGE_FILES);
        let mut pages = Vec::new();
        let (mut start, mut weight) = (0, 0);
        for (at, file) in files.iter().enumerate() {
            let heavy = file_weight(file);
            if heavy > MAX_PAGE_WEIGHT {
                return None;
            }
            if weight + heavy > MAX_PAGE_WEIGHT {
                pages.push(start..at);
                (start, weight) = (at, 0);
            }
            weight += heavy;
            if hashes[at] & mask == 0 || at + 1 - start == most || at + 1 == files.len() {
                pages.push(start..at + 1);
                (start, weight) = (at + 1, 0);
            }
        }
        (!pages.is_empty() && pages.len() <= MAX_PAGES).then_some(pages)
    })
}

/// At most this many bytes of a page are for `file`, if it shares nothing with others.
fn file_weight(file: &File) -> usize {
    let shape = &file.shape;
    let data = match &file.data {
        Data::Inline(bytes) => bytes.len(),
        Data::Chunks { ids, .. } => 32 * ids.len(),
    };
    let fields = shape.local_extra.len() + shape.extra.len() + shape.comment.len();
    // 80: all numbers and lengths at their longest.
    file.name.len() + fields + data + 80
}
