//! The one table from outcome to status, content type and cache life.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::header::{
    ACCEPT_RANGES, AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures::stream;

use super::range::{Wanted, wanted};
use crate::domain::blob::BlobId;
use crate::mirror::outcome::{Answer, Body, Kind, Outcome};

/// Lines of an error body that the go command shows (cmd/go/internal/web: at most 8).
const ERROR_LINES: usize = 8;
/// Header fields of an answer, with the date that hyper adds.
const HEADERS: usize = 10;
/// Characters of one such line, so that a terminal stays readable.
const ERROR_LINE: usize = 500;

const TEXT: &str = "text/plain; charset=utf-8";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const MUTABLE: &str = "public, max-age=60";
const MISS: &str = "public, max-age=5";

/// The response to an outcome.
pub(super) fn respond(outcome: Outcome, head: bool, request: &HeaderMap) -> Response {
    match outcome {
        Outcome::Found(answer) => found(answer, head, request),
        // The status says that it is one; the reason may be the upstream's own, which stays as it is.
        Outcome::Miss { reason } => error(StatusCode::NOT_FOUND, "", &reason, MISS),
        Outcome::Refused { reason } => error(StatusCode::FORBIDDEN, "refused", &reason, "no-store"),
        Outcome::Unavailable { reason } => error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &reason, "no-store"),
    }
}

/// The response to anything but GET and HEAD.
pub(super) fn not_allowed() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "use GET or HEAD", "no-store");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn content_type(kind: Kind) -> &'static str {
    match kind {
        Kind::List | Kind::GoMod | Kind::Lookup | Kind::Head => TEXT,
        Kind::Info | Kind::MutableInfo => "application/json",
        Kind::Zip => "application/zip",
        Kind::Tile => "application/octet-stream",
    }
}

fn cache_life(kind: Kind) -> &'static str {
    match kind {
        // A lookup ends with the pinned head, and that moves.
        Kind::List | Kind::MutableInfo | Kind::Lookup | Kind::Head => MUTABLE,
        Kind::Info | Kind::GoMod | Kind::Zip | Kind::Tile => IMMUTABLE,
    }
}

fn found(answer: Answer, head: bool, request: &HeaderMap) -> Response {
    let (len, hash) = match &answer.body {
        Body::Bytes(bytes) => (bytes.len() as u64, *BlobId::of(bytes).as_bytes()),
        Body::Zip(zip) => (zip.len(), *zip.blake3()),
    };
    let etag = etag(&hash);
    let mut response = Response::new(HttpBody::empty());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(answer.kind)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_life(answer.kind)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("Disable-Module-Fetch"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, ETAG, &etag);
    if let Some(age) = answer.age {
        headers.insert(AGE, age.as_secs().into());
    }
    if text(request, &IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    // A range is honoured only if the part that the client holds is of these very bytes (RFC 9110, section 13.1.5).
    let same = text(request, &IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    let part = match wanted(text(request, &RANGE).filter(|_| same), len) {
        Wanted::All => 0..len,
        Wanted::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(response.headers_mut(), CONTENT_RANGE, &format!("bytes {}-{}/{len}", part.start, part.end - 1));
            part
        }
        Wanted::Unsatisfiable => {
            let mut response =
                error(StatusCode::RANGE_NOT_SATISFIABLE, "range", "the range lies outside the file", "no-store");
            set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{len}"));
            return response;
        }
    };
    response.headers_mut().insert(CONTENT_LENGTH, (part.end - part.start).into());
    if !head {
        *response.body_mut() = match answer.body {
            // The part lies inside a body that is in memory, so it fits a usize.
            #[allow(clippy::cast_possible_truncation)]
            Body::Bytes(bytes) => HttpBody::from(bytes.slice(part.start as usize..part.end as usize)),
            Body::Zip(zip) => {
                let frames = zip.stream(part);
                HttpBody::from_stream(stream::unfold(frames, |mut frames| async move {
                    frames.recv().await.map(|frame| (frame, frames))
                }))
            }
        };
    }
    response
}

/// A strong ETag: the hash of the content, so it is the same on all nodes.
fn etag(hash: &[u8; 32]) -> String {
    format!("\"{}\"", BlobId::from_bytes(*hash))
}

/// Whether an `If-None-Match` list names `etag`; weak comparison, as RFC 9110 wants it there.
fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value is ours and plain ASCII; one that is not is better left out than sent broken.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An error body that the go command shows to its user: plain text, printable, few lines, the first not empty
/// (GOPROXY.md, fact 25).
fn error(status: StatusCode, word: &str, reason: &str, cache: &str) -> Response {
    let body = error_text(word, reason);
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = status;
    set(response.headers_mut(), CONTENT_TYPE, TEXT);
    set(response.headers_mut(), CACHE_CONTROL, cache);
    set(response.headers_mut(), X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(response.headers_mut(), VARY, "Disable-Module-Fetch");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(response.headers_mut(), HeaderName::from_static("retry-after"), &RETRY_AFTER.as_secs().to_string());
    }
    response
}

/// When it makes sense to try again after a 503: peers come and go within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(5);

fn error_text(word: &str, reason: &str) -> String {
    let printable = |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(ERROR_LINE).collect() };
    let lines = reason.lines().map(printable).filter(|line| !line.trim().is_empty()).take(ERROR_LINES);
    let mut body = if word.is_empty() { String::new() } else { format!("{word}: ") };
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(body, "{line}");
    }
    if !body.ends_with('\n') {
        body.push('\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fact_25_error_bodies_are_what_the_go_command_shows() {
        assert_eq!(error_text("not found", "a\u{7}b\n\n\nc"), "not found: ab\nc\n");
        assert_eq!(error_text("not found", ""), "not found: \n");
        assert_eq!(error_text("", "404 page not found\n"), "404 page not found\n", "an upstream's own words");
        assert_eq!(error_text("x", &"line\n".repeat(20)).lines().count(), ERROR_LINES);
        let response = respond(Outcome::Miss { reason: "gone".into() }, false, &HeaderMap::new());
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT);
    }

    #[test]
    fn fact_24_a_failure_is_503_and_never_404() {
        let response = respond(Outcome::Unavailable { reason: "peers are away".into() }, false, &HeaderMap::new());
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(respond(Outcome::Refused { reason: "no".into() }, false, &HeaderMap::new()).status(), 403);
    }

    fn get(kind: Kind, body: &'static [u8], headers: &[(HeaderName, &str)]) -> Response {
        let request =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        respond(Outcome::found(kind, body.into()), false, &request)
    }

    #[test]
    fn fact_20_and_22_content_types_and_cache_life() {
        for (kind, content, cache) in [
            (Kind::List, TEXT, MUTABLE),
            (Kind::MutableInfo, "application/json", MUTABLE),
            (Kind::Info, "application/json", IMMUTABLE),
            (Kind::GoMod, TEXT, IMMUTABLE),
            (Kind::Zip, "application/zip", IMMUTABLE),
            (Kind::Tile, "application/octet-stream", IMMUTABLE),
            (Kind::Lookup, TEXT, MUTABLE),
            (Kind::Head, TEXT, MUTABLE),
        ] {
            let response = get(kind, b"body", &[]);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()[CONTENT_TYPE], content);
            assert_eq!(response.headers()[CACHE_CONTROL], cache);
            assert_eq!(response.headers()[CONTENT_LENGTH], "4");
        }
    }

    #[test]
    fn fact_21_ranges_and_etags() {
        let etag = get(Kind::Info, b"0123456789", &[]).headers()[ETAG].to_str().unwrap().to_owned();
        let weak = format!("\"x\", W/{etag}");
        for (headers, status, range) in [
            (vec![(IF_NONE_MATCH, etag.as_str())], 304, None),
            (vec![(IF_NONE_MATCH, weak.as_str())], 304, None),
            (vec![(IF_NONE_MATCH, "*")], 304, None),
            (vec![(IF_NONE_MATCH, "\"other\"")], 200, None),
            (vec![(RANGE, "bytes=2-4")], 206, Some("bytes 2-4/10")),
            (vec![(RANGE, "bytes=2-4"), (IF_RANGE, etag.as_str())], 206, Some("bytes 2-4/10")),
            (vec![(RANGE, "bytes=2-4"), (IF_RANGE, "\"other\"")], 200, None),
            (vec![(RANGE, "bytes=20-")], 416, Some("bytes */10")),
        ] {
            let response = get(Kind::Info, b"0123456789", &headers);
            assert_eq!(response.status(), status, "{headers:?}");
            assert_eq!(response.headers().get(CONTENT_RANGE).map(|v| v.to_str().unwrap()), range, "{headers:?}");
        }
    }
}
