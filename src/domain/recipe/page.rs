//! Pages: their canonical encoding, and what stands in them.

use std::rc::Rc;

use bincode::{Decode, Encode};

use super::{FORMAT, MAX_INLINE, MAX_PAGE, MAX_PAGE_FILES, RecipeError, pieces};
use crate::domain::blob::BlobId;
use crate::domain::codec::{self, CodecError};

/// Decoded values are larger than their encoding: bincode's limit counts the former, at most 64 bytes per file more.
const DECODED: usize = 2 * MAX_PAGE;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The whole of a zip that is cut into 1 MiB pieces. Such a recipe has no other page.
    Plain(Vec<BlobId>),
    /// Some files of a zip, in order; and the end record, in the last page only.
    Files { files: Vec<File>, end: Option<EndRecord> },
}

/// A file in a zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// The name after `module@version/`.
    pub(super) name: Vec<u8>,
    pub(super) shape: Rc<Shape>,
    pub(super) crc: u32,
    pub(super) unpacked: u32,
    pub(super) data: Data,
}

/// Where a file's data is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Data {
    /// Here; at most [`MAX_INLINE`] bytes.
    Inline(Vec<u8>),
    /// In chunks of 1 MiB, the last perhaps shorter.
    Chunks { packed: u32, ids: Vec<BlobId> },
}

impl Data {
    pub(super) fn packed(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunks { packed, .. } => u64::from(*packed),
        }
    }
}

/// The header fields that files of one zip usually share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub(super) struct Shape {
    pub(super) made_by: u16,
    pub(super) needs: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: u16,
    pub(super) date: u16,
    pub(super) internal: u16,
    pub(super) external: u32,
    pub(super) local_extra: Vec<u8>,
    pub(super) extra: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pub(super) sums: Sums,
}

/// Where checksum and lengths stand, besides the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub(super) enum Sums {
    /// In the local header.
    Header,
    /// In a descriptor after the data, with a signature; zeros in the local header. What Go writes.
    Signed,
    /// The same without a signature.
    Bare,
    /// The same with a signature and lengths of 64 bits.
    SignedWide,
}

/// What is not computed of the end record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct EndRecord {
    /// "Made by" and "needs" of the zip64 end record, if there is one.
    pub(super) wide: Option<(u16, u16)>,
    pub(super) comment: Vec<u8>,
}

#[derive(Encode, Decode)]
struct Wire {
    format: u8,
    body: Body,
}

#[derive(Encode, Decode)]
enum Body {
    Plain(Vec<BlobId>),
    Files { shapes: Vec<Shape>, files: Vec<WireFile>, end: Option<EndRecord> },
}

#[derive(Encode, Decode)]
struct WireFile {
    shape: u16,
    /// How many bytes of the name are those of the name before.
    shared: u16,
    rest: Vec<u8>,
    crc: [u8; 4],
    unpacked: u32,
    data: Data,
}

impl Page {
    /// The canonical encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = match self {
            Self::Plain(ids) => Body::Plain(ids.clone()),
            Self::Files { files, end } => {
                let mut shapes: Vec<Rc<Shape>> = Vec::new();
                let mut before: &[u8] = b"";
                let mut wire = Vec::with_capacity(files.len());
                for file in files {
                    let shape = shapes.iter().position(|it| *it == file.shape).unwrap_or_else(|| {
                        shapes.push(Rc::clone(&file.shape));
                        shapes.len() - 1
                    });
                    wire.push(WireFile::of(file, shape, before));
                    before = &file.name;
                }
                let shapes = shapes.iter().map(|shape| Shape::clone(shape)).collect();
                Body::Files { shapes, files: wire, end: end.clone() }
            }
        };
        codec::encode(&Wire { format: FORMAT, body })
    }

    /// Decodes page number `page`, and insists on the one way to write it.
    pub(super) fn decode(page: usize, bytes: &[u8]) -> Result<Self, RecipeError> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(&other) => return Err(RecipeError::Format(other)),
            None => return Err(RecipeError::Codec { page, source: CodecError::Malformed }),
        }
        if bytes.len() > MAX_PAGE {
            let source = CodecError::TooLong { len: bytes.len(), limit: MAX_PAGE };
            return Err(RecipeError::Codec { page, source });
        }
        let wire: Wire = codec::decode::<_, DECODED>(bytes).map_err(|source| RecipeError::Codec { page, source })?;
        match wire.body {
            Body::Plain(ids) => Ok(Self::Plain(ids)),
            Body::Files { shapes, files, end } => match unfold(shapes, files) {
                Ok(files) => Ok(Self::Files { files, end }),
                Err(what) => Err(RecipeError::Page { page, what }),
            },
        }
    }
}

impl WireFile {
    fn of(file: &File, shape: usize, before: &[u8]) -> Self {
        let shared = shared(before, &file.name);
        Self {
            shape: u16::try_from(shape).unwrap_or(u16::MAX),
            shared,
            rest: file.name[usize::from(shared)..].to_vec(),
            crc: file.crc.to_le_bytes(),
            unpacked: file.unpacked,
            data: file.data.clone(),
        }
    }
}

/// How many bytes two names have in common at the start.
fn shared(a: &[u8], b: &[u8]) -> u16 {
    u16::try_from(a.iter().zip(b).take_while(|(a, b)| a == b).count()).unwrap_or(u16::MAX)
}

fn unfold(shapes: Vec<Shape>, wire: Vec<WireFile>) -> Result<Vec<File>, &'static str> {
    if wire.is_empty() || wire.len() > MAX_PAGE_FILES {
        return Err("it holds no files, or more than a page may");
    }
    if (1..shapes.len()).any(|at| shapes[..at].contains(&shapes[at])) {
        return Err("it says the same header fields twice");
    }
    let shapes: Vec<Rc<Shape>> = shapes.into_iter().map(Rc::new).collect();
    let mut used = 0;
    let mut files: Vec<File> = Vec::with_capacity(wire.len());
    for file in wire {
        let index = usize::from(file.shape);
        let shape = shapes.get(index).filter(|_| index <= used).ok_or("its header fields are out of order")?;
        used = used.max(index + 1);
        let before = files.last().map_or(&b""[..], |file| &file.name);
        let kept = before.get(..usize::from(file.shared)).ok_or("a name builds on one that is too short")?;
        let name = [kept, &file.rest].concat();
        if shared(before, &name) != file.shared {
            return Err("a name is not written the shortest way");
        }
        match &file.data {
            Data::Inline(bytes) if bytes.len() > MAX_INLINE => return Err("a file's inline data is too long"),
            Data::Chunks { packed, .. } if (*packed as usize) <= MAX_INLINE => {
                return Err("a file is a chunk where it should be inline");
            }
            Data::Chunks { packed, ids } if ids.len() as u64 != pieces(u64::from(*packed)) => {
                return Err("a file has more or fewer chunks than its length takes");
            }
            _ => {}
        }
        let (crc, shape) = (u32::from_le_bytes(file.crc), Rc::clone(shape));
        files.push(File { name, shape, crc, unpacked: file.unpacked, data: file.data });
    }
    if used == shapes.len() { Ok(files) } else { Err("it has header fields that no file uses") }
}
