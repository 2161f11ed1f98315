//! Spreading: what [`crate::engine::spread`] decides, done with libp2p.
//!
//! One task owns the engine. Messages of neighbours come in over one stream each, its own go out over another; slices are
//! fetched with the [`Fetcher`] from exactly the neighbour that offered them, checked there blob by blob, and stored before
//! anybody is told that they are here: what is offered can be served from the store.
//!
//! * Who wants something calls [`Spread::fetch`] with the blobs that are lacking of each slice, and stores what lands.
//!   Dropping the future ends the wish; what has landed stays.
//! * [`Ended::Stuck`] says that no neighbour brings it: then it is time to ask otherwise.
//! * What is held is looked up in the store ([`Holdings`]) only when a neighbour asks for it; nothing in here causes a fetch
//!   that this node did not want itself.
//!
//! Non-goals: which slices exist ([`crate::engine::slices`]), and what a zip is.

mod driver;
mod fetching;
mod lane;
pub mod limits;
mod serve;
pub mod wire;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::blob::BlobId;
use crate::engine::spread::{Item, Rules};
use crate::transfer::{AlreadyServing, Fetcher, Traffic};
use crate::verified::VerifiedBlob;
use driver::{Driver, Parts};

/// Looks whether this node holds all of an item. Blocking.
pub trait Holdings: Send + Sync + 'static {
    /// About how many bytes it has, if every blob of it can be served.
    ///
    /// # Errors
    /// The medium's.
    fn holds(&self, item: &Item) -> io::Result<Option<u64>>;
}

/// Blobs that have come, to be stored.
#[derive(Debug)]
pub struct Landing {
    /// What came, checked.
    pub blobs: Vec<VerifiedBlob>,
    /// To be told when the store has acknowledged them. Dropped without a word if it has not.
    pub stored: oneshot::Sender<()>,
}

/// Why a fetch ended before all was here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Ended {
    /// No neighbour brings it, and none is about to.
    #[error("no neighbour brings it")]
    Stuck,
    /// What came was not stored.
    #[error("what came was not stored")]
    NotStored,
    /// Somebody on this node wants the same already.
    #[error("it is being fetched already")]
    Already,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

/// How a fetch ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Who sent something.
    pub senders: BTreeSet<PeerId>,
    /// Whether all is here, and if not why.
    pub end: Result<(), Ended>,
}

/// A wish for an item.
struct Order {
    item: Item,
    lacks: Vec<Vec<(BlobId, u32)>>,
    sink: mpsc::Sender<Landing>,
    done: oneshot::Sender<Report>,
}

/// The way to the driver. Cheap to clone.
#[derive(Clone)]
pub struct Spread {
    orders: mpsc::Sender<Order>,
}

/// What the driver works with.
pub struct Network {
    /// Opens and accepts streams.
    pub control: Control,
    /// The neighbours.
    pub connected: watch::Receiver<Arc<[PeerId]>>,
    /// Fetches blobs, and counts faults.
    pub fetcher: Fetcher,
    /// Bytes per neighbour.
    pub traffic: Traffic,
}

/// Starts the driver; it runs until `stop`.
///
/// # Errors
/// [`AlreadyServing`].
pub fn start(
    network: Network,
    holdings: Arc<dyn Holdings>,
    rules: Rules,
    stop: CancellationToken,
) -> Result<(Spread, JoinHandle<()>), AlreadyServing> {
    let (orders, queue) = mpsc::channel(limits::ORDERS);
    let (inputs, input_queue) = mpsc::channel(limits::INPUTS);
    let accepting = serve::accept(&network, inputs.clone(), stop.clone())?;
    let driver = Driver::new(Parts { network, holdings, rules, inputs });
    let task = tokio::spawn(async move {
        tokio::join!(driver.run(queue, input_queue, stop), accepting);
    });
    Ok((Spread { orders }, task))
}

impl Spread {
    /// Fetches what is lacking of an item: `lacks` has one list for each of its slices, of the blobs that are not held, with the
    /// length in bytes that each has at most. What comes goes to `sink`, a slice at a time, in any order.
    ///
    /// Dropping the future ends the wish; what went into the sink until then is good. A number of lists that is not that of
    /// the item's slices ends as stuck.
    pub async fn fetch(&self, item: Item, lacks: Vec<Vec<(BlobId, u32)>>, sink: mpsc::Sender<Landing>) -> Report {
        let stopped = || Report { senders: BTreeSet::new(), end: Err(Ended::Stopped) };
        let (done, outcome) = oneshot::channel();
        if self.orders.send(Order { item, lacks, sink, done }).await.is_err() {
            return stopped();
        }
        outcome.await.unwrap_or_else(|_| stopped())
    }
}
