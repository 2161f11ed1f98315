//! The upstream client against a proxy that misbehaves to order: lists, small answers, refusals and lies.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::upstream::{LIST, MOD, ZIP, bytes_of, fetch_zip, module, options, path, upstream, version};
use common::{Fault, FixtureProxy, make_module};
use modswarm::domain::module::{ModulePath, ModuleVersion};
use modswarm::upstream::{ProxyUrl, Upstream, UpstreamError, UpstreamOptions, Why};

#[tokio::test]
async fn each_kind_of_answer_comes_back_byte_for_byte() {
    let module = make_module("example.com/Big/m", "v1.2.0", &[("a.go", b"package m\n")]);
    let pseudo = "v1.2.1-0.20190501000000-abcdefabcdef";
    let proxy = FixtureProxy::start(&[
        make_module("example.com/Big/m", "v1.10.0-rc.1", &[]),
        module.clone(),
        make_module("example.com/Big/m", pseudo, &[]),
    ])
    .await;
    proxy.put("/example.com/!big/m/@v/main.info", br#"{"Version":"v1.2.0","Origin":{"VCS":"git"}}"#);
    let upstream = upstream(&proxy.url());
    let path = ModulePath::parse("example.com/Big/m").unwrap();
    let version = ModuleVersion::parse("example.com/Big/m@v1.2.0").unwrap();

    let listed: Vec<_> = upstream.list(&path).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["v1.2.0", "v1.10.0-rc.1"]);
    assert_eq!(upstream.latest(&path).await.unwrap().version.as_str(), "v1.2.0");
    let info = upstream.info(&path, "v1.2.0").await.unwrap();
    assert_eq!((info.bytes, info.time.as_str()), (module.info, common::TIME));
    let branch = upstream.info(&path, "main").await.unwrap();
    assert_eq!(branch.version.as_str(), "v1.2.0");
    assert!(branch.bytes.ends_with(br#""Origin":{"VCS":"git"}}"#));
    assert_eq!(upstream.info(&path, pseudo).await.unwrap().version.as_str(), pseudo);
    assert_eq!(upstream.go_mod(&version).await.unwrap(), module.go_mod);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(bytes_of(upstream.zip(&version, dir.path()).await.unwrap()), module.zip);

    let request = &proxy.requests("/example.com/!big/m/@v/v1.2.0.zip")[0];
    assert_eq!(request.headers["user-agent"], concat!("modswarm/", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn a_comma_goes_on_after_404_and_410_only() {
    let (first, second) = (FixtureProxy::start(&[]).await, FixtureProxy::start(&[module()]).await);
    let upstream = upstream(&format!("{},{}", first.url(), second.url()));
    for status in [404, 410] {
        first.always(LIST, Fault::Status(status));
        assert_eq!(upstream.list(&path()).await.unwrap().len(), 1, "{status}");
    }
    let asked = second.total();
    for fault in [Fault::Status(403), Fault::Status(500), Fault::Html, Fault::HangUp] {
        first.always(LIST, fault.clone());
        let error = upstream.list(&path()).await.unwrap_err();
        assert!(!matches!(error, UpstreamError::NotFound { .. }), "{fault:?}: {error}");
    }
    assert_eq!(second.total(), asked, "the second proxy was asked after an error of the first");
}

#[tokio::test]
async fn a_bar_goes_on_after_any_error() {
    let module = module();
    let (first, second) = (FixtureProxy::start(&[]).await, FixtureProxy::start(std::slice::from_ref(&module)).await);
    let upstream = upstream(&format!("{}|{}", first.url(), second.url()));
    for fault in [Fault::Status(404), Fault::Status(403), Fault::Status(500), Fault::Html, Fault::HangUp] {
        first.always(MOD, fault.clone());
        first.always(ZIP, fault.clone());
        assert_eq!(upstream.go_mod(&version()).await.unwrap(), module.go_mod, "{fault:?}");
        assert_eq!(bytes_of(fetch_zip(&upstream).await.unwrap()), module.zip, "{fault:?}");
    }
}

#[tokio::test]
async fn only_when_all_say_404_is_it_not_found_and_nobody_is_asked_twice() {
    let (first, second) = (FixtureProxy::start(&[]).await, FixtureProxy::start(&[]).await);
    for separator in [",", "|"] {
        let upstream = upstream(&format!("{}{separator}{}", first.url(), second.url()));
        let Err(UpstreamError::NotFound { what, text }) = upstream.go_mod(&version()).await else { panic!("found") };
        assert_eq!(what, "the go.mod of example.com/m@v1.0.0");
        assert_eq!(text, format!("not found: the fixture has no {MOD}"));
        assert!(matches!(fetch_zip(&upstream).await, Err(UpstreamError::NotFound { .. })));
    }
    assert_eq!((first.count(MOD), second.count(MOD), first.count(ZIP)), (2, 2, 2));

    let upstream = upstream(&format!("{}|{}", first.url(), second.url()));
    for failing in [&first, &second] {
        failing.always(MOD, Fault::Status(503));
        let error = upstream.go_mod(&version()).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Failed { why: Why::Status(503), .. }), "{error}");
        failing.always(MOD, Fault::Status(404));
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let module = module();
    let proxy = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let upstream = Upstream::new(UpstreamOptions { retries: 6, ..options(&proxy.url()) }).unwrap();
    let past = "Thu, 01 Jan 1970 00:00:00 GMT".to_owned();
    let faults = [
        Fault::Status(500),
        Fault::Status(408),
        Fault::RetryAfter(429, "0".into()),
        Fault::RetryAfter(503, past),
        Fault::HangUp,
        Fault::CutAfter(3),
    ];
    for target in [MOD, ZIP] {
        proxy.script(target, faults.clone());
    }
    assert_eq!(upstream.go_mod(&version()).await.unwrap(), module.go_mod);
    assert_eq!(bytes_of(fetch_zip(&upstream).await.unwrap()), module.zip);
    assert_eq!((proxy.count(MOD), proxy.count(ZIP)), (7, 7));
}

#[tokio::test]
async fn it_gives_up_after_its_retries_and_says_why() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    proxy.always(MOD, Fault::Status(502));
    let error = upstream.go_mod(&version()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{} did not give the go.mod of example.com/m@v1.0.0 in 3 attempts: it answered with status 502; look at \
             the line to it, then ask again",
            proxy.url()
        )
    );
    assert_eq!(proxy.count(MOD), 3);
    proxy.always(MOD, Fault::CutAfter(3));
    let error = upstream.go_mod(&version()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { attempts: 3, why: Why::Cut { got: 3 }, .. }), "{error}");

    let gone = FixtureProxy::start(&[]).await.url();
    let error = self::upstream(&gone).go_mod(&version()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Failed { attempts: 3, why: Why::Unreachable(_), .. }), "{error}");
}

#[tokio::test]
async fn other_statuses_are_refusals_and_final() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    for (index, status) in [400, 401, 403, 451, 304, 204, 206].into_iter().enumerate() {
        proxy.always(MOD, Fault::Status(status));
        let error = upstream.go_mod(&version()).await.unwrap_err();
        let UpstreamError::Refused { status: told, upstream: named, .. } = &error else { panic!("{error}") };
        assert_eq!((*told, named), (status, &proxy.url()));
        let said = format!("with status {status} (\"fixture: status {status}\")");
        assert!(matches!(status, 204 | 304) || error.to_string().contains(&said), "{error}");
        assert_eq!(proxy.count(MOD), index + 1, "{status} was asked again");
    }
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_ends_it_at_once() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    for (index, after) in ["61", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"].into_iter().enumerate() {
        proxy.always(MOD, Fault::RetryAfter(429, after.into()));
        let error = upstream.go_mod(&version()).await.unwrap_err();
        let come_back = matches!(error, UpstreamError::Failed { why: Why::ComeBack { status: 429, .. }, .. });
        assert!(come_back, "{after}: {error}");
        assert_eq!(proxy.count(MOD), index + 1);
    }
}

#[tokio::test]
async fn a_web_page_is_a_bad_answer_that_names_the_upstream() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    let targets = [LIST, "/example.com/m/@latest", "/example.com/m/@v/v1.0.0.info", MOD, ZIP];
    for target in targets {
        proxy.always(target, Fault::Html);
    }
    let errors = [
        upstream.list(&path()).await.err(),
        upstream.latest(&path()).await.err(),
        upstream.info(&path(), "v1.0.0").await.err(),
        upstream.go_mod(&version()).await.err(),
        fetch_zip(&upstream).await.err(),
    ];
    for (error, target) in errors.into_iter().zip(targets) {
        let Some(UpstreamError::BadAnswer { upstream: named, why, .. }) = error else { panic!("{target}: {error:?}") };
        assert!(named == proxy.url() && why.starts_with("it is an HTML page"), "{why}");
        assert_eq!(proxy.count(target), 1, "a lie is not asked for again");
    }
}

#[tokio::test]
async fn an_info_about_another_version_and_a_compressed_answer_are_lies() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&proxy.url());
    proxy.put("/example.com/m/@v/v1.0.0.info", br#"{"Version":"v1.0.1"}"#);
    let error = upstream.info(&path(), "v1.0.0").await.unwrap_err().to_string();
    assert!(error.contains("it is about v1.0.1 where v1.0.0 was asked for"), "{error}");
    let gzip = vec![("Content-Encoding".to_owned(), "gzip".to_owned())];
    proxy.always(ZIP, Fault::Answer(200, gzip, Bytes::from_static(b"\x1f\x8b")));
    assert!(matches!(fetch_zip(&upstream).await, Err(UpstreamError::BadAnswer { .. })));
}

#[tokio::test]
async fn off_asks_nobody() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&format!("off,{}", proxy.url()));
    assert!(matches!(upstream.list(&path()).await, Err(UpstreamError::Off)));
    assert!(matches!(fetch_zip(&upstream).await, Err(UpstreamError::Off)));
    assert!(matches!(upstream.sumdb("sum.example", "latest").await, Err(UpstreamError::Off)));
    assert_eq!(proxy.total(), 0);
}

#[tokio::test]
async fn an_impossible_query_is_a_miss_without_a_request() {
    let proxy = FixtureProxy::start(&[]).await;
    let upstream = upstream(&proxy.url());
    for query in ["feature/x", "../../etc", "", "a?b"] {
        assert!(matches!(upstream.info(&path(), query).await, Err(UpstreamError::NotFound { .. })), "{query}");
    }
    assert_eq!(proxy.total(), 0);
}

#[tokio::test]
async fn requests_under_way_are_bounded_per_host_and_in_all() {
    for (requests, requests_per_host) in [(8, 3), (3, 8)] {
        let proxy = FixtureProxy::start(&[module()]).await;
        let limited = UpstreamOptions { requests, requests_per_host, ..options(&proxy.url()) };
        let upstream = Arc::new(Upstream::new(limited).unwrap());
        proxy.hold();
        let calls: Vec<_> = (0..12)
            .map(|_| {
                tokio::spawn({
                    let upstream = Arc::clone(&upstream);
                    async move { upstream.list(&path()).await }
                })
            })
            .collect();
        proxy.wait_in_flight(3).await;
        proxy.release(12);
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().len(), 1);
        }
        assert_eq!((proxy.max_in_flight(), proxy.total()), (3, 12));
    }
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let module = module();
    let (near, far) = (FixtureProxy::start(&[]).await, FixtureProxy::start(std::slice::from_ref(&module)).await);
    let upstream = upstream(&near.url());
    near.always(ZIP, Fault::Redirect(format!("{}{ZIP}", far.url())));
    assert_eq!(bytes_of(fetch_zip(&upstream).await.unwrap()), module.zip);
    near.always(MOD, Fault::Redirect(format!("{}{MOD}", near.url())));
    let error = upstream.go_mod(&version()).await.unwrap_err().to_string();
    assert!(error.contains("it redirects in circles"), "{error}");
    assert_eq!(near.count(MOD), 11, "the first and ten redirects");
}

#[tokio::test]
async fn credentials_are_sent_and_never_told() {
    let proxy = FixtureProxy::start(&[module()]).await;
    let upstream = upstream(&format!("http://anna:s3cret@{}", proxy.host()));
    assert_eq!(upstream.list(&path()).await.unwrap().len(), 1);
    assert_eq!(proxy.requests(LIST)[0].headers["authorization"], "Basic YW5uYTpzM2NyZXQ=");
    let circle = Fault::Redirect(format!("http://anna:s3cret@{}{MOD}", proxy.host()));
    for fault in [Fault::Status(403), Fault::Status(500), Fault::Html, Fault::HangUp, Fault::CutAfter(1), circle] {
        proxy.always(MOD, fault.clone());
        let error = upstream.go_mod(&version()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{fault:?}: {error}");
        assert!(error.to_string().contains(&proxy.host()), "{error}");
    }
    assert!(!format!("{upstream:?} {}", upstream.proxies()).contains("s3cret"));
}

#[tokio::test]
async fn a_file_tree_is_a_proxy_too() {
    let module = module();
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("example.com/m/@v");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in [("list", &b"v1.0.0\n"[..]), ("v1.0.0.mod", &module.go_mod), ("v1.0.0.zip", &module.zip)] {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    std::fs::create_dir(dir.join("v1.0.0.info")).unwrap();
    let url = format!("file://{}", tree.path().display());
    let upstream = upstream(&url);
    assert_eq!(upstream.list(&path()).await.unwrap().len(), 1);
    assert_eq!(upstream.go_mod(&version()).await.unwrap(), module.go_mod);
    assert_eq!(bytes_of(fetch_zip(&upstream).await.unwrap()), module.zip);
    assert!(matches!(upstream.latest(&path()).await, Err(UpstreamError::NotFound { .. })));
    assert!(matches!(upstream.info(&path(), "v1.0.0").await, Err(UpstreamError::NotFound { .. })), "a directory");

    let max_zip = module.zip.len() as u64 - 1;
    let tight = Upstream::new(UpstreamOptions { max_zip, ..options(&url) }).unwrap();
    assert!(matches!(fetch_zip(&tight).await, Err(UpstreamError::TooLarge { .. })));
}

#[tokio::test]
async fn the_checksum_database_is_asked_by_way_of_the_first_proxy_that_supports_it() {
    let (first, second) = (FixtureProxy::start(&[]).await, FixtureProxy::start(&[]).await);
    second.put("/sumdb/sum.example/supported", b"");
    second.put("/sumdb/sum.example/latest", b"a signed tree head\n");
    let upstream = upstream(&format!("{},{}", first.url(), second.url()));
    for _ in 0..3 {
        assert_eq!(upstream.sumdb("sum.example", "latest").await.unwrap(), &b"a signed tree head\n"[..]);
    }
    assert_eq!(first.total(), 1, "the way is found once");
    assert_eq!(second.count("/sumdb/sum.example/supported"), 1);
    let miss = upstream.sumdb("sum.example", "lookup/example.com/!big@v1.0.0").await;
    assert!(matches!(miss, Err(UpstreamError::NotFound { .. })));
    assert_eq!(second.count("/sumdb/sum.example/lookup/example.com/!big@v1.0.0"), 1);
    for path in ["../secret", "", "latest?x", "tile//0"] {
        assert!(matches!(upstream.sumdb("sum.example", path).await, Err(UpstreamError::NotFound { .. })), "{path}");
    }
}

#[tokio::test]
async fn only_404_for_supported_leads_to_the_database_itself() {
    let (proxy, database) = (FixtureProxy::start(&[]).await, FixtureProxy::start(&[]).await);
    let supported = format!("/sumdb/{}/supported", database.host());
    let upstream = upstream(&proxy.url());
    proxy.always(&supported, Fault::Status(500));
    let error = upstream.sumdb(&database.host(), "latest").await.unwrap_err();
    assert!(matches!(&error, UpstreamError::Failed { upstream, .. } if *upstream == proxy.url()), "{error}");
    // Then https is spoken to the fixture, which only knows plain http: enough to see where it went.
    proxy.always(&supported, Fault::Status(410));
    let error = upstream.sumdb(&database.host(), "latest").await.unwrap_err();
    let direct = format!("https://{}", database.host());
    assert!(matches!(&error, UpstreamError::Failed { upstream, .. } if *upstream == direct), "{error}");

    let off_after = self::upstream(&format!("{},off", proxy.url()));
    assert!(matches!(off_after.sumdb(&database.host(), "latest").await, Err(UpstreamError::Off)));
}

#[tokio::test]
async fn a_database_with_a_configured_url_is_asked_there_and_within_its_limit() {
    let (proxy, database) = (FixtureProxy::start(&[]).await, FixtureProxy::start(&[]).await);
    database.put("/db/latest", &[b'x'; 100]);
    let mut options = UpstreamOptions { max_sumdb: 100, ..options(&proxy.url()) };
    let url = ProxyUrl::parse(&format!("{}/db", database.url())).unwrap();
    options.sumdb_urls.insert("sum.example".into(), url);
    let upstream = Upstream::new(options).unwrap();
    assert_eq!(upstream.sumdb("sum.example", "latest").await.unwrap().len(), 100);
    database.put("/db/latest", &[b'x'; 101]);
    assert!(matches!(upstream.sumdb("sum.example", "latest").await, Err(UpstreamError::TooLarge { .. })));
    assert_eq!(proxy.total(), 0);
}
