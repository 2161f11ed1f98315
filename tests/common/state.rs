//! States of a checksum database that are bent before they are blobs.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use modswarm::domain::blob::BlobId;
use modswarm::domain::sumdb::state::{State, StateId, StoredTile, encode_pages};
use modswarm::domain::tlog::{FULL_WIDTH, Tile};

use crate::sumdb::FixtureDb;

/// The lie about a tile that nodes may know already, and then do not ask for.
pub(crate) const FULL_TILE: &str = "a full tile";

/// A state before it is blobs, so that it can be bent.
pub(crate) struct Draft {
    /// The size that it is announced with.
    pub(crate) announced: u64,
    /// Name and key hash.
    pub(crate) database: String,
    /// The signed note.
    pub(crate) head: Vec<u8>,
    /// Tiles and their data.
    pub(crate) tiles: Vec<(Tile, Vec<u8>)>,
    /// Stands for the first tile, and is nowhere.
    pub(crate) lost: Option<BlobId>,
}

impl Draft {
    /// All tiles of a database.
    pub(crate) fn of(db: &FixtureDb) -> Self {
        let size = db.size();
        let places = (0..2).flat_map(|level| (0..8).map(move |n| (level, n)));
        let tiles = places.filter_map(|(level, n)| Tile::new(level, n, FULL_WIDTH)?.in_tree(size));
        Self {
            announced: size,
            database: db.verifier().id().to_string(),
            head: db.note(),
            tiles: tiles.map(|tile| (tile, db.tile(tile).unwrap())).collect(),
            lost: None,
        }
    }

    /// The same with a bit flipped in the byte `at` of the tile at `place`.
    pub(crate) fn flipped(mut self, place: usize, at: usize) -> Self {
        self.tiles[place].1[at] ^= 1;
        self
    }

    /// Each way in which a state of `db` (of more than 513 records) can be a lie. `stranger` has the name of `db` and another key.
    pub(crate) fn lies(db: &FixtureDb, stranger: &FixtureDb) -> Vec<(&'static str, Self)> {
        let good = || Self::of(db);
        let top = good().tiles.len() - 1;
        let edge = top - 1;
        let mut without = good();
        without.tiles.remove(top);
        let mut narrower = good();
        let (tile, data) = &mut narrower.tiles[edge];
        *tile = Tile::new(tile.level(), tile.n(), tile.width() - 1).unwrap();
        data.truncate(tile.data_len());
        let mut swapped = good();
        swapped.tiles[0].1 = swapped.tiles[1].1.clone();
        vec![
            (FULL_TILE, good().flipped(1, 100)),
            ("a tile at the edge", good().flipped(edge, 0)),
            ("the top", good().flipped(top, 40)),
            ("a tile in another's place", swapped),
            ("a tile without the one above", without),
            ("a tile that is too narrow", narrower),
            ("another size", Self { announced: 7, ..good() }),
            ("another database", Self { database: "other.example+00000000".into(), ..good() }),
            ("another key", Self { head: stranger.note(), announced: 0, ..good() }),
            ("no head", Self { head: b"nonsense".to_vec(), ..good() }),
        ]
    }

    /// Gives every blob of it to `blob`, which names them.
    pub(crate) fn write(self, mut blob: impl FnMut(Vec<u8>) -> BlobId) -> StateId {
        let mut tiles: Vec<StoredTile> =
            self.tiles.into_iter().map(|(tile, data)| StoredTile { tile, blob: blob(data) }).collect();
        if let Some(lost) = self.lost {
            tiles[0].blob = lost;
        }
        let pages = encode_pages(tiles).into_iter().map(&mut blob).collect();
        let state = State { database: self.database, head: self.head, old_sizes: vec![], pages };
        StateId { size: self.announced, root: blob(state.encode()) }
    }
}
