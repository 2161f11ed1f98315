//! Seeking: a node wants what nobody among its neighbours holds, and one of the others answers.
//!
//! A node has a dozen neighbours of hundreds. What the catalog knows and no neighbour holds it seeks by an announcement, and
//! a few of those who hold it connect to the seeker. *Which* few is settled without a word: every holder waits for a time
//! that follows from the names of item, seeker and holder, says that it answers, and stays silent if enough have said so
//! before. The times are spread exponentially (Nonnenmacher and Biersack, 1999): few are early however many holders there are.
//!
//! Nobody can make a site dial at will: a seek counts once, each seeker has a few at a time, and so has the whole site;
//! a node dials [`limits::DIALS`] times in a [`limits::DIALS_IN`]. Which addresses may be dialled is for the driver to say.

pub mod limits;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Who wants what.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// The name of the item.
    pub item: [u8; 32],
    /// The hash of the seeker's name.
    pub seeker: [u8; 32],
}

/// What to do with a seek.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing: it was heard before.
    Again,
    /// Nothing, and it is not to be passed on: there are too many.
    TooMany,
    /// Pass it on; if the item is held here, ask [`Seeks::may_answer`] after this time.
    News {
        /// The time.
        wait: Duration,
    },
}

/// The seeks of a site as one node hears them.
#[derive(Debug, Default)]
pub struct Seeks {
    known: HashMap<Wanted, Known>,
    dials: VecDeque<Duration>,
}

#[derive(Debug)]
struct Known {
    since: Duration,
    answers: u32,
}

impl Seeks {
    /// A seek was heard by the node `me`.
    pub fn heard(&mut self, wanted: Wanted, me: &[u8], now: Duration) -> Heard {
        self.forget(now);
        if self.known.contains_key(&wanted) {
            return Heard::Again;
        }
        let same = self.known.keys().filter(|known| known.seeker == wanted.seeker).count();
        if same >= limits::SEEKS_EACH || self.known.len() >= limits::SEEKS {
            return Heard::TooMany;
        }
        self.known.insert(wanted, Known { since: now, answers: 0 });
        Heard::News { wait: wait(&wanted, me) }
    }

    /// Somebody says that it answers a seek. Whether that is news about a seek that was heard: then pass it on.
    pub fn answered(&mut self, wanted: &Wanted) -> bool {
        match self.known.get_mut(wanted) {
            Some(known) => {
                known.answers = known.answers.saturating_add(1);
                // More of them tell nobody anything.
                known.answers <= limits::ANSWERS
            }
            None => false,
        }
    }

    /// Whether to answer a seek now: not enough others do, and there were not too many dials.
    pub fn may_answer(&mut self, wanted: &Wanted, now: Duration) -> bool {
        self.forget(now);
        let enough = self.known.get(wanted).is_none_or(|known| known.answers >= limits::ANSWERS);
        if enough || self.dials.len() >= limits::DIALS {
            return false;
        }
        self.dials.push_back(now);
        true
    }

    fn forget(&mut self, now: Duration) {
        self.known.retain(|_, known| now.saturating_sub(known.since) < limits::REMEMBERED);
        while self.dials.front().is_some_and(|at| now.saturating_sub(*at) >= limits::DIALS_IN) {
            self.dials.pop_front();
        }
    }
}

/// How long a holder waits before it answers.
fn wait(wanted: &Wanted, me: &[u8]) -> Duration {
    let mut hash = blake3::Hasher::new();
    hash.update(&wanted.item).update(&wanted.seeker).update(me);
    let [a, b, c, d, ..] = *hash.finalize().as_bytes();
    let share = (f64::from(u32::from_le_bytes([a, b, c, d])) + 1.0) / 4_294_967_296.0;
    limits::WAIT.mul_f64((1.0 + share.log2() / limits::STEPS).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wanted(item: u32, seeker: u32) -> Wanted {
        let name = |n: u32| *blake3::hash(&n.to_le_bytes()).as_bytes();
        Wanted { item: name(item), seeker: name(seeker) }
    }

    #[test]
    fn a_few_answer_however_many_hold_it() {
        // What somebody says is heard by all a tenth of a second later.
        let gossip = Duration::from_millis(100);
        for holders in [1_u32, 3, 10, 100, 1000] {
            let (mut answers, mut longest) = (0, Duration::ZERO);
            for item in 0..50 {
                let mut waits: Vec<Duration> =
                    (0..holders).map(|me| wait(&wanted(item, 1), &me.to_le_bytes())).collect();
                waits.sort_unstable();
                let mut said: Vec<Duration> = Vec::new();
                for at in waits {
                    let heard = said.iter().filter(|said| **said + gossip <= at).count();
                    if heard < limits::ANSWERS as usize {
                        said.push(at);
                    }
                }
                longest = longest.max(said[0]);
                answers += said.len();
            }
            let mean = answers / 50;
            assert!((1..=12).contains(&mean) && mean <= holders as usize, "{mean} of {holders} answer");
            assert!(longest <= limits::WAIT);
        }
    }

    #[test]
    fn a_seek_counts_once_and_nobody_has_many() {
        let mut seeks = Seeks::default();
        let first = wanted(0, 0);
        assert!(matches!(seeks.heard(first, b"me", SECOND), Heard::News { .. }));
        assert_eq!(seeks.heard(first, b"me", SECOND), Heard::Again);
        for item in 1..u32::try_from(limits::SEEKS_EACH).unwrap() {
            assert!(matches!(seeks.heard(wanted(item, 0), b"me", SECOND), Heard::News { .. }));
        }
        assert_eq!(seeks.heard(wanted(99, 0), b"me", SECOND), Heard::TooMany);
        for seeker in 1..u32::try_from(limits::SEEKS).unwrap() {
            seeks.heard(wanted(0, seeker), b"me", SECOND);
        }
        assert_eq!(seeks.heard(wanted(0, 9999), b"me", SECOND), Heard::TooMany);
        assert!(seeks.known.len() <= limits::SEEKS);
        assert!(matches!(seeks.heard(first, b"me", SECOND + limits::REMEMBERED), Heard::News { .. }));
        assert_eq!(seeks.known.len(), 1, "what is old is forgotten");
    }

    #[test]
    fn who_hears_that_enough_answer_stays_silent() {
        let mut seeks = Seeks::default();
        let it = wanted(0, 0);
        assert!(!seeks.may_answer(&it, SECOND) && !seeks.answered(&it), "nobody seeks it");
        seeks.heard(it, b"me", SECOND);
        for _ in 0..limits::ANSWERS - 1 {
            assert!(seeks.answered(&it));
        }
        assert!(seeks.may_answer(&it, SECOND));
        assert!(seeks.answered(&it) && !seeks.may_answer(&it, SECOND));
        assert!(!seeks.answered(&it), "one more is not passed on");
    }

    #[test]
    fn seeks_cannot_make_a_node_dial_often() {
        let mut seeks = Seeks::default();
        (0..10).for_each(|item| _ = seeks.heard(wanted(item, item), b"me", SECOND));
        let answers =
            |seeks: &mut Seeks, now| (0..10).filter(|item| seeks.may_answer(&wanted(*item, *item), now)).count();
        assert_eq!(answers(&mut seeks, SECOND), limits::DIALS);
        assert_eq!(answers(&mut seeks, SECOND + limits::DIALS_IN / 2), 0);
        assert_eq!(answers(&mut seeks, SECOND + limits::DIALS_IN), limits::DIALS);
    }
}
