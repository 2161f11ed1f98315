//! Manifests, what proves them, and what is told of a checksum database.

use std::sync::LazyLock;

use bytes::Bytes;
use modswarm::domain::codec;
use modswarm::domain::manifest::{Envelope, MAX_ENVELOPE, Manifest, Proof};
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::note::{self, Signer, Verifier};
use modswarm::domain::publication::Publication;
use modswarm::domain::site::Publishers;
use modswarm::domain::sumdb::state::{State, StateId, closed, decode_page, encode_pages, most_pages};
use modswarm::domain::sumdb::{Lookup, SignedHead, SumdbProof};
use modswarm::domain::tlog::{self, Hash, Plan, TreeHead};
use modswarm::domain::trust::Trust;
use modswarm::verified::VerifiedManifest;

use super::Source;

/// The checksum database of the seeds; its key is known, so that mutated proofs get past the signature.
pub(super) static DATABASE: LazyLock<Signer> =
    LazyLock::new(|| Signer::from_secret("sum.example", [7; 32]).expect("a fixed key"));
/// The publisher of the seeds.
pub(super) static PUBLISHER: LazyLock<Signer> =
    LazyLock::new(|| Signer::from_secret("team.example", [8; 32]).expect("a fixed key"));
/// The prefix that the publisher signs for.
pub(super) const PREFIX: &str = "corp.example";

static RULE: LazyLock<Trust> = LazyLock::new(|| {
    let mut publishers = Publishers::default();
    publishers.add(PREFIX, vec![PUBLISHER.verifier().clone()]).expect("a prefix and a key");
    Trust::sumdb(vec![DATABASE.verifier().clone()]).with_publishers(publishers)
});

/// The module that lookups are about.
pub(super) fn module() -> ModuleVersion {
    ModuleVersion::parse("m.example/a@v1.0.0").expect("a module version")
}

pub(super) fn run(data: &[u8]) {
    let mut source = Source(data);
    match source.byte() % 12 {
        0 => manifest(source.0),
        1 => envelope(source.0),
        2 => signed_anew(source.0),
        3 => published_anew(source.0),
        4 => publication(source.0),
        5 => state(source.0),
        6 => page(source.0),
        7 => drop(StateId::decode(source.0).map(|id| assert_eq!(id.encode(), source.0))),
        8 => lookup(source.0),
        9 => head(source.0),
        10 => proofs(source),
        _ => plan(source),
    }
}

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes);
        // What it is called is what can be asked for.
        let named = ModuleVersion { ..manifest.module.clone() };
        assert_eq!((named.path.as_str(), named.version.as_str()), {
            (manifest.module.path.as_str(), manifest.module.version.as_str())
        });
        // A version whose major number does not fit its path can be written down, and is published by nobody.
        let fits = ModuleVersion::parse(&manifest.module.to_string()).is_ok();
        let _ = Publication::of(&manifest).map(|of| {
            let read = Publication::parse(&of.to_string()).ok();
            assert_eq!(read, fits.then_some(of));
        });
    }
}

/// An envelope as it comes from a peer: what the rule lets through is what somebody with a key has said.
pub(super) fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::decode(bytes) {
        assert_eq!(envelope.encode(), bytes);
        manifest(&envelope.manifest);
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = VerifiedManifest::check(bytes.clone(), &Trust::open());
    let Ok(verified) = VerifiedManifest::check(bytes, &RULE) else { return };
    let manifest = verified.manifest();
    let covered = manifest.module.path.as_str().starts_with(PREFIX);
    match verified.proof() {
        Proof::None => panic!("nobody has said so"),
        Proof::Sumdb(proof) => {
            assert!(!covered, "a database has no say here");
            let said = String::from_utf8_lossy(&proof.record);
            assert!(said.contains(&manifest.go_mod_h1.to_string()) && said.contains(manifest.module.path.as_str()));
            assert!(manifest.zip.as_ref().is_none_or(|zip| said.contains(&zip.h1.to_string())));
            note::open(&proof.head, &[DATABASE.verifier().clone()]).expect("signed");
        }
        Proof::Published(note) => {
            let said = Publication::open(note, &[PUBLISHER.verifier().clone()]).expect("signed");
            assert!(covered && Some(said) == Publication::of(manifest));
        }
    }
}

/// A proof whose tree head is signed after the mutation: the log behind the signature may be anybody's.
fn signed_anew(bytes: &[u8]) {
    let Ok(mut envelope) = codec::decode::<Envelope, MAX_ENVELOPE>(bytes) else { return };
    let Proof::Sumdb(proof) = &mut envelope.proof else { return };
    let text = String::from_utf8_lossy(&proof.head);
    let Some((text, _)) = text.rsplit_once("\n\n") else { return };
    if let Ok(signed) = DATABASE.sign(&format!("{text}\n")) {
        proof.head = signed.into_bytes();
        self::envelope(&envelope.encode());
    }
}

/// The same for a publication.
fn published_anew(bytes: &[u8]) {
    let Ok(mut envelope) = Envelope::decode(bytes) else { return };
    let Proof::Published(note) = &mut envelope.proof else { return };
    let text = String::from_utf8_lossy(note);
    let Some((text, _)) = text.rsplit_once("\n\n") else { return };
    if let Ok(signed) = PUBLISHER.sign(&format!("{text}\n")) {
        *note = signed.into_bytes();
        self::envelope(&envelope.encode());
    }
}

fn publication(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(publication) = Publication::parse(&text) {
        assert_eq!(publication.to_string(), text);
        let signed = publication.sign(&PUBLISHER).expect("a publication can be signed");
        assert_eq!(Publication::open(&signed, &[PUBLISHER.verifier().clone()]), Ok(publication));
    }
    let _ = Publication::open(bytes, &[PUBLISHER.verifier().clone()]);
}

fn state(bytes: &[u8]) {
    let Ok(state) = State::decode(bytes) else { return };
    assert_eq!(state.encode(), bytes);
    let _ = SignedHead::open(&state.database, state.head, &known());
}

fn page(bytes: &[u8]) {
    let Ok(tiles) = decode_page(bytes) else { return };
    assert_eq!(encode_pages(tiles.clone()), [bytes.to_vec()]);
    for size in
        [1, 255, 256, 70_000, u64::from_le_bytes(std::array::from_fn(|at| bytes.get(at).map_or(0, |b| *b))) >> 1]
    {
        let _ = most_pages(size);
        if size <= tlog::MAX_SIZE {
            let kept = closed(tiles.iter().map(|stored| (stored.tile, ())).collect(), size);
            assert!(kept.iter().all(|(tile, ())| tile.in_tree(size) == Some(*tile)));
        }
    }
}

fn lookup(bytes: &[u8]) {
    let Ok(lookup) = Lookup::parse(bytes, &module()) else { return };
    assert_eq!(Lookup::format(&lookup.record, &lookup.head).ok().as_deref(), Some(bytes));
}

fn known() -> Vec<Verifier> {
    vec![DATABASE.verifier().clone()]
}

/// A tree head, as it is and with a signature of its own.
fn head(bytes: &[u8]) {
    let _ = SignedHead::open("sum.example", bytes.to_vec(), &known());
    let Ok(signed) = DATABASE.sign(&String::from_utf8_lossy(bytes)) else { return };
    let Ok(head) = SignedHead::open("sum.example", signed.into_bytes(), &known()) else { return };
    assert_eq!(TreeHead::parse(&head.tree().format()), Ok(head.tree()));
}

fn hashes(source: &mut Source<'_>) -> Vec<Hash> {
    let count = usize::from(source.byte() % 66);
    (0..count).map(|_| Hash::from_bytes([source.byte(); Hash::LEN])).collect()
}

/// Proofs over trees of any size, and a decoded proof of any kind.
fn proofs(mut source: Source<'_>) {
    let hash = |byte| Hash::from_bytes([byte; Hash::LEN]);
    let (size, old, index) = (source.u64() % tlog::MAX_SIZE, source.u64(), source.u64());
    let head = TreeHead { size, hash: hash(source.byte()) };
    let path = hashes(&mut source);
    let leaf = hash(source.byte());
    assert!(tlog::check_record(&path, &head, index, leaf).is_err() || (size == 1 && index == 0 && path.is_empty()));
    let old = TreeHead { size: old, hash: hash(source.byte()) };
    if tlog::check_tree(&path, &head, &old).is_ok() {
        assert!(old == head || old.size == 0, "made-up hashes that fit");
    }
    if let Ok(proof) = codec::decode::<SumdbProof, MAX_ENVELOPE>(source.0) {
        let h1 = modswarm::domain::dirhash::H1::from_bytes([1; 32]);
        let _ = proof.verify(&module(), Some(h1), h1, &known());
    }
}

/// A plan for nodes of a tree of any size, and made-up tiles for it: none of them can be proven.
fn plan(mut source: Source<'_>) {
    let size = source.u64() % tlog::MAX_SIZE;
    let root = source.byte();
    let head = TreeHead { size, hash: Hash::from_bytes([root; Hash::LEN]) };
    let count = source.byte() % 8;
    let nodes: Vec<_> = (0..count).filter_map(|_| tlog::Node::new(source.byte() % 64, source.u64())).collect();
    let Ok(plan) = Plan::new(head, nodes) else { return };
    // A tile may be one hash, that of the head.
    let fill = Some(source.byte()).filter(|fill| *fill != root).unwrap_or(!root);
    let lie = usize::from(source.byte());
    let tiles =
        plan.tiles().iter().enumerate().map(|(at, tile)| vec![fill; tile.data_len() + usize::from(at + 1 == lie)]);
    assert!(plan.authenticate(tiles.collect::<Vec<_>>()).is_err() || size == 0);
}
