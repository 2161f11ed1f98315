//! From files to the bytes of a zip: everything but the data is computed here, and nowhere else.

use super::layout::{Layout, Place, What};
use super::page::{Data, EndRecord, File, Shape, Sums};
use super::{MAX_FRAMING, RecipeError};
use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::domain::zip::MAX_FILES;

/// Builds a [`Layout`] file by file. Never goes over the length it was given, nor over [`MAX_FRAMING`].
pub(super) struct Builder {
    prefix: Vec<u8>,
    layout: Layout,
    at: u64,
    directory: Vec<u8>,
    files: u64,
}

impl Builder {
    /// For a zip of `len` bytes, in which every name starts with `prefix`.
    pub(super) fn new(prefix: String, len: u64) -> Self {
        Self { prefix: prefix.into(), layout: Layout::empty(len), at: 0, directory: Vec::new(), files: 0 }
    }

    /// Where the next file would start.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Length of the directory so far, in bytes.
    pub(super) fn directory_len(&self) -> u64 {
        self.directory.len() as u64
    }

    /// Adds a file: local header, data, descriptor; and its record to the directory.
    pub(super) fn file(&mut self, file: &File) -> Result<(), RecipeError> {
        if self.files == MAX_FILES as u64 {
            return Err(RecipeError::Bounds("it has more files than a zip may"));
        }
        let offset = u32::try_from(self.at).map_err(|_| RecipeError::Bounds("a file starts beyond 4 GiB"))?;
        let shape = &*file.shape;
        let in_header = shape.sums == Sums::Header;
        let sums = sums(file)?;
        let name_len = short(self.prefix.len() + file.name.len())?;
        self.framing(&[
            b"PK\x03\x04",
            &common(shape),
            if in_header { &sums } else { &[0; 12] },
            &name_len,
            &short(shape.local_extra.len())?,
        ])?;
        self.name_and(&file.name, &[&shape.local_extra])?;
        match &file.data {
            Data::Inline(bytes) => self.framing(&[bytes])?,
            Data::Chunks { packed, ids } => self.chunks(u64::from(*packed), ids.iter().copied())?,
        }
        match shape.sums {
            Sums::Header => {}
            Sums::Signed => self.framing(&[b"PK\x07\x08", &sums])?,
            Sums::Bare => self.framing(&[&sums])?,
            Sums::SignedWide => {
                self.framing(&[b"PK\x07\x08", &sums[..4], &sums[4..8], &[0; 4], &sums[8..], &[0; 4]])?;
            }
        }
        self.record(file, &sums, name_len, offset)
    }

    fn record(&mut self, file: &File, sums: &[u8; 12], name_len: [u8; 2], offset: u32) -> Result<(), RecipeError> {
        let shape = &*file.shape;
        let parts: [&[u8]; 15] = [
            b"PK\x01\x02",
            &shape.made_by.to_le_bytes(),
            &common(shape),
            sums,
            &name_len,
            &short(shape.extra.len())?,
            &short(shape.comment.len())?,
            &[0; 2],
            &shape.internal.to_le_bytes(),
            &shape.external.to_le_bytes(),
            &offset.to_le_bytes(),
            &self.prefix.clone(),
            &file.name,
            &shape.extra,
            &shape.comment,
        ];
        self.room(parts.iter().map(|part| part.len()).sum())?;
        parts.iter().for_each(|part| self.directory.extend_from_slice(part));
        self.files += 1;
        Ok(())
    }

    /// Adds directory and end record; what there is then has to be the whole zip.
    pub(super) fn finish(mut self, end: &EndRecord) -> Result<Layout, RecipeError> {
        let too_many = |_| RecipeError::Bounds("it has more files than its end record can tell");
        let (start, size) = (self.at, self.directory_len());
        let directory = std::mem::take(&mut self.directory);
        self.framing(&[&directory])?;
        let (count, size32, start32) = match end.wide {
            None => {
                let long = |value| u32::try_from(value).map_err(|_| RecipeError::Bounds("its directory is too long"));
                (u16::try_from(self.files).map_err(too_many)?, long(size)?, long(start)?)
            }
            Some((made_by, needs)) => {
                let at = self.at;
                let files = self.files.to_le_bytes();
                let disks = [0; 8];
                self.framing(&[b"PK\x06\x06", &44_u64.to_le_bytes(), &made_by.to_le_bytes(), &needs.to_le_bytes()])?;
                self.framing(&[&disks, &files, &files, &size.to_le_bytes(), &start.to_le_bytes()])?;
                self.framing(&[b"PK\x06\x07", &[0; 4], &at.to_le_bytes(), &1_u32.to_le_bytes()])?;
                (u16::MAX, u32::MAX, u32::MAX)
            }
        };
        let count = count.to_le_bytes();
        self.framing(&[b"PK\x05\x06", &[0; 4], &count, &count, &size32.to_le_bytes(), &start32.to_le_bytes()])?;
        self.framing(&[&short(end.comment.len())?, &end.comment])?;
        self.done()
    }

    /// A zip that is nothing but chunks.
    pub(super) fn plain(len: u64, ids: impl IntoIterator<Item = BlobId>) -> Result<Layout, RecipeError> {
        let mut builder = Self::new(String::new(), len);
        builder.chunks(len, ids)?;
        builder.done()
    }

    fn done(mut self) -> Result<Layout, RecipeError> {
        if self.at != self.layout.len() {
            return Err(RecipeError::Length { want: self.layout.len(), got: self.at });
        }
        // It lives as long as the slowest download; what growing left over is up to as much again.
        self.layout.places.shrink_to_fit();
        self.layout.literals.shrink_to_fit();
        self.layout.ids.shrink_to_fit();
        Ok(self.layout)
    }

    fn name_and(&mut self, name: &[u8], rest: &[&[u8]]) -> Result<(), RecipeError> {
        let prefix = std::mem::take(&mut self.prefix);
        let result = self.framing(&[&prefix, name]).and_then(|()| self.framing(rest));
        self.prefix = prefix;
        result
    }

    /// Whether `more` bytes of headers and names still fit, into memory and into the zip.
    fn room(&self, more: usize) -> Result<(), RecipeError> {
        let held = self.layout.literals.len() + self.directory.len();
        if held.checked_add(more).is_none_or(|held| held > MAX_FRAMING) {
            return Err(RecipeError::Bounds("it has more headers and names than a zip may have here"));
        }
        Ok(())
    }

    fn advance(&mut self, len: u64) -> Result<(), RecipeError> {
        let (want, got) = (self.layout.len(), self.at.saturating_add(len));
        if got > want {
            return Err(RecipeError::Length { want, got });
        }
        self.at = got;
        Ok(())
    }

    fn framing(&mut self, parts: &[&[u8]]) -> Result<(), RecipeError> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.room(len)?;
        let (at, from) = (self.at, self.layout.literals.len());
        self.advance(len as u64)?;
        let goes_on = matches!(self.layout.places.last(), Some(Place { what: What::Literal { .. }, .. }));
        if len > 0 && !goes_on {
            self.layout.places.push(Place { at, what: What::Literal { from } });
        }
        parts.iter().for_each(|part| self.layout.literals.extend_from_slice(part));
        Ok(())
    }

    fn chunks(&mut self, len: u64, ids: impl IntoIterator<Item = BlobId>) -> Result<(), RecipeError> {
        let mut left = len;
        for id in ids {
            let take = left.min(MAX_BLOB as u64);
            let at = self.at;
            self.advance(take)?;
            self.layout.places.push(Place { at, what: What::Chunk { index: self.layout.ids.len() } });
            self.layout.ids.push(id);
            left -= take;
        }
        if left == 0 { Ok(()) } else { Err(RecipeError::Bounds("data has fewer chunks than its length takes")) }
    }
}

/// A 16-bit length.
fn short(len: usize) -> Result<[u8; 2], RecipeError> {
    u16::try_from(len).map(u16::to_le_bytes).map_err(|_| RecipeError::Bounds("a name or field is over 64 KiB"))
}

/// Checksum, packed and unpacked length, as they stand in headers and descriptors.
fn sums(file: &File) -> Result<[u8; 12], RecipeError> {
    let packed = u32::try_from(file.data.packed()).map_err(|_| RecipeError::Bounds("a file is over 4 GiB"))?;
    let mut sums = [0; 12];
    sums[..4].copy_from_slice(&file.crc.to_le_bytes());
    sums[4..8].copy_from_slice(&packed.to_le_bytes());
    sums[8..].copy_from_slice(&file.unpacked.to_le_bytes());
    Ok(sums)
}

/// The fields that local header and directory record have in common, in their order.
fn common(shape: &Shape) -> [u8; 10] {
    let fields = [shape.needs, shape.flags, shape.method, shape.time, shape.date];
    std::array::from_fn(|at| fields[at / 2].to_le_bytes()[at % 2])
}
