//! A module zip, from an upstream to an unnamed temporary file.
//!
//! A body that breaks off is continued where it broke (`Range`), but only when the server gave a strong validator, and
//! only under `If-Range` with it: two halves of two different files must never be joined. Else it begins anew.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::answer::looks_like_html;
use super::error::{About, UpstreamError, Why};
use super::http::{Body, Http, content_length, text_header};
use super::retry::{Tries, Trouble};
use super::time::http_date;

/// Bytes that are gathered before they are written: a write costs a hop to another thread.
const WRITE_BUFFER: usize = 256 << 10;
/// An attempt that brought this many new bytes does not count as failed: a line that breaks every minute still ends up
/// with the whole file, and the number of attempts stays bounded (500 MiB: 500 more of them).
const WORTHWHILE: u64 = 1 << 20;
/// A Last-Modified is a strong validator when the answer's own Date is this much later (RFC 9110, 8.8.2.2, has one
/// second; clocks that are set back are worse than that).
const SETTLED: Duration = Duration::from_secs(60);

/// A zip in an unnamed temporary file, which is gone when this is dropped. Nothing about it is proven yet.
#[derive(Debug)]
pub struct ZipFile {
    file: File,
    len: u64,
}

impl ZipFile {
    pub(super) fn new(file: File, len: u64) -> Self {
        Self { file, len }
    }

    /// The length in bytes, at most the limit for zips.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file, read from its start unless someone moved it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Only the file.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

/// What has come so far.
struct Partial<'a> {
    about: About<'a>,
    dir: &'a Path,
    file: BufWriter<tokio::fs::File>,
    /// Bytes in the file.
    len: u64,
    /// The most bytes that were ever in the file: only more than that is progress.
    high: u64,
    /// Length of the whole, where the server said it.
    total: Option<u64>,
    /// What names this very file at the server.
    validator: Option<String>,
}

/// Fetches one zip of at most `limit` bytes from one proxy, with retries.
pub(super) async fn zip(
    http: &Http,
    about: About<'_>,
    url: &Url,
    dir: &Path,
    limit: u64,
) -> Result<ZipFile, UpstreamError> {
    let mut partial = Partial::create(about, dir)?;
    let mut tries = http.options.tries();
    loop {
        let before = partial.high;
        let trouble = match partial.attempt(http, url, limit).await {
            Ok(()) => return partial.finish().await,
            Err(trouble) => trouble,
        };
        if partial.high - before >= WORTHWHILE {
            tries.progressed();
        }
        wait(&mut tries, about, trouble).await?;
    }
}

/// Waits out one failed attempt, or gives the error when it was the last.
pub(super) async fn wait(tries: &mut Tries, about: About<'_>, trouble: Trouble) -> Result<(), UpstreamError> {
    let delay = tries.failed(about, trouble, rand::random())?;
    tracing::debug!(upstream = about.upstream, what = about.what, ?delay, "asking again after a failure");
    tokio::time::sleep(delay).await;
    Ok(())
}

impl<'a> Partial<'a> {
    fn create(about: About<'a>, dir: &'a Path) -> Result<Self, UpstreamError> {
        let file = tempfile::tempfile_in(dir).map_err(|source| local(about, dir, source))?;
        let file = BufWriter::with_capacity(WRITE_BUFFER, tokio::fs::File::from_std(file));
        Ok(Self { about, dir, file, len: 0, high: 0, total: None, validator: None })
    }

    /// One request: the whole, or the rest when that can be asked for.
    async fn attempt(&mut self, http: &Http, url: &Url, limit: u64) -> Result<(), Trouble> {
        let _permit = http.permit(url).await;
        let range = self.range();
        let response = http.open(self.about, url, &range).await?;
        if response.status() == StatusCode::OK {
            self.begin(&response).await?;
        } else {
            self.go_on(&response)?;
        }
        if self.total.is_some_and(|total| total > limit) {
            return Err(self.about.too_large(limit).into());
        }
        let page =
            text_header(response.headers(), &header::CONTENT_TYPE).is_some_and(|kind| kind.contains("text/html"));
        let mut body = Body::new(response, &http.options);
        while let Some(chunk) = body.chunk().await.map_err(|why| self.cut(why))? {
            if self.len == 0 && page && looks_like_html(&chunk) {
                return Err(self.about.bad("it is an HTML page instead of a zip").into());
            }
            let begun = Instant::now();
            self.take(chunk, limit).await?;
            body.forgive(begun.elapsed());
        }
        match self.total {
            Some(total) if total != self.len => Err(Trouble::again(Why::Cut { got: self.len })),
            _ => Ok(()),
        }
    }

    /// The headers that ask for the rest, none when the file has to begin anew.
    fn range(&self) -> Vec<(HeaderName, String)> {
        match &self.validator {
            Some(validator) if self.len > 0 => {
                vec![(header::RANGE, format!("bytes={}-", self.len)), (header::IF_RANGE, validator.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// The server sends the whole file: what is here (of another version of the file, perhaps) goes.
    async fn begin(&mut self, response: &Response) -> Result<(), UpstreamError> {
        if self.len > 0 {
            self.rewind().await.map_err(|source| local(self.about, self.dir, source))?;
            self.len = 0;
        }
        self.total = content_length(response.headers());
        self.validator = validator(response.headers());
        Ok(())
    }

    /// The server says that it sends the rest: believed only when it is exactly that.
    fn go_on(&mut self, response: &Response) -> Result<(), Trouble> {
        let at = self.len;
        let headers = response.headers();
        let same = match text_header(headers, &header::ETAG) {
            Some(etag) if self.validator.as_ref().is_some_and(|known| known.contains('"')) => {
                Some(etag) == self.validator.as_deref()
            }
            _ => true,
        };
        let span = text_header(headers, &header::CONTENT_RANGE).and_then(content_range);
        let fits = span.is_some_and(|span| {
            let known = span.total.is_none() || self.total.is_none() || span.total == self.total;
            known && span.first == at && content_length(headers).is_none_or(|len| len == span.len)
        });
        if response.status() == StatusCode::PARTIAL_CONTENT && same && fits {
            self.total = self.total.or(span.and_then(|span| span.total));
            return Ok(());
        }
        // The next attempt asks for the whole.
        self.validator = None;
        Err(Trouble::again(Why::Range { at }))
    }

    async fn take(&mut self, chunk: Bytes, limit: u64) -> Result<(), Trouble> {
        let len = self.len + chunk.len() as u64;
        if len > limit {
            return Err(self.about.too_large(limit).into());
        }
        if self.total.is_some_and(|total| len > total) {
            self.validator = None;
            return Err(Trouble::again(Why::Range { at: self.len }));
        }
        self.file.write_all(&chunk).await.map_err(|source| local(self.about, self.dir, source))?;
        self.len = len;
        self.high = self.high.max(len);
        Ok(())
    }

    /// A body's trouble, with the position in the file instead of that in the body.
    fn cut(&self, why: Why) -> Trouble {
        Trouble::again(if matches!(why, Why::Cut { .. }) { Why::Cut { got: self.len } } else { why })
    }

    async fn rewind(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        self.file.get_ref().set_len(0).await
    }

    async fn finish(mut self) -> Result<ZipFile, UpstreamError> {
        let (about, dir) = (self.about, self.dir);
        let settle = async {
            self.file.flush().await?;
            self.file.seek(SeekFrom::Start(0)).await?;
            Ok(self.file.into_inner().into_std().await)
        };
        let file = settle.await.map_err(|source| local(about, dir, source))?;
        Ok(ZipFile::new(file, self.len))
    }
}

fn local(about: About<'_>, dir: &Path, source: io::Error) -> UpstreamError {
    UpstreamError::Local { what: about.what.into(), dir: dir.display().to_string(), source }
}

/// What a request for the rest may name the file by: a strong ETag, or a Last-Modified that is strong by its age
/// (RFC 9110, 13.1.5). `None` also where the server takes no ranges.
fn validator(headers: &HeaderMap) -> Option<String> {
    if text_header(headers, &header::ACCEPT_RANGES).is_some_and(|units| units.trim() == "none") {
        return None;
    }
    if let Some(etag) = text_header(headers, &header::ETAG) {
        return (etag.len() > 1 && etag.starts_with('"') && etag.ends_with('"')).then(|| etag.to_owned());
    }
    let modified = text_header(headers, &header::LAST_MODIFIED)?;
    let age = http_date(text_header(headers, &header::DATE)?)?.duration_since(http_date(modified)?).ok()?;
    (age >= SETTLED).then(|| modified.to_owned())
}

/// What a Content-Range says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Position of the first byte.
    first: u64,
    /// Bytes from there on.
    len: u64,
    /// Length of the whole file, where it is said.
    total: Option<u64>,
}

/// Reads `bytes FIRST-LAST/TOTAL` (RFC 9110, 14.4); `None` for what makes no sense as the rest of a file.
fn content_range(text: &str) -> Option<Span> {
    let (span, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let end = last.checked_add(1)?;
    let total = if total == "*" { None } else { Some(total.parse::<u64>().ok()?) };
    // The rest was asked for, so it has to go up to the end.
    let sensible = first <= last && total.is_none_or(|total| end == total);
    sensible.then(|| Span { first, len: end - first, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), header::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_a_strong_validator_allows_a_resume() {
        const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (pairs, want) in [
            (&[("etag", "\"abc\"")][..], Some("\"abc\"")),
            (&[("etag", "\"abc\""), ("accept-ranges", "none")], None),
            (&[("etag", "W/\"abc\"")], None),
            (&[("etag", "abc")], None),
            (&[("etag", "\"")], None),
            (&[DATE, ("last-modified", "Sun, 06 Nov 1994 08:48:37 GMT")], Some("Sun, 06 Nov 1994 08:48:37 GMT")),
            (&[DATE, ("last-modified", "Sun, 06 Nov 1994 08:48:38 GMT")], None),
            (&[DATE, ("last-modified", "Sun, 06 Nov 1994 08:50:37 GMT")], None),
            (&[("last-modified", "Sun, 06 Nov 1994 08:48:37 GMT")], None),
            // A weak ETag beside it says that the date is no better.
            (&[DATE, ("etag", "W/\"x\""), ("last-modified", "Sun, 06 Nov 1994 07:48:37 GMT")], None),
            (&[], None),
        ] {
            assert_eq!(validator(&headers(pairs)).as_deref(), want, "{pairs:?}");
        }
    }

    #[test]
    fn a_content_range_must_make_sense() {
        for (text, want) in [
            ("bytes 5-9/10", Some((5, 5, Some(10)))),
            ("bytes 5-9/*", Some((5, 5, None))),
            ("bytes 5-8/10", None),
            ("bytes 9-5/10", None),
            ("bytes 0-18446744073709551615/18446744073709551615", None),
            ("bytes 5-18446744073709551616/*", None),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes -5-9/10", None),
            ("", None),
        ] {
            let want = want.map(|(first, len, total)| Span { first, len, total });
            assert_eq!(content_range(text), want, "{text}");
        }
    }
}
