//! Frames on a stream: what they are, and reading and writing them.
//!
//! ```text
//! frame   = length of the header (u32, little endian) | header (domain::codec) | payload (raw, only after Reply::Piece)
//! client:   Request, Request, …                    server:   Hello, then Reply, Reply, …
//! ```
//! One request has as many answers as it names things, each numbered by its `index`, in any order: a [`Reply::Piece`]
//! with the bytes, [`Reply::Missing`] or [`Reply::Failed`]; one [`Reply::Later`] answers for all from its index on.
//! A length is checked before memory is taken for it. The payload is never copied through the codec.

use std::io;
use std::time::Duration;

use bincode::{Decode, Encode};
use bytes::Bytes;
use futures::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter,
};

use super::limits;
use crate::domain::blob::BlobId;
use crate::domain::codec::{self, CodecError};
use crate::domain::manifest::ManifestId;

/// The protocol of the streams for bulk.
pub const BLOBS: &str = "/modswarm/blobs/1";
/// The protocol of the streams for small things: questions about the catalog, and fetches of a few blobs.
pub const CATALOG: &str = "/modswarm/catalog/1";
/// The version in [`Reply::Hello`].
pub const VERSION: u8 = 1;

/// What a client sends. Every question has a number of the client's choice, that no other question of the stream has.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Request {
    /// A want: send these blobs, at most [`limits::MAX_IDS`].
    Want {
        /// The question's number.
        request: u64,
        /// The blobs; answer `index` is for `ids[index]`.
        ids: Vec<BlobId>,
    },
    /// Send nothing more for this question. What is on its way arrives all the same.
    Cancel {
        /// The question's number.
        request: u64,
    },
    /// Coded symbols of the catalog: one piece, an encoded [`SketchPage`]; missing if the comparison is not known (any more). The
    /// one for symbol 0 of all keys begins a comparison.
    Sketch {
        /// The question's number.
        request: u64,
        /// Names the comparison, and is the asking side's share in its salt.
        nonce: [u8; 16],
        /// Bits of the keys that name the part, and their value.
        part: (u8, u16),
        /// The first symbol.
        from: u32,
        /// How many at most; zero leaves it to the server.
        count: u32,
        /// How many manifests the asking side has.
        total: u64,
        /// The [`sum`](crate::domain::digest::sum) of the asking side's catalog: with the same one there is nothing to find.
        sum: [u8; 16],
    },
    /// Envelopes of manifests that a comparison has found, at most [`limits::MAX_IDS`]; about `budget` bytes of them, the rest
    /// is [`Reply::Later`].
    EnvelopesByKey {
        /// The question's number.
        request: u64,
        /// The comparison.
        nonce: [u8; 16],
        /// The short keys, little endian; answer `index` is for `keys[index]`.
        keys: Vec<[u8; 8]>,
        /// Bytes after which the server stops.
        budget: u32,
    },
    /// Envelopes, at most [`limits::MAX_IDS`]; about `budget` bytes of them, the rest is [`Reply::Later`].
    Envelopes {
        /// The question's number.
        request: u64,
        /// The manifests; answer `index` is for `ids[index]`.
        ids: Vec<ManifestId>,
        /// Bytes after which the server stops.
        budget: u32,
    },
    /// The envelope of a module version: one piece, or missing.
    Lookup {
        /// The question's number.
        request: u64,
        /// The module path.
        path: String,
        /// The version.
        version: String,
    },
    /// Versions of a module: one piece, an encoded [`VersionsPage`].
    Versions {
        /// The question's number.
        request: u64,
        /// The module path.
        path: String,
        /// How many to leave out at the beginning.
        skip: u32,
    },
    /// The state that a node has of a checksum database: one piece, an encoded
    /// [`StateId`](crate::domain::sumdb::state::StateId), or missing.
    Sumdb {
        /// The question's number.
        request: u64,
        /// Name of the database and hash of its key.
        database: String,
    },
    /// The orders of the site, as its key has signed them, if they are newer than those: one piece, or missing.
    Orders {
        /// The question's number.
        request: u64,
        /// The serial of those that are known.
        newer_than: u64,
    },
}

/// What a server sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Reply {
    /// The first frame of a stream: it was accepted (an opener cannot tell otherwise).
    Hello {
        /// [`VERSION`].
        version: u8,
    },
    /// Bytes; they follow the header.
    Piece {
        /// The question's number.
        request: u64,
        /// Which of the things that were asked for.
        index: u32,
        /// How many bytes follow.
        len: u32,
    },
    /// Not here.
    Missing {
        /// The question's number.
        request: u64,
        /// Which of the things that were asked for.
        index: u32,
    },
    /// Perhaps here, but it could not be read.
    Failed {
        /// The question's number.
        request: u64,
        /// Which of the things that were asked for.
        index: u32,
    },
    /// The budget is used up: ask again for this and all that come after it.
    Later {
        /// The question's number.
        request: u64,
        /// The first one that was left out.
        index: u32,
    },
}

/// Symbols of a catalog, or why there are none.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum SketchPage {
    /// Both catalogs have the same sum.
    Same,
    /// The server compares enough catalogs as it is: try again later.
    Busy,
    /// The symbols that were asked for, or fewer.
    Symbols {
        /// The server's share in the salt.
        salt: [u8; 16],
        /// How many keys the part has.
        total: u64,
        /// As [`pack`](crate::engine::reconcile::pack) writes them, at most [`limits::MAX_SKETCH`] bytes.
        symbols: Vec<u8>,
    },
}

/// A page of a module's versions.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct VersionsPage {
    /// At most [`limits::VERSIONS_PAGE`] versions.
    pub versions: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

impl Request {
    /// The question's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self {
            Self::Want { request, .. }
            | Self::Cancel { request }
            | Self::Sketch { request, .. }
            | Self::EnvelopesByKey { request, .. }
            | Self::Envelopes { request, .. }
            | Self::Lookup { request, .. }
            | Self::Versions { request, .. }
            | Self::Sumdb { request, .. }
            | Self::Orders { request, .. } => *request,
        }
    }

    fn keeps_bounds(&self) -> bool {
        match self {
            Self::Want { ids, .. } | Self::Envelopes { ids, .. } => !ids.is_empty() && ids.len() <= limits::MAX_IDS,
            Self::Lookup { path, version, .. } => path.len() <= limits::MAX_NAME && version.len() <= limits::MAX_NAME,
            Self::Versions { path, .. } => path.len() <= limits::MAX_NAME,
            Self::Sumdb { database, .. } => database.len() <= limits::MAX_NAME,
            Self::EnvelopesByKey { keys, .. } => !keys.is_empty() && keys.len() <= limits::MAX_IDS,
            Self::Cancel { .. } | Self::Sketch { .. } | Self::Orders { .. } => true,
        }
    }
}

/// A stream that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection, not the peer's fault as far as one can tell: broken, or cut in the middle of a frame.
    #[error("the stream broke: {0}")]
    Broken(#[from] io::Error),
    /// A frame that began and did not end.
    #[error("a frame was not finished within {:.1} s", .0.as_secs_f64())]
    Stuck(Duration),
    /// A header over its limit.
    #[error("a frame header of {len} bytes is over the limit of {limit}")]
    HeaderTooLong {
        /// What the frame claims, in bytes.
        len: u32,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// A payload over what was asked for.
    #[error("a payload of {len} bytes came where at most {limit} were asked for")]
    PayloadTooLong {
        /// What the frame claims, in bytes.
        len: u32,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// A header that does not decode.
    #[error("a frame header cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// A frame that does not belong here.
    #[error("a frame breaks the protocol: {0}")]
    Protocol(&'static str),
}

impl FrameError {
    /// Whether the peer did what no honest peer does, or whether a cable may be the reason.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::Stuck(_))
    }
}

/// The reading end of a stream.
pub struct FrameReader<R> {
    stream: BufReader<R>,
    header: Vec<u8>,
    rest: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`; a frame that has begun must end within [`limits::REST_OF_FRAME`].
    pub fn new(stream: R) -> Self {
        Self::with_rest(stream, limits::REST_OF_FRAME)
    }

    /// Reads from `stream`; each part of a frame that has begun must end within `rest`.
    pub fn with_rest(stream: R, rest: Duration) -> Self {
        Self { stream: BufReader::with_capacity(limits::READ_BUFFER, stream), header: Vec::new(), rest }
    }

    /// The next request; `None` when the client has closed the stream between two frames.
    ///
    /// # Errors
    /// [`FrameError`]; nothing can be read after it.
    pub async fn request(&mut self) -> Result<Option<Request>, FrameError> {
        let request: Option<Request> = self.next::<_, { limits::MAX_REQUEST }>().await?;
        if request.as_ref().is_some_and(|request| !request.keeps_bounds()) {
            return Err(FrameError::Protocol("a request names nothing or too much"));
        }
        Ok(request)
    }

    /// The next reply; `None` when the server has closed the stream between two frames.
    ///
    /// # Errors
    /// [`FrameError`]; nothing can be read after it.
    pub async fn reply(&mut self) -> Result<Option<Reply>, FrameError> {
        self.next::<_, { limits::MAX_REPLY }>().await
    }

    /// The next header of any protocol that frames as this one does, at most `LIMIT` bytes long; `None` when the other end
    /// has closed the stream between two frames. Waits for its first byte for ever.
    ///
    /// # Errors
    /// [`FrameError`]; nothing can be read after it.
    pub async fn next<T: Encode + Decode<()>, const LIMIT: usize>(&mut self) -> Result<Option<T>, FrameError> {
        if !self.header(LIMIT).await? {
            return Ok(None);
        }
        Ok(Some(codec::decode::<_, LIMIT>(&self.header)?))
    }

    /// The payload after a [`Reply::Piece`] header that says `len`. Calls `progress` with the bytes as they come.
    ///
    /// # Errors
    /// [`FrameError::PayloadTooLong`] before any memory is taken; what [`Self::reply`] says otherwise.
    pub async fn payload(
        &mut self,
        len: u32,
        limit: usize,
        mut progress: impl FnMut(u64),
    ) -> Result<Bytes, FrameError> {
        let size = len as usize;
        if size > limit {
            return Err(FrameError::PayloadTooLong { len, limit });
        }
        if let Some(ready) = self.stream.buffer().get(..size) {
            let bytes = Bytes::copy_from_slice(ready);
            self.stream.consume_unpin(size);
            progress(u64::from(len));
            return Ok(bytes);
        }
        let mut bytes = vec![0; size];
        for piece in bytes.chunks_mut(limits::READ_PIECE) {
            self.fill(piece).await?;
            progress(piece.len() as u64);
        }
        Ok(bytes.into())
    }

    /// Reads a payload that nobody wants any more.
    ///
    /// # Errors
    /// As [`Self::payload`].
    pub async fn skip(&mut self, len: u32, limit: usize) -> Result<(), FrameError> {
        if len as usize > limit {
            return Err(FrameError::PayloadTooLong { len, limit });
        }
        let mut rest = len as usize;
        let mut scratch = [0; 4096];
        while rest > 0 {
            let piece = rest.min(scratch.len());
            self.fill(&mut scratch[..piece]).await?;
            rest -= piece;
        }
        Ok(())
    }

    /// Reads the next header into its place; `false` at the end of the stream.
    async fn header(&mut self, limit: usize) -> Result<bool, FrameError> {
        let mut prefix = [0; 4];
        // The first byte may take for ever: streams are long-lived.
        if self.stream.read(&mut prefix[..1]).await? == 0 {
            return Ok(false);
        }
        self.fill(&mut prefix[1..]).await?;
        let len = u32::from_le_bytes(prefix);
        if len as usize > limit {
            return Err(FrameError::HeaderTooLong { len, limit });
        }
        let mut header = std::mem::take(&mut self.header);
        header.resize(len as usize, 0);
        let filled = self.fill(&mut header).await;
        self.header = header;
        filled.map(|()| true)
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FrameError> {
        if self.stream.buffer().len() >= bytes.len() {
            return Ok(self.stream.read_exact(bytes).await?);
        }
        within(self.rest, self.stream.read_exact(bytes)).await
    }
}

async fn within<T>(wait: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, FrameError> {
    tokio::time::timeout(wait, work).await.map_err(|_| FrameError::Stuck(wait))?.map_err(FrameError::from)
}

/// The writing end of a stream. Small frames are gathered until [`Self::flush`]; large payloads go through without a copy.
pub struct FrameWriter<W> {
    stream: BufWriter<W>,
    deadline: Duration,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `stream`; the other end must take every [`limits::WRITE_PIECE`] within `deadline`.
    pub fn new(stream: W, deadline: Duration) -> Self {
        Self { stream: BufWriter::with_capacity(limits::WRITE_BUFFER, stream), deadline }
    }

    /// Writes a header alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the other end does not read; the stream's own.
    pub async fn header<T: Encode>(&mut self, header: &T) -> io::Result<()> {
        let bytes = codec::encode(header);
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.write(&len.to_le_bytes()).await?;
        self.write(&bytes).await
    }

    /// Writes a [`Reply::Piece`] with its payload.
    ///
    /// # Errors
    /// As [`Self::header`]; [`io::ErrorKind::InvalidInput`] over 4 GiB.
    pub async fn piece(&mut self, request: u64, index: u32, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.header(&Reply::Piece { request, index, len }).await?;
        self.payload(payload).await
    }

    /// Writes the bytes that a header before has announced.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub async fn payload(&mut self, payload: &[u8]) -> io::Result<()> {
        for piece in payload.chunks(limits::WRITE_PIECE) {
            self.write(piece).await?;
        }
        Ok(())
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub async fn flush(&mut self) -> io::Result<()> {
        tokio::time::timeout(self.deadline, self.stream.flush()).await?
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.stream.buffer().len() + bytes.len() <= limits::WRITE_BUFFER {
            return self.stream.write_all(bytes).await;
        }
        tokio::time::timeout(self.deadline, self.stream.write_all(bytes)).await?
    }
}

#[cfg(test)]
mod tests;
