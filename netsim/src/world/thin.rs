//! Offices, and the thin line between them that all their links share.

use std::collections::BTreeMap;

use super::net::{Nanos, World, time_of};
use super::{Machine, NodeId};

/// Thin lines: one for each two offices and direction.
#[derive(Default)]
pub(super) struct Thin {
    /// In which office a node is; the first one unless it was said.
    office: BTreeMap<NodeId, u32>,
    /// Bytes per second; `None` if there is no thin line.
    rate: Option<u64>,
    /// Until when each is taken.
    free: BTreeMap<(u32, u32), Nanos>,
    /// Bytes in bulk that went over them.
    carried: u64,
}

impl<M: Machine> World<M> {
    /// Says in which office a node is.
    pub(crate) fn settle(&mut self, node: NodeId, office: u32) {
        self.thin.office.insert(node, office);
    }

    /// What two nodes of different offices send each other shares a line of this rate, one for each direction. Messages go
    /// ahead of bulk, and are taken for too small to matter.
    pub(crate) fn thin(&mut self, rate: u64) {
        self.thin.rate = Some(rate);
    }

    /// Bytes in bulk that have gone over thin lines.
    pub(crate) fn carried(&self) -> u64 {
        self.thin.carried
    }

    /// When a piece that leaves a node now is through the thin line, if there is one on its way.
    pub(super) fn through(&mut self, from: NodeId, to: NodeId, bytes: u64) -> Nanos {
        let office = |node| self.thin.office.get(&node).copied().unwrap_or_default();
        let (here, there) = (office(from), office(to));
        let Some(rate) = self.thin.rate.filter(|_| here != there) else { return self.now };
        let free = self.thin.free.entry((here, there)).or_default();
        *free = (*free).max(self.now) + time_of(bytes, rate);
        self.thin.carried += bytes;
        *free
    }
}
