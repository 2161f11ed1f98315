//! Answering for a checksum database, out of what a node holds: which answers there are, and when there are enough.
//!
//! The go command asks for `supported` once, and from a 200 on it asks nobody else: every error after that is the end of the
//! build. So a [`Server`] knows at each moment which tiles a client *with an empty cache* will ask for, and counts itself
//! supported only when it has them all.
//!
//! One *pinned* head goes out with every lookup, whatever head the record was once fetched with: clients need the tiles of one
//! tree then, and not of one tree for each lookup. A client with an older head checks that the pinned tree contains its own,
//! with tiles at the right edge of its *own* tree; these are kept for the heads that were pinned here before. (An older head
//! from elsewhere may need a tile that is not held, and so may a client that is ahead and has forgotten its tiles: both can
//! only be helped by a node with an upstream.)
//!
//! This is the logic alone. Bytes of records and tiles are wherever the node keeps them; they must have been authenticated.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::sumdb::{Lookup, Record, SignedHead};
use crate::domain::tlog::{Hash, Node, Plan, Tile, TilePath, TreeHead, check_tree, tree_nodes};

/// For how many heads that were pinned before clients are still helped along: at one a week, more than a year.
pub const MAX_OLD_HEADS: usize = 64;

/// The tiles that a client with an empty cache asks for, to check record `index` in the tree of `size` records: first those
/// that prove the tree head, then those that lead to the record. None if there is no such record.
#[must_use]
pub fn tiles_for_record(index: u64, size: u64) -> Vec<Tile> {
    tiles_for(size, Node::leaf(index))
}

/// The tiles that a client asks for, to check that the tree of `size` records contains the tree of its first `old` ones.
/// None if it cannot.
#[must_use]
pub fn tiles_for_consistency(old: u64, size: u64) -> Vec<Tile> {
    if old > size { Vec::new() } else { tiles_for(size, tree_nodes(old)) }
}

fn tiles_for(size: u64, nodes: impl IntoIterator<Item = Node>) -> Vec<Tile> {
    // Which tiles there are is a matter of size alone.
    let head = TreeHead { size, hash: Hash::of_nothing() };
    Plan::new(head, nodes).map(|plan| plan.tiles().to_vec()).unwrap_or_default()
}

/// Why a head cannot be pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Its tree is smaller than the pinned one.
    #[error("the tree head of {size} records is older than the pinned one of {pinned}: the head never moves back")]
    Back {
        /// Size of its tree in records.
        size: u64,
        /// Size of the pinned tree in records.
        pinned: u64,
    },
    /// The proof does not show that its tree contains the pinned one.
    #[error(
        "the tree head of {size} records is not shown to continue the pinned one of {pinned}: do not trust its sender"
    )]
    Inconsistent {
        /// Size of its tree in records.
        size: u64,
        /// Size of the pinned tree in records.
        pinned: u64,
    },
    /// With it, lookups would fail that are answered now.
    #[error("the tree head of {size} records cannot be pinned yet: {missing} tiles or records of its tree are missing")]
    Incomplete {
        /// Size of its tree in records.
        size: u64,
        /// The number of tiles that are not held, and of records that it does not have.
        missing: usize,
    },
}

/// Which bytes answer for a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TileAnswer {
    /// The tile that is held, at least as wide as the wanted one.
    pub stored: Tile,
    /// The tile that was asked for: `wanted.cut(bytes)` is the answer.
    pub wanted: Tile,
}

/// The answers for one database, all under one pinned head.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pinned: Option<SignedHead>,
    /// Sizes of the heads that were pinned before, the latest [`MAX_OLD_HEADS`].
    old_sizes: BTreeSet<u64>,
    /// Ids of the records that lookups are answered with.
    records: BTreeSet<u64>,
    /// The width in which each tile is held, by level and number.
    held: HashMap<(u8, u64), u16>,
    /// The width in which each tile is needed that is held narrower or not at all.
    missing: BTreeMap<(u8, u64), u16>,
}

impl Server {
    /// A server as it was: the pinned head and the sizes of those before it, from the store.
    ///
    /// Records and tiles are told with [`Server::add_record`] and [`Server::add_tile`].
    #[must_use]
    pub fn restore(pinned: Option<SignedHead>, old_sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut server = Self { pinned, ..Self::default() };
        old_sizes.into_iter().for_each(|size| server.remember(size));
        server.recount();
        server
    }

    /// Takes on to answer lookups with record `id`.
    pub fn add_record(&mut self, id: u64) {
        if self.records.insert(id) {
            let size = self.size();
            self.need(tiles_for_record(id, size));
        }
    }

    /// Answers no longer with record `id`. Its tiles may be needed for others: see [`Server::needed`].
    pub fn remove_record(&mut self, id: u64) {
        if self.records.remove(&id) {
            self.recount();
        }
    }

    /// Notes that a tile is held, authenticated, in this width or a greater one.
    pub fn add_tile(&mut self, tile: Tile) {
        let place = (tile.level(), tile.n());
        let held = self.held.entry(place).or_default();
        *held = tile.width().max(*held);
        if self.missing.get(&place).is_some_and(|needed| needed <= held) {
            self.missing.remove(&place);
        }
    }

    /// All tiles that lookups under the pinned head need, held or not: what may not be thrown away.
    #[must_use]
    pub fn needed(&self) -> Vec<Tile> {
        self.needed_for(self.size())
    }

    /// The tiles that are needed under the pinned head and not held, in the order of level and number.
    pub fn missing(&self) -> impl Iterator<Item = Tile> {
        self.missing.iter().filter_map(|(&(level, n), &width)| Tile::new(level, n, width))
    }

    /// The tiles that would be missing if a head of `size` records were pinned: what to collect before.
    #[must_use]
    pub fn missing_for(&self, size: u64) -> Vec<Tile> {
        self.needed_for(size).into_iter().filter(|tile| self.width(*tile) < tile.width()).collect()
    }

    /// Pins a head in place of the pinned one. `proof` shows that its tree contains the pinned one's (`prove_tree`); the
    /// first head needs none. The sizes of [`Server::old_sizes`] are to be stored with it.
    ///
    /// # Errors
    /// [`PinError`], and then the pinned head is still the one before.
    pub fn pin(&mut self, head: SignedHead, proof: &[Hash]) -> Result<(), PinError> {
        let size = head.tree().size;
        if let Some(tree) = self.pinned.as_ref().map(SignedHead::tree) {
            let pinned = tree.size;
            if size < pinned {
                return Err(PinError::Back { size, pinned });
            }
            if pinned > 0 && check_tree(proof, &head.tree(), &tree).is_err() {
                return Err(PinError::Inconsistent { size, pinned });
            }
        }
        let mut next = Self { pinned: Some(head), ..self.clone() };
        next.remember(self.size());
        next.recount();
        let missing = next.missing.len() + next.records.range(size..).count();
        if missing > 0 {
            return Err(PinError::Incomplete { size, missing });
        }
        *self = next;
        Ok(())
    }

    /// Sizes of the heads that were pinned before, at most [`MAX_OLD_HEADS`].
    pub fn old_sizes(&self) -> impl Iterator<Item = u64> {
        self.old_sizes.iter().copied()
    }

    /// Whether every lookup can be answered now, with every tile that follows from it. Only then `supported` is 200.
    #[must_use]
    pub fn supported(&self) -> bool {
        self.pinned.is_some() && self.missing.is_empty() && self.records.range(self.size()..).next().is_none()
    }

    /// The pinned head: the answer for `latest` is its note.
    #[must_use]
    pub const fn pinned(&self) -> Option<&SignedHead> {
        self.pinned.as_ref()
    }

    /// The answer to the lookup of a module version whose record is at hand: record, blank line, pinned head.
    ///
    /// `None` where a client could not check it: no head is pinned, or one without this record.
    #[must_use]
    pub fn lookup(&self, record: &Record) -> Option<Vec<u8>> {
        let head = self.pinned.as_ref().filter(|head| record.id < head.tree().size)?;
        Lookup::format(record, head.note()).ok()
    }

    /// What to answer to a request for `path`, which begins with `tile/`.
    ///
    /// `None` ("not found") for what is no tile of height 8, is not held, or is held only narrower.
    #[must_use]
    pub fn tile(&self, path: &str) -> Option<TileAnswer> {
        let Ok(TilePath::Hashes(wanted)) = TilePath::parse(path) else { return None };
        let stored = Tile::new(wanted.level(), wanted.n(), self.width(wanted))?;
        (wanted.width() <= stored.width()).then_some(TileAnswer { stored, wanted })
    }

    fn size(&self) -> u64 {
        self.pinned.as_ref().map_or(0, |head| head.tree().size)
    }

    fn width(&self, tile: Tile) -> u16 {
        self.held.get(&(tile.level(), tile.n())).copied().unwrap_or(0)
    }

    fn remember(&mut self, size: u64) {
        if size > 0 {
            self.old_sizes.insert(size);
        }
        while self.old_sizes.len() > MAX_OLD_HEADS {
            self.old_sizes.pop_first();
        }
    }

    /// All tiles that clients ask for under a head of `size` records, after those before it and the pinned one.
    fn needed_for(&self, size: u64) -> Vec<Tile> {
        let records = self.records.range(..size).filter_map(|&id| Node::leaf(id));
        let sizes = self.old_sizes.iter().copied().chain([self.size()]).filter(|&old| old <= size);
        tiles_for(size, records.chain(sizes.flat_map(tree_nodes)))
    }

    fn recount(&mut self) {
        self.missing.clear();
        self.need(self.needed());
    }

    fn need(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            if self.width(tile) < tile.width() {
                self.missing.insert((tile.level(), tile.n()), tile.width());
            }
        }
    }
}
