//! Flash crowds: many nodes want the same item at the same time, and one holds it.

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use modswarm::engine::spread::Rules;
use rand::Rng;

use super::spreading::{Conduct, Load, Node};
use super::{Line, NodeId, Settings, World, topology};

/// A crowd.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    /// Nodes that want the item.
    pub(crate) receivers: usize,
    /// Slices of the item.
    pub(crate) slices: u32,
    /// Bytes of a slice.
    pub(crate) slice: u32,
    /// Every node's line.
    pub(crate) line: Line,
    /// Every link's latency.
    pub(crate) latency: Duration,
    /// How many others each node dials.
    pub(crate) dials: usize,
    /// How each receiver behaves, by its number; honest beyond the end.
    pub(crate) conducts: Vec<Conduct>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            receivers: 20,
            slices: 20,
            slice: 1 << 20,
            line: Line::even(12_500_000),
            latency: Duration::from_millis(1),
            dials: 6,
            conducts: Vec::new(),
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Figures {
    /// The bound as a share of the time until the last honest node was complete; 0 if one never was.
    pub(crate) share: f64,
    /// The same for the median node.
    pub(crate) median: f64,
    /// What the seed sent, in items.
    pub(crate) egress: f64,
    /// Bytes of messages sent per node.
    pub(crate) messages: f64,
    /// Times that an honest node was told it is stuck.
    pub(crate) stuck: usize,
}

impl Crowd {
    /// What is wanted.
    pub(crate) fn load(&self) -> Load {
        Load::even(1, self.slices, self.slice)
    }

    /// Mundinger, Weber and Weiss: in seconds, for all receivers.
    pub(crate) fn bound(&self) -> f64 {
        let rounds = f64::from(self.receivers.max(1).ilog2());
        let bytes = f64::from(self.slices) * f64::from(self.slice);
        (1.0 + rounds / f64::from(self.slices)) * bytes / (self.line.up as f64)
    }

    /// The world, the seed being its first node, and its receivers.
    pub(crate) fn world(&self, seed: u64) -> (World<Node>, Vec<NodeId>) {
        let mut world = World::new(seed, Settings::default());
        let mut rng = world.rng();
        let load = self.load();
        let nodes: Vec<NodeId> = (0..=self.receivers)
            .map(|at| {
                let conduct = at.checked_sub(1).and_then(|at| self.conducts.get(at)).copied().unwrap_or_default();
                let mut node = Node::new(Rules::default(), rng.random(), conduct);
                if at == 0 {
                    node.hold(&load);
                }
                world.add(node, self.line)
            })
            .collect();
        for (a, b) in topology::dialled(&nodes, self.dials, &mut rng) {
            world.connect(a, b, self.latency);
        }
        for &node in &nodes[1..] {
            let load = load.clone();
            let at = Duration::from_secs(1) + Duration::from_micros(rng.random_range(0..100_000));
            world.at(at, node, move |node, now| node.want(&load, now));
        }
        world.run_until(Duration::from_secs(1));
        (world, nodes)
    }

    /// The honest receivers among a world's nodes.
    pub(crate) fn honest(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let conduct = |at: usize| self.conducts.get(at).copied().unwrap_or_default();
        let receivers = nodes[1..].iter().enumerate();
        receivers.filter(|&(at, _)| conduct(at) == Conduct::Honest).map(|(_, &node)| node).collect()
    }

    /// Lets the honest ones finish, for at most so many times the bound.
    pub(crate) fn finish(&self, world: &mut World<Node>, nodes: &[NodeId], times: f64) -> Figures {
        let honest = self.honest(nodes);
        let until = Duration::from_secs_f64(1.1 + self.bound() * times);
        let mut left = honest.clone();
        world.run_while(until, |world| {
            while left.last().is_some_and(|&node| world.stats(node).done.is_some()) {
                left.pop();
            }
            !left.is_empty()
        });
        self.figures(world, nodes[0], &honest)
    }

    fn figures(&self, world: &World<Node>, seed: NodeId, honest: &[NodeId]) -> Figures {
        let mut times: Vec<f64> = honest
            .iter()
            .map(|&node| world.stats(node).done.map_or(f64::INFINITY, |done| done.as_secs_f64() - 1.0))
            .collect();
        times.sort_by(f64::total_cmp);
        let share = |time: Option<&f64>| time.map_or(0.0, |time| self.bound() / time);
        let messages: u64 = world.nodes().map(|node| world.stats(node).message_bytes_sent).sum();
        Figures {
            share: share(times.last()),
            median: share(times.get(times.len() / 2)),
            egress: world.stats(seed).bulk_sent as f64 / self.load().bytes() as f64,
            messages: messages as f64 / (honest.len() + 1) as f64,
            stuck: honest.iter().filter_map(|&node| world.machine(node)).map(|node| node.stuck.len()).sum(),
        }
    }

    /// One whole run.
    pub(crate) fn run(&self, seed: u64) -> Figures {
        let (mut world, nodes) = self.world(seed);
        self.finish(&mut world, &nodes, 20.0)
    }
}

/// Which crowds to try.
#[derive(Args)]
pub(crate) struct Flash {
    /// Nodes that want the item.
    #[arg(long, default_value_t = 20)]
    receivers: usize,
    /// Slices of 1 MiB of the item.
    #[arg(long, default_value_t = 20)]
    slices: u32,
    /// How many times faster the lines are down than up.
    #[arg(long, default_value_t = 1)]
    down: u64,
    /// How many runs, with seeds from 1 on.
    #[arg(long, default_value_t = 5)]
    runs: u64,
}

impl Flash {
    /// Prints a line per run.
    pub(crate) fn run(&self) -> ExitCode {
        let up = 12_500_000;
        let line = Line { up, down: up * self.down };
        let crowd = Crowd { receivers: self.receivers, slices: self.slices, line, ..Crowd::default() };
        for seed in 1..=self.runs {
            eprintln!("seed {seed}: {:?}", crowd.run(seed));
        }
        ExitCode::SUCCESS
    }
}
