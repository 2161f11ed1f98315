//! The comparisons of catalogs that peers are doing with this node: whose, over which set, how far.
//!
//! A comparison is over the set of manifests as it was at the beginning; a catalog that grows meanwhile does not disturb it.
//! Memory and work are bounded whoever asks: [`limits::SKETCHES`] comparisons, one for each peer, an allowance for each
//! peer of how often it may begin one, and [`limits::SKETCHES_AT_ONCE`] being worked on.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::digest;
use super::held::Held;
use super::limits;
use super::wire::{Request, SketchPage};
use crate::domain::codec;
use crate::domain::manifest::ManifestId;
use crate::engine::reconcile::{self, Encoder, Key, Part, Salt, limits::PAGE_SYMBOLS};

/// What a server remembers of comparisons.
pub(super) struct Sketches {
    turns: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sketches: HashMap<PeerId, Entry>,
    allowances: HashMap<PeerId, Allowance>,
    sweeping: bool,
}

struct Entry {
    used: Instant,
    nonce: [u8; 16],
    sketch: Arc<Mutex<Sketch>>,
}

/// How often a peer may still begin a comparison, as of some moment.
#[derive(Clone, Copy)]
struct Allowance {
    left: u32,
    as_of: Instant,
}

struct Sketch {
    salt: [u8; 16],
    ids: Arc<[ManifestId]>,
    /// Places in `ids`, in the order of the keys.
    order: Vec<u32>,
    encoder: Encoder,
}

impl Default for Sketches {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(limits::SKETCHES_AT_ONCE)), inner: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sketches {
    /// Waits for a turn to compute symbols.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// The answer to a [`Request::Sketch`]: an encoded [`SketchPage`], or nothing if the comparison is not known (any more).
    pub(super) fn page(
        self: &Arc<Self>,
        peer: PeerId,
        held: &dyn Held,
        request: &Request,
    ) -> io::Result<Option<Bytes>> {
        let Request::Sketch { nonce, part, from, count, total, sum, .. } = request else { return Ok(None) };
        let Some(part) = Part::new(part.0, part.1) else { return Ok(None) };
        let begins = part == Part::ALL && *from == 0;
        if begins && digest::sum(&held.digests()?) == *sum {
            return Ok(Some(codec::encode(&SketchPage::Same).into()));
        }
        let sketch = if begins {
            let Some(sketch) = self.begin(peer, *nonce, held)? else {
                return Ok(Some(codec::encode(&SketchPage::Busy).into()));
            };
            sketch
        } else {
            let Some(sketch) = self.known(peer, nonce) else { return Ok(None) };
            sketch
        };
        let mut sketch = lock(&sketch);
        if *from == 0 {
            sketch.encoder.begin(part);
        }
        // Symbols come in order, or not at all: so each is computed once.
        if sketch.encoder.at() != (part, *from) {
            return Ok(None);
        }
        let ours = sketch.encoder.total();
        let count = if *count == 0 { reconcile::first_symbols(ours, *total) } else { (*count).min(PAGE_SYMBOLS) };
        let symbols = reconcile::pack(*from, ours, &sketch.encoder.symbols(count));
        Ok(Some(codec::encode(&SketchPage::Symbols { salt: sketch.salt, total: ours, symbols }).into()))
    }

    /// The manifests of a comparison with these keys; gaps for those that are none, and all gaps if it is not known.
    pub(super) fn ids(&self, peer: PeerId, nonce: &[u8; 16], keys: &[[u8; 8]]) -> Vec<Option<ManifestId>> {
        let Some(sketch) = self.known(peer, nonce) else { return vec![None; keys.len()] };
        let sketch = lock(&sketch);
        let id = |key: &[u8; 8]| {
            let at = sketch.encoder.position(Key::from_le_bytes(*key))?;
            sketch.ids.get(*sketch.order.get(at)? as usize).copied()
        };
        keys.iter().map(id).collect()
    }

    fn known(&self, peer: PeerId, nonce: &[u8; 16]) -> Option<Arc<Mutex<Sketch>>> {
        let mut inner = lock(&self.inner);
        let entry = inner.sketches.get_mut(&peer).filter(|entry| entry.nonce == *nonce)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.sketch))
    }

    /// A new comparison, which takes the place of the peer's last one; `None` if there is no room for it, or if the peer has
    /// begun too many.
    fn begin(
        self: &Arc<Self>,
        peer: PeerId,
        nonce: [u8; 16],
        held: &dyn Held,
    ) -> io::Result<Option<Arc<Mutex<Sketch>>>> {
        let now = Instant::now();
        if !lock(&self.inner).may_begin(peer, now) {
            return Ok(None);
        }
        let salt = rand::random();
        let secret = Salt::new(&nonce, &salt);
        let ids = held.manifest_ids()?;
        let mut keyed: Vec<(Key, u32)> = (0..).zip(ids.iter()).map(|(at, id)| (secret.key(id), at)).collect();
        keyed.sort_unstable();
        let (keys, order) = keyed.into_iter().unzip();
        let sketch = Sketch { salt, ids, order, encoder: Encoder::new(&secret, keys) };
        let sketch = Arc::new(Mutex::new(sketch));
        let mut inner = lock(&self.inner);
        inner.sketches.insert(peer, Entry { used: now, nonce, sketch: Arc::clone(&sketch) });
        let first = !std::mem::replace(&mut inner.sweeping, true);
        drop(inner);
        if first {
            self.sweep_later();
        }
        Ok(Some(sketch))
    }

    /// Forgets what is idle, as long as there is anything: a node at rest keeps no memory for this.
    fn sweep_later(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        let sweep = async move {
            loop {
                tokio::time::sleep(limits::SKETCH_IDLE).await;
                let Some(this) = this.upgrade() else { return };
                if !lock(&this.inner).sweep(Instant::now()) {
                    return;
                }
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(sweep)),
            Err(_) => lock(&self.inner).sweeping = false,
        }
    }
}

impl Inner {
    /// Whether a peer may begin a comparison now, and there is room for it.
    fn may_begin(&mut self, peer: PeerId, now: Instant) -> bool {
        if !self.sketches.contains_key(&peer) && self.sketches.len() >= limits::SKETCHES {
            let oldest = self.sketches.iter().min_by_key(|(_, entry)| entry.used);
            let Some((oldest, entry)) = oldest.map(|(peer, entry)| (*peer, entry.used)) else { return false };
            if now.saturating_duration_since(entry) < limits::SKETCH_TURN {
                return false;
            }
            self.sketches.remove(&oldest);
        }
        if self.allowances.len() >= limits::SKETCH_PEERS && !self.allowances.contains_key(&peer) {
            self.allowances.retain(|_, allowance| allowance.at(now).left < limits::SKETCH_BURST);
            if self.allowances.len() >= limits::SKETCH_PEERS {
                return false;
            }
        }
        let fresh = Allowance { left: limits::SKETCH_BURST, as_of: now };
        let allowance = self.allowances.entry(peer).or_insert(fresh);
        *allowance = allowance.at(now);
        let may = allowance.left > 0;
        allowance.left = allowance.left.saturating_sub(1);
        may
    }

    /// Whether it has to be looked again.
    fn sweep(&mut self, now: Instant) -> bool {
        self.sketches.retain(|_, entry| now.saturating_duration_since(entry.used) < limits::SKETCH_IDLE);
        self.allowances.retain(|_, allowance| allowance.at(now).left < limits::SKETCH_BURST);
        self.sweeping = !self.sketches.is_empty() || !self.allowances.is_empty();
        self.sweeping
    }
}

impl Allowance {
    /// What it has become by now.
    fn at(self, now: Instant) -> Self {
        let more = now.saturating_duration_since(self.as_of).as_millis() / limits::SKETCH_REFILL.as_millis();
        let more = u32::try_from(more).unwrap_or(limits::SKETCH_BURST).min(limits::SKETCH_BURST);
        let left = self.left.saturating_add(more).min(limits::SKETCH_BURST);
        Self { left, as_of: if more == 0 { self.as_of } else { self.as_of + grown(more, now - self.as_of) } }
    }
}

/// How much of the time that has gone by is used up when the allowance has grown by `more`.
fn grown(more: u32, gone: Duration) -> Duration {
    if more >= limits::SKETCH_BURST { gone } else { limits::SKETCH_REFILL * more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::module::ModuleVersion;
    use crate::engine::reconcile::{Action, Reconcile};
    use crate::transfer::held::MemoryHeld;

    fn held(count: u32) -> MemoryHeld {
        let held = MemoryHeld::new();
        for n in 0..count {
            let module = ModuleVersion::parse(&format!("example.com/m@v1.0.{n}")).unwrap();
            held.insert_envelope(ManifestId::of(&n.to_le_bytes()), &module, Bytes::from("x"));
        }
        held
    }

    fn ask(nonce: u8, part: (u8, u16), from: u32, count: u32) -> Request {
        Request::Sketch { request: 1, nonce: [nonce; 16], part, from, count, total: 0, sum: [0; 16] }
    }

    fn page(sketches: &Arc<Sketches>, peer: PeerId, held: &dyn Held, request: &Request) -> Option<SketchPage> {
        let bytes = sketches.page(peer, held, request).unwrap()?;
        Some(codec::decode::<_, { limits::MAX_SKETCH }>(&bytes).unwrap())
    }

    #[test]
    fn a_comparison_gives_its_symbols_once_and_in_order_over_what_there_was_at_its_beginning() {
        let (sketches, peer, held) = (Arc::<Sketches>::default(), PeerId::random(), held(300));
        let Some(SketchPage::Symbols { salt, total: 300, symbols }) =
            page(&sketches, peer, &held, &ask(1, (0, 0), 0, 100))
        else {
            panic!()
        };
        let module = ModuleVersion::parse("example.com/new@v1.0.0").unwrap();
        held.insert_envelope(ManifestId::of(b"new"), &module, Bytes::from("x"));
        let secret = Salt::new(&[1; 16], &salt);
        let mut reconcile = Reconcile::new(&secret, Vec::new());
        let read = |from, bytes: &[u8]| reconcile::unpack(from, 300, bytes, 1000).unwrap();
        let Ok(Action::Ask(next)) = reconcile.answer(300, &read(0, &symbols)) else { panic!() };
        for wrong in [ask(2, (0, 0), next.from, 9), ask(1, (0, 0), next.from + 1, 9), ask(1, (1, 0), next.from, 9)] {
            assert_eq!(page(&sketches, peer, &held, &wrong), None);
        }
        assert_eq!(page(&sketches, PeerId::random(), &held, &ask(1, (0, 0), next.from, 9)), None);
        assert_eq!(page(&sketches, peer, &held, &ask(1, (11, 0), 0, 9)), None, "no such part");
        let Some(SketchPage::Symbols { total: 300, symbols, .. }) =
            page(&sketches, peer, &held, &ask(1, (0, 0), next.from, 600))
        else {
            panic!()
        };
        let Ok(Action::Found { missing, .. }) = reconcile.answer(300, &read(next.from, &symbols)) else { panic!() };
        let keys: Vec<[u8; 8]> = missing.iter().map(|key| key.to_le_bytes()).chain([[7; 8]]).collect();
        let ids = sketches.ids(peer, &[1; 16], &keys);
        assert_eq!((ids.len(), ids[300]), (301, None));
        assert!(ids[..300].iter().zip(&missing).all(|(id, key)| id.map(|id| secret.key(&id)) == Some(*key)));
        assert!(sketches.ids(peer, &[2; 16], &keys).iter().all(Option::is_none));
    }

    #[test]
    fn equal_catalogs_cost_nothing_and_an_eager_peer_has_to_wait() {
        let (sketches, peer, held) = (Arc::<Sketches>::default(), PeerId::random(), held(3));
        let sum = digest::sum(&held.digests().unwrap());
        let same = Request::Sketch { request: 1, nonce: [1; 16], part: (0, 0), from: 0, count: 0, total: 3, sum };
        for _ in 0..100 {
            assert_eq!(page(&sketches, peer, &held, &same), Some(SketchPage::Same));
        }
        let begin = ask(1, (0, 0), 0, 0);
        for _ in 0..limits::SKETCH_BURST {
            assert!(matches!(page(&sketches, peer, &held, &begin), Some(SketchPage::Symbols { .. })));
        }
        assert_eq!(page(&sketches, peer, &held, &begin), Some(SketchPage::Busy));
        assert!(matches!(page(&sketches, PeerId::random(), &held, &begin), Some(SketchPage::Symbols { .. })));
        let mut inner = lock(&sketches.inner);
        let now = Instant::now();
        assert!(!inner.may_begin(peer, now));
        assert!(inner.may_begin(peer, now + limits::SKETCH_REFILL));
        assert!(!inner.may_begin(peer, now + limits::SKETCH_REFILL));
    }

    #[test]
    fn memory_is_for_a_few_and_goes_when_they_are_idle() {
        let (sketches, held) = (Arc::<Sketches>::default(), held(3));
        let begin = ask(1, (0, 0), 0, 0);
        for _ in 0..limits::SKETCHES {
            assert!(matches!(page(&sketches, PeerId::random(), &held, &begin), Some(SketchPage::Symbols { .. })));
        }
        assert_eq!(page(&sketches, PeerId::random(), &held, &begin), Some(SketchPage::Busy));
        let mut inner = lock(&sketches.inner);
        let now = Instant::now();
        assert!(inner.may_begin(PeerId::random(), now + limits::SKETCH_TURN));
        assert_eq!(inner.sketches.len(), limits::SKETCHES - 1, "the oldest has made room");
        let later = now + limits::SKETCH_IDLE + limits::SKETCH_REFILL;
        assert!(!inner.sweep(later) && inner.sketches.is_empty() && inner.allowances.is_empty());
    }
}
