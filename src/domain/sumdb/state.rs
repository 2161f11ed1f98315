//! What a node can answer of a checksum database, in a form that travels: the pinned head, and which blob is which tile.
//!
//! ```text
//! StateId (size, root) ──> root: database, signed head, older sizes, pages ──> page: tile ──> blob with its hashes
//! ```
//! A state is blobs like everything else: a small root, and pages that name tiles. A page has the tiles of one stretch
//! of one level ([`PAGE_SPAN`] places), so when the log grows, the pages of its older parts keep their names and are not
//! fetched again.
//!
//! Nothing in a state is true because it is there. Whoever gets one checks the head's signature, that its tree contains
//! the tree of the head that it believes, and every tile up to the head ([`tlog::Plan`](super::super::tlog::Plan)); that this is
//! *possible* with nothing but the state is what [`closed`] sees to. The proof of consistency is not a part of its own:
//! it follows from the tiles, which the state has for each of its older sizes.
//!
//! Bounds: a root of [`MAX_ROOT`] bytes, pages of [`MAX_PAGE`] bytes, and no more pages than a tree of that size can fill
//! ([`most_pages`]).

use std::collections::HashSet;

use bincode::{Decode, Encode};

use super::super::blob::BlobId;
use super::super::codec::{self, CodecError};
use super::super::tlog::{MAX_SIZE, TILE_HEIGHT, Tile, tree_nodes};
use super::MAX_HEAD;

/// The version byte that every root and every page starts with.
pub const STATE_FORMAT: u8 = 1;
/// The most bytes of a root: 4,096 page names (16 million tiles), head and older sizes.
pub const MAX_ROOT: usize = 160 << 10;
/// The places of one page: tiles of one level whose numbers differ in the last 12 bits only.
pub const PAGE_SPAN: u64 = 1 << 12;
/// The most bytes of a page: a tile takes 43 at most.
pub const MAX_PAGE: usize = 192 << 10;
/// The most pages of a root.
pub const MAX_PAGES: usize = 4096;
/// The most older sizes of a root.
pub const MAX_OLD_SIZES: usize = 256;
/// The most bytes of an encoded [`StateId`].
pub const MAX_STATE_ID: usize = 48;
/// The most bytes of the name of a database and its key.
pub const MAX_DATABASE: usize = 1024;

/// Which state: how far its head is, and the blob that it begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct StateId {
    /// Size of its head's tree in records. Who announces it may lie; the root tells.
    pub size: u64,
    /// Its root.
    pub root: BlobId,
}

/// The root of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Name of the database and hash of its key, `name+hash`.
    pub database: String,
    /// The signed head, at most [`MAX_HEAD`] bytes.
    pub head: Vec<u8>,
    /// Sizes of older heads of which the state has the tiles that show that the head continues them; ascending.
    pub old_sizes: Vec<u64>,
    /// Pages, each with the tiles of another stretch; in the order of level and number.
    pub pages: Vec<BlobId>,
}

/// A tile and the blob that has its hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredTile {
    /// Which, and how wide.
    pub tile: Tile,
    /// The blob; 32 bytes for each hash.
    pub blob: BlobId,
}

/// Bytes that are no state. Who sent them is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a later version of modswarm.
    #[error("the format {0} of a checksum database's state is not known here (this version reads {STATE_FORMAT})")]
    Format(u8),
    /// Not the canonical encoding.
    #[error("the state of a checksum database cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// Breaks a bound or an order.
    #[error("the state of a checksum database is out of bounds: {0}")]
    Bounds(&'static str),
}

#[derive(Encode, Decode)]
struct WireRoot {
    format: u8,
    database: String,
    head: Vec<u8>,
    old_sizes: Vec<u64>,
    pages: Vec<BlobId>,
}

#[derive(Encode, Decode)]
struct WirePage {
    format: u8,
    level: u8,
    stretch: u64,
    /// Place within the stretch, width, blob.
    tiles: Vec<(u16, u16, BlobId)>,
}

impl StateId {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CodecError`] for anything but what [`StateId::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, MAX_STATE_ID>(bytes)
    }
}

impl State {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&WireRoot {
            format: STATE_FORMAT,
            database: self.database.clone(),
            head: self.head.clone(),
            old_sizes: self.old_sizes.clone(),
            pages: self.pages.clone(),
        })
    }

    /// Reads a root and checks it against every bound.
    ///
    /// # Errors
    /// [`StateError`] for anything but what [`State::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        check_format(bytes)?;
        let WireRoot { database, head, old_sizes, pages, .. } = codec::decode::<_, MAX_ROOT>(bytes)?;
        let bounds = [
            (database.len() <= MAX_DATABASE, "the name of the database is too long"),
            (head.len() <= MAX_HEAD, "the tree head is too long"),
            (old_sizes.len() <= MAX_OLD_SIZES, "it has too many older sizes"),
            (old_sizes.is_sorted_by(|a, b| a < b), "its older sizes are out of order"),
            (old_sizes.last().is_none_or(|&size| size <= MAX_SIZE), "an older size is too large"),
            (pages.len() <= MAX_PAGES, "it has too many pages"),
            (pages.iter().collect::<HashSet<_>>().len() == pages.len(), "it names a page twice"),
        ];
        match bounds.into_iter().find(|(kept, _)| !kept) {
            Some((_, broken)) => Err(StateError::Bounds(broken)),
            None => Ok(Self { database, head, old_sizes, pages }),
        }
    }
}

/// The most pages that a state of a tree of `size` records has.
#[must_use]
pub fn most_pages(size: u64) -> usize {
    let levels = (0..8_u32).map(|level| size.checked_shr((level + 1) * u32::from(TILE_HEIGHT)).unwrap_or(0) + 1);
    let pages = levels.map(|tiles| tiles.div_ceil(PAGE_SPAN)).sum::<u64>();
    usize::try_from(pages).map_or(MAX_PAGES, |pages| pages.min(MAX_PAGES))
}

/// Writes tiles as pages.
#[must_use]
pub fn encode_pages(mut tiles: Vec<StoredTile>) -> Vec<Vec<u8>> {
    let stretch = |stored: &StoredTile| (stored.tile.level(), stored.tile.n() / PAGE_SPAN);
    tiles.sort_unstable_by_key(|stored| (stored.tile.level(), stored.tile.n()));
    let page = |tiles: &[StoredTile]| {
        let (level, number) = tiles.first().map_or((0, 0), stretch);
        // A place is below PAGE_SPAN.
        #[allow(clippy::cast_possible_truncation)]
        let place = |tile: Tile| (tile.n() % PAGE_SPAN) as u16;
        let tiles = tiles.iter().map(|stored| (place(stored.tile), stored.tile.width(), stored.blob)).collect();
        codec::encode(&WirePage { format: STATE_FORMAT, level, stretch: number, tiles })
    };
    tiles.chunk_by(|a, b| stretch(a) == stretch(b)).map(page).collect()
}

/// Reads the tiles of a page.
///
/// # Errors
/// [`StateError`] for anything but what [`encode_pages`] gives.
pub fn decode_page(bytes: &[u8]) -> Result<Vec<StoredTile>, StateError> {
    check_format(bytes)?;
    let WirePage { level, stretch, tiles, .. } = codec::decode::<_, MAX_PAGE>(bytes)?;
    if tiles.is_empty() || !tiles.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(StateError::Bounds("the tiles of a page are out of order"));
    }
    let read = |(place, width, blob): (u16, u16, BlobId)| {
        let within = u64::from(place) < PAGE_SPAN;
        let n = stretch.checked_mul(PAGE_SPAN)?.checked_add(u64::from(place)).filter(|_| within)?;
        Some(StoredTile { tile: Tile::new(level, n, width)?, blob })
    };
    let tiles: Option<Vec<StoredTile>> = tiles.into_iter().map(read).collect();
    tiles.ok_or(StateError::Bounds("a page names a tile that no tree has"))
}

fn check_format(bytes: &[u8]) -> Result<(), StateError> {
    match bytes.first() {
        Some(&STATE_FORMAT) => Ok(()),
        Some(&other) => Err(StateError::Format(other)),
        None => Err(CodecError::Malformed.into()),
    }
}

/// Those of `tiles` that can be checked up to a head of `size` records with no others than these: each as wide as that
/// tree has it, and with the tile above it. Upper levels come first, so each comes after what it is checked by.
#[must_use]
pub fn closed<T>(tiles: Vec<(Tile, T)>, size: u64) -> Vec<(Tile, T)> {
    let frontier: HashSet<(u8, u64)> = tree_nodes(size)
        .into_iter()
        .filter_map(|node| Tile::holding(node, size))
        .map(|tile| (tile.level(), tile.n()))
        .collect();
    let mut tiles = tiles;
    tiles.sort_by_key(|(tile, _)| (std::cmp::Reverse(tile.level()), tile.n()));
    let mut kept: HashSet<(u8, u64)> = HashSet::new();
    tiles.retain(|(tile, _)| {
        let place = (tile.level(), tile.n());
        let above = || tile.parent(size).is_some_and(|parent| kept.contains(&(parent.level(), parent.n())));
        let checkable = frontier.contains(&place) || (tile.is_full() && above());
        tile.in_tree(size) == Some(*tile) && checkable && kept.insert(place)
    });
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(level: u8, n: u64, width: u16) -> Tile {
        Tile::new(level, n, width).unwrap()
    }

    fn stored(level: u8, n: u64, width: u16) -> StoredTile {
        StoredTile { tile: tile(level, n, width), blob: BlobId::of(format!("{level}/{n}/{width}").as_bytes()) }
    }

    fn sample() -> State {
        State {
            database: "sum.example+01020304".into(),
            head: b"a note".to_vec(),
            old_sizes: vec![5, 300],
            pages: vec![BlobId::of(b"one"), BlobId::of(b"two")],
        }
    }

    #[test]
    fn the_encoding_stays_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sumdb-state-v1.bin");
        let pages = encode_pages(vec![stored(0, 4095, 256), stored(0, 7, 256), stored(0, 4096, 3), stored(1, 0, 16)]);
        let all = codec::encode(&(sample().encode(), pages));
        if std::env::var_os("MODSWARM_BLESS").is_some() {
            std::fs::write(path, &all).unwrap();
        }
        assert!(
            std::fs::read(path).unwrap() == all,
            "the encoding of states has changed: no other node could read them"
        );
        assert_eq!(State::decode(&sample().encode()), Ok(sample()));
        let id = StateId { size: u64::MAX, root: BlobId::of(b"root") };
        assert_eq!(StateId::decode(&id.encode()), Ok(id));
        assert!(id.encode().len() <= MAX_STATE_ID);
    }

    #[test]
    fn a_page_is_a_stretch_of_a_level_and_stays_while_others_grow() {
        let mut tiles = vec![stored(0, 4095, 256), stored(0, 7, 256), stored(0, 4096, 3), stored(1, 0, 16)];
        let before = encode_pages(tiles.clone());
        assert_eq!(before.len(), 3);
        let read: Vec<StoredTile> = before.iter().flat_map(|page| decode_page(page).unwrap()).collect();
        tiles.sort_by_key(|stored| (stored.tile.level(), stored.tile.n()));
        assert_eq!(read, tiles);
        tiles.retain(|stored| stored.tile.is_full());
        tiles.extend([stored(0, 4096, 256), stored(0, 4097, 1), stored(1, 0, 17)]);
        assert_eq!(encode_pages(tiles)[0], before[0]);
        let full: Vec<StoredTile> = (0..PAGE_SPAN).map(|n| stored(0, (1 << 54) + n, 256)).collect();
        assert!(encode_pages(full)[0].len() <= MAX_PAGE);
        let most = State { pages: (0..4096_u32).map(|n| BlobId::of(&n.to_le_bytes())).collect(), ..sample() };
        let most = State { head: vec![0; MAX_HEAD], old_sizes: (MAX_SIZE - 255..=MAX_SIZE).collect(), ..most };
        assert_eq!(State::decode(&most.encode()), Ok(most));
    }

    #[test]
    fn hostile_states_are_refused() {
        let refused = |state: State| State::decode(&state.encode()).unwrap_err().to_string();
        for (state, why) in [
            (State { database: "x".repeat(1025), ..sample() }, "the name of the database is too long"),
            (State { head: vec![0; MAX_HEAD + 1], ..sample() }, "the tree head is too long"),
            (State { old_sizes: vec![5, 5], ..sample() }, "its older sizes are out of order"),
            (State { old_sizes: vec![1 << 63], ..sample() }, "an older size is too large"),
            (State { old_sizes: (0..257).collect(), ..sample() }, "it has too many older sizes"),
            (State { pages: vec![BlobId::of(b""); 2], ..sample() }, "it names a page twice"),
        ] {
            assert_eq!(refused(state), format!("the state of a checksum database is out of bounds: {why}"));
        }
        assert_eq!(State::decode(&[]), Err(CodecError::Malformed.into()));
        assert_eq!(State::decode(&[9]), Err(StateError::Format(9)));
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            assert!(State::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let page = |level, stretch, tiles: Vec<(u16, u16)>| {
            let tiles = tiles.into_iter().map(|(place, width)| (place, width, BlobId::of(b""))).collect();
            decode_page(&codec::encode(&WirePage { format: STATE_FORMAT, level, stretch, tiles }))
        };
        assert!(page(0, 0, vec![(0, 256)]).is_ok());
        for (level, stretch, tiles) in [
            (0, 0, vec![]),
            (0, 0, vec![(1, 256), (1, 256)]),
            (0, 0, vec![(2, 256), (1, 256)]),
            (0, 0, vec![(4096, 256)]),
            (0, 0, vec![(0, 0)]),
            (0, 0, vec![(0, 257)]),
            (8, 0, vec![(0, 1)]),
            (0, u64::MAX, vec![(0, 256)]),
            (0, 1 << 52, vec![(0, 256)]),
        ] {
            assert!(page(level, stretch, tiles.clone()).is_err(), "{level} {stretch} {tiles:?}");
        }
        let mut lying = codec::encode(&(STATE_FORMAT, 0_u8, 0_u64));
        lying.push(253);
        lying.extend_from_slice(&(1_u64 << 63).to_le_bytes());
        assert_eq!(decode_page(&lying), Err(CodecError::Malformed.into()));
    }

    #[test]
    fn a_tree_has_no_more_pages_than_its_tiles_fill() {
        assert_eq!(most_pages(0), 8);
        assert_eq!(most_pages(40_000_000), 39 + 7);
        assert_eq!(most_pages(u64::MAX), MAX_PAGES);
    }

    #[test]
    fn only_what_can_be_checked_is_kept() {
        // A tree of 600 records: two full tiles and a partial one, and above them one with two hashes.
        let keep = |tiles: &[Tile]| -> Vec<Tile> {
            closed(tiles.iter().map(|&tile| (tile, ())).collect(), 600).into_iter().map(|(tile, ())| tile).collect()
        };
        let (top, first, edge) = (tile(1, 0, 2), tile(0, 0, 256), tile(0, 2, 88));
        assert_eq!(keep(&[first, edge, top]), [top, first, edge]);
        assert_eq!(keep(&[first, edge]), [edge], "without the tile above");
        assert_eq!(keep(&[top, tile(0, 2, 87), tile(0, 2, 89), tile(0, 1, 255), tile(0, 3, 1)]), [top]);
    }
}
