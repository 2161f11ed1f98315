//! Bodies from an upstream that break off, stall, swell or lie: what ends up in the temporary file.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::upstream::{MOD, ZIP, bytes_of, fetch_zip, module, options, path, upstream, version};
use common::{Fault, FixtureProxy, Validator, make_module, noise};
use modswarm::upstream::{Upstream, UpstreamError, UpstreamOptions, Why};

#[tokio::test]
async fn a_cut_zip_goes_on_at_the_right_byte() {
    let module = module();
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    for validator in [Validator::ETag, Validator::LastModified] {
        let before = proxy.count(ZIP);
        proxy.validator(ZIP, validator);
        proxy.script(ZIP, [Fault::CutAfter(100_000), Fault::CutAfter(50_000)]);
        let zip = fetch_zip(&upstream(&proxy.url())).await.unwrap();
        assert_eq!(bytes_of(zip), module.zip);
        let requests = &proxy.requests(ZIP)[before..];
        let ranges: Vec<_> = requests.iter().map(|request| request.headers.get("range").map(String::as_str)).collect();
        assert_eq!(ranges, [None, Some("bytes=100000-"), Some("bytes=150000-")], "{validator:?}");
        assert!(requests[1..].iter().all(|request| request.headers.contains_key("if-range")));
    }
}

#[tokio::test]
async fn without_a_strong_validator_a_cut_zip_begins_anew() {
    let module = module();
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    for validator in [Validator::None, Validator::WeakETag] {
        proxy.validator(ZIP, validator);
        proxy.script(ZIP, [Fault::CutAfter(100_000), Fault::CutAfter(200_000)]);
        assert_eq!(bytes_of(fetch_zip(&upstream(&proxy.url())).await.unwrap()), module.zip);
    }
    assert_eq!(proxy.count(ZIP), 6);
    assert!(proxy.requests(ZIP).iter().all(|request| !request.headers.contains_key("range")));
}

#[tokio::test]
async fn a_zip_that_changed_meanwhile_begins_anew() {
    let new = noise(120_000, 2);
    let proxy = FixtureProxy::start(&[module()]).await;
    proxy.script(ZIP, [Fault::CutAfter(200_000), Fault::Replace(new.clone().into())]);
    // Shorter than what was there, so that a tail of the old file would show.
    assert!(bytes_of(fetch_zip(&upstream(&proxy.url())).await.unwrap()) == new);
    assert_eq!(proxy.requests(ZIP)[1].headers["range"], "bytes=200000-");
    assert_eq!(proxy.count(ZIP), 2);
}

#[tokio::test]
async fn a_server_that_continues_wrongly_is_not_believed() {
    let module = module();
    let whole = module.zip.len();
    let range =
        |first: usize, total: usize| ("Content-Range".to_owned(), format!("bytes {first}-{}/{total}", total - 1));
    let rest = |from: usize| module.zip.slice(from..);
    let (_, span) = range(100_000, whole);
    let lies = [
        Fault::Answer(206, vec![range(0, whole)], module.zip.clone()),
        Fault::Answer(206, vec![range(100_001, whole)], rest(100_001)),
        Fault::Answer(206, vec![range(100_000, whole + 1)], rest(100_000)),
        Fault::Answer(206, vec![range(100_000, whole), ("ETag".into(), "\"other\"".into())], rest(100_000)),
        Fault::Answer(206, vec![], rest(100_000)),
        Fault::Answer(206, vec![range(100_000, whole)], module.zip.clone()),
        Fault::Answer(206, vec![range(100_000, whole)], rest(whole - 1)),
        Fault::Raw(
            [b"HTTP/1.1 206 Lie\r\nContent-Range: ".as_slice(), span.as_bytes(), b"\r\n\r\n", &module.zip].concat(),
        ),
        Fault::Answer(416, vec![], Bytes::new()),
    ];
    for lie in lies {
        let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
        proxy.script(ZIP, [Fault::CutAfter(100_000), lie.clone()]);
        let zip = bytes_of(fetch_zip(&upstream(&proxy.url())).await.unwrap_or_else(|error| panic!("{lie:?}: {error}")));
        assert!(zip == module.zip, "two different files were joined");
        assert_eq!(proxy.count(ZIP), 3);
    }
}

#[tokio::test]
async fn attempts_that_bring_much_do_not_count() {
    let module = make_module("example.com/m", "v1.0.0", &[("data.bin", &noise(8 << 20, 3))]);
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let upstream = Upstream::new(UpstreamOptions { retries: 0, ..options(&proxy.url()) }).unwrap();
    // No retries means one attempt, whatever it brought.
    proxy.script(ZIP, std::iter::repeat_n(Fault::CutAfter(1 << 20), 7));
    let error = fetch_zip(&upstream).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { attempts: 1, .. }), "{error}");

    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let upstream = Upstream::new(UpstreamOptions { retries: 1, ..options(&proxy.url()) }).unwrap();
    proxy.script(ZIP, std::iter::repeat_n(Fault::CutAfter(1 << 20), 7));
    assert!(bytes_of(fetch_zip(&upstream).await.unwrap()) == module.zip);
    assert_eq!(proxy.count(ZIP), 8);
}

#[tokio::test]
async fn silence_is_bounded_before_and_within_an_answer() {
    let module = module();
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let short = Duration::from_millis(400);
    let patient = UpstreamOptions { progress_timeout: short, retries: 1, ..options(&proxy.url()) };
    let upstream = Upstream::new(patient.clone()).unwrap();
    proxy.script(ZIP, [Fault::StallAfter(100_000)]);
    assert_eq!(bytes_of(fetch_zip(&upstream).await.unwrap()), module.zip);
    assert_eq!(proxy.requests(ZIP)[1].headers["range"], "bytes=100000-");

    proxy.always(MOD, Fault::StallAfter(3));
    let error = upstream.go_mod(&version()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { why: Why::Silent(wait), .. } if wait == short), "{error}");

    proxy.hold();
    let upstream = Upstream::new(UpstreamOptions { answer_timeout: short, ..patient }).unwrap();
    let error = upstream.list(&path()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { attempts: 2, why: Why::Silent(_), .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_drips_is_as_good_as_silent() {
    let proxy = FixtureProxy::start(&[module()]).await;
    proxy.always(ZIP, Fault::Drip(Duration::from_millis(5)));
    let progress_timeout = Duration::from_millis(150);
    let options = UpstreamOptions { progress_timeout, progress_bytes: 1000, retries: 1, ..options(&proxy.url()) };
    let error = fetch_zip(&Upstream::new(options).unwrap()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { attempts: 2, why: Why::Silent(_), .. }), "{error}");
    assert!(proxy.requests(ZIP)[1].headers.contains_key("range"), "what dripped in is kept");
}

#[tokio::test]
async fn limits_hold_to_the_byte_with_and_without_a_length() {
    let module = module();
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let unsized_answer = |body: &[u8]| Fault::Raw([b"HTTP/1.1 200 OK\r\n\r\n", body].concat());
    let with = |max_zip: u64, max_go_mod: u64| {
        Upstream::new(UpstreamOptions { max_zip, max_go_mod, ..options(&proxy.url()) }).unwrap()
    };
    let (zip_len, mod_len) = (module.zip.len() as u64, module.go_mod.len() as u64);
    for sized in [true, false] {
        if !sized {
            proxy.always(ZIP, unsized_answer(&module.zip));
            proxy.always(MOD, unsized_answer(&module.go_mod));
        }
        let exact = with(zip_len, mod_len);
        assert_eq!(bytes_of(fetch_zip(&exact).await.unwrap()), module.zip);
        assert_eq!(exact.go_mod(&version()).await.unwrap(), module.go_mod);
        let tight = with(zip_len - 1, mod_len - 1);
        let zip = fetch_zip(&tight).await.unwrap_err();
        assert!(matches!(zip, UpstreamError::TooLarge { limit, .. } if limit == zip_len - 1), "{zip}");
        let go_mod = tight.go_mod(&version()).await.unwrap_err();
        assert!(go_mod.to_string().contains("is over the limit of"), "{go_mod}");
    }
    assert_eq!((proxy.count(ZIP), proxy.count(MOD)), (4, 4), "what is too large is not asked for again");
}

#[tokio::test]
async fn lying_lengths_are_told_from_large_files() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    for claimed in ["9223372036854775808", "18446744073709551613"] {
        for target in [MOD, ZIP] {
            proxy.always(target, Fault::ContentLength(claimed.into()));
        }
        assert!(matches!(upstream.go_mod(&version()).await, Err(UpstreamError::TooLarge { .. })), "{claimed}");
        assert!(matches!(fetch_zip(&upstream).await, Err(UpstreamError::TooLarge { .. })), "{claimed}");
    }
    for claimed in ["18446744073709551616", "-1", "1e3", "400000"] {
        proxy.always(ZIP, Fault::ContentLength(claimed.into()));
        let error = fetch_zip(&upstream).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Failed { attempts: 3, .. }), "{claimed}: {error}");
    }
}

#[tokio::test]
async fn a_full_or_missing_disk_is_our_fault_and_ends_the_walk() {
    let proxies = (FixtureProxy::start(&[module()]).await, FixtureProxy::start(&[module()]).await);
    let upstream = upstream(&format!("{}|{}", proxies.0.url(), proxies.1.url()));
    let error = upstream.zip(&version(), Path::new("/nonexistent/dir")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Local { .. }), "{error}");
    assert!(error.to_string().contains("cannot be kept in /nonexistent/dir"), "{error}");
    assert_eq!(proxies.1.total(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_place_back() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = Arc::new(Upstream::new(UpstreamOptions { requests: 1, ..options(&proxy.url()) }).unwrap());
    proxy.script(ZIP, [Fault::StallAfter(1000)]);
    let leaving = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { fetch_zip(&upstream).await.map(|_| ()) }
    });
    proxy.wait_in_flight(1).await;
    leaving.abort();
    assert_eq!(upstream.list(&path()).await.unwrap().len(), 1);
}
