//! Directory records and local headers.

use super::{BUFFER, End, Entry, ReadAt, ZipError, read_at, u16_at, u32_at, u64_at};

/// Length of a directory record without name, extra field and comment, in bytes.
pub(crate) const RECORD_LEN: usize = 46;
/// Length of a local header without name and extra field, in bytes.
pub(crate) const LOCAL_LEN: usize = 30;

const RECORD_SIGNATURE: &[u8] = b"PK\x01\x02";
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const ZIP64_EXTRA: u16 = 1;

/// Reads forward through a [`ReadAt`], a buffer at a time.
pub(crate) struct Buffered<'a> {
    zip: &'a dyn ReadAt,
    /// Where the first byte after the buffer is.
    next: u64,
    buf: Vec<u8>,
    used: usize,
}

impl<'a> Buffered<'a> {
    pub(crate) fn new(zip: &'a dyn ReadAt, offset: u64) -> Self {
        Self { zip, next: offset, buf: Vec::new(), used: 0 }
    }

    fn left(&self) -> u64 {
        (self.buf.len() - self.used) as u64 + self.zip.len().saturating_sub(self.next)
    }

    /// The next `len` bytes, or `None` when fewer are left.
    fn take(&mut self, len: usize) -> Result<Option<&[u8]>, ZipError> {
        if self.left() < len as u64 {
            return Ok(None);
        }
        if self.buf.len() - self.used < len {
            self.buf.drain(..self.used);
            self.used = 0;
            let have = self.buf.len();
            let more = BUFFER.max(len - have).min(usize::try_from(self.zip.len() - self.next).unwrap_or(BUFFER));
            self.buf.resize(have + more, 0);
            read_at(self.zip, self.next, &mut self.buf[have..], "its directory")?;
            self.next += more as u64;
        }
        self.used += len;
        Ok(Some(&self.buf[self.used - len..self.used]))
    }
}

/// A directory record, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) made_by: u16,
    pub(crate) needs: u16,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) time: u16,
    pub(crate) date: u16,
    pub(crate) crc: u32,
    pub(crate) disk: u16,
    pub(crate) internal: u16,
    pub(crate) external: u32,
    pub(crate) packed: u64,
    pub(crate) unpacked: u64,
    /// As claimed: without the zip's `base`.
    pub(crate) offset: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) extra: Vec<u8>,
    pub(crate) comment: Vec<u8>,
}

impl Record {
    pub(super) fn into_entry(self, end: &End) -> Entry {
        Entry {
            header_offset: end.shift(self.offset),
            name: self.name,
            method: self.method,
            flags: self.flags,
            crc: self.crc,
            packed: self.packed,
            unpacked: self.unpacked,
        }
    }
}

/// The next directory record; `None` for something else, or fewer bytes than one takes (Go's `ErrFormat` and
/// `ErrUnexpectedEOF`, after which its reader compares counts).
pub(super) fn next(from: &mut Buffered<'_>) -> Result<Option<Record>, ZipError> {
    let Some(head) = from.take(RECORD_LEN)? else { return Ok(None) };
    if !head.starts_with(RECORD_SIGNATURE) {
        return Ok(None);
    }
    let (name_len, extra_len) = (usize::from(u16_at(head, 28)), usize::from(u16_at(head, 30)));
    let rest = name_len + extra_len + usize::from(u16_at(head, 32));
    let mut record = Record {
        made_by: u16_at(head, 4),
        needs: u16_at(head, 6),
        flags: u16_at(head, 8),
        method: u16_at(head, 10),
        time: u16_at(head, 12),
        date: u16_at(head, 14),
        crc: u32_at(head, 16),
        packed: u64::from(u32_at(head, 20)),
        unpacked: u64::from(u32_at(head, 24)),
        disk: u16_at(head, 34),
        internal: u16_at(head, 36),
        external: u32_at(head, 38),
        offset: u64::from(u32_at(head, 42)),
        name: Vec::new(),
        extra: Vec::new(),
        comment: Vec::new(),
    };
    let Some(rest) = from.take(rest)? else { return Ok(None) };
    record.name = rest[..name_len].to_vec();
    record.extra = rest[name_len..name_len + extra_len].to_vec();
    record.comment = rest[name_len + extra_len..].to_vec();
    Ok(widen(&mut record).then_some(record))
}

/// Takes lengths that do not fit into 32 bits from the zip64 extra field, as Go does: in this order, and only those that
/// are at their maximum. `false` where Go gives up on the record.
fn widen(record: &mut Record) -> bool {
    let is_max = |value: u64| value == u64::from(u32::MAX);
    let mut wanted = [is_max(record.unpacked), is_max(record.packed), is_max(record.offset)];
    let mut extra = record.extra.as_slice();
    while extra.len() >= 4 {
        let (tag, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(mut field) = extra.get(4..4 + len) else { break };
        extra = &extra[4 + len..];
        if tag != ZIP64_EXTRA {
            continue;
        }
        for (wanted, value) in wanted.iter_mut().zip([&mut record.unpacked, &mut record.packed, &mut record.offset]) {
            if std::mem::take(wanted) {
                if field.len() < 8 {
                    return false;
                }
                *value = u64_at(field, 0);
                field = &field[8..];
            }
        }
    }
    // An unpacked length of 2^32 - 1 without a zip64 field may be meant so.
    !wanted[1] && !wanted[2]
}

/// Gives every directory record to `each`, then compares their count modulo 65536, as Go does.
pub(crate) fn each(
    zip: &dyn ReadAt,
    end: &End,
    each: &mut dyn FnMut(Record) -> Result<(), ZipError>,
) -> Result<(), ZipError> {
    let mut from = Buffered::new(zip, end.start());
    let mut count = 0_u64;
    while let Some(record) = next(&mut from)? {
        each(record)?;
        count += 1;
    }
    if count & 0xffff != end.files & 0xffff {
        return Err(ZipError::NotAZip("its directory is damaged: it does not have as many files as it says"));
    }
    Ok(())
}

/// A local header: what stands before a file's data.
#[derive(Debug)]
pub(crate) struct Local {
    head: [u8; LOCAL_LEN],
    pub(crate) data_offset: u64,
    name_offset: u64,
}

impl Local {
    pub(crate) fn read(zip: &dyn ReadAt, offset: u64) -> Result<Self, ZipError> {
        let mut head = [0; LOCAL_LEN];
        read_at(zip, offset, &mut head, "a local header")?;
        if !head.starts_with(LOCAL_SIGNATURE) {
            return Err(ZipError::NotAZip("there is no local header where a file should be"));
        }
        let name_offset = offset + LOCAL_LEN as u64;
        let rest = u64::from(u16_at(&head, 26)) + u64::from(u16_at(&head, 28));
        Ok(Self { head, data_offset: name_offset + rest, name_offset })
    }

    pub(crate) fn flags(&self) -> u16 {
        u16_at(&self.head, 6)
    }

    pub(crate) fn method(&self) -> u16 {
        u16_at(&self.head, 8)
    }

    pub(crate) fn crc(&self) -> u32 {
        u32_at(&self.head, 14)
    }

    pub(crate) fn packed(&self) -> u32 {
        u32_at(&self.head, 18)
    }

    pub(crate) fn unpacked(&self) -> u32 {
        u32_at(&self.head, 22)
    }

    pub(crate) fn name(&self, zip: &dyn ReadAt) -> Result<Vec<u8>, ZipError> {
        let mut name = vec![0; usize::from(u16_at(&self.head, 26))];
        read_at(zip, self.name_offset, &mut name, "a file name")?;
        Ok(name)
    }

    pub(crate) fn extra(&self, zip: &dyn ReadAt) -> Result<Vec<u8>, ZipError> {
        let mut extra = vec![0; usize::from(u16_at(&self.head, 28))];
        read_at(zip, self.data_offset - extra.len() as u64, &mut extra, "an extra field")?;
        Ok(extra)
    }
}
