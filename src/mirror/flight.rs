//! Single flight: one piece of work per key, however many ask for it.
//!
//! The work runs in a task of its own, so a caller that leaves does not stop it for the others, and a panic inside
//! it becomes an error for all callers instead of a wait without end. A guard that lives in the task takes the key
//! off the list however the task ends.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// The work ended without an answer: it panicked, or the runtime is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work ended without an answer")]
pub struct Broken;

type Flight<V> = Shared<BoxFuture<'static, Result<V, Broken>>>;
type Table<K, V> = Arc<Mutex<HashMap<K, Flight<V>>>>;

/// The work that is under way, by key.
pub struct Flights<K, V: Clone> {
    table: Table<K, V>,
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self { table: Arc::default() }
    }
}

struct OffTheList<K: Eq + Hash, V: Clone> {
    key: K,
    table: Table<K, V>,
}

impl<K: Eq + Hash, V: Clone> Drop for OffTheList<K, V> {
    fn drop(&mut self) {
        // What is removed is dropped outside the lock: it may own the last handle of a task.
        let removed = self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        drop(removed);
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result of `work`, or of the work that is already under way for `key` (then `work` is not called).
    ///
    /// # Errors
    /// [`Broken`] when the work panicked.
    pub async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<V, Broken>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let flight = {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            match table.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let guard = OffTheList { key: key.clone(), table: Arc::clone(&self.table) };
                    let work = work();
                    let task = tokio::spawn(async move {
                        let _guard = guard;
                        work.await
                    });
                    let flight = task.map(|end| end.map_err(|_| Broken)).boxed().shared();
                    table.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    /// How much work is under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::{Notify, oneshot};

    #[tokio::test]
    async fn many_callers_share_one_run() {
        let flights = Arc::new(Flights::<&str, usize>::default());
        let runs = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let (flights, runs, gate) = (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&gate));
                tokio::spawn(async move {
                    flights
                        .join("key", || async move {
                            gate.notified().await;
                            runs.fetch_add(1, Ordering::SeqCst)
                        })
                        .await
                })
            })
            .collect();
        while flights.is_empty() {
            tokio::task::yield_now().await;
        }
        // All 50 tasks are queued before this one on a current-thread runtime, so all have joined by now.
        tokio::task::yield_now().await;
        gate.notify_one();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(0));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn work_outlives_the_caller_that_started_it() {
        let flights = Arc::new(Flights::<u8, u8>::default());
        let (go, wait) = oneshot::channel::<()>();
        let first = {
            let flights = Arc::clone(&flights);
            tokio::spawn(async move {
                let work = || async move {
                    wait.await.ok();
                    7
                };
                flights.join(1, work).await
            })
        };
        while flights.is_empty() {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let second = flights.join(1, || async { 9 });
        go.send(()).unwrap();
        assert_eq!(second.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_key_is_free_again() {
        let flights = Flights::<u8, u8>::default();
        assert_eq!(flights.join(1, || async { panic!("on purpose") }).await, Err(Broken));
        assert!(flights.is_empty());
        assert_eq!(flights.join(1, || async { 3 }).await, Ok(3));
    }
}
