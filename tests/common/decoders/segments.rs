//! Segments of the store, as disks and liars leave them.

use std::fs;
use std::path::Path;

use modswarm::domain::blob::BlobId;
use modswarm::store::{Store, StoreError, StoreOptions};
use modswarm::verified::VerifiedBlob;

use super::Source;
use super::frames::wait;

/// The key of the store: a liar with a disk at hand can read it, so check sums are made again after a mutation.
const KEY: [u8; 32] = [9; 32];
/// Segments are sealed once they are so long, in bytes: a new record may or may not go behind the ones of an input.
const SEGMENT: u64 = 4096;
const BLOB: u8 = 1;
const MANIFEST: u8 = 2;
const FACT: u8 = 4;
const RECORD: usize = 64;
const ENTRIES: usize = 85;

pub(super) fn run(data: &[u8]) {
    let mut source = Source(data);
    match source.byte() % 3 {
        // Bytes as they are: the header is mostly wrong.
        0 => opened(source.0, &[]),
        // With a header that is right.
        1 => opened(&[head(&KEY), source.0.to_vec()].concat(), &[]),
        _ => {
            let (bytes, whole) = built(source);
            opened(&bytes, &whole);
        }
    }
}

/// Opens a store with this one segment: it may refuse, and what is whole it serves.
fn opened(segment: &[u8], whole: &[Vec<u8>]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("segments/00000001.seg");
    fs::create_dir(dir.path().join("segments")).unwrap();
    fs::write(&file, segment).unwrap();
    let store = match open(dir.path()) {
        Ok(store) => store,
        Err(StoreError::NewerFormat { .. }) => return,
        Err(error) => panic!("a damaged segment keeps a store from being opened: {error}"),
    };
    for bytes in whole {
        let got = store.get(&BlobId::of(bytes)).expect("it is whole").expect("it is held");
        assert_eq!(got, bytes);
    }
    let ids: Vec<BlobId> = whole.iter().map(|bytes| BlobId::of(bytes)).collect();
    let many = store.get_many(&ids).expect("all are whole");
    assert!(many.iter().zip(whole).all(|(got, want)| got.as_ref().is_some_and(|got| got == want)));
    look_around(&store);
    let new = VerifiedBlob::of(b"stored after the damage".as_slice().into()).unwrap();
    match wait(store.put(vec![new.clone()])) {
        Ok(()) => assert_eq!(store.get(&new.id()).unwrap().as_ref(), Some(new.bytes())),
        Err(error) => panic!("a damaged segment keeps a store from being written: {error}"),
    }
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, StoreOptions { segment_bytes: SEGMENT, ..StoreOptions::default() })
}

/// Reads what there is to read.
fn look_around(store: &Store) {
    let _ = (store.stats(), store.facts(""), store.fact("k"), store.wanted());
    for id in store.catalog_ids() {
        let _ = store.manifest_by_id(&id);
    }
    for path in store.modules(None).unwrap_or_default() {
        for version in store.versions(&path).unwrap_or_default() {
            let _ = store
                .manifest(&modswarm::domain::module::ModuleVersion { path: path.clone(), version: version.version });
        }
    }
    for bytes in [&b""[..], b"a page", b"lie"] {
        if let Ok(Some(got)) = store.get(&BlobId::of(bytes)) {
            assert_eq!(got, bytes);
        }
    }
}

fn check<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut sum = [0; N];
    blake3::Hasher::new_keyed(&KEY).update(bytes).finalize_xof().fill(&mut sum);
    sum
}

/// A segment's header: two copies.
pub(super) fn head(key: &[u8; 32]) -> Vec<u8> {
    let mut copy = b"MSwSEG\r\n\x01\0\0\0\x01\0\0\0".to_vec();
    copy.extend_from_slice(key);
    copy.resize(112, 0);
    let sum = blake3::hash(&copy);
    copy.extend_from_slice(&sum.as_bytes()[..16]);
    copy.repeat(2)
}

/// A record's header and where it is, as a footer lists it.
struct Placed {
    id: BlobId,
    offset: u64,
    len: u32,
    kind: u8,
}

/// A segment of records, some of them damaged, some of them lies under a right check sum; and the blobs that are whole.
fn built(mut source: Source<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (flags, count) = (source.byte(), source.byte() % 8);
    let (mut bytes, mut placed, mut whole) = (head(&KEY), Vec::new(), Vec::new());
    let mut shifted = false;
    for number in 0..count {
        let (shape, size) = (source.byte(), source.byte());
        let kind = [BLOB, BLOB, MANIFEST, 3, FACT, 5, 6, 200][usize::from(shape & 7)];
        let payload = payload(kind, number, size, &mut source);
        let id = BlobId::of(&payload);
        let (mut len, mut seq) = (u32::try_from(payload.len()).unwrap(), u64::from(number) + 1);
        match shape >> 4 {
            13 => seq = source.u64(),
            14 => len = u32::from(source.u16()) << (size % 17),
            _ => {}
        }
        let mut record = vec![0; 24];
        record[..8].copy_from_slice(&[b'M', b'S', b'w', b'R', kind, 0, 0, 0]);
        record[8..12].copy_from_slice(&len.to_le_bytes());
        record[12..16].copy_from_slice(&(u32::from(number) / 2 + 1).to_le_bytes());
        record[16..24].copy_from_slice(&seq.to_le_bytes());
        record.extend_from_slice(id.as_bytes());
        record.extend_from_slice(&check::<8>(&record));
        assert_eq!(record.len(), RECORD);
        record.extend_from_slice(&payload);
        let damage = shape >> 4;
        match damage {
            12 => record[usize::from(size) % RECORD] ^= 1,
            15 => *record.last_mut().unwrap() ^= 1,
            _ => {}
        }
        shifted |= damage == 14;
        if kind == BLOB && damage < 12 {
            whole.push(payload);
        }
        placed.push(Placed { id, offset: bytes.len() as u64, len, kind });
        bytes.extend_from_slice(&record);
    }
    if flags & 1 != 0 {
        let lies = flags & 2 != 0;
        shifted |= lies;
        let footer = footer(bytes.len() as u64, placed, lies.then_some(&mut source));
        bytes.extend_from_slice(&footer);
    }
    if flags & 4 != 0 {
        bytes.extend_from_slice(source.take(300));
    }
    match flags >> 6 {
        1 => bytes[3] ^= 1,
        2 => bytes[128 + 20] ^= 1,
        _ => {}
    }
    (bytes, if shifted { Vec::new() } else { whole })
}

fn payload(kind: u8, number: u8, size: u8, source: &mut Source<'_>) -> Vec<u8> {
    let made_up = source.take(usize::from(size)).to_vec();
    match kind {
        // Different each, so that none stands in for another one.
        BLOB => [&[number][..], &made_up].concat(),
        MANIFEST if made_up.len() < 8 => super::seeds::envelope(size),
        3 | 5 | 6 if made_up.len() < 8 => super::seeds::manifest_id(size).as_bytes().to_vec(),
        FACT if made_up.len() < 8 => {
            modswarm::domain::codec::encode(&(vec![b'f', b'k', number], u64::from(size), Some(made_up)))
        }
        _ => made_up,
    }
}

/// A footer over `placed`, with the lies that `lies` tells.
fn footer(start: u64, mut placed: Vec<Placed>, lies: Option<&mut Source<'_>>) -> Vec<u8> {
    placed.sort_by_key(|entry| (entry.id, entry.offset));
    let mut counts = [placed.len() as u64, placed.iter().filter(|entry| entry.kind == BLOB).count() as u64, 1, 0, 9];
    let (mut page_number, mut entries, mut claimed) = (0_u32, u32::try_from(placed.len()).unwrap(), start);
    if let Some(source) = lies {
        for entry in &mut placed {
            match source.byte() % 6 {
                0 => entry.offset = source.u64(),
                1 => entry.len = u32::from(source.u16()) << 16 | u32::from(source.u16()),
                2 => entry.kind = source.byte(),
                3 => entry.id = BlobId::of(b"lie"),
                _ => {}
            }
        }
        match source.byte() % 8 {
            0 => counts[usize::from(source.byte()) % 5] = source.u64(),
            1 => page_number = u32::from(source.byte()),
            2 => entries = u32::from(source.u16()) << 8,
            3 => claimed = source.u64(),
            _ => {}
        }
    }
    let mut out = Vec::new();
    if !placed.is_empty() {
        for entry in &placed {
            out.extend_from_slice(entry.id.as_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.len.to_le_bytes());
            out.extend_from_slice(&[entry.kind, 0, 0, 0]);
        }
        out.resize(ENTRIES * 48, 0);
        out.extend_from_slice(&page_number.to_le_bytes());
        out.extend_from_slice(&entries.to_le_bytes());
        out.extend_from_slice(&check::<8>(&out));
    }
    let tables = out.len();
    placed.first().into_iter().for_each(|entry| out.extend_from_slice(entry.id.as_bytes()));
    // A filter that lets everything through.
    out.extend_from_slice(&[0xff; 64]);
    let sum = check::<16>(&out[tables..]);
    let mut trailer = [0; 128];
    let [records, blobs, blocks, payload, seq] = counts;
    trailer[..8].copy_from_slice(b"MSwFOOT1");
    trailer[8..16].copy_from_slice(&claimed.to_le_bytes());
    for (at, count) in [(16, records), (20, blobs), (24, blocks)] {
        trailer[at..at + 4].copy_from_slice(&count.to_le_bytes()[..4]);
    }
    trailer[32..40].copy_from_slice(&payload.to_le_bytes());
    trailer[40..48].copy_from_slice(&seq.to_le_bytes());
    trailer[48..64].copy_from_slice(&sum);
    let sum = check::<16>(&trailer[..112]);
    trailer[112..].copy_from_slice(&sum);
    out.extend_from_slice(&trailer);
    out
}
