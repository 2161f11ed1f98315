//! The tasks of a node: the first that ends stops all.

use std::io;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::DaemonError;

/// Tasks that are to run as long as the node does.
pub(super) struct Parts {
    running: JoinSet<(&'static str, Result<(), String>)>,
    stop: CancellationToken,
}

impl Parts {
    /// None yet. They are told to end by `stop`.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { running: JoinSet::new(), stop }
    }

    /// The signal by which all of them end.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// A task that runs already.
    pub(super) fn watch(&mut self, name: &'static str, task: JoinHandle<()>) {
        self.running.spawn(async move { (name, task.await.map_err(|why| why.to_string())) });
    }

    /// Runs a task.
    pub(super) fn run(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            work.await;
            (name, Ok(()))
        });
    }

    /// Runs a task that can fail.
    pub(super) fn attempt(&mut self, name: &'static str, work: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.running.spawn(async move { (name, work.await.map_err(|why| why.to_string())) });
    }

    /// Waits for the first that ends, and tells all others to.
    ///
    /// # Errors
    /// [`DaemonError::Part`] if it ended without being told to; to be told when all have ended.
    pub(super) async fn first(&mut self) -> Result<(), DaemonError> {
        let first = self.running.join_next().await;
        let on_purpose = self.stop.is_cancelled();
        self.stop.cancel();
        match first {
            Some(Ok((_, Ok(())))) if on_purpose => Ok(()),
            Some(Ok((part, ended))) => {
                let why = ended.err().unwrap_or_else(|| "it returned without being told to".into());
                Err(DaemonError::Part { part, why })
            }
            Some(Err(panic)) => Err(DaemonError::Part { part: "task", why: panic.to_string() }),
            None => Ok(()),
        }
    }

    /// Waits until all have ended, for `grace` at most; what takes longer is cut.
    pub(super) async fn rest(&mut self, grace: Duration) {
        let rest = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::info!(after = ?grace, "requests still under way are cut");
            self.running.shutdown().await;
        }
    }
}
