//! The running node as the admin API sees it.

use std::path::PathBuf;
use std::time::Instant;

use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::{Doctor, PeerLine, PublishAnswer, PublishRequest, SeedEvent, SeedRequest, Status, StoreLine};
use crate::mirror::seed::SeedRun;
use crate::mirror::source::SourceError;
use crate::mirror::{Mirror, Publishing, Upload};
use crate::proxy::admin::{CannotSeed, Node};
use crate::store::Store;
use crate::swarm::SwarmHandle;

/// Events of a seed run that wait for a slow reader. Progress that does not fit is dropped, the rest waits.
const EVENTS: usize = 256;

/// Everything that a status line needs.
pub(super) struct RunningNode {
    pub(super) data: PathBuf,
    pub(super) goproxy: String,
    pub(super) peer_id: PeerId,
    pub(super) upstream: Option<String>,
    pub(super) started: Instant,
    pub(super) store: Store,
    pub(super) swarm: SwarmHandle,
    pub(super) mirror: Mirror,
    pub(super) publishing: Publishing,
    /// Ends seed runs, which are no part of the node by themselves.
    pub(super) stop: CancellationToken,
}

impl RunningNode {
    async fn now(&self) -> Status {
        let stats = self.store.stats();
        let trust = self.mirror.intake().trust();
        let peers = self.swarm.peers();
        let peers = peers.iter().map(|peer| PeerLine {
            id: peer.id.to_string(),
            address: peer.addresses.first().map(ToString::to_string).unwrap_or_default(),
            connected_seconds: peer.connected_since.elapsed().map_or(0, |since| since.as_secs()),
            rtt_micros: peer.rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
            agent: peer.agent.clone(),
        });
        let sumdb = self.mirror.intake().databases().status().await;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            goproxy: self.goproxy.clone(),
            data: self.data.display().to_string(),
            peer_id: self.peer_id.to_string(),
            listen: self.swarm.listen_addrs().iter().map(ToString::to_string).collect(),
            upstream: self.upstream.clone(),
            peers: peers.collect(),
            store: StoreLine {
                versions: stats.manifests,
                zips: stats.held_zips,
                go_mods: stats.manifests.saturating_sub(stats.with_zip),
                blobs: stats.blobs,
                disk_bytes: stats.disk_bytes,
            },
            fetching: self.mirror.fetching(),
            sumdb,
            publishers: trust.publishers().iter().map(|(prefix, _)| prefix.to_owned()).collect(),
        }
    }
}

impl Node for RunningNode {
    fn status(&self) -> BoxFuture<'_, Status> {
        Box::pin(self.now())
    }

    fn doctor(&self) -> BoxFuture<'_, Doctor> {
        Box::pin(super::doctor::doctor(&self.swarm))
    }

    fn seed(&self, request: SeedRequest) -> Result<mpsc::Receiver<SeedEvent>, CannotSeed> {
        if self.upstream.is_none() {
            return Err(CannotSeed::NoUpstream);
        }
        let (events, receiver) = mpsc::channel(EVENTS);
        let run = SeedRun::new(self.mirror.clone(), &request).map_err(CannotSeed::Unreadable)?;
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(run.run(events)));
        Ok(receiver)
    }

    fn publish(&self, request: PublishRequest, zip: Upload) -> BoxFuture<'_, Result<PublishAnswer, SourceError>> {
        Box::pin(self.publishing.publish(request, zip))
    }
}
