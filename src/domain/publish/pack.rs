//! Writes module zips, in the form in which Go's `archive/zip` writes them to a stream.
//!
//! Deterministic: names sorted, no times, one compression level, lengths behind the data. The same files give the same
//! bytes with the same build of this program; another release of the compressor may pack them in other bytes, with the
//! same `h1:`. Memory: two buffers, one compressor, and a directory record for each file.

use std::io::{self, Read, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use sha2::{Digest, Sha256};

use super::error::PublishError;
use crate::domain::manifest::MAX_ZIP;
use crate::domain::zip::BUFFER;

/// What zlib calls its default, as Go's compressor does: larger levels take much longer for a percent or two.
const LEVEL: u32 = 6;
const DEFLATED: u16 = 8;
/// Version 2.0 of the format (APPNOTE.TXT 4.4.3): deflate.
const NEEDS: u16 = 20;
/// Version 4.5: zip64.
const NEEDS_ZIP64: u16 = 45;
/// Lengths and checksum follow the data (APPNOTE.TXT 4.4.4, bit 3).
const HAS_DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8 and not the code page of an old PC (bit 11).
const IS_UTF8: u16 = 1 << 11;

/// A zip that is being written.
pub(super) struct Packer<W> {
    out: Counted<W>,
    directory: Vec<u8>,
    files: u64,
    /// One for all files: to make it costs more than to pack a small file.
    state: Compress,
    unpacked: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out: Counted { out, written: 0 },
            directory: Vec::new(),
            files: 0,
            state: Compress::new(Compression::new(LEVEL), false),
            unpacked: vec![0; BUFFER],
            packed: vec![0; BUFFER],
        }
    }

    /// Packs a file, and gives the SHA-256 of its content. `path` is what messages call it; exactly `size` bytes have to
    /// come from `content`.
    pub(super) fn file(
        &mut self,
        name: &str,
        path: &str,
        size: u64,
        mut content: impl Read,
    ) -> Result<[u8; 32], PublishError> {
        let head = Head { flags: flags(name), name };
        let offset = self.out.written;
        self.out.put(&head.local())?;
        let data = self.out.written;
        let (mut crc, mut hash, mut got) = (Crc::new(), Sha256::new(), 0_u64);
        self.state.reset();
        loop {
            let read = match content.read(&mut self.unpacked) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(PublishError::Read { path: path.to_owned(), source }),
            };
            got += read as u64;
            if got > size {
                return Err(PublishError::Changed { path: path.to_owned(), listed: size });
            }
            crc.update(&self.unpacked[..read]);
            hash.update(&self.unpacked[..read]);
            self.deflate(read, FlushCompress::None)?;
        }
        self.deflate(0, FlushCompress::Finish)?;
        if got != size {
            return Err(PublishError::Changed { path: path.to_owned(), listed: size });
        }
        let sums = [crc.sum(), narrow(self.out.written - data), narrow(size)].map(u32::to_le_bytes).concat();
        self.out.put(&[b"PK\x07\x08".as_slice(), &sums].concat())?;
        self.directory.extend(head.record(&sums, narrow(offset)));
        self.files += 1;
        Ok(hash.finalize().into())
    }

    /// Packs the first `len` bytes of the buffer.
    fn deflate(&mut self, len: usize, flush: FlushCompress) -> Result<(), PublishError> {
        let mut from = 0;
        loop {
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self.state.compress(&self.unpacked[from..len], &mut self.packed, flush);
            let status = status.map_err(|error| PublishError::Write(error.into()))?;
            from += usize::try_from(self.state.total_in() - before_in).unwrap_or(len);
            let made = usize::try_from(self.state.total_out() - before_out).unwrap_or(0);
            self.out.put(&self.packed[..made])?;
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => from == len && made < self.packed.len(),
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Writes the directory, and gives the length of the zip in bytes.
    pub(super) fn finish(mut self) -> Result<u64, PublishError> {
        let (offset, directory) = (self.out.written, std::mem::take(&mut self.directory));
        self.out.put(&directory)?;
        let (mut files, mut place) = (self.files, [directory.len() as u64, offset]);
        if files >= u64::from(u16::MAX) {
            let at = self.out.written;
            self.out.put(&end64(files, place, at))?;
            // All ones: it stands in the zip64 record.
            (files, place) = (u64::from(u16::MAX), [u64::from(u32::MAX); 2]);
        }
        let files = u16::try_from(files).unwrap_or(u16::MAX).to_le_bytes();
        let place = place.map(|it| narrow(it).to_le_bytes()).concat();
        self.out.put(&[b"PK\x05\x06\0\0\0\0".as_slice(), &files, &files, &place, &[0; 2]].concat())?;
        self.out.out.flush().map_err(PublishError::Write)?;
        Ok(self.out.written)
    }
}

/// What local header and directory record have in common.
struct Head<'a> {
    name: &'a str,
    flags: u16,
}

impl Head<'_> {
    fn local(&self) -> Vec<u8> {
        let start = [NEEDS, self.flags, DEFLATED, 0, 0].map(u16::to_le_bytes).concat();
        [b"PK\x03\x04".as_slice(), &start, &[0; 12], &self.name_len(), &[0; 2], self.name.as_bytes()].concat()
    }

    /// The directory record; `sums` are checksum and lengths.
    fn record(&self, sums: &[u8], offset: u32) -> Vec<u8> {
        let start = [NEEDS, NEEDS, self.flags, DEFLATED, 0, 0].map(u16::to_le_bytes).concat();
        let (offset, name) = (offset.to_le_bytes(), self.name.as_bytes());
        [b"PK\x01\x02".as_slice(), &start, sums, &self.name_len(), &[0; 12], &offset, name].concat()
    }

    fn name_len(&self) -> [u8; 2] {
        u16::try_from(self.name.len()).unwrap_or(u16::MAX).to_le_bytes()
    }
}

/// Go sets the UTF-8 flag as soon as a character is not the same in all of the old code pages (`detectUTF8`).
fn flags(name: &str) -> u16 {
    let same_everywhere = |c: char| matches!(c, ' '..='}') && c != '\\';
    if name.chars().all(same_everywhere) { HAS_DESCRIPTOR } else { HAS_DESCRIPTOR | IS_UTF8 }
}

/// The zip64 end record, which lies at `at`, and its locator; `place` is length and offset of the directory.
fn end64(files: u64, place: [u64; 2], at: u64) -> Vec<u8> {
    const REST_OF_RECORD: u64 = 44;
    const DISKS: u32 = 1;
    let versions = [NEEDS_ZIP64; 2].map(u16::to_le_bytes).concat();
    let counts = [files, files, place[0], place[1]].map(u64::to_le_bytes).concat();
    let record = [b"PK\x06\x06".as_slice(), &REST_OF_RECORD.to_le_bytes(), &versions, &[0; 8], &counts].concat();
    let locator = [b"PK\x06\x07".as_slice(), &[0; 4], &at.to_le_bytes(), &DISKS.to_le_bytes()].concat();
    [record, locator].concat()
}

/// A length as the format has it. None reaches the maximum: [`MAX_ZIP`] is far below it.
fn narrow(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

struct Counted<W> {
    out: W,
    written: u64,
}

impl<W: Write> Counted<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        self.out.write_all(bytes).map_err(PublishError::Write)?;
        self.written += bytes.len() as u64;
        if self.written > MAX_ZIP { Err(PublishError::ZipOversize) } else { Ok(()) }
    }
}
