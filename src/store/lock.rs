//! One `Store` per directory: a lock that the operating system drops when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use super::error::StoreError;

/// How often a lock that is held is tried again: a node that is started right after another was stopped finds the end of
/// that one, and a program that is being started holds all files of its parent for a moment.
const TRIES: u32 = 10;
/// Wait between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Holds `dir/lock` until it is dropped. The file stays: removing it would let two openers lock two files of one name.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock and writes this process's id into it, for the one who comes second.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let unusable = |error| StoreError::unusable(dir, error);
        let path = dir.join("lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        let mut tries = 1..=TRIES;
        loop {
            match (file.try_lock(), tries.next()) {
                (Ok(()), _) => break,
                (Err(TryLockError::WouldBlock), Some(_)) => std::thread::sleep(PAUSE),
                (Err(TryLockError::WouldBlock), None) => {
                    return Err(StoreError::InUse { dir: dir.into(), holder: holder(&mut file) });
                }
                (Err(TryLockError::Error(error)), _) => return Err(unusable(error)),
            }
        }
        // Only a courtesy to the one who comes second: on a full disk it is left out, and what is held is served.
        let noted = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(%error, dir = %dir.display(), "the process id could not be written into the lock file");
        }
        Ok(Self { _file: file })
    }
}

/// Who has it, as far as the file says: where locks are mandatory it cannot be read.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().map_or_else(|_| "another process".into(), |pid| format!("pid {pid}")),
        Err(_) => "another process".into(),
    }
}
