//! What goes wrong.

use std::time::Duration;

use super::net::{Nanos, World, key, nanos};
use super::{Input, Line, Machine, NodeId};

impl<M: Machine> World<M> {
    /// A process dies: its neighbours hear of it at once, and what it knew is gone. Returns the machine, for what it had on disk.
    pub(crate) fn crash(&mut self, node: NodeId) -> Option<M> {
        self.gone(node, None)
    }

    /// A machine loses its power: its neighbours notice after [`Settings::notice`](super::Settings::notice).
    pub(crate) fn vanish(&mut self, node: NodeId) -> Option<M> {
        self.gone(node, Some(nanos(self.settings.notice)))
    }

    fn gone(&mut self, id: NodeId, notice: Option<Nanos>) -> Option<M> {
        let neighbours = self.node(id).neighbours.clone();
        let node = self.node_mut(id);
        let machine = node.machine.take();
        node.life += 1;
        for neighbour in neighbours {
            self.sever(id, neighbour, notice);
        }
        machine
    }

    /// A crashed node starts again with this machine; its links come up.
    pub(crate) fn restart(&mut self, id: NodeId, machine: M) {
        let node = self.node_mut(id);
        node.machine = Some(machine);
        node.stats.done = None;
        let neighbours = node.neighbours.clone();
        self.wind(id);
        for neighbour in neighbours {
            self.heal(id, neighbour);
        }
    }

    /// A link goes down; both ends hear of it.
    pub(crate) fn cut(&mut self, a: NodeId, b: NodeId) {
        self.sever(a, b, None);
    }

    /// A link goes down in the middle: both ends notice only after [`Settings::notice`](super::Settings::notice).
    pub(crate) fn cut_silently(&mut self, a: NodeId, b: NodeId) {
        self.sever(a, b, Some(nanos(self.settings.notice)));
    }

    fn sever(&mut self, a: NodeId, b: NodeId, notice: Option<Nanos>) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&key(a, b)).filter(|link| link.up) else { return };
        link.up = false;
        link.epoch += 1;
        let after = notice.unwrap_or(link.latency);
        let at = link.last.map(|last| last.max(now + after));
        link.last = at;
        let (low, high) = key(a, b);
        self.break_flows(a, b, after);
        self.inform(at[0], low, Input::PeerDown(high));
        self.inform(at[1], high, Input::PeerDown(low));
    }

    /// A link comes up (again), if both nodes live.
    pub(crate) fn heal(&mut self, a: NodeId, b: NodeId) {
        let now = self.now;
        if self.machine(a).is_none() || self.machine(b).is_none() {
            return;
        }
        let Some(link) = self.links.get_mut(&key(a, b)).filter(|link| !link.up) else { return };
        link.up = true;
        link.epoch += 1;
        // An end that has not noticed yet that the old one is gone notices first.
        let both = link.last[0].max(link.last[1]).max(now + link.latency);
        link.last = [both; 2];
        let (low, high) = key(a, b);
        self.inform(both, low, Input::PeerUp(high));
        self.inform(both, high, Input::PeerUp(low));
    }

    /// Parts the nodes into those inside and the rest: all links between go down. [`World::join`] undoes it.
    pub(crate) fn part(&mut self, inside: &[NodeId]) {
        for (a, b) in self.between(inside) {
            self.cut(a, b);
        }
    }

    /// All links between the nodes inside and the rest come up.
    pub(crate) fn join(&mut self, inside: &[NodeId]) {
        for (a, b) in self.between(inside) {
            self.heal(a, b);
        }
    }

    fn between(&self, inside: &[NodeId]) -> Vec<(NodeId, NodeId)> {
        self.links.keys().copied().filter(|(a, b)| inside.contains(a) != inside.contains(b)).collect()
    }

    /// A node's uploads stand still, though it goes on talking; or go on.
    pub(crate) fn stall(&mut self, node: NodeId, stalled: bool) {
        self.node_mut(node).stalled = stalled;
        self.pump(node);
    }

    /// What a node sends in bulk from now on is wrong, or right again.
    pub(crate) fn corrupt(&mut self, node: NodeId, corrupting: bool) {
        self.node_mut(node).corrupting = corrupting;
    }

    /// A node's line gets another rate.
    pub(crate) fn set_line(&mut self, node: NodeId, line: Line) {
        self.node_mut(node).line = line;
    }

    /// A node's clock: how much it is ahead now, and how much faster it runs, in millionths. Before the first event only.
    pub(crate) fn skew(&mut self, node: NodeId, ahead: Duration, faster: i32) {
        self.node_mut(node).clock = (i64::try_from(ahead.as_nanos()).unwrap_or(i64::MAX), i64::from(faster));
    }
}
