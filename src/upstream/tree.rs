//! `file://` upstreams: a directory laid out like the GOPROXY protocol (`GOMODCACHE/cache/download` is one).
//!
//! No retries: a disk that fails once is told at once. Only regular files are read, so a FIFO cannot hang a request.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;

use super::download::ZipFile;
use super::error::{About, UpstreamError, Why};

/// Reads a small file of at most `limit` bytes. Blocks.
pub(super) fn small(about: About<'_>, file: &Path, limit: u64) -> Result<Bytes, UpstreamError> {
    let mut bytes = Vec::new();
    open(about, file)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unread(about, &error))?;
    if bytes.len() as u64 > limit { Err(about.too_large(limit)) } else { Ok(bytes.into()) }
}

/// Copies a zip of at most `limit` bytes to an unnamed file in `dir`: the tree may change under a reader. Blocks.
pub(super) fn zip(about: About<'_>, file: &Path, dir: &Path, limit: u64) -> Result<ZipFile, UpstreamError> {
    let from = open(about, file)?;
    let local =
        |source: io::Error| UpstreamError::Local { what: about.what.into(), dir: dir.display().to_string(), source };
    let mut to = tempfile::tempfile_in(dir).map_err(local)?;
    // Errors of reading and of writing cannot be told apart here; writing is the likelier (a full disk).
    let len = io::copy(&mut from.take(limit.saturating_add(1)), &mut to).map_err(local)?;
    if len > limit {
        return Err(about.too_large(limit));
    }
    to.seek(SeekFrom::Start(0)).map_err(local)?;
    Ok(ZipFile::new(to, len))
}

fn open(about: About<'_>, file: &Path) -> Result<File, UpstreamError> {
    match std::fs::metadata(file) {
        Ok(meta) if meta.is_file() => File::open(file).map_err(|error| unread(about, &error)),
        Ok(_) => Err(about.not_found("that is not a file".into())),
        Err(error) => Err(unread(about, &error)),
    }
}

fn unread(about: About<'_>, error: &io::Error) -> UpstreamError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => about.not_found(String::new()),
        _ => about.failed(1, Why::Unreachable(error.to_string())),
    }
}
