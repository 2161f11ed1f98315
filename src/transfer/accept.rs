//! Accepting streams: as fast as they come, within limits for each peer and for all.

use std::collections::HashMap;

use futures::{Stream, StreamExt as _};
use libp2p::PeerId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many streams are served at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Of one peer.
    pub per_peer: usize,
    /// Of all peers.
    pub all: usize,
}

/// Runs `session` for every stream that comes in, until `stop` or until nothing more can come. A stream that is not
/// taken at once is dropped by the swarm, so nothing is waited for here; one over the limits is closed. `S` is the stream, and
/// what else the session wants to know of it.
pub async fn accept_all<S, F>(
    mut incoming: impl Stream<Item = (PeerId, S)> + Unpin,
    limits: StreamLimits,
    stop: CancellationToken,
    session: impl Fn(PeerId, S) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut sessions = JoinSet::new();
    let mut of_peer: HashMap<PeerId, usize> = HashMap::new();
    let mut peer_of = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            next = incoming.next() => {
                let Some((peer, stream)) = next else { return };
                let count = of_peer.get(&peer).copied().unwrap_or_default();
                if count >= limits.per_peer || sessions.len() >= limits.all {
                    tracing::debug!(%peer, streams = count, "a stream is refused: there are enough");
                    continue;
                }
                of_peer.insert(peer, count + 1);
                let task = sessions.spawn(session(peer, stream));
                peer_of.insert(task.id(), peer);
            }
            Some(ended) = sessions.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(err) => {
                        tracing::error!(%err, "a serving task ended badly");
                        err.id()
                    }
                };
                if let Some(peer) = peer_of.remove(&id)
                    && let Some(count) = of_peer.get_mut(&peer)
                {
                    *count -= 1;
                    if *count == 0 {
                        of_peer.remove(&peer);
                    }
                }
            }
        }
    }
}
