//! The check of a whole zip: BLAKE3 of its bytes and `h1:` of its files, against what the manifest says, and the rules that
//! an upstream's zip has to keep as well ([`check_module_zip_with`]): what one door refuses does not come in by the other.
//!
//! Each hash has a thread of its own (`h1:` has up to [`H1_THREADS`], as inflating is what takes the time). Both read
//! the zip from its first byte to its last, so a check that begins with the fetch follows it and ends right after it.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::zip_body::ZipBody;
use crate::domain::dirhash::H1;
use crate::domain::module::ModuleVersion;
use crate::domain::zip::{ZipError, check_module_zip_with};

/// Threads that inflate one zip: with more a single fetch would have a workstation to itself.
const H1_THREADS: usize = 4;

/// As many threads as one zip may have on this machine.
pub(super) fn h1_threads() -> NonZero<usize> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    NonZero::new(cores.min(H1_THREADS)).unwrap_or(NonZero::<usize>::MIN)
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the zip that the manifest names.
    Right,
    /// It is not, or no module zip at all: the end of a sentence that begins with the zip.
    Wrong(String),
}

/// A check that is under way.
pub(super) struct ZipCheck {
    whole: JoinHandle<Result<Verdict, String>>,
    h1: JoinHandle<Result<Verdict, String>>,
}

impl ZipCheck {
    /// Begins to hash `body`, which should be the zip of `module`. `permit` is given back when no thread is left.
    pub(super) fn start(module: &ModuleVersion, body: ZipBody, h1: H1, permit: Option<OwnedSemaphorePermit>) -> Self {
        let permit = Arc::new(permit);
        let (body, also_body, also_permit) = (Arc::new(body.clone()), body, Arc::clone(&permit));
        let module = module.clone();
        let whole = tokio::task::spawn_blocking(move || {
            let verdict = check_whole(&body);
            drop(permit);
            verdict
        });
        let h1 = tokio::task::spawn_blocking(move || {
            let verdict = check_files(&module, &also_body, h1);
            drop(also_permit);
            verdict
        });
        Self { whole, h1 }
    }

    /// Whether it is the right zip. The error is this node's: it could not read what it holds.
    pub(super) async fn verdict(self) -> Result<Verdict, String> {
        let stopped = |_| Err("checking it stopped in the middle".into());
        let (whole, files) = tokio::join!(self.whole, self.h1);
        let (whole, files) = (whole.unwrap_or_else(stopped)?, files.unwrap_or_else(stopped)?);
        // What is wrong with the files says more than that some byte is another.
        Ok(if files == Verdict::Right { whole } else { files })
    }
}

fn check_whole(body: &ZipBody) -> Result<Verdict, String> {
    let mut whole = blake3::Hasher::new();
    let read = body.each_part(0..body.len(), |part| {
        whole.update(&part);
        Ok(())
    });
    read.map_err(|error| error.to_string())?;
    let fits = whole.finalize().as_bytes() == body.blake3();
    Ok(if fits { Verdict::Right } else { Verdict::Wrong("does not have the hash of its manifest (BLAKE3)".into()) })
}

fn check_files(module: &ModuleVersion, body: &ZipBody, wanted: H1) -> Result<Verdict, String> {
    match check_module_zip_with(h1_threads(), module, &body.reader()) {
        Ok(facts) if facts.h1 == wanted => Ok(Verdict::Right),
        Ok(facts) => Ok(Verdict::Wrong(format!("does not have the hash of its manifest: it has {}", facts.h1))),
        Err(ZipError::Read(error)) => Err(error.to_string()),
        Err(why) => Ok(Verdict::Wrong(format!("is not usable: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;

    use super::*;
    use crate::domain::blob::BlobId;
    use crate::domain::recipe::{Layout, split};
    use crate::domain::zip::tests::{module, streamed};
    use crate::mirror::arrivals::{Arrivals, Closing};
    use crate::store::{Store, StoreOptions};
    use crate::verified::VerifiedBlob;

    /// A zip, taken apart, and an empty store.
    struct Zip {
        _dir: tempfile::TempDir,
        store: Store,
        layout: Arc<Layout>,
        chunks: Vec<VerifiedBlob>,
        blake3: [u8; 32],
        h1: H1,
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn zip() -> Zip {
        let module: ModuleVersion = module();
        let files = [("b", 5_000), ("a", 2_500_000), ("c", 9_000)];
        let bytes = streamed(&files.map(|(name, len)| (format!("{}{name}", module.zip_prefix()), noise(len))));
        let mut blobs: HashMap<BlobId, Vec<u8>> = HashMap::new();
        let mut emit = |id, bytes| -> Result<(), std::convert::Infallible> {
            blobs.insert(id, bytes);
            Ok(())
        };
        let split = split(&module, &bytes, &mut emit).unwrap();
        let pages: Vec<&Vec<u8>> = split.pages.iter().map(|page| &blobs[page]).collect();
        let layout = Layout::from_pages(&module, split.len, &pages).unwrap();
        let chunks: Vec<VerifiedBlob> =
            layout.chunks().map(|(id, _)| VerifiedBlob::of(Bytes::from(blobs[&id].clone())).unwrap()).collect();
        assert!(chunks.len() > 1, "there is something to wait for");
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let h1 = H1::of_zip(&bytes).unwrap();
        Zip { _dir: dir, store, layout: Arc::new(layout), chunks, blake3: split.blake3, h1 }
    }

    impl Zip {
        fn arrivals(&self) -> Arc<Arrivals> {
            Arc::new(Arrivals::new(self.chunks.iter().map(VerifiedBlob::id).collect()))
        }

        fn check(&self, arrivals: &Arc<Arrivals>) -> ZipCheck {
            let (store, layout) = (self.store.clone(), Arc::clone(&self.layout));
            let body = ZipBody::arriving(store, layout, self.blake3, Arc::clone(arrivals));
            ZipCheck::start(&module(), body, self.h1, None)
        }
    }

    #[tokio::test]
    async fn a_zip_is_checked_while_it_comes_in_any_order() {
        for from_memory in [true, false] {
            let zip = zip();
            let arrivals = zip.arrivals();
            let check = zip.check(&arrivals);
            for blob in zip.chunks.iter().rev() {
                if from_memory {
                    arrivals.landed(std::slice::from_ref(blob));
                }
                zip.store.put(vec![blob.clone()]).await.unwrap();
                arrivals.stored(&[blob.id()]);
            }
            assert_eq!(check.verdict().await, Ok(Verdict::Right));
        }
    }

    #[tokio::test]
    async fn either_hash_alone_refuses_a_zip() {
        let right = zip();
        right.store.put(right.chunks.clone()).await.unwrap();
        let (other_blake3, other_h1) = ([7; 32], H1::of_go_mod(b"something else"));
        let by_h1 = format!("does not have the hash of its manifest: it has {}", right.h1);
        for (blake3, h1, verdict) in [
            (right.blake3, right.h1, Verdict::Right),
            (other_blake3, right.h1, Verdict::Wrong("does not have the hash of its manifest (BLAKE3)".into())),
            (right.blake3, other_h1, Verdict::Wrong(by_h1)),
        ] {
            let body = ZipBody::new(right.store.clone(), Arc::clone(&right.layout), blake3);
            assert_eq!(ZipCheck::start(&module(), body, h1, None).verdict().await, Ok(verdict));
        }
    }

    #[tokio::test]
    async fn what_this_node_cannot_read_is_its_own_failure_and_no_forgery() {
        let zip = zip();
        let (last, others) = zip.chunks.split_last().unwrap();
        zip.store.put(others.to_vec()).await.unwrap();
        let body = ZipBody::new(zip.store.clone(), Arc::clone(&zip.layout), zip.blake3);
        let lost = format!("chunk {} is not in the store", last.id());
        assert!(ZipCheck::start(&module(), body, zip.h1, None).verdict().await.unwrap_err().contains(&lost));
        // The fetch ends before the last chunk: whoever waits for it is told.
        let arrivals = zip.arrivals();
        let check = zip.check(&arrivals);
        arrivals.landed(others);
        drop(Closing(&arrivals));
        assert_eq!(check.verdict().await, Err("the fetch ended before all was here".into()));
    }
}
