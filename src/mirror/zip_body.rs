//! A zip that is not a file: rebuilt from its blobs while it is read, at any place, without holding it in memory.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::arrivals::{Arrivals, not_held};
use crate::domain::blob::{BlobId, ReadAt};
use crate::domain::recipe::{Layout, Span};
use crate::store::Store;

/// How much is collected before it goes to the client: small entries would otherwise make a write each.
const FRAME: usize = 256 << 10;
/// How much chunk data is asked of the store at once, in bytes: what lies side by side on disk comes with one read.
const READ_AHEAD: u64 = 1 << 20;
/// Frames between the thread that reads and the socket. A large chunk is a frame of its own, up to 1 MiB, so one download takes at most
/// some 5 MiB however slow its client is.
const QUEUE: usize = 4;
/// Bytes of chunks that a [`ZipReader`] keeps. Its readers are threads at neighbouring files, each of which may need two
/// chunks of 1 MiB.
const WINDOW: usize = 4 << 20;

/// A zip in the store, or on its way there.
#[derive(Debug, Clone)]
pub struct ZipBody {
    store: Store,
    layout: Arc<Layout>,
    blake3: [u8; 32],
    arrivals: Option<Arc<Arrivals>>,
}

impl ZipBody {
    /// The zip that `layout` describes, out of `store`.
    #[must_use]
    pub fn new(store: Store, layout: Arc<Layout>, blake3: [u8; 32]) -> Self {
        Self { store, layout, blake3, arrivals: None }
    }

    /// The zip that `layout` describes, of which some chunks are still coming: reading waits for them.
    pub(super) fn arriving(store: Store, layout: Arc<Layout>, blake3: [u8; 32], arrivals: Arc<Arrivals>) -> Self {
        Self { store, layout, blake3, arrivals: Some(arrivals) }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.layout.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// BLAKE3 of all bytes: the same on every node.
    #[must_use]
    pub fn blake3(&self) -> &[u8; 32] {
        &self.blake3
    }

    /// The bytes of `range`, in frames; read on a blocking thread that stops when the receiver is dropped. An error ends the
    /// stream before its length is reached, so that the client sees a broken body and not a short zip.
    #[must_use]
    pub fn stream(&self, range: Range<u64>) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let body = self.clone();
        tokio::task::spawn_blocking(move || {
            let end = body
                .each_part(range, |part| sender.blocking_send(Ok(part)).map_err(|_| io::ErrorKind::BrokenPipe.into()));
            match end {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    tracing::error!(%error, "a zip in the store cannot be read");
                    // The receiver may be gone; then nobody wants to know.
                    let _ = sender.blocking_send(Err(error));
                }
                _ => {}
            }
        });
        receiver
    }

    /// Calls `out` with the bytes of `range` in order, in parts of about 256 KiB. Blocking.
    ///
    /// # Errors
    /// A chunk that is not in the store, the disk's errors, and what `out` returns.
    pub fn each_part(&self, range: Range<u64>, mut out: impl FnMut(Bytes) -> io::Result<()>) -> io::Result<()> {
        let mut frame = BytesMut::new();
        let mut spans = self.layout.spans(range).peekable();
        let mut batch: Vec<Span<'_>> = Vec::new();
        while spans.peek().is_some() {
            let mut bytes = 0;
            batch.clear();
            while let Some(span) = spans.next_if(|span| bytes == 0 || bytes + span_len(span) <= READ_AHEAD) {
                bytes += span_len(&span);
                batch.push(span);
            }
            self.copy(&batch, &mut frame, &mut out)?;
        }
        if frame.is_empty() { Ok(()) } else { out(frame.freeze()) }
    }

    fn copy(
        &self,
        spans: &[Span<'_>],
        frame: &mut BytesMut,
        out: &mut impl FnMut(Bytes) -> io::Result<()>,
    ) -> io::Result<()> {
        let ids: Vec<BlobId> = spans.iter().filter_map(chunk_of).collect();
        let mut chunks = self.chunks(&ids)?.into_iter().zip(&ids);
        for span in spans {
            let part = match span {
                Span::Literal(bytes) => {
                    frame.extend_from_slice(bytes);
                    continue;
                }
                Span::Chunk { skip, take, .. } => {
                    let Some((chunk, id)) = chunks.next() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
                    cut(&chunk, id, *skip, *take)?
                }
            };
            if part.len() >= FRAME {
                // Large chunks go out as they are, without another copy.
                if !frame.is_empty() {
                    out(frame.split().freeze())?;
                }
                out(part)?;
            } else {
                frame.extend_from_slice(&part);
                if frame.len() >= FRAME {
                    out(frame.split().freeze())?;
                }
            }
        }
        Ok(())
    }

    /// All of `ids`, in their order; waits for those that are still coming.
    fn chunks(&self, ids: &[BlobId]) -> io::Result<Vec<Bytes>> {
        let mut chunks = self.some_chunks(ids)?;
        while chunks.len() < ids.len() {
            chunks.extend(self.some_chunks(&ids[chunks.len()..])?);
        }
        Ok(chunks)
    }

    /// The first of `ids`, and those that follow as far as they are here.
    fn some_chunks(&self, ids: &[BlobId]) -> io::Result<Vec<Bytes>> {
        if let Some(arrivals) = &self.arrivals {
            return arrivals.take(ids, &self.store);
        }
        let chunks = self.store.get_many(ids).map_err(io::Error::other)?;
        chunks.into_iter().zip(ids).map(|(chunk, id)| chunk.ok_or_else(|| not_held(id))).collect()
    }

    /// The zip as something that can be read at any place, for hashing: best from its beginning to its end. Blocking.
    #[must_use]
    pub fn reader(&self) -> ZipReader<'_> {
        ZipReader { body: self, window: Mutex::default() }
    }
}

fn span_len(span: &Span<'_>) -> u64 {
    match span {
        Span::Literal(bytes) => bytes.len() as u64,
        Span::Chunk { take, .. } => *take as u64,
    }
}

fn chunk_of(span: &Span<'_>) -> Option<BlobId> {
    match span {
        Span::Literal(_) => None,
        Span::Chunk { id, .. } => Some(*id),
    }
}

fn cut(chunk: &Bytes, id: &BlobId, skip: usize, take: usize) -> io::Result<Bytes> {
    Ok(chunk.slice_ref(part_of(chunk, id, skip, take)?))
}

fn part_of<'a>(chunk: &'a Bytes, id: &BlobId, skip: usize, take: usize) -> io::Result<&'a [u8]> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, format!("chunk {id} is shorter than its recipe says"));
    chunk.get(skip..skip.saturating_add(take)).ok_or_else(short)
}

/// A [`ZipBody`] for code that reads at any place, from several threads. It keeps the chunks around the last places, and reads
/// ahead of them.
pub struct ZipReader<'a> {
    body: &'a ZipBody,
    window: Mutex<Window>,
}

/// The chunks that were read last.
#[derive(Default)]
struct Window {
    chunks: HashMap<BlobId, Bytes>,
    /// The keys of `chunks`, the oldest first.
    order: VecDeque<BlobId>,
    bytes: usize,
}

impl ZipReader<'_> {
    /// The chunk `id`, which holds the byte of the zip at `at`. Who needs one that is not here waits with all others: they read
    /// nearby, and would need it next.
    fn chunk(&self, id: BlobId, at: u64) -> io::Result<Bytes> {
        let mut window = self.lock();
        if let Some(bytes) = window.chunks.get(&id) {
            return Ok(bytes.clone());
        }
        let next = self.body.layout.spans(at..at.saturating_add(READ_AHEAD));
        let next = next.filter_map(|span| chunk_of(&span)).filter(|next| !window.chunks.contains_key(next));
        let ids: Vec<BlobId> = next.collect();
        let read = self.body.some_chunks(&ids)?;
        let found = read.first().filter(|_| ids.first() == Some(&id)).cloned().ok_or_else(|| not_held(&id))?;
        window.keep(ids.into_iter().zip(read));
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn keep(&mut self, read: impl Iterator<Item = (BlobId, Bytes)>) {
        for (id, bytes) in read {
            self.bytes += bytes.len();
            if let Some(before) = self.chunks.insert(id, bytes) {
                self.bytes -= before.len();
            } else {
                self.order.push_back(id);
            }
        }
        while self.bytes > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.chunks.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }
}

impl ReadAt for ZipReader<'_> {
    fn len(&self) -> u64 {
        self.body.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut rest = buf;
        for span in self.body.layout.spans(offset..end) {
            let held;
            let part = match span {
                Span::Literal(bytes) => bytes,
                Span::Chunk { id, skip, take } => {
                    held = self.chunk(id, end - rest.len() as u64)?;
                    part_of(&held, &id, skip, take)?
                }
            };
            let (head, tail) = rest.split_at_mut_checked(part.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            head.copy_from_slice(part);
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
