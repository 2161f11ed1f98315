//! One slice from one neighbour: fetched, checked blob by blob, stored.

use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::{Landing, limits};
use crate::domain::blob::BlobId;
use crate::engine::spread::Failure;
use crate::transfer::{FetchError, Fetcher};

/// What a fetch of a slice came to.
pub(super) struct Fetched {
    /// What is in the store now and was not before.
    pub(super) stored: Vec<BlobId>,
    /// Whether all that was asked for is, and if not why.
    pub(super) end: Result<(), Shortfall>,
}

/// Why a slice is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shortfall {
    /// The neighbour.
    Peer(Failure),
    /// What came was not stored.
    NotStored,
}

/// Fetches `wants` from one neighbour and hands them over to be stored; what came of a slice that is not whole, too.
pub(super) async fn fetch(
    fetcher: Fetcher,
    from: PeerId,
    wants: Vec<(BlobId, u32)>,
    sink: mpsc::Sender<Landing>,
) -> Fetched {
    let (landed, mut blobs) = mpsc::channel(limits::BLOBS);
    let gather = async {
        let mut all = Vec::new();
        while blobs.recv_many(&mut all, limits::BLOBS).await > 0 {}
        all
    };
    let (fetched, blobs) = tokio::join!(fetcher.fetch_blobs(wants, Some(vec![from]), landed), gather);
    let ids: Vec<BlobId> = blobs.iter().map(crate::verified::VerifiedBlob::id).collect();
    if !blobs.is_empty() {
        let (stored, acknowledged) = oneshot::channel();
        if sink.send(Landing { blobs, stored }).await.is_err() || acknowledged.await.is_err() {
            return Fetched { stored: Vec::new(), end: Err(Shortfall::NotStored) };
        }
    }
    let end = fetched.map(|_| ()).map_err(|error| Shortfall::Peer(failure(&error)));
    Fetched { stored: ids, end }
}

fn failure(error: &FetchError) -> Failure {
    match error {
        FetchError::Missing { .. } | FetchError::BadWant { .. } => Failure::Missing,
        FetchError::Unreachable { .. } | FetchError::Closed => Failure::Broken,
        FetchError::Forged { .. } => Failure::Forged,
    }
}
