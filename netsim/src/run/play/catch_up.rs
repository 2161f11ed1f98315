//! A node that was away catches up: the engine's set reconciliation, then the manifests that it has found to be missing.
//!
//! The questions and answers are those of the transfer protocol, encoded as it does; one is asked after the other, as the daemon does.

use std::collections::BTreeMap;
use std::time::Duration;

use modswarm::domain::codec;
use modswarm::domain::manifest::ManifestId;
use modswarm::engine::reconcile::{Action, Ask, Encoder, Key, Part, Reconcile, Salt, first_symbols, pack, unpack};
use modswarm::transfer::limits::{ENVELOPES_BUDGET, MAX_IDS};
use modswarm::transfer::wire::{Reply, Request, SketchPage};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ratio, wire};
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::CatchUp;

/// The length before a frame's header.
const FRAME: u64 = 4;
/// Answers after which it goes round in circles.
const MAX_ROUNDS: u32 = 10_000;

/// What went over the line, and how long it took.
struct Line {
    rate: f64,
    latency: Duration,
    bytes: u64,
    rounds: u32,
    time: Duration,
}

impl Line {
    /// A question and its answer, with all that is put round them.
    #[allow(clippy::cast_precision_loss, reason = "bytes of a catch-up")]
    fn exchange(&mut self, asked: u64, answered: u64) {
        let (asked, answered) = (wire::message(asked), wire::message(answered));
        self.bytes += asked + answered + wire::ACK;
        self.rounds += 1;
        self.time += 2 * self.latency + Duration::from_secs_f64((asked + answered) as f64 / self.rate);
    }
}

/// Both catalogs and the sizes of the manifests that are missing.
struct Catalogs {
    ours: Vec<ManifestId>,
    theirs: Vec<ManifestId>,
    sizes: BTreeMap<ManifestId, u64>,
}

fn catalogs(scenario: &CatchUp, rng: &mut StdRng) -> Catalogs {
    let mut id = || ManifestId::of(&rng.random::<[u8; 16]>());
    let both: Vec<ManifestId> = (0..scenario.known).map(|_| id()).collect();
    let new: Vec<ManifestId> = (0..scenario.missing).map(|_| id()).collect();
    let own: Vec<ManifestId> = (0..scenario.own).map(|_| id()).collect();
    let mean = scenario.manifest.0;
    let sizes = new.iter().map(|id| (*id, rng.random_range(mean / 2..=mean + mean / 2).max(1))).collect();
    Catalogs { ours: [both.clone(), own].concat(), theirs: [both, new].concat(), sizes }
}

/// Plays it.
///
/// # Errors
/// The reconciliation did not find what differs.
pub(super) fn play(scenario: &CatchUp, seed: u64) -> Result<Played, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let all = catalogs(scenario, &mut rng);
    let salt = Salt::new(&rng.random(), &rng.random());
    let keys = |ids: &[ManifestId]| ids.iter().map(|id| salt.key(id)).collect::<Vec<Key>>();
    let mut line = Line {
        rate: u32::try_from(scenario.rate.0).map_or(4e9, f64::from),
        latency: scenario.latency.0,
        bytes: 0,
        rounds: 0,
        time: Duration::ZERO,
    };
    let (missing, extra) = compare(&salt, keys(&all.ours), keys(&all.theirs), &mut line)?;
    let compared = line.bytes;
    let by_key: BTreeMap<Key, u64> = all.sizes.iter().map(|(id, size)| (salt.key(id), *size)).collect();
    let wanted: Vec<u64> = missing.iter().filter_map(|key| by_key.get(key).copied()).collect();
    let expected: u64 = all.sizes.values().sum();
    if wanted.len() != all.sizes.len() || missing.len() != wanted.len() || extra.len() != scenario.own as usize {
        return Err(format!(
            "{} manifests were missing and {} of them were found; {} too many",
            all.sizes.len(),
            wanted.len(),
            missing.len() - wanted.len()
        ));
    }
    fetch(&wanted, &mut line);
    let mut figures = Figures::default();
    figures.put(Figure::CatchUpBytes, ratio(line.bytes, expected));
    figures.put(Figure::CatchUpRounds, line.rounds.into());
    figures.put(Figure::CatchUpTime, line.time.as_secs_f64());
    let kept = scenario.away.0.as_secs() / 86_400;
    let notes = vec![format!(
        "away for {kept} days: {} manifests found with {} per manifest of comparison",
        wanted.len(),
        crate::run::units::bytes(ratio(compared, wanted.len() as u64)),
    )];
    Ok(Played { figures, completions: Vec::new(), counted: 1, bound: None, notes })
}

/// What only they have, and what only we have.
fn compare(salt: &Salt, ours: Vec<Key>, theirs: Vec<Key>, line: &mut Line) -> Result<(Vec<Key>, Vec<Key>), String> {
    let mut server = Encoder::new(salt, theirs);
    let own = ours.len() as u64;
    let count = first_symbols(own, server.total());
    let mut client = Reconcile::new(salt, ours);
    let mut ask = Ask { part: Part::ALL, from: 0, count };
    let (mut missing, mut extra) = (Vec::new(), Vec::new());
    for _ in 0..MAX_ROUNDS {
        if server.at() != (ask.part, ask.from) {
            server.begin(ask.part);
            server.symbols(ask.from);
        }
        let (total, symbols) = (server.total(), server.symbols(ask.count));
        let packed = pack(ask.from, total, &symbols);
        let part = (ask.part.bits, ask.part.prefix);
        let question = Request::Sketch {
            request: line.rounds.into(),
            nonce: [7; 16],
            part,
            from: ask.from,
            count: ask.count,
            total: own,
            sum: [7; 16],
        };
        let page = SketchPage::Symbols { salt: [7; 16], total, symbols: packed.clone() };
        line.exchange(framed(&question), piece(codec::encode(&page).len() as u64));
        let symbols = unpack(ask.from, total, &packed, ask.count).ok_or("the symbols cannot be read back")?;
        match client.answer(total, &symbols).map_err(|nonsense| nonsense.0.to_owned())? {
            Action::Ask(next) => ask = next,
            Action::Found { missing: more, extra: own, next } => {
                missing.extend(more);
                extra.extend(own);
                match next {
                    Some(next) => ask = next,
                    None => return Ok((missing, extra)),
                }
            }
            Action::TooLarge => return Err("the difference is too large to be found".into()),
        }
    }
    Err(format!("nothing was found in {MAX_ROUNDS} rounds"))
}

/// Questions for manifests by their short keys, each answered up to the budget.
fn fetch(wanted: &[u64], line: &mut Line) {
    for page in wanted.chunks(MAX_IDS) {
        let mut left = page;
        while !left.is_empty() {
            let (mut bytes, mut count) = (0, 0);
            for size in left {
                bytes += piece(*size);
                count += 1;
                if bytes >= u64::from(ENVELOPES_BUDGET) {
                    break;
                }
            }
            let keys = vec![[7; 8]; left.len()];
            let request = line.rounds.into();
            let question = Request::EnvelopesByKey { request, nonce: [7; 16], keys, budget: ENVELOPES_BUDGET };
            line.exchange(framed(&question), bytes);
            left = &left[count..];
        }
    }
}

fn framed(question: &Request) -> u64 {
    FRAME + codec::encode(question).len() as u64
}

/// An answer with so many bytes.
fn piece(bytes: u64) -> u64 {
    let header = Reply::Piece { request: 999, index: 255, len: u32::try_from(bytes).unwrap_or(u32::MAX) };
    FRAME + codec::encode(&header).len() as u64 + bytes
}
