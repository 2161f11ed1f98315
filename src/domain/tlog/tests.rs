//! A naive log written straight from RFC 6962 is the measure; real proofs are those of x/mod/sumdb/tlog, `ct_test.go`.

use proptest::prelude::*;

use super::*;

fn record(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn log(size: u64) -> HashLog {
    let mut log = HashLog::default();
    (0..size).for_each(|index| assert_eq!(log.push(&record(index)), index));
    log
}

/// Tile data as a server has it.
fn tile_data(log: &HashLog, tile: Tile) -> Vec<u8> {
    let first = tile.n() * u64::from(FULL_WIDTH);
    let nodes = (first..first + u64::from(tile.width())).map(|n| Node::new(tile.level() * TILE_HEIGHT, n).unwrap());
    nodes.flat_map(|node| *log.hash(node).unwrap().as_bytes()).collect()
}

fn fetch(log: &HashLog, plan: &Plan) -> Vec<Vec<u8>> {
    plan.tiles().iter().map(|&tile| tile_data(log, tile)).collect()
}

fn plan(log: &HashLog, record: u64) -> Plan {
    Plan::new(log.head(), Node::leaf(record)).unwrap()
}

fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
    range.map(|index| record_hash(&record(index))).collect()
}

/// MTH of RFC 6962, 2.1.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(mth(left), mth(right))
        }
    }
}

/// PATH of RFC 6962, 2.1.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut out, beside) =
        if index < k { (path(index, left), mth(right)) } else { (path(index - k, right), mth(left)) };
    out.push(beside);
    out
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut out, beside) =
        if old <= k { (subproof(old, left, whole), mth(right)) } else { (subproof(old - k, right, false), mth(left)) };
    out.push(beside);
    out
}

#[test]
fn hashes_are_those_of_rfc_6962() {
    assert_eq!(Hash::of_nothing().to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(record_hash(b"hello world").to_string(), "TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=");
    let hash = record_hash(b"x");
    assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    assert_eq!(Hash::parse("AAAA"), None);
}

#[test]
fn every_small_log_gives_the_proofs_of_rfc_6962_and_takes_no_others() {
    for size in 1..40_u64 {
        let (log, leaves) = (log(size), leaves(0..size));
        let head = TreeHead { size, hash: mth(&leaves) };
        assert_eq!(log.head(), head);
        for (index, leaf) in (0..size).zip(&leaves) {
            let proof = prove_record(size, index, &log).unwrap();
            assert_eq!(proof, path(usize::try_from(index).unwrap(), &leaves));
            assert_eq!(check_record(&proof, &head, index, *leaf), Ok(()));
            assert!(record_nodes(size, index).len() >= proof.len());
            for other in (0..=size).filter(|&other| other != index) {
                assert_eq!(check_record(&proof, &head, other, *leaf), Err(ProofFailed));
            }
            assert_eq!(check_record(&proof, &head, index, record_hash(b"")), Err(ProofFailed));
        }
        for old in 1..=size {
            let before = TreeHead { size: old, hash: tree_hash(old, &log).unwrap() };
            let proof = prove_tree(size, old, &log).unwrap();
            assert_eq!(proof, subproof(usize::try_from(old).unwrap(), &leaves, true));
            assert_eq!(check_tree(&proof, &head, &before), Ok(()));
            let forked = TreeHead { hash: record_hash(b""), ..before };
            assert_eq!(check_tree(&proof, &head, &forked), Err(ProofFailed));
            assert_eq!(check_tree(&proof, &forked, &before), Err(ProofFailed));
        }
    }
}

#[test]
fn a_proof_with_a_hash_too_many_or_too_few_or_changed_fails() {
    let (size, index, old) = (21, 13, 11);
    let log = log(size);
    let head = log.head();
    let leaf = record_hash(&record(index));
    let before = TreeHead { size: old, hash: tree_hash(old, &log).unwrap() };
    let of_record = prove_record(size, index, &log).unwrap();
    let of_tree = prove_tree(size, old, &log).unwrap();
    let forgeries = |proof: &[Hash]| {
        let mut out = vec![[proof, &[leaf]].concat(), [&[leaf], proof].concat(), Vec::new()];
        for at in 0..proof.len() {
            let mut changed = proof.to_vec();
            changed[at].0[at] ^= 1;
            let mut shorter = proof.to_vec();
            shorter.remove(at);
            out.extend([changed, shorter]);
        }
        out
    };
    for forged in forgeries(&of_record) {
        assert_eq!(check_record(&forged, &head, index, leaf), Err(ProofFailed), "{forged:?}");
    }
    for forged in forgeries(&of_tree) {
        assert_eq!(check_tree(&forged, &head, &before), Err(ProofFailed), "{forged:?}");
    }
}

#[test]
fn hostile_sizes_are_refused_without_work() {
    let none = HashLog::default();
    for size in [0, 1 << 62, MAX_SIZE, 1 << 63, u64::MAX] {
        let head = TreeHead { size, hash: Hash::of_nothing() };
        for index in [0, 1, size.wrapping_sub(1), size, u64::MAX] {
            assert_eq!(check_record(&[], &head, index, Hash::of_nothing()), Err(ProofFailed));
            assert!(prove_record(size, index, &none).is_err());
            assert!(record_nodes(size, index).len() <= 64 * 64);
            let old = TreeHead { size: index, hash: record_hash(b"") };
            assert_eq!(check_tree(&[], &head, &old), Err(ProofFailed));
            assert!(prove_tree(size, index, &none).is_err() || (index == size && size <= MAX_SIZE));
        }
        assert!(tree_nodes(size).len() <= 63);
        assert!(size == 0 || tree_hash(size, &none).is_err());
        let plan = Plan::new(head, [0, 1, 1 << 40].into_iter().filter_map(Node::leaf));
        assert!(plan.map_or(true, |plan| plan.tiles().len() <= 8 + 3 * 7));
    }
    let error = prove_record(4, 4, &log(4)).unwrap_err();
    assert_eq!(error.to_string(), "there is no record 4 in a tree of 4 records");
}

/// Answers of the Certificate Transparency log Argon 2020, from x/mod/sumdb/tlog/testdata.
#[test]
fn real_proofs_of_a_log_with_a_thousand_million_records_hold() {
    let hash = |text: &&str| Hash::parse(text).unwrap();
    let head = TreeHead { size: 961_984_013, hash: hash(&"dwlueapdd7LaOEnX2W2Wp9v2XE+KzejHRQGHwEx0oaM=") };
    let old = TreeHead { size: 3_654_490, hash: hash(&"AuIZ5V6sDUj1vn3Y1K85oOaQ7y+FJJKtyRTl1edIKBQ=") };
    let proof: Vec<Hash> = CONSISTENCY.iter().map(hash).collect();
    assert_eq!(check_tree(&proof, &head, &old), Ok(()));
    assert_eq!(check_tree(&proof, &head, &TreeHead { size: old.size + 1, ..old }), Err(ProofFailed));
    let proof: Vec<Hash> = INCLUSION.iter().map(hash).collect();
    let leaf = hash(&ARGON_LEAF);
    assert_eq!(check_record(&proof, &head, 10_000, leaf), Ok(()));
    assert_eq!(check_record(&proof, &head, 10_001, leaf), Err(ProofFailed));
}

#[test]
fn stored_places_are_dense_and_lead_back() {
    let mut expected = 0;
    for record in 0..600_u64 {
        for level in 0..=u8::try_from(record.trailing_ones()).unwrap() {
            let node = Node::new(level, record >> level).unwrap();
            assert_eq!(node.stored_index(), expected);
            assert_eq!(Node::from_stored_index(expected), Some(node));
            expected += 1;
        }
    }
    let last = Node::leaf(MAX_SIZE - 1).unwrap();
    assert_eq!(Node::from_stored_index(last.stored_index()), Some(last));
    assert_eq!(Node::from_stored_index(u64::MAX), None);
    assert_eq!(Node::leaf(MAX_SIZE), None);
    assert_eq!(Node::new(63, 0), None);
    assert_eq!(Node::new(255, 0), None);
}

#[test]
fn tile_paths_are_read_and_written_in_one_way_only() {
    for (path, level, n, width) in [
        ("tile/8/0/000", 0, 0, 256),
        ("tile/8/0/001.p/5", 0, 1, 5),
        ("tile/8/4/x001/x234/067.p/1", 4, 1_234_067, 1),
        ("tile/8/4/x001/x234/067", 4, 1_234_067, 256),
        ("tile/8/0/x123/x456/789.p/255", 0, 123_456_789, 255),
        ("tile/8/1/x001/000", 1, 1000, 256),
    ] {
        let tile = Tile::new(level, n, width).unwrap();
        assert_eq!(TilePath::parse(path), Ok(TilePath::Hashes(tile)));
        assert_eq!(tile.to_string(), path);
    }
    let data = TilePath::Data { n: 1_234, width: 3 };
    assert_eq!(TilePath::parse("tile/8/data/x001/234.p/3"), Ok(data));
    assert_eq!(data.to_string(), "tile/8/data/x001/234.p/3");
    for bad in [
        "",
        "tile",
        "tile/8",
        "tile/8/0",
        "tile/8/0/",
        "/tile/8/0/000",
        "tile/8/0/000/",
        "tile/4/0/001",
        "tile/08/0/001",
        "tile/8/00/001",
        "tile/8/-1/001",
        "tile/8/8/000",
        "tile/8/0/1",
        "tile/8/0/01",
        "tile/8/0/0001",
        "tile/8/0/x001",
        "tile/8/0/001/234",
        "tile/8/0/x000/234",
        "tile/8/0/xx01/234",
        "tile/8/0/x+01/234",
        "tile/8/0/+01",
        "tile/8/0/001.p/0",
        "tile/8/0/001.p/256",
        "tile/8/0/001.p/05",
        "tile/8/0/001.p/",
        "tile/8/0/001.p",
        "tile/8/0/001.p/5/6",
        "tile/8/0/001.p/5.p/6",
        "tile/8/0/x018/x446/x744/x073/x709/x551/616",
        "tile/8/0/x036/x028/x797/x018/x963/968",
        "tile/8/7/001",
        "tile/8/data/001.p/0",
        "tile/8/0/../001",
    ] {
        let error = TilePath::parse(bad).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{bad:?} is not the path of a tile")), "{error}");
    }
    for (level, n, width) in [(0, 0, 0), (0, 0, 257), (8, 0, 1), (255, 0, 1), (0, u64::MAX, 1), (7, 0, 128)] {
        assert_eq!(Tile::new(level, n, width), None, "{level} {n} {width}");
    }
}

#[test]
fn a_narrow_tile_is_the_start_of_a_wide_one_and_of_nothing_else() {
    let tile = Tile::new(0, 3, 5).unwrap();
    let wide: Vec<u8> = (0..=255).cycle().take(32 * 256).collect();
    assert_eq!(tile.cut(&wide), Some(&wide[..160]));
    assert_eq!(tile.cut(&wide[..160]), Some(&wide[..160]));
    assert_eq!(tile.cut(&wide[..159]), None);
    assert_eq!(tile.cut(&wide[..161]), None);
    assert_eq!(tile.cut(&wide[..128]), None);
    assert_eq!(tile.cut(&vec![0; 32 * 257]), None);
}

#[test]
fn a_plan_reads_every_hash_of_the_tree() {
    for size in [1, 2, 3, 255, 256, 257, 300, 512, 700] {
        let log = log(size);
        let everything: Vec<Node> =
            (0..2 * size).filter_map(Node::from_stored_index).filter(|node| node.is_in(size)).collect();
        let plan = Plan::new(log.head(), everything.iter().copied()).unwrap();
        let proven = plan.authenticate(fetch(&log, &plan)).unwrap();
        assert!(everything.iter().all(|&node| proven.hash(node) == log.hash(node)), "{size}");
        assert_eq!(proven.head(), log.head());
        let error = Plan::new(log.head(), Node::leaf(size)).unwrap_err();
        assert_eq!((error.n, error.size), (size, size));
    }
}

#[test]
fn a_plan_for_a_record_brings_all_that_its_proof_needs_and_no_other_tiles() {
    let log = log(1000);
    let plan = plan(&log, 300);
    let paths: Vec<String> = plan.tiles().iter().map(Tile::to_string).collect();
    assert_eq!(paths, ["tile/8/1/000.p/3", "tile/8/0/003.p/232", "tile/8/0/001"]);
    let proven = plan.authenticate(fetch(&log, &plan)).unwrap();
    let proof = prove_record(1000, 300, &proven).unwrap();
    assert_eq!(check_record(&proof, &log.head(), 300, record_hash(&record(300))), Ok(()));
    assert!(prove_record(1000, 1, &proven).is_err(), "a tile that was not planned for is not there");
    assert_eq!(plan.authenticate(vec![b""; 2]).unwrap_err(), TileError::Count { wanted: 3, got: 2 });
    let empty = Plan::new(HashLog::default().head(), None).unwrap();
    assert!(empty.tiles().is_empty() && empty.authenticate(Vec::<Vec<u8>>::new()).is_ok());
}

#[test]
fn no_byte_of_any_tile_can_be_changed() {
    // 66_000 records: three levels of tiles, full ones below the frontier at two of them.
    let log = log(66_000);
    for wanted in [0, 40_000, 65_600, 65_999] {
        let plan = plan(&log, wanted);
        let good = fetch(&log, &plan);
        assert!(plan.authenticate(good.clone()).is_ok());
        for (at, tile) in plan.tiles().iter().enumerate() {
            for place in (0..good[at].len()).step_by(56) {
                let mut forged = good.clone();
                forged[at][place] ^= 0x10;
                assert!(plan.authenticate(forged).is_err(), "{tile}, byte {place}");
            }
        }
    }
}

#[test]
fn a_tile_of_another_length_is_refused_whatever_its_first_hashes_are() {
    let log = log(1000);
    let plan = plan(&log, 300);
    let good = fetch(&log, &plan);
    for at in 0..good.len() {
        for change in [-32_isize, -1, 1, 32] {
            let mut forged = good.clone();
            forged[at].resize(good[at].len().checked_add_signed(change).unwrap(), 0);
            assert!(matches!(plan.authenticate(forged), Err(TileError::Length { .. })));
        }
    }
    let mut forged = good;
    forged[1].push(0);
    assert_eq!(
        plan.authenticate(forged).unwrap_err().to_string(),
        "tile/8/0/003.p/232 has 7425 bytes where the tree of 1000 records has 7424: it was cut off or forged"
    );
}

#[test]
fn tiles_of_another_tree_or_in_another_order_are_refused() {
    let (log, other) = (log(1000), {
        let mut other = HashLog::default();
        (0..1000_u64).for_each(|index| _ = other.push(&record(index + u64::from(index == 290))));
        other
    });
    let plan = plan(&log, 300);
    assert_eq!(plan.authenticate(fetch(&other, &plan)).unwrap_err(), TileError::Frontier { size: 1000 });
    let mut mixed = fetch(&log, &plan);
    mixed[2] = fetch(&other, &plan).remove(2);
    let error = plan.authenticate(mixed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tile/8/0/001 does not have the hash that the tile above it gives: it was forged or damaged"
    );
    let old = Plan::new(TreeHead { size: 999, ..log.head() }, None).unwrap();
    assert!(old.authenticate(fetch(&log, &old)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tiles_prove_what_the_whole_log_proves(size in 1_u64..2000, a in any::<u64>(), b in any::<u64>()) {
        let (index, old) = (a % size, b % size + 1);
        let log = log(size);
        let plan = Plan::new(log.head(), tree_nodes(old)).unwrap();
        let proven = plan.authenticate(fetch(&log, &plan)).unwrap();
        let before = TreeHead { size: old, hash: tree_hash(old, &proven).unwrap() };
        prop_assert_eq!(prove_tree(size, old, &proven), prove_tree(size, old, &log));
        prop_assert_eq!(check_tree(&prove_tree(size, old, &proven).unwrap(), &log.head(), &before), Ok(()));
        let plan = Plan::new(log.head(), Node::leaf(index)).unwrap();
        let proven = plan.authenticate(fetch(&log, &plan)).unwrap();
        prop_assert_eq!(prove_record(size, index, &proven), prove_record(size, index, &log));
        let mut forged = fetch(&log, &plan);
        let tile = usize::try_from(a).unwrap() % forged.len();
        let place = usize::try_from(b).unwrap() % forged[tile].len();
        forged[tile][place] ^= 1;
        prop_assert!(plan.authenticate(forged).is_err());
    }
}

const INCLUSION: [&str; 30] = [
    "T46AmJsuOM/gFiGlUp+IJJebp+1Z5qratFNW7U0JyOQ=",
    "9Jj1Feodn42uRYEfffkV4HF/EIPFQ5Zo9IwkxbQ2uhk=",
    "D53/1oCNebF4J59HHgioovKZxrmrKcVuCVhy3Izg8Ck=",
    "wSFDgGSrsXRPA+1c8WHoAFCsWeUv8NDyP/Q/SgsyVyY=",
    "516/RcwsgdwdzHn18v1dJHqBkgFUbNhmCIWOGjsMJaE=",
    "naTFY2ajLFgrgs5XUl+zJYZnnlJksLGsA1VYwpLfqbY=",
    "mKBRJo6qao+0Kdh/rhGkZUbHUAxMhrtrclrTpIbNjIg=",
    "Co4ueOFE7lpifLio94irxxsv1wFMMaK3tPu2ZQkHlro=",
    "yRgy800K6JMYCC05sWfqF2kvCg2riT/pVM+nEa6V5+0=",
    "n2O38XJZC8/Wpbwi9HhgVizlUyeUHVZvYyQB1607MRc=",
    "go3tAjuNfNSCj87y2Rg1xOroDknGN1eaf3cgvzObf7Q=",
    "8D0Mj3/J7ySSnFb0afIHYXv6rlOhECnsebY6XKi1IR8=",
    "6rcez46ZU8M5vPiWVMAUfJfAOV0pPP/mch/lYzZhj/M=",
    "2rtIeXrPvSdUyHc5maIgSAVB2BzaKaupWxSAiVayDE4=",
    "nniW/IMFQPN5xw8UsHFn7CRStYbm1gLu7NNa6kkRqJQ=",
    "mRPPi7sQS22MduIEyvcNzCNFqIt6kLwYPkNKrVtIcu8=",
    "JvTivzESNS9wHI8aph5a7uieVmtS/p9PciMZ5D6GyOo=",
    "UTyQd+Ym0wY4zG+qK806bBORwi1CSVvFQ/KknnqoZj8=",
    "hXODrqN+ff+U6zPqRQ+ZQKs6im1fPcxIerDSfNwflhE=",
    "II6GE+WY/DrpZzfHztLwkR46o37zVkNLCyPYlf68zA0=",
    "d609kWWcNBllbA8Jb/ad4XAVVGnScLRmtP8FYyr+Dck=",
    "rikBsP0G0gioXRpBFED2CzQdSLrGPvRd0bEcbEZw1rI=",
    "GXIElfmnRuWfbA4z7ubV/UwlpSRUbUeec7oL5HDDnh0=",
    "pR0SH/NYP6s9+8azWwaeUXA4Ze/3WCIgMfh5YW6wvcE=",
    "f3GuAKYVrF8RBg3s15jvA/YvV9oAliWtzP/imwPhQVA=",
    "WHn8zDxlVgkV+lSlmzaOdfSBrTHoRr5nT3d76q0KKWE=",
    "f2uV2ZxVgULzLPKuZcowRY3ZY7fRlX59iDBjV1R8kNQ=",
    "NzQVjJsvQwbi7WStMr9oFkh9VbHfK7LB6o7WwAqwNTs=",
    "C0LttBeYHZHgL+032JIcJC3CTBIyza/hsbmJUgJfmDI=",
    "nixU5CWTFVDlF4BGdcU6kA7WSYurEpe9jRWc+F/7sOc=",
];

const CONSISTENCY: [&str; 30] = [
    "80Sfbj6UQEdVSZCSIgh9NMPj3vCBzcc1A48B2crJSWg=",
    "FZcrgAHUk6nNPviJZq8kEK6jCG1d18pJOFE45ZDc1TQ=",
    "Q67reWXmPBo1UfmwBap4Xi9PMPfFdUSSw3WGlRZdG7k=",
    "eJ7CyhR4PxzBxDIsWgrVYW1eFUb9ndgf46tFmiqVrxA=",
    "QrDwp062Grm5WY8KdrhFsBuuNjGzRox2Jb8PmVL5OYw=",
    "XM4YMjMEdLH/XJam/ZWyaP14k3cmsOtnPsOWQ54lW1s=",
    "SGiBh+jOTGccXU48ZzgQ88lRcBmtB4wz4oSDndv2QTg=",
    "WAS6txqNLYKGL1GdBdpqmV42TTfn6cJsuDsqLXuTCNI=",
    "QFmRS0rirUA7ZN3lxFjDncV+E1OCrn3NUB4RCp+5fzc=",
    "Hdbp7It2XBNZmNDBpCN/KPd7vfVqxgzwOosqVIaEA9E=",
    "mxvHL0ZiblBdD7j7pIa1jlfB0gSqfJ6oX0UGo7L0VsU=",
    "q5hjyvoW6TL/PThgcitpDcSTrnKX2p1+aqscqH2euRA=",
    "jTOWDqt3IHj2NVFeezyBz2ofpru+ztEywqKUAfFclKI=",
    "GIRn0w3HqJdvU9j1WVD//eR6lk2AaTVjyzjsJNP8U88=",
    "x52GJvxG81fnQBrgOTbll1A5tz95/LXK0Ag1NhB0r1I=",
    "6/0OqrcTgc3o5dD5PymmoC96lB9yLPFuTHVvLy8fSGk=",
    "Gf+iKLfcXO5l4JEFmsZvSdG5q1uEeWPfYLrds6pmjz0=",
    "DGuaco+McyM3AfRSF6qX7RwSetwe2ieYJmxw5e9rVx0=",
    "2tQJ9V32hnYp+fdpP6TcjmgJmLeNVOMKM0Ml1kk4cNU=",
    "3PapK+IkyJr8I9yAErAmzuZezzLMzsg+PfeRCgNW8NQ=",
    "s6xiYeejb+wtqHA+URJZ2I/SCPyIW8coP6aB00FJbMY=",
    "z9lSpmdTcr5M5ZzKlc4EPh3SrSypKFdk6JUF/UccaZU=",
    "GXIElfmnRuWfbA4z7ubV/UwlpSRUbUeec7oL5HDDnh0=",
    "pR0SH/NYP6s9+8azWwaeUXA4Ze/3WCIgMfh5YW6wvcE=",
    "f3GuAKYVrF8RBg3s15jvA/YvV9oAliWtzP/imwPhQVA=",
    "WHn8zDxlVgkV+lSlmzaOdfSBrTHoRr5nT3d76q0KKWE=",
    "f2uV2ZxVgULzLPKuZcowRY3ZY7fRlX59iDBjV1R8kNQ=",
    "NzQVjJsvQwbi7WStMr9oFkh9VbHfK7LB6o7WwAqwNTs=",
    "C0LttBeYHZHgL+032JIcJC3CTBIyza/hsbmJUgJfmDI=",
    "nixU5CWTFVDlF4BGdcU6kA7WSYurEpe9jRWc+F/7sOc=",
];

/// The hash of entry 10000.
const ARGON_LEAF: &str = "nCs3mfIydh9x4CKyQ+u2xtmpxmFggA5MLymHwNQSlLg=";
