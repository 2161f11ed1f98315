//! Bytes in bulk: what nodes fetch from each other over their lines.

use rand::Rng;

use super::net::{Happening, Nanos, World, key, scaled, time_of};
use super::{Failure, Input, Machine, NodeId};

/// Pieces of one fetch that are under way at least, however short the link.
const WINDOW: u64 = 4;

/// Names a fetch.
pub(super) type FlowId = u64;

/// One fetch.
pub(super) struct Flow<B> {
    from: NodeId,
    to: NodeId,
    bulk: B,
    /// Bytes of it; known when the sender has been asked.
    bytes: u64,
    /// Given to the sender's line.
    sent: u64,
    /// At the receiver.
    arrived: u64,
    /// Of that, told to the two ends.
    reported: u64,
    /// How much slower than its line it is.
    slow: f64,
    forged: bool,
}

impl<M: Machine> World<M> {
    /// A node asks another one for something.
    pub(super) fn fetch(&mut self, to: NodeId, from: NodeId, bulk: M::Bulk) {
        let Some(latency) = self.latency(from, to) else {
            self.inform(self.now, to, Input::Failed { from, bulk, failure: Failure::Broken });
            return;
        };
        let jitter = self.settings.jitter.clamp(0.0, 0.9);
        let slow = 1.0 + self.rng.random_range(-jitter..=jitter);
        let id = self.next_flow;
        self.next_flow += 1;
        let flow = Flow { from, to, bulk, bytes: 0, sent: 0, arrived: 0, reported: 0, slow, forged: false };
        self.flows.insert(id, flow);
        self.schedule(self.now + latency, Happening::Asked { flow: id });
    }

    /// A node stops fetching something. The sender stops at once, which is a latency too early; what is under way is wasted.
    pub(super) fn cancel(&mut self, to: NodeId, from: NodeId, bulk: M::Bulk) {
        let flow = self.flows.iter().find(|(_, flow)| flow.to == to && flow.from == from && flow.bulk == bulk);
        let Some((&id, _)) = flow else { return };
        self.flows.remove(&id);
        self.node_mut(from).asked.retain(|&asked| asked != id);
    }

    /// The question has come to the sender.
    pub(super) fn asked(&mut self, id: FlowId) {
        let Some((from, to, bulk)) = self.flows.get(&id).map(|flow| (flow.from, flow.to, flow.bulk)) else { return };
        let node = self.node_mut(from);
        let forged = node.corrupting;
        match node.machine.as_ref().map(|machine| machine.serves(bulk)) {
            // A crashed node's links tell.
            None => {}
            Some(None) => {
                self.flows.remove(&id);
                let at = self.now + self.latency(from, to).unwrap_or(0);
                self.inform(at, to, Input::Failed { from, bulk, failure: Failure::Missing });
            }
            Some(Some(bytes)) => {
                node.asked.push_back(id);
                if let Some(flow) = self.flows.get_mut(&id) {
                    flow.bytes = bytes.max(1);
                    flow.forged = forged;
                }
                self.pump(from);
            }
        }
    }

    /// Gives the uplink the next piece, if it is free and there is one.
    pub(super) fn pump(&mut self, from: NodeId) {
        let node = self.node(from);
        if node.sending || node.stalled || node.machine.is_none() {
            return;
        }
        let Some(&id) = node.asked.iter().find(|&&id| self.may_send(id)) else { return };
        let (start, rate) = (self.now + node.debt, node.line.up);
        let piece = self.settings.piece.max(1);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let bytes = piece.min(flow.bytes - flow.sent);
        flow.sent += bytes;
        let takes = scaled(time_of(bytes, rate), flow.slow);
        let node = self.node_mut(from);
        (node.sending, node.debt) = (true, 0);
        node.stats.bulk_sent += bytes;
        self.schedule(start + takes, Happening::Left { from, flow: id, bytes });
    }

    fn may_send(&self, id: FlowId) -> bool {
        self.flows.get(&id).is_some_and(|flow| {
            let latency = self.latency(flow.from, flow.to).unwrap_or(0);
            // What a stream keeps in flight: twice what the line carries in a round trip.
            let line = self.node(flow.from).line.up.saturating_mul(4 * latency) / 1_000_000_000;
            flow.sent < flow.bytes && flow.sent - flow.arrived < line.max(WINDOW * self.settings.piece)
        })
    }

    /// A piece has left the sender's line.
    pub(super) fn left(&mut self, from: NodeId, id: FlowId, bytes: u64) {
        self.node_mut(from).sending = false;
        if let Some(flow) = self.flows.get(&id) {
            let to = flow.to;
            let latency = self.latency(from, to).unwrap_or(0);
            let through = self.through(from, to, bytes);
            let node = self.node_mut(to);
            // The receiver's line takes it in while it comes, unless that is busy with others.
            let at = (through + latency).max(node.down_free + time_of(bytes, node.line.down));
            node.down_free = at;
            self.schedule(at, Happening::Arrived { flow: id, to, bytes });
        }
        self.pump(from);
    }

    /// A piece is at the receiver.
    pub(super) fn arrived(&mut self, id: FlowId, to: NodeId, bytes: u64) {
        self.node_mut(to).stats.bulk_received += bytes;
        let report = self.settings.report;
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.arrived += bytes;
        let (from, bulk, forged, done) = (flow.from, flow.bulk, flow.forged, flow.arrived >= flow.bytes);
        let moved = flow.arrived - flow.reported;
        if done || moved >= report {
            flow.reported = flow.arrived;
            self.input(from, Input::Moved { peer: to, sent: moved, received: 0 });
            self.input(to, Input::Moved { peer: from, sent: 0, received: moved });
        }
        // Hearing that, either end may have cancelled it.
        if done && self.flows.remove(&id).is_some() {
            self.node_mut(from).asked.retain(|&asked| asked != id);
            let input = match forged {
                true => Input::Failed { from, bulk, failure: Failure::Forged },
                false => Input::Landed { from, bulk },
            };
            self.input(to, input);
        }
        self.pump(from);
    }

    /// Ends what two nodes fetch from each other; they learn of it after this time.
    pub(super) fn break_flows(&mut self, a: NodeId, b: NodeId, notice: Nanos) {
        let ended = self.flows.iter().filter(|(_, flow)| key(flow.from, flow.to) == key(a, b));
        let ended: Vec<FlowId> = ended.map(|(&id, _)| id).collect();
        for id in ended {
            let Some(flow) = self.flows.remove(&id) else { continue };
            self.node_mut(flow.from).asked.retain(|&asked| asked != id);
            let failed = Input::Failed { from: flow.from, bulk: flow.bulk, failure: Failure::Broken };
            self.inform(self.now + notice, flow.to, failed);
        }
    }

    /// The latency between two nodes whose link is up.
    fn latency(&self, a: NodeId, b: NodeId) -> Option<Nanos> {
        self.links.get(&key(a, b)).filter(|link| link.up).map(|link| link.latency)
    }
}
