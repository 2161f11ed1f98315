//! Seeking what the catalog knows and no neighbour holds, and answering those who seek. Who answers is for
//! [`engine::seek`](crate::engine::seek) to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::future::BoxFuture;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::announcement::Announcement;
use super::flood::Bucket;
use super::limits;
use crate::domain::manifest::{Envelope, Manifest, ManifestId};
use crate::engine::seek::{Heard, Seeks, Wanted};
use crate::mirror::{Intake, Seek};
use crate::swarm::{SwarmHandle, Verdict};

/// Seeks versions by announcements.
pub struct Seeker {
    swarm: SwarmHandle,
    allowance: Mutex<Bucket>,
}

impl Seeker {
    /// On this network.
    #[must_use]
    pub fn new(swarm: SwarmHandle) -> Self {
        let allowance = Bucket::new(limits::SEEK_BURST, limits::SEEK_RATE, Instant::now());
        Self { swarm, allowance: Mutex::new(allowance) }
    }

    async fn run(&self, id: ManifestId) -> bool {
        let mut connected = self.swarm.connected();
        let before = connected.borrow_and_update().clone();
        let may = || self.allowance.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if before.is_empty() || !may() {
            return false;
        }
        let addresses = self.swarm.listen_addrs();
        let near = addresses.iter().filter(|address| is_near(address)).take(limits::SEEK_ADDRESSES);
        let addresses: Vec<Vec<u8>> = near.map(Multiaddr::to_vec).collect();
        if addresses.is_empty() {
            return false;
        }
        let seeker = self.swarm.local_peer_id().to_bytes();
        let seek = Announcement::Seek { id, seeker, addresses, nonce: rand::random() };
        if self.swarm.announce(seek.encode()).is_err() {
            return false;
        }
        tracing::debug!(manifest = %id, "no neighbour has it; the site is asked");
        let came = connected.wait_for(|now| now.iter().any(|peer| !before.contains(peer)));
        matches!(tokio::time::timeout(limits::SEEK, came).await, Ok(Ok(_)))
    }
}

impl Seek for Seeker {
    fn seek(&self, id: ManifestId) -> BoxFuture<'_, bool> {
        Box::pin(self.run(id))
    }
}

/// A seek, as it was read.
pub(super) struct Sought {
    id: ManifestId,
    seeker: PeerId,
    addresses: Vec<Multiaddr>,
    wanted: Wanted,
}

impl Sought {
    /// `None` for what no node says.
    pub(super) fn read(id: ManifestId, seeker: &[u8], addresses: Vec<Vec<u8>>) -> Option<Self> {
        if addresses.is_empty() || addresses.len() > limits::SEEK_ADDRESSES {
            return None;
        }
        let addresses: Option<Vec<Multiaddr>> =
            addresses.into_iter().map(|address| Multiaddr::try_from(address).ok()).collect();
        let addresses = addresses.filter(|addresses| addresses.iter().all(is_near))?;
        Some(Self { id, seeker: PeerId::from_bytes(seeker).ok()?, addresses, wanted: wanted(&id, seeker) })
    }
}

pub(super) fn wanted(id: &ManifestId, seeker: &[u8]) -> Wanted {
    Wanted { item: *id.as_bytes(), seeker: *blake3::hash(seeker).as_bytes() }
}

/// Answers those who seek.
#[derive(Clone)]
pub(super) struct Answering {
    swarm: SwarmHandle,
    intake: Intake,
    seeks: Arc<Mutex<Seeks>>,
    since: Instant,
}

impl Answering {
    pub(super) fn new(swarm: SwarmHandle, intake: Intake) -> Self {
        Self { swarm, intake, seeks: Arc::default(), since: Instant::now() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Seeks, std::time::Duration) -> T) -> T {
        let mut seeks = self.seeks.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut seeks, self.since.elapsed())
    }

    /// Somebody says that it answers.
    pub(super) fn answered(&self, wanted: &Wanted) -> Verdict {
        if self.with(|seeks, _| seeks.answered(wanted)) { Verdict::Accept } else { Verdict::Ignore }
    }

    /// Whether to pass a seek on, and the work of answering it if this node is to.
    pub(super) fn heard(&self, sought: Sought) -> (Verdict, Option<impl Future<Output = ()> + Send + use<>>) {
        let me = self.swarm.local_peer_id();
        if sought.seeker == me {
            return (Verdict::Ignore, None);
        }
        match self.with(|seeks, now| seeks.heard(sought.wanted, &me.to_bytes(), now)) {
            Heard::Again | Heard::TooMany => (Verdict::Ignore, None),
            Heard::News { wait } => {
                let this = self.clone();
                let answer = async move {
                    if this.holds(sought.id).await {
                        tokio::time::sleep(wait).await;
                        this.answer(sought);
                    }
                };
                (Verdict::Accept, Some(answer))
            }
        }
    }

    /// Whether all of a version is here.
    async fn holds(&self, id: ManifestId) -> bool {
        let look = self.intake.blocking(move |store| {
            let Some(envelope) = store.manifest_by_id(&id)? else { return Ok(false) };
            let manifest = Envelope::decode(&envelope).ok().and_then(|it| Manifest::decode(&it.manifest).ok());
            let Some(manifest) = manifest else { return Ok(false) };
            Ok(store.manifest(&manifest.module)?.is_some_and(|held| held.id == id && held.complete))
        });
        look.await.unwrap_or(false)
    }

    fn answer(&self, sought: Sought) {
        let neighbour = self.swarm.connected().borrow().contains(&sought.seeker);
        if neighbour || !self.with(|seeks, now| seeks.may_answer(&sought.wanted, now)) {
            return;
        }
        let Sought { id, seeker, addresses, wanted } = sought;
        tracing::debug!(peer = %seeker, manifest = %id, "connecting to a node that seeks what is held here");
        if self.swarm.dial(seeker, addresses).is_ok() {
            self.with(|seeks, _| seeks.answered(&wanted));
            let holder = self.swarm.local_peer_id().to_bytes();
            let answer = Announcement::Answer { id, seeker: seeker.to_bytes(), holder, nonce: rand::random() };
            if let Err(error) = self.swarm.announce(answer.encode()) {
                tracing::debug!(%error, "not announced; one node more may answer");
            }
        }
    }
}

/// Whether an address is one of a site and nobody else's: an IP address for private use, and a TCP port. Others are
/// not dialled for a seek, or anybody on the site could make all of it connect to a stranger.
fn is_near(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let near = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        _ => false,
    };
    near && matches!(parts.next(), Some(Protocol::Tcp(port)) if port > 0) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_a_site_are_dialled() {
        let near = |text: &str| is_near(&text.parse().unwrap());
        for text in ["/ip4/10.1.2.3/tcp/6638", "/ip4/127.0.0.1/tcp/1", "/ip4/192.168.0.9/tcp/9", "/ip6/fd00::1/tcp/9"] {
            assert!(near(text), "{text}");
        }
        for text in [
            "/ip4/198.51.100.1/tcp/443",
            "/ip6/2001:db8::1/tcp/443",
            "/ip4/10.1.2.3/udp/53",
            "/ip4/10.1.2.3/tcp/0",
            "/ip4/10.1.2.3/tcp/80/ws",
            "/dns4/example.com/tcp/443",
            "/ip4/10.1.2.3",
            "/ip4/0.0.0.0/tcp/80",
            "/ip4/255.255.255.255/tcp/80",
        ] {
            assert!(!near(text), "{text}");
        }
    }

    #[test]
    fn a_seek_that_no_node_sends_is_refused() {
        let (id, seeker) = (ManifestId::of(b"x"), PeerId::random().to_bytes());
        let good: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let stranger: Multiaddr = "/ip4/198.51.100.1/tcp/1".parse().unwrap();
        let read = |seeker: &[u8], addresses: Vec<Vec<u8>>| Sought::read(id, seeker, addresses).is_some();
        assert!(read(&seeker, vec![good.to_vec()]));
        assert!(!read(&seeker, vec![]));
        assert!(!read(&seeker, vec![good.to_vec(); limits::SEEK_ADDRESSES + 1]));
        assert!(!read(&seeker, vec![good.to_vec(), stranger.to_vec()]));
        assert!(!read(&seeker, vec![vec![255; 9]]));
        assert!(!read(b"nobody", vec![good.to_vec()]));
    }
}
