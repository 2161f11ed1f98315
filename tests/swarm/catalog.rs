//! Catch-up and lookups.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use modswarm::domain::codec;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, ManifestId, Proof};
use modswarm::domain::module::{ModulePath, ModuleVersion, Version};
use modswarm::domain::trust::Trust;
use modswarm::engine::reconcile::{self, Encoder, Salt, Symbol};
use modswarm::transfer::digest::Digests;
use modswarm::transfer::wire::{Reply, Request, SketchPage};
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
    tokio::join!(node.fetcher.catalog_sync(from.id, local, Arc::default(), sink), collect)
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
        assert_eq!(report.extra, 1);
        assert!(report.rounds <= 4 && report.finding_bytes < 3000, "{report:?}");

        all[..20].iter().for_each(|one| insert(&b.held, one));
        insert(&a.held, &envelope("example.com/own@v1.0.0", 0));
        let (report, got) = sync(&b, &a).await;
        let report = report.unwrap();
        assert_eq!((report.rounds, report.envelopes, got.len()), (1, 0, 0));
        assert!(report.finding_bytes < 100, "equal catalogs cost {} bytes", report.finding_bytes);
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
        fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>> {
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

/// Stands for a node with a large catalog, without the work of making one.
fn hold_many(nodes: &[&Node], count: u32) {
    let module = ModuleVersion::parse("example.com/many@v1.0.0").unwrap();
    for n in 0..count {
        let id = ManifestId::of(&n.to_le_bytes());
        nodes.iter().for_each(|node| node.held.insert_envelope(id, &module, Bytes::new()));
    }
}

#[tokio::test]
async fn ten_of_many_thousand_are_found_for_the_price_of_ten() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        hold_many(&[&a, &b], 20_000);
        (0..10).for_each(|n| insert(&a.held, &envelope(&format!("example.com/m@v1.0.{n}"), 0)));
        let (report, got) = sync(&b, &a).await;
        let report = report.unwrap();
        assert_eq!(got.len(), 10);
        assert!(report.rounds <= 4 && report.finding_bytes <= 4096, "{report:?}");
        // The other way round nothing is fetched, and that costs no more.
        let (report, got) = sync(&a, &b).await;
        let report = report.unwrap();
        assert_eq!((got.len(), report.extra, report.envelopes), (0, 10, 0));
        assert!(report.finding_bytes <= 4096, "{report:?}");
    })
    .await;
}

#[tokio::test]
async fn thousands_of_missing_manifests_cost_little_beside_themselves() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        hold_many(&[&a, &b], 3_000);
        (0..2_000).for_each(|n| insert(&a.held, &envelope(&format!("example.com/m@v1.0.{n}"), 1000)));
        let (report, got) = sync(&b, &a).await;
        let report = report.unwrap();
        assert_eq!((got.len(), report.envelopes), (2_000, 2_000));
        assert!(report.finding_bytes * 10 <= 3 * report.envelope_bytes && report.rounds <= 4, "{report:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_left_out_is_not_fetched() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let all: Vec<_> = (0..5).map(|n| envelope(&format!("example.com/m@v1.0.{n}"), 0)).collect();
        all.iter().for_each(|one| insert(&a.held, one));
        let left_out: Arc<[ManifestId]> = all[1..].iter().map(|(id, ..)| *id).collect();
        let (sink, mut envelopes) = mpsc::channel(8);
        let report = b.fetcher.catalog_sync(a.id, Arc::clone(&b.held) as Arc<dyn Held>, left_out, sink).await;
        assert_eq!(report.unwrap().envelopes, 1);
        assert_eq!(envelopes.recv().await, Some(all[0].2.clone()));
        assert_eq!(envelopes.recv().await, None);
    })
    .await;
}

/// A page of symbols, as a server would send it.
fn page(total: u64, symbols: &[Symbol]) -> Vec<u8> {
    let symbols = reconcile::pack(0, total, symbols);
    codec::encode(&SketchPage::Symbols { salt: [7; 16], total, symbols })
}

#[tokio::test]
async fn a_catalog_that_cannot_be_is_a_lie_that_names_its_peer() {
    type Lie = fn(&[u8; 16]) -> Vec<u8>;
    let table: [(Lie, &str); 5] = [
        (|_| b"nonsense".to_vec(), "a summary of its catalog cannot be read: bytes are"),
        (|_| page(0, &[]), "its summary of its catalog is of no catalog: it has no symbols"),
        (
            |_| codec::encode(&SketchPage::Symbols { salt: [7; 16], total: 1, symbols: vec![1; 16] }),
            "a summary of its catalog is not what was asked for",
        ),
        (
            |_| page(u64::MAX, &[Symbol { keys: 1, checks: 1, count: i64::MAX }]),
            "its summary of its catalog is of no catalog: it says that it has more manifests than there can be",
        ),
        (
            |_| page(3, &[Symbol { keys: 1, checks: 1, count: 3 }; 200]),
            "its summary of its catalog is of no catalog: no catalogs of these sizes differ so much",
        ),
    ];
    within(async {
        for (lie, told) in table {
            let liar = super::common::mute(libp2p::identity::Keypair::generate_ed25519(), ANY, &[]).await;
            speak(&liar, move |mut raw| async move {
                while let Ok(Some(request)) = raw.reader.request().await {
                    match request {
                        Request::Sketch { request, nonce, .. } => raw.piece(request, 0, &lie(&nonce)).await,
                        other => raw.say(Reply::Missing { request: other.number(), index: 0 }).await,
                    }
                }
            });
            let node = node(&[liar.address()]).await;
            node.connected_to(1).await;
            let err = sync(&node, &liar).await.0.unwrap_err().to_string();
            let begins = format!("peer {} gave a false answer: {told}", liar.id);
            assert!(err.starts_with(&begins), "{err}\n{begins}");
        }
    })
    .await;
}

#[tokio::test]
async fn another_manifest_than_the_key_names_is_forged() {
    within(async {
        let liar = super::common::mute(libp2p::identity::Keypair::generate_ed25519(), ANY, &[]).await;
        let (told, sent) = (envelope("example.com/m@v1.0.0", 0), envelope("example.com/m@v1.0.1", 0));
        let (id, bytes) = (told.0, sent.2.clone());
        speak(&liar, move |mut raw| {
            let bytes = bytes.clone();
            async move {
                while let Ok(Some(request)) = raw.reader.request().await {
                    match request {
                        Request::Sketch { request, nonce, .. } => {
                            let salt = Salt::new(&nonce, &[7; 16]);
                            let symbols = Encoder::new(&salt, vec![salt.key(&id)]).symbols(32);
                            raw.piece(request, 0, &page(1, &symbols)).await;
                        }
                        Request::EnvelopesByKey { request, .. } => raw.piece(request, 0, &bytes).await,
                        other => raw.say(Reply::Missing { request: other.number(), index: 0 }).await,
                    }
                }
            }
        });
        let node = node(&[liar.address()]).await;
        node.connected_to(1).await;
        let (report, got) = sync(&node, &liar).await;
        assert!(matches!(report, Err(CatalogError::Forged { peer, .. }) if peer == liar.id), "{report:?}");
        assert!(got.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_is_busy_is_asked_again_and_then_left_in_peace() {
    within(async {
        let busy = super::common::mute(libp2p::identity::Keypair::generate_ed25519(), ANY, &[]).await;
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        speak(&busy, move |mut raw| {
            let count = Arc::clone(&count);
            async move {
                while let Ok(Some(request)) = raw.reader.request().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    raw.piece(request.number(), 0, &codec::encode(&SketchPage::Busy)).await;
                }
            }
        });
        let node = node(&[busy.address()]).await;
        node.connected_to(1).await;
        let err = sync(&node, &busy).await.0.unwrap_err();
        assert!(matches!(err, CatalogError::Busy { .. }) && !node.fetcher.is_banned(&busy.id), "{err}");
        assert_eq!(asked.load(Ordering::Relaxed), modswarm::transfer::limits::COMPARE_TRIES);
    })
    .await;
}
