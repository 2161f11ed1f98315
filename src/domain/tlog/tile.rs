//! Tiles: the strips of neighbouring hashes in which a log is published (x/mod/sumdb/tlog, `tile.go`).

use std::fmt;

use super::text::decimal;
use super::{Hash, MAX_SIZE, Node, node_hash};

/// Levels of the tree that a tile spans. The go command knows only this height.
pub const TILE_HEIGHT: u8 = 8;
/// The number of hashes in a full tile: `2^TILE_HEIGHT`.
pub const FULL_WIDTH: u16 = 1 << TILE_HEIGHT;

/// The most levels of tiles that a tree of [`MAX_SIZE`] records has: 0 to 7.
const TILE_LEVELS: u8 = 8;

/// Each directory of tiles has at most a thousand entries.
const PATH_BASE: u64 = 1000;

/// A text that is not the path of a tile of height 8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of a tile: it should look like tile/8/0/x001/234 or tile/8/1/005.p/17")]
pub struct BadTilePath(pub String);

/// A tile: hashes `n * 256` up to `n * 256 + width` of tree level `8 * level`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tile {
    level: u8,
    n: u64,
    width: u16,
}

/// What may be asked for below `tile/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TilePath {
    /// Hashes.
    Hashes(Tile),
    /// The texts of records `n * 256` up to `n * 256 + width`. Auditors read these; the go command does not.
    Data {
        /// Number of the tile.
        n: u64,
        /// Number of records.
        width: u16,
    },
}

impl Tile {
    /// A tile by its coordinates; `None` where no tree of [`MAX_SIZE`] has it, or for a width that is not 1 to 256.
    #[must_use]
    pub fn new(level: u8, n: u64, width: u16) -> Option<Self> {
        let hashes = MAX_SIZE.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT))?;
        let end = n.checked_mul(u64::from(FULL_WIDTH))?.checked_add(u64::from(width))?;
        (level < TILE_LEVELS && (1..=FULL_WIDTH).contains(&width) && end <= hashes).then_some(Self { level, n, width })
    }

    /// The tile of a tree of `size` records that holds `node`, as wide as that tree has it.
    ///
    /// `None` when the tree does not have all records of `node`.
    #[must_use]
    pub fn holding(node: Node, size: u64) -> Option<Self> {
        let level = node.level() / TILE_HEIGHT;
        let n = node.n() >> (TILE_HEIGHT - node.level() % TILE_HEIGHT);
        Self { level, n, width: FULL_WIDTH }.in_tree(size).filter(|_| node.is_in(size))
    }

    /// The same tile as wide as a tree of `size` records has it; `None` when that tree does not have it at all.
    #[must_use]
    pub fn in_tree(self, size: u64) -> Option<Self> {
        let hashes = size >> (self.level * TILE_HEIGHT);
        let held = hashes.checked_sub(self.n << TILE_HEIGHT).filter(|&held| held > 0)?;
        let width = u16::try_from(held).map_or(FULL_WIDTH, |held| held.min(FULL_WIDTH));
        Some(Self { width, ..self })
    }

    /// The tile one level up that holds the hash over all of this one, as wide as a tree of `size` records has it.
    #[must_use]
    pub fn parent(self, size: u64) -> Option<Self> {
        let parent = Self { level: self.level + 1, n: self.n >> TILE_HEIGHT, width: FULL_WIDTH };
        if parent.level < TILE_LEVELS { parent.in_tree(size) } else { None }
    }

    /// The node whose hash is the hash over a full tile.
    #[must_use]
    pub fn root(self) -> Option<Node> {
        Node::new((self.level + 1) * TILE_HEIGHT, self.n)
    }

    /// Level of the tile, 0 (hashes of records) to 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Number of the tile within its level.
    #[must_use]
    pub const fn n(self) -> u64 {
        self.n
    }

    /// Number of hashes, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all hashes that its place can hold, and so never changes.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The same tile with all 256 hashes.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: FULL_WIDTH, ..self }
    }

    /// Length of its data in bytes: 32 for each hash.
    #[must_use]
    pub fn data_len(self) -> usize {
        usize::from(self.width) * Hash::LEN
    }

    /// This tile's data out of that of a wider version of it: the first bytes. `None` when `wider` is too short or is
    /// not whole hashes of one tile.
    #[must_use]
    pub fn cut(self, wider: &[u8]) -> Option<&[u8]> {
        let whole = wider.len().is_multiple_of(Hash::LEN) && wider.len() <= self.full().data_len();
        if whole { wider.get(..self.data_len()) } else { None }
    }

    /// The hash of `node` in this tile's data: one of its hashes, or one over several of them.
    ///
    /// `None` when it does not lie in this tile or the data has another length than [`Tile::data_len`].
    pub(super) fn hash_at(self, data: &[u8], node: Node) -> Option<Hash> {
        let height = node.level().checked_sub(self.level * TILE_HEIGHT).filter(|&height| height <= TILE_HEIGHT)?;
        let first = (node.n() << height).checked_sub(self.n << TILE_HEIGHT)?;
        let start = usize::try_from(first).ok()?.checked_mul(Hash::LEN)?;
        let bytes = data.get(start..start.checked_add(Hash::LEN << height)?)?;
        if data.len() != self.data_len() {
            return None;
        }
        let (hashes, _) = bytes.as_chunks::<{ Hash::LEN }>();
        let mut row: Vec<Hash> = hashes.iter().map(|raw| Hash::from_bytes(*raw)).collect();
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| node_hash(pair[0], pair[1])).collect();
        }
        row.pop()
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TilePath::Hashes(*self).fmt(f)
    }
}

impl TilePath {
    /// Reads `tile/8/L/NNN[.p/W]`, where `L` is a level or `data`, and N is written in groups of three digits, each but
    /// the last with an x before it and a slash behind.
    ///
    /// # Errors
    /// [`BadTilePath`] for all but the one way to write a tile, and for another height than 8.
    pub fn parse(path: &str) -> Result<Self, BadTilePath> {
        Self::read(path).filter(|tile| tile.to_string() == path).ok_or_else(|| BadTilePath(path.into()))
    }

    fn read(path: &str) -> Option<Self> {
        let (level, place) = path.strip_prefix("tile/8/")?.split_once('/')?;
        let (groups, width) = match place.split_once(".p/") {
            Some((groups, width)) => (groups, decimal(width).and_then(|width| u16::try_from(width).ok())?),
            None => (place, FULL_WIDTH),
        };
        let mut n = 0_u64;
        for group in groups.split('/') {
            let digits: u64 =
                group.strip_prefix('x').unwrap_or(group).parse().ok().filter(|&digits| digits < PATH_BASE)?;
            n = n.checked_mul(PATH_BASE)?.checked_add(digits)?;
        }
        // A tile of data has the bounds of the hashes that stand for the same records.
        let hashes = |level| Tile::new(level, n, width);
        match level {
            "data" => hashes(0).map(|Tile { n, width, .. }| Self::Data { n, width }),
            level => hashes(decimal(level).and_then(|level| u8::try_from(level).ok())?).map(Self::Hashes),
        }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, width) = match *self {
            Self::Hashes(tile) => {
                write!(f, "tile/{TILE_HEIGHT}/{}", tile.level)?;
                (tile.n, tile.width)
            }
            Self::Data { n, width } => {
                write!(f, "tile/{TILE_HEIGHT}/data")?;
                (n, width)
            }
        };
        let mut scale = 1;
        while n / scale >= PATH_BASE {
            scale *= PATH_BASE;
        }
        while scale > 1 {
            write!(f, "/x{:03}", n / scale % PATH_BASE)?;
            scale /= PATH_BASE;
        }
        write!(f, "/{:03}", n % PATH_BASE)?;
        if width == FULL_WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
    }
}
