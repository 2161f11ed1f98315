//! The content of a file, checked while it is read.

use std::ops::Range;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::error::show;
use super::{BUFFER, Entry, ReadAt, ZipError, read_at, u32_at};

/// The data descriptor follows the data (APPNOTE.TXT 4.4.4, bit 3).
pub(crate) const HAS_DESCRIPTOR: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const DESCRIPTOR_SIGNATURE: &[u8] = b"PK\x07\x08";

/// Unpacks files one after the other, with the same buffers.
pub(crate) struct Inflater {
    state: Decompress,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

/// What has come out of a file so far.
struct Out<'a> {
    entry: &'a Entry,
    crc: Crc,
    got: u64,
    sink: &'a mut dyn FnMut(&[u8]),
}

impl Out<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), ZipError> {
        self.got += bytes.len() as u64;
        if self.got > self.entry.unpacked {
            return Err(ZipError::Bomb { name: show(&self.entry.name), declared: self.entry.unpacked });
        }
        self.crc.update(bytes);
        (self.sink)(bytes);
        Ok(())
    }
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { state: Decompress::new(false), packed: vec![0; BUFFER], unpacked: vec![0; BUFFER] }
    }

    /// Gives the content of `entry` to `sink`, piece by piece. `sink` has seen wrong bytes when an error comes.
    pub(crate) fn each(
        &mut self,
        zip: &dyn ReadAt,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ZipError> {
        let data = entry.data_offset(zip)?;
        // As Go does: data may claim to go past the end of the zip, if its stream ends before.
        let packed = data..data.saturating_add(entry.packed).min(zip.len());
        let mut out = Out { entry, crc: Crc::new(), got: 0, sink };
        if !entry.is_dir() {
            match entry.method {
                STORED => self.copy(zip, packed, &mut out)?,
                DEFLATED => self.inflate(zip, packed, &mut out)?,
                method => return Err(ZipError::Method { name: show(&entry.name), method }),
            }
        }
        if out.got != entry.unpacked {
            return Err(ZipError::Short { name: show(&entry.name), declared: entry.unpacked, got: out.got });
        }
        if entry.is_dir() { Ok(()) } else { check_crc(zip, entry, data, out.crc.sum()) }
    }

    fn copy(&mut self, zip: &dyn ReadAt, mut left: Range<u64>, out: &mut Out<'_>) -> Result<(), ZipError> {
        while !left.is_empty() {
            let part = &mut self.packed[..step(&left)];
            read_at(zip, left.start, part, "a file's data")?;
            out.push(part)?;
            left.start += part.len() as u64;
        }
        Ok(())
    }

    fn inflate(&mut self, zip: &dyn ReadAt, mut left: Range<u64>, out: &mut Out<'_>) -> Result<(), ZipError> {
        let damaged = |entry: &Entry| ZipError::Damaged { name: show(&entry.name) };
        self.state.reset(false);
        let (mut start, mut end) = (0, 0);
        loop {
            if start == end && !left.is_empty() {
                (start, end) = (0, step(&left));
                read_at(zip, left.start, &mut self.packed[..end], "a file's data")?;
                left.start += end as u64;
            }
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(&self.packed[start..end], &mut self.unpacked, FlushDecompress::None)
                .map_err(|_| damaged(out.entry))?;
            let used = usize::try_from(self.state.total_in() - before_in).unwrap_or(end - start);
            let made = usize::try_from(self.state.total_out() - before_out).unwrap_or(0);
            start += used;
            out.push(&self.unpacked[..made])?;
            if status == Status::StreamEnd {
                return Ok(());
            }
            if used == 0 && made == 0 && (start < end || left.is_empty()) {
                return Err(damaged(out.entry));
            }
        }
    }
}

/// As much of `left` as goes into a buffer.
fn step(left: &Range<u64>) -> usize {
    usize::try_from(left.end - left.start).map_or(BUFFER, |left| left.min(BUFFER))
}

/// Go's rule (`checksumReader.Read`): with a data descriptor that one must repeat the directory's checksum; without one,
/// a checksum of 0 is taken for "not said".
fn check_crc(zip: &dyn ReadAt, entry: &Entry, data: u64, crc: u32) -> Result<(), ZipError> {
    let has_descriptor = entry.flags & HAS_DESCRIPTOR != 0;
    if has_descriptor && descriptor_crc(zip, data.saturating_add(entry.packed))? != entry.crc {
        return Err(ZipError::Disagrees { name: show(&entry.name), what: "data descriptor" });
    }
    if crc != entry.crc && (has_descriptor || entry.crc != 0) {
        return Err(ZipError::Checksum { name: show(&entry.name) });
    }
    Ok(())
}

/// The checksum in the descriptor at `at`, which may or may not start with a signature.
fn descriptor_crc(zip: &dyn ReadAt, at: u64) -> Result<u32, ZipError> {
    let mut descriptor = [0; 16];
    read_at(zip, at, &mut descriptor, "a data descriptor")?;
    Ok(u32_at(&descriptor, if descriptor.starts_with(DESCRIPTOR_SIGNATURE) { 4 } else { 0 }))
}
