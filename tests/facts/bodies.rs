//! Facts 15 to 22: the bytes, and the headers that they come with.

use std::io::{Cursor, Write};

use zip::CompressionMethod::{Deflated, Stored};
use zip::write::{ExtendedFileOptions, FileOptions};

use crate::common::go::{go, no_go_command};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::peer::TestPeer;
use crate::common::wire::{ask, get};
use crate::common::{Fault, FixtureModule, FixtureProxy, make_module, noise};

const BASE: &str = "/example.com/m/@v/v1.0.0";
const INFO: &str = "/example.com/m/@v/v1.0.0.info";
const MOD: &str = "/example.com/m/@v/v1.0.0.mod";
const ZIP: &str = "/example.com/m/@v/v1.0.0.zip";

fn module(files: &[(&str, &[u8])]) -> FixtureModule {
    make_module("example.com/m", "v1.0.0", files)
}

/// A seed that has been asked for all of `module`, a node that knows only the seed, and the seed's upstream.
async fn site(module: &FixtureModule) -> (TestNode, TestNode, FixtureProxy) {
    let upstream = FixtureProxy::start(std::slice::from_ref(module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get(ZIP).await.status, 200);
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 1).await;
    (seed, node, upstream)
}

/// Both nodes give exactly the upstream's bytes.
async fn assert_serve(nodes: &[&TestNode], module: &FixtureModule) {
    for node in nodes {
        for (path, want) in [(INFO, &module.info), (MOD, &module.go_mod), (ZIP, &module.zip)] {
            let got = node.get(path).await;
            assert!(got.status == 200 && got.body == *want, "{path}: {} {}", got.status, got.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_15_an_info_passes_byte_for_byte_with_all_its_fields() {
    let mut module = module(&[("m.go", b"package m\n")]);
    module.info = " {\n\t\"Origin\": {\"VCS\":\"git\", \"Hash\":\"0f\", \"New\":[1,{\"a\":null}]},\n\"Time\":\"2019-05-01T00:00:00Z\" ,\
                   \"Version\":\"v1.0.0\",\"Name\":\"\u{e9}\\u00e9\" }\n\n"
        .into();
    let (seed, node, _upstream) = site(&module).await;
    assert_serve(&[&seed, &node], &module).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_15_an_info_that_a_go_command_could_not_read_comes_from_nobody() {
    let module = module(&[("m.go", b"package m\n")]);
    for (bad, why) in [
        (&br#"{"Version":"v1.0.1"}"#[..], "v1.0.1"),
        (br#"{"Version":"v1.0.0","Time":"yesterday"}"#, "not an RFC 3339 time"),
        (br#"{"Version":"v1.0.0","version":"v9.0.0"}"#, "duplicate field"),
        (br#"{"Version":"v1.0.0"} x"#, "JSON"),
        (b"{\"Version\":\"v1.0.0\",\"x\":\"\xff\"}", "UTF-8"),
    ] {
        let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
        upstream.put(INFO, bad);
        let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
        let liar = TestPeer::start().await;
        liar.offer(&module, |manifest| manifest.info = bad.to_vec());
        let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
        for path in [INFO, ZIP] {
            let got = seed.get(path).await;
            assert!(got.status == 503 && got.text().contains(why), "{path}: {} {}", got.status, got.text());
            // Whether the peer is still asked, or was banned by now: it has nothing that is believed.
            assert_ne!(node.get(path).await.status, 200, "{path}: {why}");
        }
        for node in [&seed, &node] {
            assert_eq!(node.status().await.store.versions, 0, "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_16_a_go_mod_has_its_original_bytes_on_every_node() {
    let long = [b"module example.com/m\n\n//".as_slice(), &b"x".repeat((16 << 20) - 24)].concat();
    assert_eq!(long.len(), 16 << 20, "as long as is allowed");
    for go_mod in [
        &b"module example.com/m"[..],
        b"// a comment\r\nmodule \"example.com/m\"\r\n\r\n\r\ngo   1.21 // why\r\nunknown directive\r\n",
        b"\xef\xbb\xbfmodule example.com/m\n\xff\n",
        b"",
        &b"module example.com/m\n// long \n".repeat(4000),
        &long,
    ] {
        let module = module(&[("go.mod", go_mod)]);
        let (seed, node, _upstream) = site(&module).await;
        assert_serve(&[&seed, &node], &module).await;
    }
    let longer = module(&[("go.mod", &[&long[..], b"x"].concat())]);
    let upstream = FixtureProxy::start(&[longer]).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for path in [MOD, ZIP] {
        let got = seed.get(path).await;
        assert!(got.status == 503 && got.text().contains("16777216"), "{path}: {} {}", got.status, got.text());
    }
    assert_eq!(seed.status().await.store.versions, 0);
}

/// Zips that the go command does not unpack.
fn refused_by_go() -> Vec<(FixtureModule, &'static str)> {
    [
        (&[("a.go", &b"package a\n"[..]), ("A.go", b"package a\n")][..], "case-insensitive file name collision"),
        (&[("sub/go.mod", b"module example.com/m/sub\n")], "go.mod file not in module root"),
        (&[("GO.MOD", b"module example.com/m\n")], "go.mod"),
        (&[("aux.go", b"package m\n")], "disallowed as path element"),
        (&[("a/../b.go", b"package m\n")], "file path is not clean"),
    ]
    .into_iter()
    .map(|(files, why)| (module(files), why))
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_17_a_mirror_passes_odd_zips_through_and_leaves_the_judging_to_the_go_command() {
    let go_is_here = !no_go_command().await;
    for (module, why) in refused_by_go() {
        let (seed, node, _upstream) = site(&module).await;
        assert_serve(&[&seed, &node], &module).await;
        if go_is_here {
            let home = tempfile::tempdir().unwrap();
            let args = ["mod", "download", "example.com/m@v1.0.0"];
            let ended = go(home.path(), home.path(), &node.goproxy, &args).await;
            assert!(ended.code == Some(1) && ended.stderr.contains(why), "{why}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_17_a_zip_over_a_limit_is_refused() {
    // One byte over 16 MiB; the limits of a whole zip are tested where no zip of 500 MiB is needed.
    let license = module(&[("LICENSE", &vec![b'x'; (16 << 20) + 1])]);
    let upstream = FixtureProxy::start(&[license]).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let got = seed.get(ZIP).await;
    assert!(got.status == 503 && got.text().contains("16777216"), "{} {}", got.status, got.text());
    let most = module(&[("LICENSE", &vec![b'x'; 16 << 20])]);
    let (seed, node, _upstream) = site(&most).await;
    assert_serve(&[&seed, &node], &most).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_18_no_byte_of_a_zip_is_served_before_its_hash_was_found_right() {
    let (right, wrong) = (module(&[("m.go", b"package m\n")]), module(&[("m.go", b"package x\n")]));
    let h1 = |module: &FixtureModule| modswarm::domain::dirhash::H1::of_zip(&module.zip.to_vec()).unwrap();
    let liar = TestPeer::start().await;
    liar.offer(&wrong, |manifest| manifest.zip.as_mut().unwrap().h1 = h1(&right));
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    for (path, status) in [(ZIP.to_owned(), 503), (format!("/cached-only{ZIP}"), 404)] {
        let got = get(&node.goproxy, &path).await;
        assert_eq!(got.status, status, "{}", got.text());
        assert!(got.header("content-type").starts_with("text/plain") && !got.text().contains("package"));
    }
    // What was fetched before it was refused is not served after a restart either.
    let dir = node.stop().await;
    let node = TestNode::start_in(dir, NodeOptions::default()).await;
    assert_ne!(node.get(ZIP).await.status, 200);
    assert_eq!(node.status().await.store.zips, 0);
}

/// Two stored and two deflated files at different levels, extra fields, comments, modes, times, a directory, no order.
fn unusual_zip() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.set_comment("made by nobody in particular").unwrap();
    let prefix = "example.com/m@v1.0.0";
    let big = noise(200_000, 3);
    let files = [
        ("z/vendor/modules.txt", &b"# none\n"[..], Stored, None),
        ("go.mod", b"module example.com/m\n", Deflated, Some(9)),
        ("LICENSE", &big, Deflated, Some(1)),
        ("a.bin", &big, Stored, None),
        ("empty", b"", Deflated, Some(6)),
    ];
    for (place, (name, bytes, method, level)) in files.into_iter().enumerate() {
        let mut options: FileOptions<'_, ExtendedFileOptions> = FileOptions::default()
            .compression_method(method)
            .compression_level(level)
            .unix_permissions(0o750)
            .last_modified_time(zip::DateTime::from_date_and_time(2007, 3, 4, 5, 6, 8).unwrap());
        options.add_extra_data(0x7777, Box::from(format!("extra {place}").as_bytes()), place % 2 == 0).unwrap();
        writer.start_file(format!("{prefix}/{name}"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_19_a_zip_is_never_packed_anew() {
    let mut module = module(&[("go.mod", b"module example.com/m\n")]);
    module.zip = unusual_zip().into();
    let (seed, node, upstream) = site(&module).await;
    assert_serve(&[&seed, &node], &module).await;
    drop(upstream);
    seed.stop().await;
    assert_serve(&[&node], &module).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_20_types_and_lengths_are_exact() {
    let module = module(&[("m.go", b"package m\n"), ("data", &noise(2 << 20, 5))]);
    let (seed, node, _upstream) = site(&module).await;
    for node in [&seed, &node] {
        for (target, kind) in [
            ("/example.com/m/@v/list", "text/plain; charset=utf-8"),
            ("/example.com/m/@latest", "application/json"),
            ("/example.com/m/@v/v1.info", "application/json"),
            (INFO, "application/json"),
            (MOD, "text/plain; charset=utf-8"),
            (ZIP, "application/zip"),
            ("/example.com/none/@v/list", "text/plain; charset=utf-8"),
        ] {
            let got = get(&node.goproxy, target).await;
            assert_eq!(got.header("content-type"), kind, "{target}");
            assert_eq!(got.header("content-length"), got.body.len().to_string(), "{target}");
            assert_eq!(got.header("transfer-encoding"), "", "{target}");
            let head = ask(&node.goproxy, "HEAD", target, &[]).await;
            assert_eq!((head.status, head.body.len()), (got.status, 0), "{target}");
            assert_eq!(head.header("content-length"), got.header("content-length"), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_20_a_body_that_breaks_off_is_fatal_for_the_go_command_and_mended_by_a_node() {
    let module = module(&[("m.go", b"package m\n"), ("data", &noise(100_000, 6))]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    if !no_go_command().await {
        let home = tempfile::tempdir().unwrap();
        upstream.script(ZIP, [Fault::CutAfter(50_000)]);
        let args = ["mod", "download", "example.com/m@v1.0.0"];
        let ended = go(home.path(), home.path(), &upstream.url(), &args).await;
        assert!(ended.code == Some(1) && ended.stderr.contains("unexpected EOF"), "{ended:?}");
        assert_eq!(upstream.count(ZIP), 1, "it does not try again");
    }
    for path in [INFO, MOD, ZIP] {
        upstream.script(path, [Fault::CutAfter(7)]);
    }
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_serve(&[&node], &module).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_21_nothing_is_packed_for_those_who_would_take_it() {
    let module = module(&[("m.go", &b"package m\n".repeat(500))]);
    let (seed, _node, _upstream) = site(&module).await;
    for (path, want) in [(INFO, &module.info), (MOD, &module.go_mod), (ZIP, &module.zip)] {
        for encodings in ["gzip", "gzip, deflate, br, zstd", "identity"] {
            let got = ask(&seed.goproxy, "GET", path, &[("Accept-Encoding", encodings)]).await;
            assert_eq!((got.status, got.header("content-encoding")), (200, ""), "{path}");
            assert!(got.body == *want, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_22_what_may_change_is_kept_for_a_minute_and_what_may_not_for_a_year() {
    let module = module(&[("m.go", b"package m\n")]);
    let (seed, node, upstream) = site(&module).await;
    upstream.put(&format!("{BASE}-x.info"), b"no such version");
    for node in [&seed, &node] {
        for (target, life) in [
            (INFO, "public, max-age=31536000, immutable"),
            (MOD, "public, max-age=31536000, immutable"),
            (ZIP, "public, max-age=31536000, immutable"),
            ("/example.com/m/@v/list", "public, max-age=60"),
            ("/example.com/m/@latest", "public, max-age=60"),
            ("/example.com/m/@v/v1.info", "public, max-age=60"),
            ("/example.com/none/@v/list", "public, max-age=5"),
        ] {
            assert_eq!(get(&node.goproxy, target).await.header("cache-control"), life, "{target}");
        }
    }
    let failed = get(&seed.goproxy, &format!("{BASE}-x.info")).await;
    assert_eq!((failed.status, failed.header("cache-control")), (503, "no-store"));
}
