//! Opening streams: one at a time to each peer, and again when one was dropped on the other side.

use std::sync::Arc;

use libp2p::PeerId;
use tokio::sync::{Mutex, watch};

use super::limits;

/// Whom to open streams to, and how.
pub struct Opening<'a> {
    /// The peer.
    pub peer: PeerId,
    /// Who is connected: nobody else is waited for.
    pub connected: &'a watch::Receiver<Arc<[PeerId]>>,
    /// Held while a stream to this peer is being opened.
    pub gate: &'a Mutex<()>,
}

impl Opening<'_> {
    /// Makes `attempt` until one gives a stream with a greeting, at most [`limits::OPEN_TRIES`] times: a stream that
    /// an accept queue has dropped is only noticed by the greeting that does not come.
    ///
    /// # Errors
    /// Why the last attempt gave none, for people.
    pub async fn open<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, String>>,
    {
        let _one_at_a_time = self.gate.lock().await;
        let mut why = String::new();
        for number in 0..limits::OPEN_TRIES {
            if number > 0 {
                let wait = limits::OPEN_RETRY * number * number;
                tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>())).await;
            }
            if !self.connected.borrow().contains(&self.peer) {
                return Err("it is not connected".into());
            }
            match tokio::time::timeout(limits::OPEN, attempt()).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(err)) => why = err,
                Err(_) => why = format!("no stream within {} s", limits::OPEN.as_secs()),
            }
        }
        Err(why)
    }
}
