//! Transparency logs: an append-only list of records that one hash stands for (golang.org/x/mod/sumdb/tlog, RFC 6962).
//!
//! Records are the leaves of a binary Merkle tree. The hash at its top, with the number of records, is the *tree head*;
//! whoever signs it has committed to every record below. Three things can be shown against a head without holding the
//! log:
//!
//! * a record is in it: the hashes beside the way from leaf to root ([`prove_record`], [`check_record`]);
//! * an older log is the beginning of it: nothing was taken out or changed ([`prove_tree`], [`check_tree`]);
//! * a tile, a strip of up to 256 neighbouring hashes in which logs are published, belongs to it ([`Plan`]).
//!
//! Vocabulary: a [`Node`] is a *complete* subtree; all hashes are hashes of nodes. A tree of any size is a row of nodes of
//! falling size, and its head hashes that row from the right.
//!
//! The one rule of this module: **a hash from a tile is used only after the tile was authenticated up to the tree head**.
//! It is kept by the types: [`Proven`], from which hashes are read, comes only out of [`Plan::authenticate`].
//!
//! Nothing is fetched or stored here, and no number from outside can overflow or make work beyond a few hundred hashes:
//! sizes are at most [`MAX_SIZE`], so a proof has at most 63 hashes and a plan for one record at most 15 tiles.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

mod log;
mod plan;
mod proof;
mod text;
mod tile;

pub use log::HashLog;
pub use plan::{NotInTree, Plan, Proven, TileError};
pub use proof::{
    Hashes, NoHash, ProofFailed, check_record, check_tree, prove_record, prove_tree, record_nodes, tree_hash,
    tree_nodes,
};
pub use text::{BadText, TreeHead, format_record, parse_record};
pub use tile::{BadTilePath, FULL_WIDTH, TILE_HEIGHT, Tile, TilePath};

/// The most records of a tree: 2^63 - 1, as the numbers of the Go implementation are signed.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The most levels that nodes of a tree of [`MAX_SIZE`] records can have: 0 to 62.
const LEVELS: u8 = 63;

/// A SHA-256 hash of a record or of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A hash from its 32 raw bytes.
    #[must_use]
    pub const fn from_bytes(raw: [u8; Self::LEN]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the base64 form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The hash of a tree without records: of no bytes (RFC 6962, 2.1).
    #[must_use]
    pub fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The hash of a record: SHA-256 of a zero byte and the data, so that no record can pass for an inner node.
#[must_use]
pub fn record_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// The hash of an inner node: SHA-256 of a one byte and both hashes below.
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// A complete subtree: the records from `n * 2^level` up to `(n + 1) * 2^level`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Node {
    level: u8,
    n: u64,
}

impl Node {
    /// The `n`th node of `level`, counted from 0; `None` where its records could be in no tree of [`MAX_SIZE`].
    #[must_use]
    pub fn new(level: u8, n: u64) -> Option<Self> {
        (level < LEVELS && n < MAX_SIZE >> level).then_some(Self { level, n })
    }

    /// The node of the record with index `record` alone.
    #[must_use]
    pub fn leaf(record: u64) -> Option<Self> {
        Self::new(0, record)
    }

    /// How high above the records it is, 0 to 62.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Which of its level it is, from the left.
    #[must_use]
    pub const fn n(self) -> u64 {
        self.n
    }

    /// Whether a tree of `size` records has all of its records.
    #[must_use]
    pub const fn is_in(self, size: u64) -> bool {
        self.n < size >> self.level
    }

    /// The place of its hash in a dense list of all hashes in the order in which they become known, as
    /// x/mod/sumdb/tlog stores a log (`StoredHashIndex`; Crosby and Wallach, "Efficient Data Structures for
    /// Tamper-Evident Logging", 3.3). Always below 2^64.
    #[must_use]
    pub const fn stored_index(self) -> u64 {
        // The hash is written with the last record below it, after the hashes of all levels below.
        let last = (self.n << self.level) | ((1 << self.level) - 1);
        stored_before(last) + self.level as u64
    }

    /// The node whose [`Node::stored_index`] is `index`; `None` beyond [`MAX_SIZE`].
    #[must_use]
    pub fn from_stored_index(index: u64) -> Option<Self> {
        // Before record n at most 2n hashes are stored, and at least 2n - 64: start below and walk up.
        for record in index / 2..MAX_SIZE {
            if index < stored_before(record + 1) {
                let level = u8::try_from(index - stored_before(record)).ok()?;
                return Self::new(level, record >> level);
            }
        }
        None
    }
}

/// How many hashes are known before record `n` comes, `n` at most [`MAX_SIZE`]: n leaves, n/2 nodes of level 1, and so
/// on, which is 2n less the ones in n, in binary.
const fn stored_before(n: u64) -> u64 {
    2 * n - n.count_ones() as u64
}

#[cfg(test)]
mod tests;
