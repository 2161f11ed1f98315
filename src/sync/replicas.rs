//! The replica floor: a version that somebody brought into the site is soon held by several of its nodes, so that it can be
//! built with when the one that brought it is switched off.
//!
//! Who fetches what is agreed on without a word: the nodes that see each other are put in an order for each manifest
//! (rendezvous hashing of its id with theirs), and the first few bring it. On a site of three nodes each has all; on a larger
//! one each has its share, and what its own clients ask for. It is looked again when the catalog or the neighbours
//! have changed.
//!
//! Bounds: [`limits::REPLICAS_AT_ONCE`] fetches at a time, none when the store has [`limits::REPLICATE_UP_TO`] bytes.
//! Only peers are asked: what nobody in the site has is for others to bring.
//!
//! Non-goals: bringing copies back when a node leaves for good (a change of neighbours counts as one, so it
//! happens, but nobody counts copies), and evicting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

use super::limits;
use crate::domain::digest::Digests;
use crate::domain::manifest::ManifestId;
use crate::domain::module::ModuleVersion;
use crate::mirror::source::{Level, Source as _, SourceError, Want};
use crate::mirror::{FromPeers, Intake};
use crate::swarm::SwarmHandle;

/// Keeps this node's share of the site's versions.
pub struct Replicas {
    /// The network: who is a neighbour.
    pub swarm: SwarmHandle,
    /// Where versions come from.
    pub peers: Arc<FromPeers>,
    /// The way into the store.
    pub intake: Intake,
    /// How many nodes are to hold each version, this one among them.
    pub floor: usize,
}

/// What a look at the catalog followed from: with the same again there is nothing to do.
type Seen = (Digests, Vec<PeerId>);

impl Replicas {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut seen: Option<Seen> = None;
        let mut pause = limits::LOOK_EVERY;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = limits::LOOK_EVERY;
            let now = (self.intake.store().catalog_digests(), self.neighbours());
            if now.1.is_empty() || seen.as_ref() == Some(&now) {
                continue;
            }
            let mut reading = Duration::ZERO;
            match stop.run_until_cancelled(self.look(&now.1, &mut reading)).await {
                None => return,
                Some(Ok(0)) => seen = Some(now),
                // What could not be had now may come with another peer, or later.
                Some(Ok(_)) => pause = limits::LOOK_AGAIN,
                Some(Err(error)) => tracing::warn!(%error, "the catalog cannot be read for replicas"),
            }
            // To read a large catalog takes a second: it should not be what this node does all day.
            pause = pause.max(reading.saturating_mul(limits::LOOK_SHARE)).min(limits::LOOK_AGAIN);
        }
    }

    fn neighbours(&self) -> Vec<PeerId> {
        let mut peers: Vec<PeerId> = self.swarm.peers().iter().map(|peer| peer.id).collect();
        peers.sort_unstable();
        peers
    }

    /// Brings what is this node's to hold. Gives how many could not be had, and adds the time that it took to read the
    /// catalog.
    async fn look(&self, neighbours: &[PeerId], reading: &mut Duration) -> Result<usize, SourceError> {
        let (mut brought, mut failed, mut after) = (0_usize, 0_usize, None);
        loop {
            let from = after.take();
            let modules = self.intake.blocking(move |store| store.modules(from.as_ref())).await?;
            let Some(last) = modules.last().cloned() else { break };
            for path in modules {
                let (wanted, begun) = (path.clone(), Instant::now());
                let versions = self.intake.blocking(move |store| store.versions(&wanted)).await?;
                *reading += begun.elapsed();
                let mine = versions.into_iter().filter(|held| !held.complete && self.is_mine(neighbours, &held.id));
                let mine = mine.filter(|held| !self.intake.blocks().has_version(&path, &held.version));
                let wants: Vec<Want> = mine
                    .map(|held| {
                        let level = if held.has_zip { Level::Zip } else { Level::GoMod };
                        Want::new(ModuleVersion { path: path.clone(), version: held.version }, level)
                    })
                    .collect();
                let done = stream::iter(wants).map(|want| self.bring(want)).buffer_unordered(limits::REPLICAS_AT_ONCE);
                let done: Vec<bool> = done.collect().await;
                brought += done.iter().filter(|done| **done).count();
                failed += done.iter().filter(|done| !**done).count();
            }
            after = Some(last);
        }
        if brought > 0 {
            tracing::info!(brought, "replicas of the site's versions are held here");
        }
        Ok(failed)
    }

    async fn bring(&self, want: Want) -> bool {
        if self.intake.store().stats().disk_bytes > limits::REPLICATE_UP_TO {
            return true;
        }
        match self.peers.obtain(&want, &self.intake).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(module = %want.module, %error, "no replica yet");
                false
            }
        }
    }

    fn is_mine(&self, neighbours: &[PeerId], id: &ManifestId) -> bool {
        is_among_first(self.floor, &self.swarm.local_peer_id(), neighbours, id)
    }
}

/// Whether `me` is among the first `floor` of all nodes in the order for this manifest.
fn is_among_first(floor: usize, me: &PeerId, others: &[PeerId], id: &ManifestId) -> bool {
    let rank = |peer: &PeerId| {
        let mut hash = blake3::Hasher::new();
        hash.update(id.as_bytes());
        hash.update(&peer.to_bytes());
        *hash.finalize().as_bytes()
    };
    let mine = rank(me);
    others.iter().filter(|other| rank(other) < mine).count() < floor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;

    #[test]
    fn each_version_has_as_many_holders_as_the_floor_says_whoever_asks() {
        let nodes: Vec<PeerId> = (0..20).map(|_| PeerId::random()).collect();
        let holders = |id: &ManifestId, floor: usize| {
            let holds = |me: &&PeerId| {
                let others: Vec<PeerId> = nodes.iter().filter(|other| other != me).copied().collect();
                is_among_first(floor, me, &others, id)
            };
            nodes.iter().filter(holds).copied().collect::<Vec<_>>()
        };
        let mut shares = std::collections::HashMap::<PeerId, usize>::new();
        for version in 0..200_u32 {
            let id = BlobId::of(&version.to_le_bytes());
            assert_eq!(holders(&id, 0).len(), 0);
            assert_eq!(holders(&id, 3).len(), 3);
            assert_eq!(holders(&id, 50).len(), 20, "all when there are fewer");
            holders(&id, 3).into_iter().for_each(|node| *shares.entry(node).or_default() += 1);
        }
        assert_eq!(shares.len(), 20, "everybody has a share");
    }
}
