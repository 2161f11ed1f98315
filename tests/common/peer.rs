//! A peer that is no node: it speaks the real protocols and offers what a test gives it.

use std::sync::Arc;

use bytes::Bytes;
use libp2p::identity::Keypair;
use modswarm::domain::blob::BlobId;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, Proof, ZipRef};
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::recipe::split;
use modswarm::swarm::{self, SwarmConfig};
use modswarm::transfer::{self, MemoryHeld, ServeLimits, Traffic};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::FixtureModule;

/// A program that speaks the real protocols and offers what it was given.
pub struct TestPeer {
    /// What `--peer` of a node takes.
    pub address: String,
    held: Arc<MemoryHeld>,
    _stop: DropGuard,
}

impl TestPeer {
    /// Starts it on a free port; it runs until it is dropped.
    pub async fn start() -> Self {
        let stop = CancellationToken::new();
        let config = SwarmConfig {
            identity: Keypair::generate_ed25519(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            peers: vec![],
            mdns: false,
        };
        let (swarm, mut news, _) = swarm::start(config, stop.clone()).await.unwrap();
        let held = Arc::new(MemoryHeld::new());
        transfer::serve(swarm.stream_control(), held.clone(), ServeLimits::default(), Traffic::new(), stop.clone())
            .unwrap();
        let address = swarm.listen_addrs()[0].to_string();
        tokio::spawn(async move {
            let _swarm = swarm;
            while news.recv().await.is_some() {}
        });
        Self { address, held, _stop: stop.drop_guard() }
    }

    /// Offers `module` with the blobs of its zip, after `lie` has had its way with the manifest.
    pub fn offer(&self, module: &FixtureModule, lie: impl FnOnce(&mut Manifest)) {
        self.offer_some(module, |_| true, lie);
    }

    /// Offers `module` as [`TestPeer::offer`] does, but holds only those of its blobs that `has` names, by their place.
    pub fn offer_some(&self, module: &FixtureModule, has: impl Fn(usize) -> bool, lie: impl FnOnce(&mut Manifest)) {
        let version = ModuleVersion::parse(&format!("{}@{}", module.path, module.version)).unwrap();
        let zip = module.zip.to_vec();
        let mut place = 0;
        let done = split(&version, &zip, &mut |_: BlobId, bytes: Vec<u8>| {
            if has(place) {
                self.held.insert_blob(bytes.into());
            }
            place += 1;
            Ok::<(), ()>(())
        })
        .unwrap();
        let zip = ZipRef { h1: H1::of_zip(&zip).unwrap(), len: done.len, blake3: done.blake3, pages: done.pages };
        let mut manifest = Manifest {
            module: version,
            info: module.info.to_vec(),
            go_mod: GoMod::Inline(module.go_mod.to_vec()),
            go_mod_h1: H1::of_go_mod(&module.go_mod),
            zip: Some(zip),
        };
        lie(&mut manifest);
        let envelope: Bytes = Envelope { manifest: manifest.encode(), proof: Proof::None }.encode().into();
        self.held.insert_envelope(manifest.id(), &manifest.module, envelope);
    }
}
