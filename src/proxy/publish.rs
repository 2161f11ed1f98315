//! `POST /-/publish`: a line of JSON, and behind its newline a zip that may be too long for memory.

use std::io;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::Proxy;
use super::admin::refuse;
use crate::admin::{MAX_PUBLISH_LINE, PublishRequest};
use crate::mirror::Upload;
use crate::mirror::source::SourceError;

pub(super) async fn publish(State(proxy): State<Proxy>, headers: HeaderMap, body: Body) -> Response {
    if let Some(refused) = proxy.lacks_token(&headers) {
        return refused;
    }
    let (request, zip) = match split(body.into_data_stream()).await {
        Ok(parts) => parts,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    match proxy.node.publish(request, zip).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refuse(status_of(&error), &error.to_string()),
    }
}

fn status_of(error: &SourceError) -> StatusCode {
    match error {
        SourceError::Forged(_) => StatusCode::UNPROCESSABLE_ENTITY,
        SourceError::Refused(_) | SourceError::Miss(_) => StatusCode::CONFLICT,
        SourceError::Failed(_) | SourceError::Away(_) => StatusCode::BAD_REQUEST,
        SourceError::Local(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The request, and the stream of all that follows its line.
async fn split(mut body: BodyDataStream) -> Result<(PublishRequest, Upload), String> {
    let mut line = BytesMut::new();
    let end = loop {
        let Some(part) = body.next().await else { return Err("the request ends before its first line does".into()) };
        let searched = line.len();
        line.extend_from_slice(&part.map_err(|error| error.to_string())?);
        if let Some(end) = line[searched..].iter().position(|byte| *byte == b'\n') {
            break searched + end;
        }
        if line.len() > MAX_PUBLISH_LINE {
            return Err(format!("the request's first line is over {} MiB", MAX_PUBLISH_LINE >> 20));
        }
    };
    let rest: Bytes = line.split_off(end + 1).freeze();
    let request =
        serde_json::from_slice(&line).map_err(|why| format!("the request's first line cannot be read: {why}"))?;
    let zip = stream::iter([Ok(rest)]).chain(body.map_err(io::Error::other));
    Ok((request, zip.boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &[&'static [u8]]) -> BodyDataStream {
        let parts: Vec<io::Result<Bytes>> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        Body::from_stream(stream::iter(parts)).into_data_stream()
    }

    const LINE: &[u8] = br#"{"module":"m@v1","info":"{}","note":"n","key":"k"}"#;

    #[tokio::test]
    async fn a_request_is_a_line_and_what_follows_it_wherever_it_is_cut() {
        for parts in [&[LINE, b"\nPK", b"zip"][..], &[LINE, b"\n", b"PKzip"], &[&LINE[..9], &LINE[9..], b"\nPKzip"]] {
            let (request, zip) = split(body(parts)).await.unwrap();
            assert_eq!((request.module.as_str(), request.key.as_str()), ("m@v1", "k"));
            let zip: Vec<Bytes> = zip.try_collect().await.unwrap();
            assert_eq!(zip.concat(), b"PKzip");
        }
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_in_words() {
        let long: &[u8] = vec![b'a'; MAX_PUBLISH_LINE + 1].leak();
        for (parts, words) in [
            (&[LINE][..], "ends before its first line"),
            (&[], "ends before its first line"),
            (&[b"PK\nzip"], "cannot be read"),
            (&[br#"{"module":"m@v1"}"#, b"\n"], "missing field"),
            (&[long], "over 1 MiB"),
        ] {
            let Err(why) = split(body(parts)).await else { panic!("taken: {words}") };
            assert!(why.contains(words), "{why}");
        }
    }
}
