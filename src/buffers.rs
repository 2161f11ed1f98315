//! Large buffers that are used again.
//!
//! A transfer takes and gives back a buffer of about 1 MiB for every blob at either end. The allocator hands such pieces back to the
//! system, which then maps and clears each page anew: that costs as much as hashing the bytes with BLAKE3. So what is freed
//! is kept here, within [`KEPT_BYTES`], for whoever asks next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Memory that is kept while nobody uses it, in bytes: what a fetch has under way at once between the network and the disk.
const KEPT_BYTES: usize = 8 << 20;
/// Shorter buffers come from the allocator, which keeps pieces of this length itself, in bytes.
const LEAST: usize = 64 << 10;
/// Capacities are multiples of this, in bytes: then the buffers of blobs of about the same length fit each other.
const STEP: usize = 64 << 10;

/// What is kept; the process has one, as a blob that a peer sent is freed by the store.
static POOL: Pool = Pool::new();

#[derive(Debug)]
struct Pool(Mutex<Free>);

#[derive(Debug)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// Bytes to be filled. What is in them at first is of no meaning: zeros, or what somebody else had in there.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes, all of which the caller is going to write before anything is read.
    pub(crate) fn of(len: usize) -> Self {
        let bytes = if len < LEAST { vec![0; len] } else { POOL.take(len) };
        Self { bytes, len }
    }

    /// The bytes, to be written.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The bytes as they are from now on. The memory is kept for others when the last part of them is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        let len = self.len;
        self.freeze_first(len)
    }

    /// The first `len` bytes, as [`Self::freeze`] does it with all.
    pub(crate) fn freeze_first(mut self, len: usize) -> Bytes {
        self.len = len.min(self.len);
        if self.bytes.len() >= LEAST {
            return Bytes::from_owner(self);
        }
        self.bytes.truncate(self.len);
        std::mem::take(&mut self.bytes).into()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= LEAST {
            POOL.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Free { buffers: Vec::new(), bytes: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At least `len` bytes, and not many more: what a caller accounts for is what it asked for.
    fn take(&self, len: usize) -> Vec<u8> {
        let wanted = len.next_multiple_of(STEP);
        let kept = {
            let mut free = self.lock();
            // The newest first: its pages are the ones that are still in the processor's cache.
            let fits = |buffer: &Vec<u8>| (wanted..=wanted + wanted / 4).contains(&buffer.len());
            let found = free.buffers.iter().rposition(fits).map(|at| free.buffers.remove(at));
            free.bytes -= found.as_ref().map_or(0, Vec::len);
            found
        };
        kept.unwrap_or_else(|| vec![0; wanted])
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.lock();
        free.bytes += buffer.len();
        free.buffers.push(buffer);
        let mut over = 0;
        while free.bytes > KEPT_BYTES && over < free.buffers.len() {
            // The oldest is of a length that nobody asks for now.
            free.bytes -= free.buffers[over].len();
            over += 1;
        }
        let freed: Vec<Vec<u8>> = free.buffers.drain(..over).collect();
        drop(free);
        drop(freed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_is_given_back_is_given_out_again_to_those_whom_it_fits() {
        let pool = Pool::new();
        let first = pool.take(MIB - 5);
        assert_eq!(first.len(), MIB);
        let place = first.as_ptr();
        pool.give_back(first);
        assert_eq!(pool.take(MIB / 2).len(), MIB / 2, "one of twice the length is not for it");
        assert_eq!(pool.take(MIB + 1).len(), MIB + STEP, "and a shorter one is not either");
        let again = pool.take(MIB - STEP);
        assert_eq!((again.as_ptr(), again.len(), pool.lock().bytes), (place, MIB, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = Pool::new();
        for len in (1..40).map(|n| n * STEP * 3) {
            pool.give_back(vec![0; len]);
            let free = pool.lock();
            assert!(free.bytes <= KEPT_BYTES);
            assert_eq!(free.bytes, free.buffers.iter().map(Vec::len).sum::<usize>());
        }
        pool.give_back(vec![0; KEPT_BYTES + 1]);
        assert_eq!(pool.lock().buffers.len(), 0);
    }

    #[test]
    fn a_frozen_buffer_has_the_bytes_that_were_written_and_the_length_that_was_asked_for() {
        for len in [0, 1, LEAST - 1, LEAST, LEAST + 1, MIB] {
            let mut buffer = Buffer::of(len);
            buffer.as_mut().fill(7);
            let bytes = buffer.freeze();
            assert_eq!((bytes.len(), bytes.iter().all(|byte| *byte == 7)), (len, true));
            let mut buffer = Buffer::of(len);
            buffer.as_mut().fill(8);
            assert_eq!(buffer.freeze_first(len / 2), vec![8; len / 2]);
        }
    }
}
