//! What the checksum database has proven passes through byte for byte, however odd it is: a mirror that judges names or
//! go.mod syntax breaks what works without it.

use bytes::Bytes;

use crate::archive::{Entry, deflated, stored, zip};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::{FixtureModule, make_module};
use crate::site::{Site, file};
use crate::sumdb::FixtureDb;

/// What is odd, and a zip of that kind whose names start with what is given.
type Odd<'a> = (&'static str, &'a dyn Fn(&str) -> Vec<u8>);

/// Zips that the go command itself would not unpack (golang.org/x/mod/zip, `CheckZip`), or not make, and of which an `h1:`
/// can be computed. Each is named by what is odd.
fn odd_zips() -> Vec<(&'static str, FixtureModule)> {
    let link = |name: String| Entry { external: 0o120_777 << 16, ..stored(name, b"/etc/passwd") };
    let odd: [Odd<'_>; 18] = [
        ("a symbolic link", &|prefix| zip(&[link(format!("{prefix}link.go"))])),
        ("names that differ in case", &|prefix| {
            zip(&[stored(format!("{prefix}a.go"), b"package a\n"), stored(format!("{prefix}A.go"), b"package a\n")])
        }),
        ("a go.mod in upper case", &|prefix| zip(&[stored(format!("{prefix}GO.MOD"), b"module x\n")])),
        ("a go.mod further down", &|prefix| zip(&[stored(format!("{prefix}sub/go.mod"), b"module sub\n")])),
        ("a file and a directory of one name", &|prefix| {
            zip(&[stored(format!("{prefix}a"), b"a"), stored(format!("{prefix}a/b"), b"b")])
        }),
        ("directories", &|prefix| {
            zip(&[stored(format!("{prefix}empty/"), b""), stored(format!("{prefix}a.go"), b"a")])
        }),
        ("a vendor directory", &|prefix| zip(&[stored(format!("{prefix}vendor/x.y/z/z.go"), b"package z\n")])),
        ("a way out", &|prefix| zip(&[stored(format!("{prefix}../../../etc/passwd"), b"root\n")])),
        ("a device of Windows", &|prefix| zip(&[stored(format!("{prefix}aux.go"), b"package aux\n")])),
        ("letters beyond ASCII", &|prefix| zip(&[deflated(format!("{prefix}испытание ☺.go"), b"package a\n")])),
        ("control characters", &|prefix| zip(&[stored(format!("{prefix}\u{1b}[31m\r\t.go"), b"package a\n")])),
        ("another module's file", &|_| zip(&[stored("example.com/other@v1.0.0/a.go", b"package a\n")])),
        ("a file beside the module", &|prefix| zip(&[stored(prefix.replace('/', ".") + "txt", b"text\n")])),
        ("an empty name", &|prefix| zip(&[stored(prefix, b"")])),
        ("no file at all", &|_| zip(&[])),
        ("bytes before the first file", &|prefix| {
            [b"#!/bin/sh\nexit 1\n".as_slice(), &zip(&[stored(format!("{prefix}a.go"), b"package a\n")])].concat()
        }),
        ("bytes between files", &|prefix| {
            let hidden =
                Entry { data: b"package a\nand more".to_vec(), ..stored(format!("{prefix}a.go"), b"package a\n") };
            zip(&[hidden, deflated(format!("{prefix}b.go"), b"package a\n")])
        }),
        ("a checksum of 0, which Go does not check", &|prefix| {
            zip(&[Entry { crc: 0, ..stored(format!("{prefix}a.go"), b"package a\n") }])
        }),
    ];
    let module = |(n, (what, make)): (usize, Odd<'_>)| {
        let version = format!("v1.{n}.0");
        let zip = Bytes::from(make(&format!("example.com/Odd@{version}/")));
        (what, FixtureModule { zip, ..make_module("example.com/Odd", &version, &[]) })
    };
    odd.into_iter().enumerate().map(module).collect()
}

/// What no go command would take for a go.mod. An HTML page is not among them: it is refused as what a portal says that stands
/// between the node and its upstream.
fn odd_go_mods() -> Vec<FixtureModule> {
    let texts: [&[u8]; 7] = [
        b"",
        b"\xff\xfe\x00",
        b"module \"unterminated\n((((",
        b"module example.com/another\n\ngo 99.99rc7\ntoolchain none\nunheard of\n",
        b"module example.com/mods\r\n\r\nrequire (\r\n",
        b"module example.com/mods\n\nrequire example.com/mods v9.9.9-bad..version\nreplace => =>\n",
        &[b'\n'; 100_000],
    ];
    let module = |(n, text): (usize, &[u8])| make_module("example.com/mods", &format!("v1.{n}.0"), &[("go.mod", text)]);
    texts.into_iter().enumerate().map(module).collect()
}

async fn assert_serves(node: &TestNode, what: &str, module: &FixtureModule) {
    for (end, truth) in [(".zip", &module.zip), (".mod", &module.go_mod), (".info", &module.info)] {
        let got = node.get(&file(module, end)).await;
        assert_eq!(got.status, 200, "{what}, {end}: {}", got.text());
        assert!(got.body == *truth, "{what}, {end}: other bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proven_passes_through_a_seed_and_a_node_byte_for_byte_however_odd_it_is() {
    let zips = odd_zips();
    let go_mods = odd_go_mods();
    let modules = zips.iter().map(|(_, module)| module).chain(&go_mods).cloned().collect();
    let site = Site::with(modules, FixtureDb::with_records(9)).await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    let all = zips.iter().map(|(what, module)| (*what, module)).chain(go_mods.iter().map(|it| ("a go.mod", it)));
    for (what, module) in all.clone() {
        assert_serves(&seed, what, module).await;
    }
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&site.key())).await;
    node.wait_for(1, site.modules.len() as u64).await;
    for (what, module) in all.clone() {
        assert_serves(&node, what, module).await;
    }
    seed.stop().await;
    for (what, module) in all {
        assert_serves(&node, what, module).await;
    }
}
