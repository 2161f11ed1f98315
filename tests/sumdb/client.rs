//! The client: what it believes, what it refuses, and what it keeps.

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::{self, BoxFuture};
use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::sumdb::RecordError;
use modswarm::domain::tlog::{Tile, TilePath};
use modswarm::sumdb::{Client, ClientError, Fork, Kind, MemoryOps, Ops, OpsError, tiles_for_record};

use super::common::{FixtureDb, NAME};
use super::{GO_MOD, MODULE, MemoryClient, Shared, Upstream, ZIP, database, module, open, tampered};

fn fork_of(error: ClientError) -> Box<Fork> {
    match error {
        ClientError::Fork(fork) => fork,
        other => panic!("{other}"),
    }
}

#[test]
fn a_module_is_proven_with_exactly_the_tiles_that_it_takes() {
    let shared = Shared::new(database(300, 700));
    let client = shared.client();
    let proof = block_on(client.prove(&module())).unwrap();
    let db = shared.db.read().unwrap();
    assert_eq!(proof.verify(&module(), Some(ZIP), H1::of_go_mod(GO_MOD), &[db.verifier()]), Ok(()));
    assert_eq!((proof.index, proof.head.as_slice()), (300, db.head().note()));
    let mut expected = vec!["lookup/example.com/!wanted@v1.2.3".to_owned()];
    expected.extend(tiles_for_record(300, db.size()).iter().map(Tile::to_string));
    assert_eq!(shared.asked(), expected);
    // All tiles are stored now, and the head is known.
    assert_eq!(block_on(client.prove(&module())).unwrap(), proof);
    assert_eq!(shared.asked(), expected[..1]);
}

#[test]
fn a_miss_a_failure_and_a_forgery_are_told_apart() {
    let unknown = ModuleVersion::parse("example.com/unknown@v1.0.0").unwrap();
    let error = block_on(Shared::new(database(1, 0)).client().prove(&unknown)).unwrap_err();
    assert_eq!(error.kind(), Kind::Miss);
    assert_eq!(
        error.to_string(),
        "the checksum database sum.example does not know example.com/unknown@v1.0.0: check path and version"
    );
    let down = open(&FixtureDb::new(NAME), Box::new(|_| Err("connection refused".into())));
    let error = block_on(down.prove(&module())).unwrap_err();
    assert_eq!(error.kind(), Kind::Failure);
    assert_eq!(
        error.to_string(),
        "the checksum database sum.example cannot be asked for lookup/example.com/!wanted@v1.2.3 now: connection refused"
    );
    let db = database(3, 3);
    let without_tiles = open(
        &FixtureDb::new(NAME),
        Box::new(move |path| Ok(db.answer(path).filter(|_| path.starts_with("lookup/")).map(Bytes::from))),
    );
    let error = block_on(without_tiles.prove(&module())).unwrap_err();
    assert_eq!(error.kind(), Kind::Failure);
    assert!(error.to_string().starts_with("the checksum database sum.example has no tile/8/0/000.p/7"), "{error}");
}

#[test]
fn fact_31_a_lookup_that_is_answered_with_another_modules_record_is_refused() {
    let mut db = database(3, 3);
    let other = db.add("example.com/other@v1.2.3", GO_MOD, Some(ZIP));
    let answer = db.answer("lookup/example.com/other@v1.2.3").unwrap();
    assert_eq!(db.record(other).module.to_string(), "example.com/other@v1.2.3");
    let client = tampered(db, move |path, body| if path.starts_with("lookup/") { answer.clone() } else { body });
    let error = block_on(client.prove(&module())).unwrap_err();
    assert_eq!(error.kind(), Kind::Forgery);
    assert!(matches!(error, ClientError::Record(RecordError::NotOf { .. })), "{error}");
    assert_eq!(client.head(), None, "the head of a forged answer is not believed");
}

#[test]
fn a_record_with_other_hashes_or_at_another_place_is_not_in_the_log() {
    let changed = |from: &'static str, to: &'static str| {
        let client = tampered(database(300, 700), move |path, body| match path.starts_with("lookup/") {
            true => {
                let text = String::from_utf8(body).unwrap();
                assert!(text.contains(from));
                text.replacen(from, to, 1).into_bytes()
            }
            false => body,
        });
        block_on(client.prove(&module())).unwrap_err()
    };
    // Another place in the log, inside and outside, and another hash of the zip.
    for (from, to) in
        [("300\n", "301\n"), ("300\n", "1001\n"), ("300\n", "4611686018427387904\n"), ("h1:CQkJ", "h1:CAkJ")]
    {
        let error = changed(from, to);
        assert!(matches!(error, ClientError::NotInLog { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Forgery);
    }
    assert_eq!(
        changed("300\n", "299\n").to_string(),
        "the record of example.com/Wanted@v1.2.3 is not number 299 of the 1001 in sum.example: the answer was forged or \
         damaged"
    );
}

#[test]
fn no_byte_of_a_lookup_can_be_changed() {
    let len = database(3, 3).answer("lookup/example.com/!wanted@v1.2.3").unwrap().len();
    for at in (0..len).step_by(7) {
        let client = tampered(database(3, 3), move |path, mut body| {
            if path.starts_with("lookup/") {
                body[at] ^= 1 << (at % 7);
            }
            body
        });
        assert!(block_on(client.prove(&module())).is_err(), "byte {at} of {len}");
    }
}

#[test]
fn fact_31_forged_tiles_are_refused_and_not_kept() {
    for wanted in tiles_for_record(300, 1001) {
        for place in [0, wanted.data_len() / 2, wanted.data_len() - 1] {
            let client = tampered(database(300, 700), move |path, mut body| {
                if path == wanted.to_string() {
                    body[place] ^= 1;
                }
                body
            });
            let error = block_on(client.prove(&module())).unwrap_err();
            assert_eq!(error.kind(), Kind::Forgery, "{error}");
            assert!(tiles_for_record(300, 1001).iter().all(|&tile| client.ops().kept_tile(tile).is_none()));
        }
        let client = tampered(database(300, 700), move |path, mut body| {
            if path == wanted.to_string() {
                body.truncate(32);
            }
            body
        });
        let error = block_on(client.prove(&module())).unwrap_err();
        assert!(error.to_string().contains("has 32 bytes where the tree of 1001 records has"), "{error}");
    }
}

#[test]
fn a_tile_that_rotted_in_the_store_is_fetched_again() {
    let shared = Shared::new(database(300, 700));
    let client = shared.client();
    let proof = block_on(client.prove(&module())).unwrap();
    for tile in tiles_for_record(300, 1001) {
        let good = client.ops().kept_tile(tile).unwrap();
        let mut rotten = good.to_vec();
        rotten[5] ^= 4;
        client.ops().put_tile(tile, rotten.into());
        assert_eq!(block_on(client.prove(&module())).unwrap(), proof);
        assert_eq!(client.ops().kept_tile(tile), Some(good));
        client.ops().put_tile(tile, Bytes::from_static(b"short"));
        assert_eq!(block_on(client.prove(&module())).unwrap(), proof);
    }
}

#[test]
fn fact_30_a_partial_tile_that_is_gone_is_cut_from_the_full_one() {
    let old = database(300, 21).head();
    let db = database(300, 700);
    let lookup = [b"300\n".as_slice(), &db.record(300).text, b"\n", old.note()].concat();
    // The log has grown since the head was signed, and serves no partial version of a tile that is full by now.
    let upstream = move |path: &str| {
        let gone = matches!(TilePath::parse(path), Ok(TilePath::Hashes(tile)) if !tile.is_full() && tile.n() == 1);
        let body = if path.starts_with("lookup/") { Some(lookup.clone()) } else { db.answer(path) };
        Ok(body.filter(|_| !gone).map(Bytes::from))
    };
    let client = open(&FixtureDb::new(NAME), Box::new(upstream));
    let proof = block_on(client.prove(&module())).unwrap();
    assert_eq!(proof.verify(&module(), Some(ZIP), H1::of_go_mod(GO_MOD), &[FixtureDb::new(NAME).verifier()]), Ok(()));
    let partial = Tile::new(0, 1, 66).unwrap();
    assert_eq!(client.ops().kept_tile(partial).unwrap().len(), partial.data_len(), "only what was checked is kept");
}

#[test]
fn fact_31_the_head_moves_forward_and_never_back() {
    let shared = Shared::new(database(300, 0));
    let client = shared.client();
    let first = block_on(client.prove(&module())).unwrap();
    shared.grow(800);
    let second = block_on(client.refresh()).unwrap();
    assert_eq!(second.tree().size, 1101);
    assert_eq!(client.head(), Some(second.clone()));
    // An older head, as a cache upstream may send it, is checked and does not move ours.
    assert_eq!(block_on(client.accept(first.head.clone())).unwrap(), second);
    let third = block_on(client.prove(&module())).unwrap();
    assert_eq!(third.head, second.note());
    let (head, proof) = block_on(client.consistency(301)).unwrap().unwrap();
    assert_eq!((head, proof), (second.clone(), shared.db.read().unwrap().consistency(301, 1101)));
    for size in [0, 1102, u64::MAX] {
        assert_eq!(block_on(client.consistency(size)).unwrap(), None);
    }
    // The next start begins with it.
    let saved = block_on(client.ops().load_head()).unwrap().unwrap();
    let ops = MemoryOps::new(|_: &str| Ok(None));
    block_on(ops.save_head(&saved)).unwrap();
    let reopened = block_on(Client::open(ops, shared.db.read().unwrap().verifier())).unwrap();
    assert_eq!(reopened.head(), Some(second));
}

#[test]
fn fact_31_a_forked_log_is_an_error_with_evidence_and_stays_one() {
    let honest = database(300, 100);
    let keys = [honest.verifier()];
    let with = |other: u64, after: u64| {
        let mut db = FixtureDb::with_records(290);
        db.add("example.com/inserted@v1.0.0", b"", None);
        (291..300).for_each(|n| _ = db.add_filler(n));
        db.add(MODULE, GO_MOD, Some(ZIP));
        (other..other + after).for_each(|n| _ = db.add_filler(n));
        db
    };
    for (after, name) in [(1000, "a larger tree"), (100, "a tree of the same size"), (50, "a smaller tree")] {
        let forked = with(300, after);
        let forked_head = forked.head();
        let client = Shared::new(database(300, 100)).client();
        let before = block_on(client.refresh()).unwrap();
        // Tiles of the fork are served where they are asked for: only the heads tell.
        let ops_client = open(
            &honest,
            Box::new(move |path| {
                let larger = if after > 100 { forked.answer(path) } else { database(300, 100).answer(path) };
                Ok(larger.map(Bytes::from))
            }),
        );
        block_on(ops_client.accept(before.note().into())).unwrap();
        for _ in 0..2 {
            let error = block_on(ops_client.accept(forked_head.note().into())).unwrap_err();
            assert_eq!(error.kind(), Kind::Forgery);
            let fork = fork_of(error);
            assert!(fork.is_evidence(&keys), "{name}");
            let report = fork.report();
            for note in [before.note(), forked_head.note()] {
                let signature = std::str::from_utf8(note).unwrap().lines().last().unwrap();
                assert!(report.contains(signature), "{report}");
            }
            let harmless = Fork { older: fork.newer.clone(), ..(*fork).clone() };
            assert!(!harmless.is_evidence(&keys));
            assert!(!fork.is_evidence(&[]));
        }
        assert_eq!(ops_client.head(), Some(before), "{name}");
    }
}

#[test]
fn tiles_of_another_history_do_not_take_the_place_of_the_true_ones() {
    // The client has proven a module, so it has all tiles of its path; one of them is wider in the other history.
    let shared = Shared::new(database(300, 100));
    let client = shared.client();
    let proof = block_on(client.prove(&module())).unwrap();
    let forked = database(290, 800);
    let forked_head = forked.head();
    let tiles = tiles_for_record(300, 401);
    let kept = |client: &MemoryClient| tiles.iter().map(|tile| client.ops().kept_tile(*tile)).collect::<Vec<_>>();
    let before = kept(&client);
    let honest = std::mem::replace(&mut *shared.db.write().unwrap(), forked);
    fork_of(block_on(client.accept(forked_head.note().into())).unwrap_err());
    assert_eq!(kept(&client), before);
    *shared.db.write().unwrap() = honest;
    assert_eq!(block_on(client.prove(&module())).unwrap(), proof);
}

#[test]
fn the_evidence_names_both_sizes_for_the_operator() {
    let (honest, mut forked) = (database(3, 3), FixtureDb::with_records(9));
    forked.add_filler(100);
    let client = open(&honest, Box::new(move |path| Ok(forked.answer(path).map(Bytes::from))));
    block_on(client.accept(honest.head().note().into())).unwrap();
    assert_eq!(
        block_on(client.refresh()).unwrap_err().to_string(),
        "the checksum database sum.example has signed two histories, of 7 and 10 records, that do not fit: trust neither, \
         and keep the report"
    );
}

/// Everything in memory, but heads cannot be saved.
struct FullDisk(MemoryOps<Upstream>);

impl Ops for FullDisk {
    fn fetch<'a>(&'a self, path: &'a str, limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>> {
        self.0.fetch(path, limit)
    }
    fn load_tile(&self, tile: Tile) -> BoxFuture<'_, Result<Option<Bytes>, OpsError>> {
        self.0.load_tile(tile)
    }
    fn save_tiles(&self, tiles: Vec<(Tile, Bytes)>) -> BoxFuture<'_, Result<(), OpsError>> {
        self.0.save_tiles(tiles)
    }
    fn load_head(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, OpsError>> {
        self.0.load_head()
    }
    fn save_head<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>> {
        Box::pin(future::ready(Err("no space left on device".into())))
    }
}

#[test]
fn a_head_that_cannot_be_saved_is_not_believed() {
    let db = database(3, 3);
    let verifier = db.verifier();
    let upstream: Upstream = Box::new(move |path| Ok(db.answer(path).map(Bytes::from)));
    let client = block_on(Client::open(FullDisk(MemoryOps::new(upstream)), verifier)).unwrap();
    let error = block_on(client.prove(&module())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stored tree head of the checksum database sum.example cannot be used: no space left on device"
    );
    assert_eq!((error.kind(), client.head()), (Kind::Failure, None));
}

#[test]
fn a_damaged_saved_head_is_not_silently_forgotten() {
    let db = database(3, 3);
    let mut note = db.head().note().to_vec();
    note[30] ^= 1;
    let ops = MemoryOps::new(|_: &str| Ok(None));
    block_on(ops.save_head(&note)).unwrap();
    let error = block_on(Client::open(ops, db.verifier())).unwrap_err();
    assert!(error.to_string().starts_with("the stored tree head is damaged (the tree head of sum.example"), "{error}");
    assert_eq!(error.kind(), Kind::Failure);
}

#[test]
fn many_lookups_at_a_time_agree_on_one_head() {
    let shared = Shared::new(database(600, 600));
    let client = shared.client();
    let modules: Vec<ModuleVersion> =
        (0..20).map(|n| ModuleVersion::parse(&format!("filler.example/m{}@v1.0.0", n * 59)).unwrap()).collect();
    let proofs = block_on(future::join_all(modules.iter().map(|module| client.prove(module))));
    let head = client.head().unwrap();
    assert!(proofs.into_iter().all(|proof| proof.unwrap().head == head.note()));
}
