//! What the store does as a whole: kept, found again, cut, flipped, full, crashed.
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own")]

mod blobs;
mod catalog;
mod damage;
mod fault;
mod opening;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use self::fault::{FaultDisk, Knobs};
use super::{Store, StoreError, StoreOptions};
use crate::domain::blob::BlobId;
use crate::domain::dirhash::H1;
use crate::domain::manifest::{Envelope, GoMod, Manifest, Proof, ZipRef};
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::domain::trust::Trust;
use crate::verified::{VerifiedBlob, VerifiedManifest};

/// A directory and the knobs of the disk that its stores are opened on.
struct Bench {
    dir: TempDir,
    knobs: Arc<Knobs>,
    segment_bytes: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with_segments(super::limits::SEGMENT_BYTES)
    }

    fn with_segments(segment_bytes: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), knobs: Arc::default(), segment_bytes }
    }

    fn try_open_in(&self, dir: &Path) -> Result<Store, StoreError> {
        let disk = Arc::new(FaultDisk(Arc::clone(&self.knobs)));
        Store::open(dir, StoreOptions { segment_bytes: self.segment_bytes, disk })
    }

    fn open(&self) -> Store {
        self.try_open_in(self.dir.path()).unwrap()
    }

    /// The directory as a crash now would leave it (what is written and not synced survives here, as after `kill -9`).
    fn crashed(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap(), knobs: Arc::default(), ..*self };
        copy_dir(self.dir.path(), copy.dir.path());
        copy
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("segments/{number:08}.seg"))
    }

    fn flip(&self, number: u32, at: usize) {
        let mut bytes = fs::read(self.segment(number)).unwrap();
        bytes[at] ^= 0x10;
        fs::write(self.segment(number), bytes).unwrap();
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), &target).map(drop).unwrap();
        }
    }
}

/// A blob of `len` bytes that only `n` determines.
fn blob(n: u64, len: usize) -> VerifiedBlob {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
    VerifiedBlob::of(bytes.into()).unwrap()
}

fn blobs(range: std::ops::Range<u64>, len: usize) -> Vec<VerifiedBlob> {
    range.map(|n| blob(n, len)).collect()
}

fn ids(blobs: &[VerifiedBlob]) -> Vec<BlobId> {
    blobs.iter().map(VerifiedBlob::id).collect()
}

fn assert_held(store: &Store, blobs: &[VerifiedBlob]) {
    let got = store.get_many(&ids(blobs)).unwrap();
    let want: Vec<Option<Bytes>> = blobs.iter().map(|blob| Some(blob.bytes().clone())).collect();
    assert!(got == want, "{} of {} blobs are held", got.iter().flatten().count(), want.len());
}

fn module(text: &str) -> ModuleVersion {
    ModuleVersion::parse(text).unwrap()
}

fn path(text: &str) -> ModulePath {
    ModulePath::parse(text).unwrap()
}

/// A manifest without a zip.
fn go_mod_only(text: &str) -> Manifest {
    let module = module(text);
    let go_mod = format!("module {}\n", module.path).into_bytes();
    let go_mod_h1 = H1::of_go_mod(&go_mod);
    Manifest { module, info: Vec::new(), go_mod: GoMod::Inline(go_mod), go_mod_h1, zip: None }
}

/// A manifest with a zip whose recipe is one page.
fn with_zip(text: &str, page: &VerifiedBlob) -> Manifest {
    let zip = ZipRef { h1: H1::from_bytes([7; 32]), len: 100, blake3: [8; 32], pages: vec![page.id()] };
    Manifest { zip: Some(zip), ..go_mod_only(text) }
}

fn verified(manifest: &Manifest) -> VerifiedManifest {
    let envelope = Envelope { manifest: manifest.encode(), proof: Proof::None };
    VerifiedManifest::check(envelope.encode().into(), &Trust::open()).unwrap()
}
