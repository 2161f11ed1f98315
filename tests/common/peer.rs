//! A peer that is no node: it speaks the real protocols and offers what a test gives it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use bincode::Encode;
use bytes::Bytes;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use modswarm::domain::blob::BlobId;
use modswarm::domain::codec;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, ManifestId, Proof, ZipRef};
use modswarm::domain::module::{ModulePath, ModuleVersion, Version};
use modswarm::domain::recipe::split;
use modswarm::domain::sumdb::state::StateId;
use modswarm::swarm::{self, SwarmConfig, SwarmHandle, SwarmNews};
use modswarm::transfer::digest::Digests;
use modswarm::transfer::{self, Held, MemoryHeld, ServeLimits, Traffic};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::FixtureModule;
use super::node::WATCHDOG;

/// A program that speaks the real protocols and offers what it was given.
pub struct TestPeer {
    /// What `--peer` of a node takes.
    pub address: String,
    /// Its identity.
    pub id: PeerId,
    /// Its network: for more protocols than those of the catalog.
    pub swarm: SwarmHandle,
    /// Stops what was added to it.
    pub stop: CancellationToken,
    held: Arc<Offers>,
    /// How many have subscribed to its announcements so far.
    subscribed: watch::Receiver<usize>,
    _stop: DropGuard,
}

/// What it answers questions from.
#[derive(Default)]
struct Offers {
    memory: MemoryHeld,
    /// By name and key hash of the checksum database.
    states: Mutex<HashMap<String, StateId>>,
    /// Blobs that somebody wanted.
    wanted: watch::Sender<HashSet<BlobId>>,
}

/// A gossip message, as nodes encode it.
#[derive(Encode)]
pub enum Announcement {
    /// An encoded envelope.
    Envelope(Vec<u8>),
    /// A manifest to be asked for.
    Id(ManifestId),
    /// A state of a checksum database.
    Sumdb {
        /// Name of the database and hash of its key.
        database: String,
        /// Which state.
        state: StateId,
    },
}

impl TestPeer {
    /// Starts it on a free port; it runs until it is dropped.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`TestPeer::start`], with peers to connect to.
    pub async fn start_with(peers: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let config = SwarmConfig {
            identity: Keypair::generate_ed25519(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            mdns: false,
            beacon: None,
            remember: None,
        };
        let (swarm, mut news, _) = swarm::start(config, stop.clone()).await.unwrap();
        let held = Arc::new(Offers::default());
        transfer::serve(swarm.stream_control(), held.clone(), ServeLimits::default(), Traffic::new(), stop.clone())
            .unwrap();
        let address = swarm.listen_addrs()[0].to_string();
        let (count, subscribed) = watch::channel(0);
        tokio::spawn(async move {
            while let Some(news) = news.recv().await {
                if let SwarmNews::Subscribed(_) = news {
                    count.send_modify(|count| *count += 1);
                }
            }
        });
        let id = swarm.local_peer_id();
        Self { address, id, swarm, stop: stop.clone(), held, subscribed, _stop: stop.drop_guard() }
    }

    /// Offers `module` with the blobs of its zip, after `lie` has had its way with the manifest.
    pub fn offer(&self, module: &FixtureModule, lie: impl FnOnce(&mut Manifest)) {
        self.offer_some(module, |_| true, lie);
    }

    /// Offers `module` with the proof that `prove` makes for its manifest.
    pub fn offer_proven(&self, module: &FixtureModule, prove: impl FnOnce(&Manifest) -> Proof) {
        let manifest = self.manifest_of(module, |_| true);
        let proof = prove(&manifest);
        self.offer_manifest(&manifest, proof);
    }

    /// Offers `module` as [`TestPeer::offer`] does, but holds only those of its blobs that `has` names, by their place.
    pub fn offer_some(&self, module: &FixtureModule, has: impl Fn(usize) -> bool, lie: impl FnOnce(&mut Manifest)) {
        let mut manifest = self.manifest_of(module, has);
        lie(&mut manifest);
        self.offer_manifest(&manifest, Proof::None);
    }

    /// The true manifest of `module`, and holds the blobs of its zip.
    pub fn manifest_of(&self, module: &FixtureModule, has: impl Fn(usize) -> bool) -> Manifest {
        let mut place = 0;
        manifest_of(module, |blob| {
            if has(place) {
                self.hold(blob);
            }
            place += 1;
        })
    }

    /// Offers a manifest, whatever is in it, and gives its encoded envelope.
    pub fn offer_manifest(&self, manifest: &Manifest, proof: Proof) -> Bytes {
        let envelope: Bytes = Envelope { manifest: manifest.encode(), proof }.encode().into();
        self.held.memory.insert_envelope(manifest.id(), &manifest.module, envelope.clone());
        envelope
    }

    /// Holds a blob.
    pub fn hold(&self, bytes: Vec<u8>) -> BlobId {
        self.held.memory.insert_blob(bytes.into())
    }

    /// Says that it has this state of a checksum database.
    pub fn offer_state(&self, database: &str, state: StateId) {
        self.held.states.lock().unwrap().insert(database.into(), state);
    }

    /// Waits until somebody has asked for this blob.
    pub async fn was_asked_for(&self, id: BlobId) {
        let mut wanted = self.held.wanted.subscribe();
        let asked = tokio::time::timeout(WATCHDOG, wanted.wait_for(|wanted| wanted.contains(&id))).await;
        asked.expect("nobody has asked").unwrap();
    }

    /// Gossips, when somebody listens.
    pub async fn announce(&self, announcement: &Announcement) {
        let mut subscribed = self.subscribed.clone();
        let heard = tokio::time::timeout(WATCHDOG, subscribed.wait_for(|count| *count > 0)).await;
        heard.expect("nobody has subscribed").unwrap();
        self.swarm.announce(codec::encode(announcement).into()).unwrap();
    }
}

impl Held for Offers {
    fn blobs(&self, ids: &[BlobId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        self.wanted.send_modify(|wanted| wanted.extend(ids));
        self.memory.blobs(ids, budget)
    }

    fn digests(&self) -> io::Result<Digests> {
        self.memory.digests()
    }

    fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>> {
        self.memory.manifest_ids()
    }

    fn envelopes(&self, ids: &[ManifestId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        self.memory.envelopes(ids, budget)
    }

    fn lookup(&self, module: &ModuleVersion) -> io::Result<Option<Bytes>> {
        self.memory.lookup(module)
    }

    fn versions(&self, module: &ModulePath) -> io::Result<Vec<Version>> {
        self.memory.versions(module)
    }

    fn sumdb_state(&self, database: &str) -> io::Result<Option<Bytes>> {
        Ok(self.states.lock().unwrap().get(database).map(|state| state.encode().into()))
    }
}

/// The manifest of a module version; `emit` gets the blobs of its zip, one after the other. A zip whose `h1:` cannot be
/// computed claims one of zeros.
pub fn manifest_of(module: &FixtureModule, mut emit: impl FnMut(Vec<u8>)) -> Manifest {
    let version = ModuleVersion::parse(&format!("{}@{}", module.path, module.version)).unwrap();
    let zip = module.zip.to_vec();
    let done = split(&version, &zip, &mut |_: BlobId, bytes: Vec<u8>| {
        emit(bytes);
        Ok::<(), ()>(())
    })
    .unwrap();
    let h1 = H1::of_zip(&zip).unwrap_or(H1::from_bytes([0; 32]));
    let zip = ZipRef { h1, len: done.len, blake3: done.blake3, pages: done.pages };
    Manifest {
        module: version,
        info: module.info.to_vec(),
        go_mod: GoMod::Inline(module.go_mod.to_vec()),
        go_mod_h1: H1::of_go_mod(&module.go_mod),
        zip: Some(zip),
    }
}

/// An envelope that no database has proven.
pub fn unproven(manifest: &Manifest) -> Bytes {
    Envelope { manifest: manifest.encode(), proof: Proof::None }.encode().into()
}
