//! Reading hashes out of tiles that anybody may have sent (x/mod/sumdb/tlog, `TileHashReader`).
//!
//! Reading is in three steps, so that the pure core needs no idea of how tiles are fetched:
//! [`Plan::new`] says which tiles it takes, somebody brings their bytes, [`Plan::authenticate`] checks them *all* against
//! the tree head. Only then is there a [`Proven`] to read from.
//!
//! How a forged tile is found out:
//! * the *frontier*, the tiles along the right edge of the tree, is hashed up to the tree head. A frontier tile is never
//!   full (a full one has a parent, which is then the frontier), and each of its hashes goes into the head: none can be
//!   changed;
//! * every other tile is full, and its hash stands in its parent, which comes before it in the plan;
//! * a tile has exactly the length that *this* tree gives it. A longer one would carry hashes that nobody has checked,
//!   a shorter one would have unchecked ones taken from elsewhere: both are refused, not cut or filled up.

use std::collections::HashMap;

use super::{FULL_WIDTH, Hash, Hashes, Node, Tile, TreeHead, node_hash, tree_nodes};

/// Tiles that are not those of the tree head: somebody has forged or damaged them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Another number of bytes than the tile has in this tree.
    #[error("{tile} has {got} bytes where the tree of {size} records has {}: it was cut off or forged", tile.data_len())]
    Length {
        /// Which tile.
        tile: Tile,
        /// Length that came, in bytes.
        got: usize,
        /// Size of the tree in records.
        size: u64,
    },
    /// The tiles along the right edge do not give the tree head's hash. One of them is wrong; which one, nobody can say.
    #[error("the tiles at the edge of the tree of {size} records do not give its hash: one is forged or damaged")]
    Frontier {
        /// Size of the tree in records.
        size: u64,
    },
    /// A full tile does not have the hash that stands in its parent.
    #[error("{tile} does not have the hash that the tile above it gives: it was forged or damaged")]
    Parent {
        /// Which tile.
        tile: Tile,
    },
    /// Not one datum for each tile of the plan.
    #[error("{got} tiles came where {wanted} were needed")]
    Count {
        /// The number of tiles of the plan.
        wanted: usize,
        /// The number that came.
        got: usize,
    },
}

/// A wanted node is not in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node {n} of level {level} is not in the tree of {size} records: the tree head is too old for it")]
pub struct NotInTree {
    /// Level of the node.
    pub level: u8,
    /// Its number within the level.
    pub n: u64,
    /// Size of the tree in records.
    pub size: u64,
}

/// Which tiles it takes to read some hashes of a tree *and* to check them.
#[derive(Clone, Debug)]
pub struct Plan {
    head: TreeHead,
    /// The frontier from the top down, then full tiles, each after its parent. At most 8, and 7 for each wanted node.
    tiles: Vec<Tile>,
    /// How many of `tiles` are the frontier.
    frontier: usize,
    places: HashMap<(u8, u64), usize>,
}

impl Plan {
    /// Plans to read the hashes of `nodes` in the tree `head`. Without any, the plan only checks the frontier.
    ///
    /// # Errors
    /// [`NotInTree`] when the tree does not have one of the nodes.
    pub fn new(head: TreeHead, nodes: impl IntoIterator<Item = Node>) -> Result<Self, NotInTree> {
        let mut plan = Self { head, tiles: Vec::new(), frontier: 0, places: HashMap::new() };
        for node in tree_nodes(head.size) {
            plan.add(plan.holding(node)?);
        }
        plan.frontier = plan.tiles.len();
        for node in nodes {
            let mut missing = Vec::new();
            let mut next = Some(plan.holding(node)?);
            while let Some(tile) = next.filter(|&tile| plan.place(tile).is_none()) {
                missing.push(tile);
                next = tile.parent(head.size);
            }
            missing.into_iter().rev().for_each(|tile| plan.add(tile));
        }
        Ok(plan)
    }

    fn holding(&self, node: Node) -> Result<Tile, NotInTree> {
        let size = self.head.size;
        Tile::holding(node, size).ok_or(NotInTree { level: node.level(), n: node.n(), size })
    }

    fn place(&self, tile: Tile) -> Option<usize> {
        self.places.get(&(tile.level(), tile.n())).copied()
    }

    fn add(&mut self, tile: Tile) {
        if self.place(tile).is_none() {
            self.places.insert((tile.level(), tile.n()), self.tiles.len());
            self.tiles.push(tile);
        }
    }

    /// The tiles whose data [`Plan::authenticate`] wants, in its order.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Checks `data`, one item for each of [`Plan::tiles`], against the tree head.
    ///
    /// # Errors
    /// [`TileError`] if a single bit is not what the head stands for. Then nothing of it may be used or kept.
    pub fn authenticate<D: AsRef<[u8]>>(&self, data: Vec<D>) -> Result<Proven<D>, TileError> {
        let size = self.head.size;
        if data.len() != self.tiles.len() {
            return Err(TileError::Count { wanted: self.tiles.len(), got: data.len() });
        }
        for (&tile, data) in self.tiles.iter().zip(&data) {
            let got = data.as_ref().len();
            if got != tile.data_len() {
                return Err(TileError::Length { tile, got, size });
            }
        }
        let suspect = Proven { plan: self.clone(), data };
        let mut sum = None;
        for node in tree_nodes(size).into_iter().rev() {
            let left = suspect.hash(node).ok_or(TileError::Frontier { size })?;
            sum = Some(sum.map_or(left, |right| node_hash(left, right)));
        }
        if sum.unwrap_or_else(Hash::of_nothing) != self.head.hash {
            return Err(TileError::Frontier { size });
        }
        for (&tile, data) in self.tiles.iter().zip(&suspect.data).skip(self.frontier) {
            let root = tile.root().filter(|_| tile.width() == FULL_WIDTH);
            let claimed = root.and_then(|root| suspect.hash(root));
            let real = root.and_then(|root| tile.hash_at(data.as_ref(), root));
            if real.is_none() || claimed != real {
                return Err(TileError::Parent { tile });
            }
        }
        Ok(suspect)
    }
}

/// Tiles that were checked against a tree head, and the hashes in them.
#[derive(Clone, Debug)]
pub struct Proven<D> {
    plan: Plan,
    data: Vec<D>,
}

impl<D> Proven<D> {
    /// The tree head that all of it was checked against.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        self.plan.head
    }

    /// Tiles and their data, which may be kept now.
    pub fn tiles(&self) -> impl Iterator<Item = (Tile, &D)> {
        self.plan.tiles.iter().copied().zip(&self.data)
    }
}

impl<D: AsRef<[u8]>> Hashes for Proven<D> {
    fn hash(&self, node: Node) -> Option<Hash> {
        let tile = Tile::holding(node, self.plan.head.size)?;
        let data = self.data.get(self.plan.place(tile)?)?;
        tile.hash_at(data.as_ref(), node)
    }
}
