//! Manifests that lie, from a peer, with everything about them consistent that can be made so.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{GoMod, Manifest, Proof};
use modswarm::domain::note::Signer;
use modswarm::domain::sumdb::SumdbProof;

use crate::common::peer::{Announcement, TestPeer};
use crate::common::{FixtureModule, make_module};
use crate::site::{Site, file, record};
use crate::sumdb::{FixtureDb, NAME};
use crate::victim::{Victim, honest_seed};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Lie {
    /// A changed zip, and nothing to prove it.
    Unproven,
    /// A changed zip with the proof of the true one.
    TrueProof,
    /// A changed zip with the proof of another module: a valid record, in its place in the log.
    OtherModule,
    /// A changed zip, recorded by a database of the same name with another key.
    OtherKey,
    /// A record made for the changed zip, at the place of another module's in the true log.
    SwappedRecord,
    /// The true record, at the place of another module's.
    SwappedPlace,
    /// The true zip under a head of which one bit is another.
    FlippedHead,
    /// The true zip with a path of which one bit is another.
    FlippedPath,
    /// The hashes of the true zip with their proof, and a recipe that makes the changed one.
    TrueHashes,
    /// Another go.mod, with the proof of the true one, and no zip.
    GoMod,
    /// The hash of the true go.mod with its proof, and blobs that make another one.
    LongGoMod,
    /// A version that does not exist.
    NoVersion,
    /// A version that does not exist, with the proof of one that does.
    NoVersionOtherProof,
    /// A version that does not exist, recorded by a database of the same name with another key.
    NoVersionOtherKey,
}

const ALL: [Lie; 14] = [
    Lie::Unproven,
    Lie::TrueProof,
    Lie::OtherModule,
    Lie::OtherKey,
    Lie::SwappedRecord,
    Lie::SwappedPlace,
    Lie::FlippedHead,
    Lie::FlippedPath,
    Lie::TrueHashes,
    Lie::GoMod,
    Lie::LongGoMod,
    Lie::NoVersion,
    Lie::NoVersionOtherProof,
    Lie::NoVersionOtherKey,
];

/// Nodes that are attacked at a time.
const AT_ONCE: usize = 5;

/// A lie as it is told.
struct Told {
    /// What it is about.
    about: FixtureModule,
    manifest: Manifest,
    envelope: Bytes,
}

impl Lie {
    /// What the log says of it.
    fn reason(self) -> &'static str {
        match self {
            Self::Unproven | Self::NoVersion => "comes without a proof",
            Self::TrueProof => "the zip of example.com/lib@v1.0.0 hashes to",
            Self::OtherModule => "does not have exactly the lines of example.com/lib@v1.0.0",
            Self::OtherKey | Self::NoVersionOtherKey => "no known key has signed the note",
            Self::SwappedRecord | Self::SwappedPlace | Self::FlippedPath => "as the proof says: the proof was forged",
            Self::FlippedHead => "does not fit the note: the note was changed or forged",
            Self::GoMod => "the go.mod of example.com/lib@v1.0.0 hashes to",
            Self::TrueHashes | Self::LongGoMod => "sent does not have the hash of its manifest",
            Self::NoVersionOtherProof => "does not have exactly the lines of example.com/lib@v1.9.9",
        }
    }

    /// Whether the manifest alone shows it. Otherwise only what it names does, and who passed it on may not have known.
    fn shows_at_the_door(self) -> bool {
        !matches!(self, Self::TrueHashes | Self::LongGoMod)
    }

    fn is_of_no_version(self) -> bool {
        matches!(self, Self::NoVersion | Self::NoVersionOtherProof | Self::NoVersionOtherKey)
    }

    /// Lets `liar` offer it.
    fn tell(self, site: &Site, liar: &TestPeer) -> Told {
        let good = &site.modules[0];
        let version = if self.is_of_no_version() { "v1.9.9" } else { &good.version };
        let evil = b"package lib\n\nfunc init() { panic(\"not the author's\") }\n".as_slice();
        let changed = make_module(&good.path, version, &[("lib.go", evil), ("go.mod", &good.go_mod)]);
        let mut manifest = liar.manifest_of(&changed, |_| true);
        let truth = || site.db.read().unwrap().proof_of("example.com/lib@v1.0.0");
        let other = || site.db.read().unwrap().proof_of("example.com/Upper@v0.1.0");
        let good_h1 = H1::of_zip(&good.zip.to_vec()).unwrap();
        let proof = match self {
            Self::Unproven | Self::NoVersion => None,
            Self::TrueProof => Some(truth()),
            Self::OtherModule => Some(other()),
            Self::OtherKey | Self::NoVersionOtherKey => Some(recorded_by_a_stranger(&changed)),
            Self::SwappedRecord => Some(SumdbProof { record: recorded_by_a_stranger(&changed).record, ..other() }),
            Self::SwappedPlace => {
                manifest = liar.manifest_of(good, |_| true);
                Some(SumdbProof { record: truth().record, ..other() })
            }
            Self::FlippedHead | Self::FlippedPath => {
                manifest = liar.manifest_of(good, |_| true);
                let mut proof = truth();
                if self == Self::FlippedHead {
                    // In the number of records.
                    proof.head[22] ^= 1;
                } else {
                    proof.path.swap(0, 1);
                }
                Some(proof)
            }
            Self::TrueHashes => {
                manifest.zip.as_mut().unwrap().h1 = good_h1;
                Some(truth())
            }
            Self::GoMod => {
                let forged = b"module example.com/lib\n\nrequire example.com/evil v1.0.0\n";
                manifest.go_mod = GoMod::Inline(forged.to_vec());
                manifest.go_mod_h1 = H1::of_go_mod(forged);
                manifest.zip = None;
                Some(truth())
            }
            Self::LongGoMod => {
                let forged = [b"module example.com/evil\n//".as_slice(), &[b'x'; 70_000]].concat();
                manifest.go_mod = GoMod::Blobs { len: forged.len() as u64, ids: vec![liar.hold(forged)] };
                manifest.zip = None;
                Some(truth())
            }
            Self::NoVersionOtherProof => Some(site.db.read().unwrap().proof_of("example.com/lib@v1.1.0")),
        };
        let envelope = liar.offer_manifest(&manifest, proof.map_or(Proof::None, Proof::Sumdb));
        Told { about: changed, manifest, envelope }
    }
}

/// The proof of a database with the name of the true one and a key of its own.
fn recorded_by_a_stranger(module: &FixtureModule) -> SumdbProof {
    let mut stranger = FixtureDb::signed_by(Signer::from_secret(NAME, [1; 32]).unwrap());
    (0..5).for_each(|n| _ = stranger.add_filler(n));
    record(&mut stranger, module);
    stranger.proof_of(&format!("{}@{}", module.path, module.version))
}

/// Runs `attack` for each lie, some at a time: most of it is waiting.
async fn each<F: Future<Output = ()>>(lies: impl IntoIterator<Item = Lie>, attack: impl Fn(Lie) -> F) {
    stream::iter(lies).map(attack).buffer_unordered(AT_ONCE).collect().await
}

/// A node that has heard the lie from `liar` and from nobody else.
async fn told(lie: Lie, site: &Site, liar: &TestPeer) -> Victim {
    let victim = Victim::meets(site, liar).await;
    if lie.shows_at_the_door() {
        // When the catalogs are compared.
        victim.blames(liar, lie.reason()).await;
    } else {
        victim.node.wait_until(|status| status.store.versions == 1).await;
    }
    victim
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_lie_reaches_a_client_where_only_a_liar_is_connected() {
    let site = Site::start().await;
    let attack = async |lie: Lie| {
        let liar = TestPeer::start().await;
        let Told { about, .. } = lie.tell(&site, &liar);
        let victim = told(lie, &site, &liar).await;
        let end = if lie == Lie::LongGoMod { ".mod" } else { ".zip" };
        let got = victim.get(&file(&about, end)).await;
        assert_eq!(got.status, 503, "{lie:?}: that somebody lies is no miss: {}", got.text());
        assert!(got.text().contains(lie.reason()), "{lie:?}: {}", got.text());
        victim.blames(&liar, lie.reason()).await;
        if lie.shows_at_the_door() {
            victim.bans(&liar).await;
            assert_eq!(victim.node.status().await.store.versions, 0, "{lie:?}");
        } else {
            // It stays connected, and its lie stays no miss.
            let got = victim.get(&file(&about, end)).await;
            assert_eq!(got.status, 503, "{lie:?}: {}", got.text());
            assert!(got.text().contains("was found to be wrong before"), "{lie:?}: {}", got.text());
        }
        victim.says_only_the_truth(&site, &about).await;
        assert_ne!(victim.go_gets(&site, &about).await, Some(true), "{lie:?}");
        assert_eq!(victim.node.status().await.store.zips, 0, "{lie:?}");
    };
    each(ALL, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_true_version_comes_from_an_honest_node_whatever_the_liar_said_first() {
    let site = Site::start().await;
    let attack = async |lie: Lie| {
        let liar = TestPeer::start().await;
        let Told { about, .. } = lie.tell(&site, &liar);
        let victim = told(lie, &site, &liar).await;
        let seed = honest_seed(&site, &victim).await;
        victim.node.wait_until(|status| status.store.versions == 3).await;
        for module in &site.modules {
            for (end, truth) in [(".zip", &module.zip), (".mod", &module.go_mod), (".info", &module.info)] {
                let got = victim.get(&file(module, end)).await;
                assert_eq!(got.status, 200, "{lie:?}, {}: {}", file(module, end), got.text());
                assert!(got.body == *truth, "{lie:?}, {}", file(module, end));
            }
        }
        victim.says_only_the_truth(&site, &about).await;
        if let Some(got) = victim.go_gets(&site, &about).await {
            assert_eq!(got, !lie.is_of_no_version(), "{lie:?}");
        }
        // A manifest with a zip takes the place of one without, so nobody ever looks at the blobs of that go.mod.
        if lie != Lie::LongGoMod {
            victim.blames(&liar, lie.reason()).await;
        }
        assert_eq!(victim.node.status().await.store.zips, 3, "{lie:?}");
        seed.stop().await;
    };
    each(ALL, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_that_is_gossiped_is_refused_like_one_that_is_asked_for() {
    let site = Site::start().await;
    let attack = async |lie: Lie| {
        for whole in [true, false] {
            let liar = TestPeer::start().await;
            // It has nothing in its catalog yet.
            let victim = Victim::meets(&site, &liar).await;
            let Told { manifest, envelope, about } = lie.tell(&site, &liar);
            let announcement =
                if whole { Announcement::Envelope(envelope.to_vec()) } else { Announcement::Id(manifest.id()) };
            liar.announce(&announcement).await;
            victim.blames(&liar, lie.reason()).await;
            let got = victim.get(&file(&about, ".mod")).await;
            // When the comparison of catalogs has found it too, the liar is out already, and nobody is left to ask.
            assert!([404, 503].contains(&got.status), "{lie:?}: {}", got.text());
            victim.bans(&liar).await;
            assert_eq!(victim.node.status().await.store.versions, 0, "{lie:?}");
        }
    };
    each(ALL.into_iter().filter(|lie| lie.shows_at_the_door()), attack).await;
}
