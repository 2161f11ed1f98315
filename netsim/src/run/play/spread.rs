//! Many nodes want one item at the same moment.

use std::time::Duration;

use modswarm::engine::slices;
use modswarm::engine::spread::Rules;
use modswarm::engine::spread::limits::MAX_SLICES;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;

use super::{ascending, put_some, ratio, when};
use crate::run::bound::bound;
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::{Offices, Spread};
use crate::world::spreading::{Conduct, Load, Node};
use crate::world::{Line, NodeId, Settings, World, topology};

/// When all begin to want it: the links are up by then.
const BEGIN: Duration = Duration::from_secs(1);
/// How often it is looked whether something that depends on the progress is due.
const STEP: Duration = Duration::from_millis(10);
/// A slow node's line, as a part of the others'.
const SLOW: u64 = 100;
/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Holder,
    Receiver,
    Liar,
    Staller,
    Slow,
}

/// A scenario under way.
struct Crowd<'a> {
    scenario: &'a Spread,
    load: Load,
    roles: Vec<Role>,
    world: World<Node>,
    rng: StdRng,
    /// When the last fault ended.
    healed: Option<Duration>,
}

/// Plays it.
///
/// # Errors
/// More slices than the engine takes.
pub(super) fn play(scenario: &Spread, seed: u64) -> Result<Played, String> {
    let mut played = once(scenario, seed)?;
    if scenario.hostile.is_some() {
        let honest = once(&Spread { hostile: None, ..scenario.clone() }, seed)?;
        let last = |played: &Played| played.figures.get(Figure::Last);
        if let (Some(with), Some(without)) = (last(&played), last(&honest)) {
            played.figures.put(Figure::Slowdown, with / without.max(1e-9));
        }
    }
    Ok(played)
}

/// What is wanted.
fn load(scenario: &Spread) -> Load {
    let (bytes, slice) = match (scenario.total, scenario.slices, scenario.slice) {
        (None, Some(slices), Some(slice)) => (u64::from(slices) * slice.0, slice.0),
        (total, ..) => {
            let total = total.map_or(1, |total| total.0);
            (total, (total / slices::SLICES).clamp(slices::MIN_SLICE, slices::MAX_SLICE))
        }
    };
    let slices = u32::try_from(bytes.div_ceil(slice)).unwrap_or(u32::MAX);
    let size = |at: u64| u32::try_from((bytes - at * slice).min(slice)).unwrap_or(u32::MAX);
    Load { sizes: (0..u64::from(slices)).map(size).collect(), ..Load::even(1, slices, 0) }
}

fn once(scenario: &Spread, seed: u64) -> Result<Played, String> {
    let load = load(scenario);
    if load.item.slices > MAX_SLICES {
        return Err(format!("{} slices are more than the engine takes", load.item.slices));
    }
    let mut settings = Settings::default();
    if !scenario.jitter.0.is_zero() {
        settings.latency_jitter = scenario.jitter.0.as_secs_f64() / scenario.latency.0.as_secs_f64().max(1e-6);
    }
    let mut world: World<Node> = World::new(seed, settings);
    let mut rng = world.rng();
    let roles = roles(scenario, &mut rng);
    for role in &roles {
        let mut node = Node::new(Rules::default(), rng.random(), Conduct::Honest);
        if matches!(role, Role::Holder | Role::Liar | Role::Staller) {
            node.hold(&load);
        }
        let rate = if *role == Role::Slow { (scenario.rate.0 / SLOW).max(1) } else { scenario.rate.0 };
        let node = world.add(node, Line::even(rate));
        match role {
            Role::Liar => world.corrupt(node, true),
            Role::Staller => world.stall(node, true),
            _ => {}
        }
    }
    let mut crowd = Crowd { scenario, load, roles, world, rng, healed: None };
    crowd.link();
    for node in crowd.nodes(|role| matches!(role, Role::Receiver | Role::Slow)) {
        let load = crowd.load.clone();
        crowd.world.at(BEGIN, node, move |node, now| node.want(&load, now));
    }
    crowd.run();
    Ok(crowd.result())
}

/// The holders first; who is hostile is drawn.
fn roles(scenario: &Spread, rng: &mut StdRng) -> Vec<Role> {
    let mut roles = vec![Role::Holder; scenario.holders as usize];
    roles.resize((scenario.holders + scenario.receivers) as usize, Role::Receiver);
    let Some(hostile) = scenario.hostile else { return roles };
    let first = scenario.holders as usize;
    for (role, share) in [(Role::Liar, hostile.liars), (Role::Staller, hostile.stallers), (Role::Slow, hostile.slow)] {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few thousand")]
        let count = (share.0 * f64::from(scenario.receivers)).round() as usize;
        let honest = (first..roles.len()).filter(|at| roles[*at] == Role::Receiver).collect::<Vec<_>>();
        for at in honest.into_iter().choose_multiple(rng, count) {
            roles[at] = role;
        }
    }
    roles
}

impl Crowd<'_> {
    fn nodes(&self, which: impl Fn(Role) -> bool) -> Vec<NodeId> {
        self.world.nodes().zip(&self.roles).filter(|(_, role)| which(**role)).map(|(node, _)| node).collect()
    }

    fn link(&mut self) {
        let nodes: Vec<NodeId> = self.world.nodes().collect();
        let dials = (self.scenario.neighbours / 2).max(1) as usize;
        let latency = self.scenario.latency.0;
        let Some(offices) = self.scenario.offices else {
            for (a, b) in topology::dialled(&nodes, dials, &mut self.rng) {
                self.world.connect(a, b, latency);
            }
            return;
        };
        let size = nodes.len().div_ceil(offices.count as usize);
        let groups: Vec<&[NodeId]> = nodes.chunks(size).collect();
        for group in &groups {
            for (a, b) in topology::dialled(group, dials, &mut self.rng) {
                self.world.connect(a, b, latency);
            }
        }
        self.thin_lines(&groups, offices);
    }

    /// The gateways of each two offices are linked in pairs. The first holder is none of them, if there are others.
    fn thin_lines(&mut self, groups: &[&[NodeId]], offices: Offices) {
        let office = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        for (at, group) in groups.iter().enumerate() {
            group.iter().for_each(|node| self.world.settle(*node, office(at)));
        }
        self.world.thin(offices.rate.0);
        for (at, one) in groups.iter().enumerate() {
            for other in &groups[at + 1..] {
                let pairs = one.iter().skip(1).zip(other.iter().skip(1)).take(offices.gateways as usize);
                for (a, b) in pairs {
                    self.world.connect(*a, *b, offices.latency.0);
                }
            }
        }
    }

    /// Those whose completion counts: honest, wanting it, with a line like the others'.
    fn counted(&self) -> Vec<NodeId> {
        self.nodes(|role| role == Role::Receiver)
    }

    fn done(&self) -> bool {
        self.counted().iter().all(|node| self.world.stats(*node).done.is_some())
    }

    fn run(&mut self) {
        let end = BEGIN + self.scenario.give_up.0;
        let mut dies = self.scenario.seed_dies;
        let mut back: Option<Duration> = None;
        let mut parts = self.scenario.partition.map(|partition| {
            let others = self.nodes(|role| role != Role::Holder);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few thousand")]
            #[allow(clippy::cast_precision_loss, reason = "a few thousand nodes")]
            let count = (partition.share.0 * others.len() as f64).round() as usize;
            let inside = others.into_iter().choose_multiple(&mut self.rng, count);
            (inside, BEGIN + partition.at.0, BEGIN + partition.at.0 + partition.lasts.0, false)
        });
        let counted = self.counted();
        while self.world.now() < end {
            let now = (self.world.now() + STEP).min(end);
            self.world.run_until(now);
            if let Some(death) = dies.filter(|death| self.landed(&counted) >= death.at.0) {
                self.world.vanish(NodeId(0));
                dies = None;
                back = death.back_after.map(|after| now + after.0);
                self.healed = back;
            }
            if back.is_some_and(|at| at <= now) {
                back = None;
                let mut holder = Node::new(Rules::default(), self.rng.random(), Conduct::Honest);
                holder.hold(&self.load);
                self.world.restart(NodeId(0), holder);
            }
            if let Some((inside, from, until, parted)) = &mut parts {
                if !*parted && *from <= now {
                    self.world.part(inside);
                    *parted = true;
                } else if *parted && *until <= now {
                    self.world.join(inside);
                    self.healed = Some(now);
                    parts = None;
                }
            }
            let faults = dies.is_some() || back.is_some() || parts.is_some();
            if !faults && self.done() {
                break;
            }
        }
    }

    /// Which share of the slices that are wanted has landed.
    fn landed(&self, nodes: &[NodeId]) -> f64 {
        ratio(self.holds(nodes), u64::from(self.load.item.slices) * nodes.len() as u64)
    }

    fn holds(&self, nodes: &[NodeId]) -> u64 {
        let nodes = nodes.iter().filter_map(|node| self.world.machine(*node));
        nodes.map(|node| u64::from(node.holds(self.load.item))).sum()
    }

    fn result(&self) -> Played {
        let scenario = self.scenario;
        let counted = self.counted();
        let bytes = self.load.bytes();
        let done = counted.iter().filter_map(|node| self.world.stats(*node).done);
        let completions = ascending(done.map(|at| at.saturating_sub(BEGIN)));
        let last = when(&completions, 1.0, counted.len());
        let plain = scenario.offices.is_none()
            && scenario.hostile.is_none()
            && scenario.partition.is_none()
            && scenario.seed_dies.is_none()
            && scenario.holders == 1;
        let least =
            plain.then(|| bound(scenario.receivers, self.load.item.slices, bytes, scenario.rate.0).as_secs_f64());
        let mut figures = Figures::default();
        put_some(&mut figures, Figure::Share, least.zip(last).map(|(least, last)| least / last));
        put_some(&mut figures, Figure::Last, last);
        put_some(&mut figures, Figure::Median, when(&completions, 0.5, counted.len()));
        figures.put(Figure::Completed, ratio(completions.len() as u64, counted.len() as u64));
        figures.put(Figure::SeedEgress, ratio(self.world.stats(NodeId(0)).bulk_sent, bytes));
        let received: u64 = counted.iter().map(|node| self.world.stats(*node).bulk_received).sum();
        let needed = bytes * completions.len() as u64;
        if completions.len() == counted.len() {
            figures.put(Figure::Waste, ratio(received.saturating_sub(needed), needed));
        }
        if let (Some(healed), Some(last)) = (self.healed, last) {
            figures.put(Figure::AfterHeal, (last - healed.saturating_sub(BEGIN).as_secs_f64()).max(0.0));
        }
        if scenario.offices.is_some() {
            figures.put(Figure::Wan, ratio(self.world.carried(), bytes));
        }
        let sum = |of: fn(&Node) -> usize| -> u32 {
            let sum = counted.iter().filter_map(|node| self.world.machine(*node)).map(of).sum::<usize>();
            u32::try_from(sum).unwrap_or(u32::MAX)
        };
        figures.put(Figure::Stuck, sum(|node| node.stuck.len()).into());
        figures.put(Figure::Blamed, sum(|node| node.blamed.len()).into());
        let slices = self.load.item.slices;
        let notes = vec![format!("{slices} slices of {}", crate::run::units::bytes(f64::from(self.load.sizes[0])))];
        Played { figures, completions, counted: counted.len(), bound: least, notes }
    }
}
