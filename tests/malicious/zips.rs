//! Zips that are refused, with the reason, by whatever entrance they come: the pure check, an upstream, a peer.

use std::io;

use modswarm::domain::blob::ReadAt;
use modswarm::domain::manifest::{MAX_GO_MOD, MAX_ZIP, Proof};
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::zip::{Archive, MAX_LICENSE, check_module_zip};

use crate::archive::{Entry, deflated, nested, stored, zip};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::peer::TestPeer;
use crate::common::{Fault, FixtureModule, FixtureProxy, make_module};
use crate::site::{Site, file};

/// A zip that must not come in.
struct Bad {
    module: FixtureModule,
    what: &'static str,
    /// What the refusal says.
    reason: &'static str,
}

/// Each kind of bad zip, as one version of one module.
fn bad_zips() -> Vec<Bad> {
    let mut made = Vec::new();
    let mut bad = |what, reason, make: Make<'_>| {
        let version = format!("v1.{}.0", made.len());
        let prefix = format!("example.com/bad@{version}/");
        let zip = make(&|name| format!("{prefix}{name}"));
        let module = FixtureModule { zip: zip.into(), ..make_module("example.com/bad", &version, &[]) };
        made.push(Bad { module, what, reason });
    };
    unreadable(&mut bad);
    too_large(&mut bad);
    ambiguous(&mut bad);
    made
}

/// Puts a name into the module's directory.
type Name<'a> = &'a dyn Fn(&str) -> String;
/// Makes a bad zip.
type Make<'a> = &'a dyn Fn(Name<'_>) -> Vec<u8>;
/// Adds one to the list: what it is, why it is refused, how it is made.
type Add<'a> = &'a mut dyn FnMut(&'static str, &'static str, Make<'_>);

/// Those whose `h1:` cannot be computed.
fn unreadable(bad: Add<'_>) {
    bad("no zip", "the bytes are not a zip", &|_| b"a zip would be nice".to_vec());
    bad("cut off", "the bytes are not a zip: it has no end record", &|name| {
        let whole = zip(&[stored(name("a.go"), b"package a\n")]);
        whole[..whole.len() - 10].to_vec()
    });
    bad("a line break in a name", "holds a line break", &|name| zip(&[stored(name("a\nb"), b"")]));
    bad("a flipped bit in a file", "does not have the checksum that the zip declares", &|name| {
        let mut entry = stored(name("a.go"), b"package a\n");
        entry.data[3] ^= 1;
        zip(&[entry])
    });
    bad("no deflate stream", "does not inflate: its data is damaged", &|name| {
        zip(&[Entry { method: 8, ..stored(name("a.go"), &[0xff; 40]) }])
    });
    bad("a method that Go does not read", "is packed with method 12", &|name| {
        zip(&[Entry { method: 12, ..stored(name("a.go"), b"package a\n") }])
    });
    bad("more than there is", "unpacks to 19 bytes, but declares 20", &|name| {
        let entry = deflated(name("go.mod"), b"module example.com\n");
        zip(&[Entry { unpacked: 20, ..entry }])
    });
}

/// Those that are over a limit, by one byte or by a lot.
fn too_large(bad: Add<'_>) {
    bad("unpacked one byte over", "the unpacked zip has 524288001 bytes, more than the 524288000", &|name| {
        let half = |n: u32| Entry { unpacked: n, ..deflated(name(&format!("{n}.bin")), b"") };
        zip(&[half(500 << 20), half(1)])
    });
    bad("a go.mod one byte over", "/go.mod\" has 16777217 bytes, more than the 16777216", &|name| {
        zip(&[Entry { unpacked: (16 << 20) + 1, ..deflated(name("go.mod"), b"") }])
    });
    bad("a LICENSE one byte over", "/LICENSE\" has 16777217 bytes, more than the 16777216", &|name| {
        zip(&[Entry { unpacked: (16 << 20) + 1, ..deflated(name("LICENSE"), b"") }])
    });
    bad("a bomb", "unpacks to more than the 1000 bytes that it declares, as a zip bomb does", &|name| {
        zip(&[Entry { unpacked: 1000, ..deflated(name("a.bin"), &vec![0; 8 << 20]) }])
    });
}

/// Those that two readers would read differently.
fn ambiguous(bad: Add<'_>) {
    bad("a file within another", "overlaps \"example.com/bad@", &|name| {
        nested(&name("a.bin"), &stored(name("b.go"), b"package b\n"))
    });
    bad("two files at one place", "overlaps \"example.com/bad@", &|name| {
        let first = stored(name("a.go"), b"package a\n");
        let back = i64::try_from(first.local_bytes().len()).unwrap();
        zip(&[first.clone(), Entry { shift: -back, ..first }])
    });
    bad("a file within the directory", "/a.go\" overlaps the directory in the zip", &|name| {
        let entry = deflated(name("a.go"), b"package a\n");
        zip(&[Entry { packed: entry.packed + 20, ..entry }])
    });
    let local =
        |change: fn(&mut Entry)| move |name: Name<'_>| zip(&[stored(name("a.go"), b"package a\n").but_locally(change)]);
    bad("another local name", "disagrees with the directory on its name", &local(|it| it.name.push('x')));
    bad("another local method", "disagrees with the directory on its method", &local(|it| it.method = 8));
    bad("other local flags", "disagrees with the directory on its flags", &local(|it| it.flags = 1));
    bad("another local checksum", "disagrees with the directory on its checksum", &local(|it| it.crc ^= 1));
    bad("another local length", "disagrees with the directory on its length", &local(|it| it.unpacked += 1));
    bad("two files of one name", "more than once, and an h1: hash covers only the last of them", &|name| {
        zip(&[stored(name("a.go"), b"package evil\n"), stored(name("a.go"), b"package a\n")])
    });
}

fn version_of(module: &FixtureModule) -> ModuleVersion {
    ModuleVersion::parse(&format!("{}@{}", module.path, module.version)).unwrap()
}

#[test]
fn every_bad_zip_is_refused_with_the_reason() {
    for Bad { module, what, reason } in bad_zips() {
        let error = check_module_zip(&version_of(&module), &module.zip.to_vec()).unwrap_err().to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
}

/// So many zeros.
struct Zeros(u64);

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        if offset + buf.len() as u64 > self.0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[test]
fn the_limits_are_those_of_the_go_command_and_what_is_just_within_them_passes() {
    let module = version_of(&make_module("example.com/m", "v1.0.0", &[]));
    let refused = |size| check_module_zip(&module, &Zeros(size)).unwrap_err().to_string();
    assert_eq!(refused(MAX_ZIP + 1), "the zip has 524288001 bytes, more than the 524288000 that are allowed");
    assert!(refused(MAX_ZIP).starts_with("the bytes are not a zip"), "not its length is wrong");

    let declared = zip(&[Entry { unpacked: 500 << 20, ..deflated("example.com/m@v1.0.0/a.bin", b"") }]);
    assert_eq!(Archive::read(&declared).unwrap().unpacked(), MAX_ZIP);
    for (name, limit) in [("go.mod", MAX_GO_MOD), ("LICENSE", MAX_LICENSE)] {
        let most = vec![0; usize::try_from(limit).unwrap()];
        let whole = zip(&[deflated(format!("example.com/m@v1.0.0/{name}"), &most)]);
        assert_eq!(check_module_zip(&module, &whole).unwrap().unpacked, limit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_bad_zip_is_refused_with_the_reason_and_nothing_is_stored() {
    let bad = bad_zips();
    let modules: Vec<FixtureModule> = bad.iter().map(|bad| bad.module.clone()).collect();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for Bad { module, what, reason } in &bad {
        let got = seed.get(&file(module, ".zip")).await;
        assert_eq!(got.status, 503, "{what}: {}", got.text());
        assert!(got.text().contains(reason), "{what}: {}", got.text());
    }
    let long = make_module("example.com/long", "v1.0.0", &[]);
    upstream.add(&long);
    upstream.always(&file(&long, ".zip"), Fault::ContentLength((MAX_ZIP + 1).to_string()));
    let got = seed.get(&file(&long, ".zip")).await;
    assert_eq!(got.status, 503);
    assert!(got.text().contains("is over the limit of 524288000 bytes"), "{}", got.text());
    let store = seed.status().await.store;
    assert_eq!((store.zips, store.blobs), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_reader_may_be_given_is_refused_also_where_the_database_has_recorded_it() {
    let recordable = bad_zips().into_iter().filter(|bad| {
        // All those of which a hash can be computed.
        modswarm::domain::dirhash::H1::of_zip(&bad.module.zip.to_vec()).is_ok()
    });
    let bad: Vec<Bad> = recordable.collect();
    assert!(bad.iter().any(|bad| bad.what == "two files of one name"));
    let site =
        Site::with(bad.iter().map(|bad| bad.module.clone()).collect(), crate::sumdb::FixtureDb::with_records(9)).await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    for Bad { module, what, reason } in &bad {
        let got = seed.get(&file(module, ".zip")).await;
        assert_eq!(got.status, 503, "{what}: {}", got.text());
        assert!(got.text().contains(reason), "{what}: {}", got.text());
    }
    assert_eq!(seed.status().await.store.zips, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_bad_zip_is_refused_with_the_reason_however_consistent_its_manifest_is() {
    let liar = TestPeer::start().await;
    let bad = bad_zips();
    for Bad { module, .. } in &bad {
        // Blobs, recipe, length, BLAKE3 and, where there is one, h1: are those of the bad zip.
        liar.offer(module, |_| {});
    }
    let long = make_module("example.com/long", "v1.0.0", &[]);
    liar.offer(&long, |manifest| manifest.zip.as_mut().unwrap().len = MAX_ZIP + 1);
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, bad.len() as u64).await;
    for Bad { module, what, reason } in &bad {
        let got = node.get(&file(module, ".zip")).await;
        assert_eq!(got.status, 503, "{what}: {}", got.text());
        assert!(got.text().contains(reason), "{what}: {}", got.text());
        assert!(got.text().contains(&liar.id.to_string()), "{what}: it names the peer: {}", got.text());
    }
    assert_eq!(node.status().await.store.zips, 0);
    let got = node.get(&file(&long, ".zip")).await;
    assert_eq!(got.status, 503);
    assert!(got.text().contains("its zip is over 500 MiB"), "{}", got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_happen_to_be_here_are_no_go_mod_because_a_manifest_says_so() {
    let liar = TestPeer::start().await;
    let true_one = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    // A go.mod of this length stands in blobs, which are here already when the manifest comes: as a chunk of another zip.
    let forged = [b"module example.com/evil\n//".as_slice(), &[b'x'; 70_000]].concat();
    let carrier = zip(&[stored("example.com/carrier@v1.0.0/data", &forged)]);
    let carrier = FixtureModule { zip: carrier.into(), ..make_module("example.com/carrier", "v1.0.0", &[]) };
    liar.offer(&carrier, |_| {});
    let mut manifest = liar.manifest_of(&true_one, |_| true);
    let (len, ids) = (forged.len() as u64, vec![liar.hold(forged.clone())]);
    manifest.go_mod = modswarm::domain::manifest::GoMod::Blobs { len, ids };
    liar.offer_manifest(&manifest, Proof::None);
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 2).await;
    assert_eq!(node.get(&file(&carrier, ".zip")).await.body, carrier.zip);
    let got = node.get(&file(&true_one, ".mod")).await;
    assert!(got.body != forged, "forged bytes were served");
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("does not have the hash of its manifest"), "{}", got.text());
}
