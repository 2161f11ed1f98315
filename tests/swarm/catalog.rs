//! Catch-up and lookups.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, ManifestId, Proof};
use modswarm::domain::module::{ModulePath, ModuleVersion, Version};
use modswarm::domain::trust::Trust;
use modswarm::transfer::digest::Digests;
use modswarm::transfer::wire::{BucketPage, Reply, Request};
use modswarm::transfer::{CatalogError, Held, MemoryHeld, ServeLimits};
use modswarm::verified::VerifiedManifest;
use tokio::sync::mpsc;

use super::common::{ANY, Node, node, serving, speak, within};

fn envelope(text: &str, info: usize) -> (ManifestId, ModuleVersion, Bytes) {
    let module = ModuleVersion::parse(text).unwrap();
    let go_mod = format!("module {}\n", module.path).into_bytes();
    let manifest = Manifest {
        module: module.clone(),
        // Padded to a length of interest.
        info: if info == 0 { vec![] } else { format!("{{\"Version\":\"{}\"}}{:info$}", module.version, "").into() },
        go_mod_h1: H1::of_go_mod(&go_mod),
        go_mod: GoMod::Inline(go_mod),
        zip: None,
    };
    let envelope = Envelope { manifest: manifest.encode(), proof: Proof::None };
    (manifest.id(), module, envelope.encode().into())
}

fn insert(held: &MemoryHeld, (id, module, bytes): &(ManifestId, ModuleVersion, Bytes)) {
    held.insert_envelope(*id, module, bytes.clone());
}

async fn sync(node: &Node, from: &Node) -> (Result<modswarm::transfer::SyncReport, CatalogError>, Vec<ManifestId>) {
    let (sink, mut envelopes) = mpsc::channel(4);
    let local = Arc::clone(&node.held) as Arc<dyn Held>;
    let collect = async {
        let mut ids = Vec::new();
        while let Some(bytes) = envelopes.recv().await {
            ids.push(VerifiedManifest::check(bytes, &Trust::open()).unwrap().id());
        }
        ids.sort_unstable();
        ids
    };
    tokio::join!(node.fetcher.catalog_sync(from.id, local, sink), collect)
}

#[tokio::test]
async fn catch_up_fetches_what_is_missing_and_nothing_else() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let all: Vec<_> = (0..600).map(|n| envelope(&format!("example.com/m{}@v1.0.{n}", n % 7), 0)).collect();
        all.iter().for_each(|one| insert(&a.held, one));
        all.iter().skip(20).for_each(|one| insert(&b.held, one));
        insert(&b.held, &envelope("example.com/own@v1.0.0", 0));
        let (report, got) = sync(&b, &a).await;
        let mut wanted: Vec<ManifestId> = all[..20].iter().map(|(id, ..)| *id).collect();
        wanted.sort_unstable();
        assert_eq!(got, wanted);
        let report = report.unwrap();
        assert_eq!((report.envelopes, report.gone, report.unreadable), (20, 0, 0));
        assert!((1..=21).contains(&report.buckets), "{report:?}");

        all[..20].iter().for_each(|one| insert(&b.held, one));
        insert(&a.held, &envelope("example.com/own@v1.0.0", 0));
        let (report, got) = sync(&b, &a).await;
        assert_eq!((report.unwrap(), got.len()), (modswarm::transfer::SyncReport::default(), 0));
    })
    .await;
}

#[tokio::test]
async fn large_envelopes_come_in_several_portions() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        (0..60).for_each(|n| insert(&a.held, &envelope(&format!("example.com/m@v1.0.{n}"), 60_000)));
        let (report, got) = sync(&b, &a).await;
        assert_eq!((report.unwrap().envelopes, got.len()), (60, 60));
    })
    .await;
}

#[tokio::test]
async fn a_lookup_keeps_miss_and_failure_apart() {
    struct Broken;
    impl Held for Broken {
        fn blobs(&self, _: &[ManifestId], _: usize) -> io::Result<Vec<Option<Bytes>>> {
            Err(io::Error::other("disk"))
        }
        fn digests(&self) -> io::Result<Digests> {
            Err(io::Error::other("disk"))
        }
        fn bucket(&self, _: u8) -> io::Result<Vec<ManifestId>> {
            Err(io::Error::other("disk"))
        }
        fn envelopes(&self, _: &[ManifestId], _: usize) -> io::Result<Vec<Option<Bytes>>> {
            Err(io::Error::other("disk"))
        }
        fn lookup(&self, _: &ModuleVersion) -> io::Result<Option<Bytes>> {
            Err(io::Error::other("disk"))
        }
        fn versions(&self, _: &ModulePath) -> io::Result<Vec<Version>> {
            Err(io::Error::other("disk"))
        }
    }
    within(async {
        let (has, lacks) = (node(&[]).await, node(&[]).await);
        let broken = serving(&[], Arc::new(Broken), Arc::default(), ServeLimits::default()).await;
        let asker = node(&[has.address(), lacks.address(), broken.address()]).await;
        asker.connected_to(3).await;
        let one = envelope("example.com/m@v1.2.3", 0);
        insert(&has.held, &one);
        insert(&has.held, &envelope("example.com/m@v1.3.0", 0));
        let asked = asker.fetcher.lookup(&one.1).await;
        assert_eq!((asked.found, asked.missing), (vec![(has.id, one.2.clone())], vec![lacks.id]));
        assert!(matches!(asked.failed[..], [CatalogError::Failed { peer }] if peer == broken.id));
        let asked = asker.fetcher.versions(&one.1.path).await;
        let versions = ["v1.2.3", "v1.3.0"].map(|text| Version::parse(text).unwrap()).to_vec();
        assert_eq!((asked.found, asked.missing), (vec![(has.id, versions)], vec![lacks.id]));
        assert_eq!(asked.failed[0].to_string(), format!("peer {} could not read its store", broken.id));
        let err = sync(&asker, &broken).await.0.unwrap_err();
        assert!(matches!(err, CatalogError::Failed { .. }), "{err}");
    })
    .await;
}

#[tokio::test]
async fn a_catalog_that_cannot_be_is_a_lie_that_names_its_peer() {
    within(async {
        let identity = libp2p::identity::Keypair::generate_ed25519();
        let liar = super::common::mute(identity, ANY, &[]).await;
        // Every bucket differs, and every one lists an id of another bucket.
        speak(&liar, |mut raw| async move {
            while let Ok(Some(request)) = raw.reader.request().await {
                match request {
                    Request::Digests { request } => raw.piece(request, 0, &[1; 2048]).await,
                    Request::Bucket { request, bucket, .. } => {
                        let ids = vec![ManifestId::from_bytes([bucket.wrapping_add(1); 32])];
                        let page = modswarm::domain::codec::encode(&BucketPage { ids, more: false });
                        raw.piece(request, 0, &page).await;
                    }
                    other => raw.say(Reply::Missing { request: other.number(), index: 0 }).await,
                }
            }
        });
        let node = node(&[liar.address()]).await;
        node.connected_to(1).await;
        let err = sync(&node, &liar).await.0.unwrap_err();
        assert_eq!(
            err.to_string(),
            format!("peer {} gave a false answer: a page of its catalog is out of order", liar.id)
        );
    })
    .await;
}
