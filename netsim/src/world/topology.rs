//! Who is linked to whom.

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::{IteratorRandom, SliceRandom};

use super::NodeId;

/// Links, each named once, the smaller number first.
pub(crate) type Links = Vec<(NodeId, NodeId)>;

fn ordered(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// Each node dials `dials` others at random: about twice as many links per node. Always connected.
pub(crate) fn dialled(nodes: &[NodeId], dials: usize, rng: &mut impl Rng) -> Links {
    let mut links = BTreeSet::new();
    let mut order = nodes.to_vec();
    order.shuffle(rng);
    // Each dials one who was there before it, as in life; so all hang together.
    for (at, &node) in order.iter().enumerate().skip(1) {
        links.insert(ordered(node, order[rng.random_range(0..at)]));
    }
    for &node in nodes {
        let others = nodes.iter().copied().filter(|&other| other != node);
        links
            .extend(others.choose_multiple(rng, dials.saturating_sub(1)).into_iter().map(|other| ordered(node, other)));
    }
    links.into_iter().collect()
}

/// Every node with the first one.
pub(crate) fn star(nodes: &[NodeId]) -> Links {
    nodes.iter().skip(1).map(|&node| ordered(nodes[0], node)).collect()
}

/// Every node with every other.
pub(crate) fn mesh(nodes: &[NodeId]) -> Links {
    nodes.iter().enumerate().flat_map(|(at, &a)| nodes[at + 1..].iter().map(move |&b| ordered(a, b))).collect()
}

/// Offices: `dialled` inside each, and the first of each with the first of every other (give those links the wide area's latency).
/// Returns the links inside, and those between.
pub(crate) fn offices(offices: &[Vec<NodeId>], dials: usize, rng: &mut impl Rng) -> (Links, Links) {
    let inside = offices.iter().flat_map(|office| dialled(office, dials, rng)).collect();
    let gateways: Vec<NodeId> = offices.iter().filter_map(|office| office.first().copied()).collect();
    (inside, mesh(&gateways))
}
