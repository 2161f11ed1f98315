//! Zips written by hand, so that every field of them can lie.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// One file, with what its headers say of it.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The name in the directory.
    pub(crate) name: String,
    /// What the local header says, if it is something else.
    pub(crate) local: Option<Box<Entry>>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) packed: u32,
    pub(crate) unpacked: u32,
    /// Attributes as Unix has them, in the upper half.
    pub(crate) external: u32,
    /// Where the directory says that the local header is, counted from the one that is written.
    pub(crate) shift: i64,
    /// What lies in the zip.
    pub(crate) data: Vec<u8>,
}

/// A file as it is.
pub(crate) fn stored(name: impl Into<String>, content: &[u8]) -> Entry {
    let mut crc = Crc::new();
    crc.update(content);
    let len = u32::try_from(content.len()).unwrap();
    Entry {
        name: name.into(),
        local: None,
        flags: 0,
        method: 0,
        crc: crc.sum(),
        packed: len,
        unpacked: len,
        external: 0,
        shift: 0,
        data: content.to_vec(),
    }
}

/// A file, deflated.
pub(crate) fn deflated(name: impl Into<String>, content: &[u8]) -> Entry {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    let data = encoder.finish().unwrap();
    Entry { method: 8, packed: u32::try_from(data.len()).unwrap(), data, ..stored(name, content) }
}

impl Entry {
    /// The same with other words in the local header.
    pub(crate) fn but_locally(self, change: impl FnOnce(&mut Self)) -> Self {
        let mut local = self.clone();
        change(&mut local);
        Self { local: Some(Box::new(local)), ..self }
    }

    /// The local header and the data (APPNOTE.TXT 4.3.7).
    pub(crate) fn local_bytes(&self) -> Vec<u8> {
        let said = self.local.as_deref().unwrap_or(self);
        let mut bytes = b"PK\x03\x04\x14\0".to_vec();
        said.common_fields(&mut bytes);
        bytes.extend(said.name.as_bytes());
        bytes.extend(&self.data);
        bytes
    }

    /// From the flags to the length of the extra field, which local headers and directory records share.
    fn common_fields(&self, into: &mut Vec<u8>) {
        for field in [self.flags, self.method, 0, 0x21] {
            into.extend(field.to_le_bytes());
        }
        for field in [self.crc, self.packed, self.unpacked] {
            into.extend(field.to_le_bytes());
        }
        for field in [u16::try_from(self.name.len()).unwrap(), 0] {
            into.extend(field.to_le_bytes());
        }
    }

    /// The directory record (APPNOTE.TXT 4.3.12).
    fn record_bytes(&self, at: usize) -> Vec<u8> {
        let at = u32::try_from(i64::try_from(at).unwrap() + self.shift).unwrap();
        let mut bytes = b"PK\x01\x02\x14\x03\x14\0".to_vec();
        self.common_fields(&mut bytes);
        bytes.extend([0; 6]);
        bytes.extend(self.external.to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes
    }
}

/// A zip of these files, one after the other.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.record_bytes(zip.len()));
        zip.extend(entry.local_bytes());
    }
    finish(zip, &directory, entries.len())
}

/// A zip of `outer`, and of a file whose header and data lie within the data of `outer`.
pub(crate) fn nested(outer: &str, inner: &Entry) -> Vec<u8> {
    let outer = stored(outer, &inner.local_bytes());
    let within = outer.local_bytes().len() - outer.data.len();
    let directory = [outer.record_bytes(0), inner.record_bytes(within)].concat();
    finish(outer.local_bytes(), &directory, 2)
}

fn finish(mut zip: Vec<u8>, directory: &[u8], count: usize) -> Vec<u8> {
    let (start, count) = (u32::try_from(zip.len()).unwrap(), u16::try_from(count).unwrap());
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    zip.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0; 2]);
    zip
}
