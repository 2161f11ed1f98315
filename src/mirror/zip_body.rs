//! A zip that is not a file: rebuilt from its blobs while it is read, at any place, without holding it in memory.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::domain::blob::{BlobId, ReadAt};
use crate::domain::recipe::{Layout, Span};
use crate::store::Store;

/// How much is collected before it goes to the client: small entries would otherwise make a write each.
const FRAME: usize = 256 << 10;
/// How much chunk data is asked of the store at once, in bytes: what lies side by side on disk comes with one read.
const READ_AHEAD: u64 = 1 << 20;
/// Frames between the thread that reads and the socket: with [`FRAME`] bounds the memory of one download to about 2 MiB.
const QUEUE: usize = 4;

/// A zip in the store.
#[derive(Debug, Clone)]
pub struct ZipBody {
    store: Store,
    layout: Arc<Layout>,
    blake3: [u8; 32],
}

impl ZipBody {
    /// The zip that `layout` describes, out of `store`.
    #[must_use]
    pub fn new(store: Store, layout: Arc<Layout>, blake3: [u8; 32]) -> Self {
        Self { store, layout, blake3 }
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
        let mut chunks = self.store.get_many(&ids).map_err(io::Error::other)?.into_iter().zip(&ids);
        for span in spans {
            let part = match span {
                Span::Literal(bytes) => {
                    frame.extend_from_slice(bytes);
                    continue;
                }
                Span::Chunk { skip, take, .. } => {
                    let Some((chunk, id)) = chunks.next() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
                    cut(chunk.as_ref(), id, *skip, *take)?
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

    /// The zip as something that can be read at any place, for hashing. Blocking.
    #[must_use]
    pub fn reader(&self) -> ZipReader<'_> {
        ZipReader { body: self, last: Mutex::new(None) }
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

fn cut(chunk: Option<&Bytes>, id: &BlobId, skip: usize, take: usize) -> io::Result<Bytes> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("chunk {id} is not in the store"));
    let chunk = chunk.ok_or_else(missing)?;
    let end = skip.saturating_add(take);
    if end > chunk.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("chunk {id} is shorter than its recipe says")));
    }
    Ok(chunk.slice(skip..end))
}

/// A [`ZipBody`] for code that reads at any place. It keeps the last chunk, since readers go through an entry in small steps.
pub struct ZipReader<'a> {
    body: &'a ZipBody,
    last: Mutex<Option<(BlobId, Bytes)>>,
}

impl ZipReader<'_> {
    fn chunk(&self, id: BlobId) -> io::Result<Option<Bytes>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, bytes)) = last.as_ref()
            && *held == id
        {
            return Ok(Some(bytes.clone()));
        }
        let bytes = self.body.store.get(&id).map_err(io::Error::other)?;
        *last = bytes.clone().map(|bytes| (id, bytes));
        Ok(bytes)
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
            let part = match span {
                Span::Literal(bytes) => Bytes::copy_from_slice(bytes),
                Span::Chunk { id, skip, take } => cut(self.chunk(id)?.as_ref(), &id, skip, take)?,
            };
            let (head, tail) = rest.split_at_mut_checked(part.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            head.copy_from_slice(&part);
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
