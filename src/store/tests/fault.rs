//! A disk that counts, fills up, and fails when told to. It does not really sync: that is what makes tests slow.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::super::disk::{Disk, DiskFile, StdDisk};

/// What the tests turn and read.
#[derive(Debug, Default)]
pub(super) struct Knobs {
    /// Syncs of files that succeeded.
    pub(super) syncs: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    /// Writes fail as on a full disk, after half of their bytes.
    pub(super) full: AtomicBool,
    pub(super) sync_fails: AtomicBool,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    waiting: bool,
}

impl Knobs {
    /// Makes the next sync wait until [`Knobs::open_gate`].
    pub(super) fn shut_gate(&self) {
        self.gate.lock().unwrap().shut = true;
    }

    /// Returns when a sync waits at the gate.
    pub(super) fn await_sync(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |gate| !gate.waiting).unwrap());
    }

    pub(super) fn open_gate(&self) {
        *self.gate.lock().unwrap() = Gate::default();
        self.moved.notify_all();
    }

    pub(super) fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::SeqCst)
    }

    fn pass_gate(&self) {
        let mut gate = self.gate.lock().unwrap();
        if gate.shut {
            gate.waiting = true;
            self.moved.notify_all();
            drop(self.moved.wait_while(gate, |gate| gate.shut).unwrap());
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(super) struct FaultDisk(pub(super) Arc<Knobs>);

#[derive(Debug)]
struct FaultFile(Arc<dyn DiskFile>, Arc<Knobs>);

impl Disk for FaultDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        StdDisk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        StdDisk.list(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FaultFile(StdDisk.open(path, create)?, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        StdDisk.remove(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.1.reads.fetch_add(1, Ordering::SeqCst);
        self.0.read_exact_at(offset, buf)
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.1.writes.fetch_add(1, Ordering::SeqCst);
        if self.1.full.load(Ordering::SeqCst) {
            self.0.write_all_at(offset, &buf[..buf.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(offset, buf)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass_gate();
        if self.1.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        // Counted and not done: no test here takes the power away.
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
