//! Bringing a large item in slices, together with all neighbours that want it at the same time.

use std::collections::{BTreeSet, HashSet};

use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::arrivals::Arrivals;
use super::intake::Intake;
use super::source::SourceError;
use crate::domain::blob::BlobId;
use crate::domain::manifest::ManifestId;
use crate::engine::slices::{self, MIN_SLICE};
use crate::engine::spread::{Item, Part};
use crate::spread::{Ended, Landing, Spread};
use crate::verified::VerifiedBlob;

/// Bytes from which on it is worth talking about who sends what: what is less comes in one round trip.
const SPREAD_FROM: u64 = 2 * MIN_SLICE;
/// Pages from which on they are spread too: about half a megabyte, of which a hundred nodes would each ask the only holder.
const SPREAD_PAGES: usize = 8;
/// Slices between the network and the store: they are in memory already.
const LANDINGS: usize = 16;

/// A part of a module version: all blobs of it in the order of the recipe, each named once with its length in bytes at most, and
/// which of them are not here.
pub(super) struct Lacking {
    pub(super) manifest: ManifestId,
    pub(super) part: Part,
    pub(super) all: Vec<(BlobId, u32)>,
    pub(super) missing: Vec<(BlobId, u32)>,
}

impl Lacking {
    /// Whether it is large enough to be brought in slices.
    fn is_large(&self) -> bool {
        match self.part {
            Part::Pages => self.missing.len() >= SPREAD_PAGES,
            Part::Chunks => self.missing.iter().map(|(_, len)| u64::from(*len)).sum::<u64>() > SPREAD_FROM,
        }
    }

    /// What is lacking of each slice.
    fn slices(&self) -> Vec<Vec<(BlobId, u32)>> {
        let missing: HashSet<BlobId> = self.missing.iter().map(|(id, _)| *id).collect();
        let lacks = |blobs: &[(BlobId, u32)]| blobs.iter().filter(|(id, _)| missing.contains(id)).copied().collect();
        match self.part {
            // A page's length is not known before it is here: each is a slice.
            Part::Pages => self.all.chunks(1).map(lacks).collect(),
            Part::Chunks => {
                let lens: Vec<u32> = self.all.iter().map(|(_, len)| *len).collect();
                slices::cut(&lens).into_iter().map(|slice| lacks(&self.all[slice])).collect()
            }
        }
    }
}

/// Brings what is lacking as far as the neighbours bring it, and stores it. Gives those who sent something; nothing if the
/// part is too small to talk about. What is still lacking then has to be asked for otherwise.
pub(super) async fn bring(
    spread: &Spread,
    lacking: &Lacking,
    arrivals: Option<&Arrivals>,
    intake: &Intake,
) -> Result<Option<BTreeSet<PeerId>>, SourceError> {
    if !lacking.is_large() {
        return Ok(None);
    }
    let slices = lacking.slices();
    let Ok(count) = u32::try_from(slices.len()) else { return Ok(None) };
    let item = Item { manifest: lacking.manifest, part: lacking.part, slices: count };
    let (sink, landed) = mpsc::channel(LANDINGS);
    let (report, stored) = tokio::join!(spread.fetch(item, slices, sink), store_all(landed, arrivals, intake));
    stored?;
    match report.end {
        Ok(()) => {}
        Err(Ended::Stopped) => return Err(SourceError::Failed("this node is stopping".into())),
        Err(why) => tracing::debug!(manifest = %lacking.manifest, %why, "not brought in slices to the end"),
    }
    Ok(Some(report.senders))
}

/// Stores slices as they land; those that came while the ones before were written go together.
async fn store_all(
    mut landed: mpsc::Receiver<Landing>,
    arrivals: Option<&Arrivals>,
    intake: &Intake,
) -> Result<(), SourceError> {
    let mut landings = Vec::new();
    while landed.recv_many(&mut landings, LANDINGS).await > 0 {
        let (mut blobs, mut waiting): (Vec<VerifiedBlob>, Vec<oneshot::Sender<()>>) = (Vec::new(), Vec::new());
        for landing in landings.drain(..) {
            blobs.extend(landing.blobs);
            waiting.push(landing.stored);
        }
        let ids: Vec<BlobId> = blobs.iter().map(VerifiedBlob::id).collect();
        if let Some(arrivals) = arrivals {
            arrivals.landed(&blobs);
        }
        intake.put(blobs).await?;
        if let Some(arrivals) = arrivals {
            arrivals.stored(&ids);
        }
        for stored in waiting {
            // A fetch that was cancelled meanwhile does not listen; what it brought is stored all the same.
            let _ = stored.send(());
        }
    }
    Ok(())
}
