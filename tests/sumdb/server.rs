//! The server: what an offline client can do with it alone.

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use modswarm::domain::sumdb::SignedHead;
use modswarm::domain::tlog::{FULL_WIDTH, Tile};
use modswarm::sumdb::{MAX_OLD_HEADS, Ops, PinError, Server, tiles_for_consistency, tiles_for_record};

use super::common::{FixtureDb, NAME};
use super::{MemoryClient, Shared, database, module, open};

/// What a node holds for `Server`: the tiles that it was given.
fn serve(db: &FixtureDb, record: u64, size: u64) -> Server {
    let mut server = Server::default();
    server.add_record(record);
    server.missing_for(size).into_iter().for_each(|tile| server.add_tile(tile));
    server.pin(db.head_at(size), &[]).unwrap();
    server
}

/// A go command's way through a server: bytes come from the database, but only those that the server says it holds.
fn offline_client(server: Server, db: FixtureDb, record: u64) -> MemoryClient {
    let key = FixtureDb::new(NAME);
    let answer = move |path: &str| match path.starts_with("lookup/") {
        true => server.lookup(db.record(record)),
        false => server.tile(path).and_then(|answer| {
            let stored = db.tile(answer.stored).unwrap();
            answer.wanted.cut(&stored).map(<[u8]>::to_vec)
        }),
    };
    open(&key, Box::new(move |path| Ok(answer(path).map(Bytes::from))))
}

#[test]
fn fact_29_a_client_with_an_empty_cache_proves_a_module_with_a_server_alone() {
    for (before, after, size) in [(0, 0, 1), (300, 700, 301), (300, 700, 700), (300, 700, 1001), (65_600, 9, 65_610)] {
        let db = database(before, after);
        let server = serve(&db, before, size);
        assert!(server.supported());
        let head = server.pinned().unwrap().clone();
        assert_eq!(server.needed(), tiles_for_record(before, size));
        let client = offline_client(server, db, before);
        let proof = block_on(client.prove(&module())).unwrap();
        assert_eq!(proof.head, head.note(), "{before} of {size}");
    }
}

#[test]
fn fact_28_a_server_is_supported_only_with_every_single_tile() {
    let db = database(300, 700);
    let tiles = tiles_for_record(300, 1001);
    for lacking in 0..tiles.len() {
        let mut server = Server::restore(Some(db.head()), []);
        server.add_record(300);
        tiles.iter().enumerate().filter(|(at, _)| *at != lacking).for_each(|(_, &tile)| server.add_tile(tile));
        assert_eq!(server.missing().collect::<Vec<_>>(), [tiles[lacking]]);
        assert!(!server.supported());
        let client = offline_client(server.clone(), database(300, 700), 300);
        assert!(block_on(client.prove(&module())).is_err());
        if let Some(narrower) = Tile::new(tiles[lacking].level(), tiles[lacking].n(), tiles[lacking].width() - 1) {
            server.add_tile(narrower);
            assert!(!server.supported(), "too narrow");
        }
        server.add_tile(tiles[lacking]);
        assert!(server.supported());
    }
    assert!(!Server::default().supported(), "without a head");
}

#[test]
fn a_record_that_the_pinned_head_does_not_have_cannot_be_answered() {
    let mut server = serve(&database(300, 700), 300, 600);
    assert!(server.lookup(database(300, 700).record(599)).is_some());
    assert!(server.lookup(database(300, 700).record(600)).is_none());
    server.add_record(600);
    assert!(!server.supported());
    server.remove_record(600);
    assert!(server.supported());
    for id in [1 << 62, u64::MAX] {
        server.add_record(id);
        assert!(!server.supported());
        server.remove_record(id);
    }
}

#[test]
fn fact_30_a_partial_tile_is_cut_from_a_wider_one_and_nothing_wider_is_promised() {
    let db = database(300, 700);
    let server = serve(&db, 300, 1001);
    let answer = server.tile("tile/8/0/003.p/7").unwrap();
    assert_eq!((answer.stored.width(), answer.wanted.width()), (233, 7));
    assert_eq!(answer.wanted.cut(&db.tile(answer.stored).unwrap()), db.tile(answer.wanted).as_deref());
    assert!(server.tile("tile/8/0/003.p/233").is_some());
    for path in
        ["tile/8/0/003.p/234", "tile/8/0/003", "tile/8/0/000", "tile/8/data/001", "tile/4/0/001", "tile/8/0/1", ""]
    {
        assert_eq!(server.tile(path), None, "{path}");
    }
    assert_eq!(server.tile("tile/8/0/001").unwrap().stored.width(), FULL_WIDTH);
}

#[test]
fn a_pinned_head_moves_only_forward_with_proof_and_with_all_tiles() {
    let db = database(300, 700);
    let mut server = serve(&db, 300, 600);
    let before = server.pinned().cloned();
    let back = server.pin(db.head_at(599), &db.consistency(599, 600)).unwrap_err();
    assert_eq!(
        back.to_string(),
        "the tree head of 599 records is older than the pinned one of 600: the head never moves back"
    );
    let unproven = server.pin(db.head(), &db.consistency(599, 1001)).unwrap_err();
    assert_eq!(unproven, PinError::Inconsistent { size: 1001, pinned: 600 });
    let missing = server.missing_for(1001);
    let incomplete = server.pin(db.head(), &db.consistency(600, 1001)).unwrap_err();
    assert_eq!(incomplete, PinError::Incomplete { size: 1001, missing: missing.len() });
    assert_eq!((server.pinned().cloned(), server.supported()), (before, true), "nothing has changed");
    missing.into_iter().for_each(|tile| server.add_tile(tile));
    assert!(server.supported());
    server.pin(db.head(), &db.consistency(600, 1001)).unwrap();
    assert_eq!((server.pinned().unwrap().tree().size, server.supported()), (1001, true));
    assert_eq!(server.old_sizes().collect::<Vec<_>>(), [600]);
    let behind = Server::restore(None, 1..=200);
    assert_eq!(behind.old_sizes().collect::<Vec<_>>().len(), MAX_OLD_HEADS);
    assert_eq!(behind.old_sizes().last(), Some(200));
}

#[test]
fn fact_29_clients_behind_and_ahead_of_the_pinned_head_are_served() {
    let db = database(300, 700);
    let mut server = serve(&db, 300, 600);
    // Behind: has seen the head of 600, and is served under the head of 1001.
    let client_head = server.pinned().cloned().unwrap();
    server.missing_for(1001).into_iter().for_each(|tile| server.add_tile(tile));
    server.pin(db.head(), &db.consistency(600, 1001)).unwrap();
    let wanted = tiles_for_consistency(600, 1001);
    assert!(wanted.iter().all(|tile| server.needed().contains(tile)));
    let behind = offline_client(server.clone(), database(300, 700), 300);
    block_on(behind.accept(client_head.note().into())).unwrap();
    let proof = block_on(behind.prove(&module())).unwrap();
    assert_eq!(proof.head, server.pinned().unwrap().note());
    // Ahead: has seen the head of 1001 with its tiles, and is served under the head of 600.
    let old = serve(&db, 300, 600);
    let ahead = offline_client(old, database(300, 700), 300);
    let with_tiles: Vec<(Tile, Bytes)> = [tiles_for_record(300, 1001), tiles_for_consistency(600, 1001)]
        .concat()
        .into_iter()
        .map(|tile| (tile, db.tile(tile).unwrap().into()))
        .collect();
    block_on(ahead.ops().save_tiles(with_tiles)).unwrap();
    block_on(ahead.accept(db.head().note().into())).unwrap();
    assert_eq!(block_on(ahead.prove(&module())).unwrap().head, db.head().note());
}

#[test]
fn a_seed_collects_what_its_server_is_missing() {
    let shared = Shared::new(database(300, 700));
    let client = shared.client();
    let head: Arc<SignedHead> = block_on(client.refresh()).unwrap();
    let mut server = Server::default();
    for id in [0, 300, 511, 1000] {
        server.add_record(id);
    }
    let missing = server.missing_for(head.tree().size);
    block_on(client.collect(&head, &missing)).unwrap();
    for tile in missing {
        assert_eq!(client.ops().kept_tile(tile).unwrap().len(), tile.data_len(), "{tile}");
        server.add_tile(tile);
    }
    server.pin((*head).clone(), &[]).unwrap();
    assert!(server.supported());
    let outside = Tile::new(0, 1_000_000, 1).unwrap();
    block_on(client.collect(&head, &[outside])).unwrap();
    assert_eq!(client.ops().kept_tile(outside), None);
}

#[test]
fn hostile_sizes_give_no_endless_list_of_tiles() {
    for size in [0, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for index in [0, 1 << 62, size.wrapping_sub(1), size, u64::MAX] {
            assert!(tiles_for_record(index, size).len() <= 15, "{index} of {size}");
            assert!(tiles_for_consistency(index, size).len() <= 8 + 63 * 7);
        }
    }
    assert_eq!(tiles_for_record(5, 5), []);
    assert_eq!(tiles_for_consistency(6, 5), []);
}
