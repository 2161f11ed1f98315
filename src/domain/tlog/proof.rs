//! Proofs of inclusion and of consistency (RFC 6962, 2.1.1 and 2.1.2).

use super::{Hash, MAX_SIZE, Node, TreeHead, node_hash};

/// Something that knows hashes of nodes: a whole log, or authenticated tiles of one.
pub trait Hashes {
    /// The hash of `node`, if it is known.
    fn hash(&self, node: Node) -> Option<Hash>;
}

/// A hash that a proof or a tree head needs is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoHash {
    /// The source does not know this node.
    #[error("the hash of node {n} of level {level} is not at hand")]
    Unknown {
        /// Level of the node.
        level: u8,
        /// Its number within the level.
        n: u64,
    },
    /// There is no such record or tree.
    #[error("there is no {what} {index} in a tree of {size} records")]
    OutOfTree {
        /// `record` or `tree of size`.
        what: &'static str,
        /// What was asked for.
        index: u64,
        /// Size of the tree in records.
        size: u64,
    },
}

/// A proof does not lead to the tree head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead to the tree head: record, proof or head was changed")]
pub struct ProofFailed;

/// Which side of the way from a leaf to the root a hash of the proof is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The records `lo..hi`; `lo` is a multiple of a power of two that is at least `hi - lo`.
#[derive(Clone, Copy)]
struct Span {
    lo: u64,
    hi: u64,
}

impl Span {
    /// Splits two or more records as RFC 6962 does: the largest power of two *below* the count goes left.
    const fn split(self) -> (Self, Self) {
        let middle = self.lo + (1 << (self.hi - self.lo - 1).ilog2());
        (Self { lo: self.lo, hi: middle }, Self { lo: middle, hi: self.hi })
    }

    /// The nodes that together are these records, from the left, each smaller than the one before.
    fn nodes(self) -> impl DoubleEndedIterator<Item = Node> {
        let mut nodes = Vec::new();
        let mut lo = self.lo;
        while lo < self.hi {
            #[allow(clippy::cast_possible_truncation, reason = "the logarithm of a u64 is below 64")]
            let level = (self.hi - lo).ilog2() as u8;
            nodes.push(Node { level, n: lo >> level });
            lo += 1 << level;
        }
        nodes.into_iter()
    }

    fn hash(self, hashes: &(impl Hashes + ?Sized)) -> Result<Hash, NoHash> {
        let mut sum = None;
        for node in self.nodes().rev() {
            let left = hashes.hash(node).ok_or(NoHash::Unknown { level: node.level, n: node.n })?;
            sum = Some(sum.map_or(left, |right| node_hash(left, right)));
        }
        Ok(sum.unwrap_or_else(Hash::of_nothing))
    }
}

/// The spans beside the way from the root down to record `index`, from the root down.
fn beside_record(size: u64, index: u64) -> Vec<(Side, Span)> {
    let mut way = Vec::new();
    let mut span = Span { lo: 0, hi: size };
    while span.hi - span.lo > 1 {
        let (left, right) = span.split();
        if index < left.hi {
            way.push((Side::Right, right));
            span = left;
        } else {
            way.push((Side::Left, left));
            span = right;
        }
    }
    way
}

/// The spans beside the way from the root down to the right edge of the tree's first `old` records, and the span at
/// which the way ends: its records are the last of the old tree.
fn beside_tree(size: u64, old: u64) -> (Vec<(Side, Span)>, Span) {
    let mut way = Vec::new();
    let mut span = Span { lo: 0, hi: size };
    while span.hi != old {
        let (left, right) = span.split();
        if old <= left.hi {
            way.push((Side::Right, right));
            span = left;
        } else {
            way.push((Side::Left, left));
            span = right;
        }
    }
    (way, span)
}

/// The nodes that [`tree_hash`] of the first `size` records reads; none for 0.
#[must_use]
pub fn tree_nodes(size: u64) -> Vec<Node> {
    Span { lo: 0, hi: size.min(MAX_SIZE) }.nodes().collect()
}

/// The nodes that [`prove_record`] reads; none if there is no such record.
#[must_use]
pub fn record_nodes(size: u64, index: u64) -> Vec<Node> {
    if size > MAX_SIZE || index >= size {
        return Vec::new();
    }
    beside_record(size, index).into_iter().flat_map(|(_, span)| span.nodes()).collect()
}

/// The hash of the tree of the first `size` records.
///
/// # Errors
/// [`NoHash`] when a node is not known.
pub fn tree_hash(size: u64, hashes: &(impl Hashes + ?Sized)) -> Result<Hash, NoHash> {
    if size > MAX_SIZE {
        return Err(NoHash::OutOfTree { what: "tree of size", index: size, size: MAX_SIZE });
    }
    Span { lo: 0, hi: size }.hash(hashes)
}

/// The proof that record `index` is in the tree of `size` records: hashes from the leaf up, at most 63.
///
/// # Errors
/// [`NoHash`] when there is no such record, or a hash is not known.
pub fn prove_record(size: u64, index: u64, hashes: &(impl Hashes + ?Sized)) -> Result<Vec<Hash>, NoHash> {
    if size > MAX_SIZE || index >= size {
        return Err(NoHash::OutOfTree { what: "record", index, size });
    }
    beside_record(size, index).into_iter().rev().map(|(_, span)| span.hash(hashes)).collect()
}

/// Checks that record `index` of the tree `head` has the hash `leaf`.
///
/// # Errors
/// [`ProofFailed`] for anything else, also a proof that is longer or shorter than it has to be.
pub fn check_record(proof: &[Hash], head: &TreeHead, index: u64, leaf: Hash) -> Result<(), ProofFailed> {
    if head.size > MAX_SIZE || index >= head.size {
        return Err(ProofFailed);
    }
    let way = beside_record(head.size, index);
    if way.len() != proof.len() {
        return Err(ProofFailed);
    }
    let root = way.iter().rev().zip(proof).fold(leaf, |below, ((side, _), &beside)| match side {
        Side::Left => node_hash(beside, below),
        Side::Right => node_hash(below, beside),
    });
    if root == head.hash { Ok(()) } else { Err(ProofFailed) }
}

/// The proof that the tree of `size` records starts with the tree of its first `old` records: at most 64 hashes.
///
/// # Errors
/// [`NoHash`] unless `1 <= old <= size`, or when a hash is not known.
pub fn prove_tree(size: u64, old: u64, hashes: &(impl Hashes + ?Sized)) -> Result<Vec<Hash>, NoHash> {
    if size > MAX_SIZE || old == 0 || old > size {
        return Err(NoHash::OutOfTree { what: "tree of size", index: old, size });
    }
    let (way, end) = beside_tree(size, old);
    // Where the way ends at the left edge, the span is the whole old tree, and who checks knows its hash.
    let start = if end.lo == 0 { None } else { Some(end) };
    start.into_iter().chain(way.into_iter().rev().map(|(_, span)| span)).map(|span| span.hash(hashes)).collect()
}

/// Checks that the tree `head` starts with the tree `old`.
///
/// Of a tree without records there is nothing to prove: everything starts with it. So `old.size` must be over 0.
///
/// # Errors
/// [`ProofFailed`] when it does not, or the proof shows nothing about these two.
pub fn check_tree(proof: &[Hash], head: &TreeHead, old: &TreeHead) -> Result<(), ProofFailed> {
    if head.size > MAX_SIZE || old.size == 0 || old.size > head.size {
        return Err(ProofFailed);
    }
    let (way, end) = beside_tree(head.size, old.size);
    let (start, rest) = match proof.split_first() {
        _ if end.lo == 0 => (old.hash, proof),
        Some((&first, rest)) => (first, rest),
        None => return Err(ProofFailed),
    };
    if way.len() != rest.len() {
        return Err(ProofFailed);
    }
    let (mut then, mut now) = (start, start);
    for ((side, _), &beside) in way.iter().rev().zip(rest) {
        match side {
            // What lies to the right of the way came after the old tree.
            Side::Right => now = node_hash(now, beside),
            Side::Left => (then, now) = (node_hash(beside, then), node_hash(beside, now)),
        }
    }
    if then == old.hash && now == head.hash { Ok(()) } else { Err(ProofFailed) }
}
