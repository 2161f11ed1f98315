//! Inputs to begin with: what the project itself writes, one of each kind, behind the byte that chooses its decoder.

use std::path::Path;

use modswarm::asking::wire as asking;
use modswarm::domain::blob::BlobId;
use modswarm::domain::codec;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, ManifestId, Proof, ZipRef};
use modswarm::domain::membership::Greeting;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::publication::Publication;
use modswarm::domain::sumdb::state::StateId;
use modswarm::domain::sumdb::{Record, SumdbProof};
use modswarm::domain::tlog::{self, TreeHead};
use modswarm::engine::beacon::Packet;
use modswarm::engine::reconcile::{Encoder, Salt, pack};
use modswarm::engine::spread::{Bitfield, Held, Item, Message, Part, Why};
use modswarm::transfer::wire::{Reply, Request, SketchPage, VersionsPage};

use super::frames::Announcement;
use super::manifests::{DATABASE, PREFIX, PUBLISHER};
use super::{segments, zips};

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The fuzzer's package is a directory in the one of the project.
    let root = path.ancestors().find(|root| root.join("tests/golden").is_dir()).expect("the golden files");
    std::fs::read(root.join("tests/golden").join(name)).expect("a golden file")
}

fn behind(choice: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[choice], bytes.as_ref()].concat()
}

fn framed(header: &impl bincode::Encode) -> Vec<u8> {
    let header = codec::encode(header);
    [&u32::try_from(header.len()).unwrap().to_le_bytes()[..], &header].concat()
}

/// Whole frames, and the same three bytes at a time.
fn stream(choice: u8, bytes: &[u8]) -> [Vec<u8>; 2] {
    [[&[choice, 0], bytes].concat(), [&[choice, 3], bytes].concat()]
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let id = BlobId::of(b"a page");
    let (path, version) = ("m.example/a".to_owned(), "v1.0.0".to_owned());
    let requests = [
        Request::Want { request: 1, ids: vec![id, BlobId::of(b"")] },
        Request::Cancel { request: 1 },
        Request::Sketch { request: 2, nonce: [3; 16], part: (0, 0), from: 0, count: 32, total: 9, sum: [4; 16] },
        Request::EnvelopesByKey { request: 300, nonce: [3; 16], keys: vec![[7; 8]; 2], budget: 9 },
        Request::Orders { request: 8, newer_than: 3 },
        Request::Envelopes { request: u64::MAX, ids: vec![id], budget: 1 << 20 },
        Request::Lookup { request: 5, path: path.clone(), version: version.clone() },
        Request::Versions { request: 6, path: path.clone(), skip: 9 },
        Request::Sumdb { request: 7, database: "sum.example+00000001".into() },
    ];
    let mut replies = framed(&Reply::Hello { version: 1 });
    for (len, fill) in [(0_u32, 0_u8), (5, 7), (300, 9)] {
        replies.extend(framed(&Reply::Piece { request: 1, index: len, len }));
        replies.resize(replies.len() + len as usize, fill);
    }
    for bare in [
        Reply::Missing { request: 1, index: 2 },
        Reply::Failed { request: 1, index: 3 },
        Reply::Later { request: 2, index: 0 },
    ] {
        replies.extend(framed(&bare));
    }
    let envelope = envelope(0);
    let len = u32::try_from(envelope.len()).unwrap();
    let done = [
        framed(&asking::Reply::Working),
        framed(&asking::Reply::Envelope { len }),
        envelope.clone(),
        framed(&asking::Reply::Done { age_seconds: 60 }),
    ];
    let words = [
        asking::Reply::Miss { reason: "no such version".into() },
        asking::Reply::Failed { reason: "a\nb\u{1b}[1m".into() },
        asking::Reply::Refused { reason: String::new() },
        asking::Reply::Away { reason: "gone".into() },
    ];
    let mut seeds = Vec::new();
    seeds.extend(stream(0, &requests.iter().flat_map(framed).collect::<Vec<u8>>()));
    seeds.extend(stream(1, &replies));
    seeds.extend(stream(2, &replies));
    seeds.extend(questions().iter().flat_map(|question| stream(3, question)));
    seeds.extend(stream(4, &done.concat()));
    seeds.extend(words.iter().flat_map(|word| stream(4, &framed(word))));
    seeds.extend(messages().iter().map(|message| [&[5, 0], &*codec::encode(message)].concat()));
    seeds.extend([SketchPage::Same, sketch()].map(|page| [&[6, 0], &*codec::encode(&page)].concat()));
    seeds.push([&[7, 0], &*codec::encode(&VersionsPage { versions: vec![version], more: false })].concat());
    let state = StateId { size: 300, root: id };
    let (seeker, holder, nonce) = (vec![1; 38], vec![2; 38], 7);
    let announced = [
        Announcement::Envelope(envelope),
        Announcement::Id(id),
        Announcement::Sumdb { database: path, state },
        Announcement::Orders { serial: 3, id },
        Announcement::Changed { sum: [9; 16] },
        Announcement::Seek { id, seeker: seeker.clone(), addresses: vec![vec![4, 127, 0, 0, 1, 6, 25, 240]], nonce },
        Announcement::Answer { id, seeker, holder, nonce },
    ];
    seeds.extend(announced.iter().map(|announced| [&[8, 0], &*codec::encode(announced)].concat()));
    let greetings =
        [Greeting::Open, Greeting::Closed { site: super::frames::site_id(), certificate: vec![3; 40], serial: 4 }];
    seeds.extend(greetings.map(|greeting| [&[9, 0], &*greeting.encode()].concat()));
    seeds.extend(stream(10, &messages().iter().flat_map(framed).collect::<Vec<u8>>()));
    let packet = Packet { site: [1; 8], peer: vec![2; 38], nonce: [3; 8], seeking: true, ports: vec![6638] };
    seeds.push([&[11, 0], &*packet.encode()].concat());
    seeds
}

/// The first symbols of a small catalog.
fn sketch() -> SketchPage {
    let salt = Salt::new(&[1; 16], &[2; 16]);
    let keys = (20..80_u8).map(|n| salt.key(&BlobId::of(&[n]))).collect();
    let mut encoder = Encoder::new(&salt, keys);
    let (total, symbols) = (encoder.total(), encoder.symbols(32));
    SketchPage::Symbols { salt: [2; 16], total, symbols: pack(0, total, &symbols) }
}

fn questions() -> Vec<Vec<u8>> {
    let module = ModuleVersion::parse("m.example/a@v1.0.0").unwrap();
    let path = module.path.clone();
    let questions = [
        asking::Question::Obtain { module, zip: true },
        asking::Question::Newer { path: path.clone() },
        asking::Question::Query { path, query: "main".into() },
    ];
    let written = |question| {
        let mut bytes = Vec::new();
        let mut writer = modswarm::transfer::wire::FrameWriter::new(&mut bytes, std::time::Duration::from_secs(1));
        super::frames::wait(asking::write_question(&mut writer, question)).unwrap();
        drop(writer);
        bytes
    };
    questions.iter().map(written).collect()
}

fn messages() -> Vec<Message> {
    let item = Item { manifest: BlobId::of(b"m"), part: Part::Chunks, slices: 11 };
    vec![
        Message::Have { item, held: Held::Some(Bitfield::all(11)), wants: true },
        Message::Have { item, held: Held::All, wants: false },
        Message::Got { item, slice: 3 },
        Message::Offer { item, slice: 10 },
        Message::Accept { item, slice: 10 },
        Message::Decline { item, slice: 1, why: Why::Busy },
        Message::Leave { item },
    ]
}

/// One of a few manifests.
fn manifest(number: u8) -> Manifest {
    let name = format!("m.example/a@v1.0.{}", number % 3);
    let name = if number % 5 == 4 { format!("{PREFIX}/{name}") } else { name };
    let go_mod = format!("module {}\n", name.split('@').next().unwrap()).into_bytes();
    let module = ModuleVersion::parse(&name).unwrap();
    let page = BlobId::of(b"a page");
    let zip = ZipRef { h1: H1::from_bytes([3; 32]), len: 100, blake3: [2; 32], pages: vec![page] };
    let info = format!(r#"{{"Version":"{}","Time":"2024-02-29T12:00:00Z"}}"#, module.version).into_bytes();
    Manifest {
        module,
        info: if number.is_multiple_of(2) { info } else { Vec::new() },
        go_mod_h1: H1::of_go_mod(&go_mod),
        go_mod: GoMod::Inline(go_mod),
        zip: Some(zip).filter(|_| number % 7 != 6),
    }
}

/// The id of the manifest in [`envelope`].
pub(super) fn manifest_id(number: u8) -> ManifestId {
    manifest(number).id()
}

/// An encoded envelope with a proof that holds.
pub(super) fn envelope(number: u8) -> Vec<u8> {
    let manifest = manifest(number);
    let proof = match Publication::of(&manifest).filter(|_| number % 5 == 4) {
        Some(publication) => Proof::Published(publication.sign(&PUBLISHER).unwrap()),
        None => Proof::Sumdb(proof_of(&manifest)),
    };
    Envelope { manifest: manifest.encode(), proof }.encode()
}

/// The proof that record 1 of a log of two says so.
fn proof_of(manifest: &Manifest) -> SumdbProof {
    let zip = manifest.zip.as_ref().map(|zip| zip.h1);
    let record = Record::new(1, manifest.module.clone(), zip, manifest.go_mod_h1).text;
    let first = tlog::record_hash(b"m.example/before v1.0.0/go.mod h1:\n");
    let hash = tlog::node_hash(first, tlog::record_hash(&record));
    let head = DATABASE.sign(&TreeHead { size: 2, hash }.format()).unwrap().into_bytes();
    SumdbProof { database: DATABASE.verifier().name().into(), index: 1, record, path: vec![first], head }
}

pub(super) fn manifests() -> Vec<Vec<u8>> {
    let mut seeds = vec![behind(0, golden("manifest-v1.bin")), behind(5, golden("sumdb-state-v1.bin"))];
    for name in ["envelope-proof-v1.bin", "envelope-published-v1.bin", "seed-v1.bin"] {
        seeds.push(behind(1, golden(name)));
    }
    for number in [0, 1, 4, 6] {
        seeds.push(behind(0, manifest(number).encode()));
        seeds.extend([1, 2, 3].map(|choice| behind(choice, envelope(number))));
    }
    let manifest = manifest(4);
    let publication = Publication::of(&manifest).unwrap();
    seeds.push(behind(4, publication.to_string()));
    seeds.push(behind(4, publication.sign(&PUBLISHER).unwrap()));
    let tile = tlog::Tile::new(0, 7, 40).unwrap();
    let stored = modswarm::domain::sumdb::state::StoredTile { tile, blob: BlobId::of(b"t") };
    seeds.extend(modswarm::domain::sumdb::state::encode_pages(vec![stored]).iter().map(|page| behind(6, page)));
    seeds.push(behind(7, StateId { size: 300, root: BlobId::of(b"t") }.encode()));
    let manifest = self::manifest(0);
    let SumdbProof { head, record, .. } = proof_of(&manifest);
    seeds.push(behind(8, [b"1\n", &record[..], b"\n", &head].concat()));
    seeds.push(behind(9, &head));
    seeds.push(behind(9, TreeHead { size: 2, hash: tlog::record_hash(b"") }.format()));
    seeds.push(behind(10, [&[1; 40][..], &codec::encode(&proof_of(&manifest))].concat()));
    seeds
        .push(behind(11, [200, 1, 0, 0, 0, 0, 0, 0, 7, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0]));
    seeds
}

/// What makes a zip of a few files.
const FILES: [u8; 48] = [
    3, 0, 20, 200, 0, b'p', b'a', b'c', b'k', b'a', b'g', b'e', b' ', b'x', b'\n', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 4, 0,
    70, 1, 130, 10, 255, 255, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1, 40, 0, 80, 7,
];

pub(super) fn zips() -> Vec<Vec<u8>> {
    let zip = zips::written(super::Source(&FILES));
    let (_, (pages, len)) = zips::taken_apart(&zip);
    let page = |len: u64, page: &[u8]| behind(2, [&len.to_le_bytes()[..], &[1, 0, 0], page].concat());
    vec![
        behind(0, zip),
        behind(0, b"no zip at all"),
        behind(1, FILES),
        page(len, &pages[0]),
        page(100, &golden("recipe-plain-v1.bin")),
        page(400, &golden("recipe-files-v1.bin")),
        behind(3, [&[0, 2, 40, 0, 9, 80, 0, 1][..], &FILES].concat()),
    ]
}

pub(super) fn texts() -> Vec<Vec<u8>> {
    let key = PUBLISHER.verifier().to_string();
    let note = DATABASE.sign("go.sum database tree\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    let site = format!("[publishers]\n\"{PREFIX}\" = [\"{key}\"] # a comment\n");
    let list: Vec<(u8, String)> = vec![
        (0, "module m.example/a // c\ngo 1.21\nrequire (\n\tm.example/b v1.2.3 // indirect\n\t\"x.y/z\" v0.1.0\n)\n".into()),
        (0, "replace a.b/c v1.0.0 => ../c\nexclude a.b/c v1.1.0\nretract [v1.0.0, v1.9.9]\ntool a.b/t\nuse ./x\n".into()),
        (0, "module `m.example/raw`\n/* no */ toolchain go1.22.0\nretract v1.0.0\n".into()),
        (1, "m.example/a v1.0.0 h1:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\nm.example/a v1.0.0/go.mod h1:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n".into()),
        (2, note.clone()),
        (3, key),
        (3, PUBLISHER.secret_key()),
        (4, note),
        (4, "17\nm.example/a v1.0.0 h1:x\n\nrest".into()),
        (5, "tile/8/1/x012/345.p/17".into()),
        (5, "tile/8/data/000".into()),
        (6, "github.com/Azure/sdk".into()),
        (6, "gopkg.in/yaml.v2@v2.4.0".into()),
        (6, "m.example/a/v3@v3.0.0-20240102030405-abcdef012345".into()),
        (6, "github.com/!azure/sdk".into()),
        (7, "v1.2.3-rc.1+incompatible".into()),
        (7, "v1.0.1-0.20240229120000-abcdef012345".into()),
        (7, "v1.2".into()),
        (8, "v1.2.3-alpha.1 v1.2.3-alpha.beta v1.2.3+meta".into()),
        (9, "/github.com/!azure/sdk/@v/v1.0.0.info".into()),
        (9, "/m.example/a/@v/list".into()),
        (9, "/m.example/a/@latest".into()),
        (9, "/m.example/%61/@v/feature%2Fx.info".into()),
        (9, "/sumdb/sum.example/tile/8/0/000.p/3".into()),
        (9, "/sumdb/sum.example/lookup/m.example/a@v1.0.0".into()),
        (10, r#"{"Version":"v1.0.0","Time":"2024-02-29T23:59:59.5+01:00","Origin":{"VCS":"git","x":[1]}}"#.into()),
        (11, site),
        (12, "sum.golang.org https://sum.golang.google.cn".into()),
        (12, format!("{} http://h.example/x/", DATABASE.verifier())),
        (13, "https://user:pw@proxy.example/a|http://b.example,off".into()),
        (13, "https://proxy.example,direct".into()),
        (14, "*.corp.example/x,a.[b-d]?/e\ngit.corp.example/x/y".into()),
        (15, "go1.26.1.linux-amd64".into()),
        (15, "go1.22 linux/amd64 darwin/arm64".into()),
        (15, "h1:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=".into()),
        (15, "a/b c/x.go".into()),
        (15, "bytes=5-900".into()),
    ];
    list.iter().map(|(choice, text)| behind(*choice, text)).collect()
}

pub(super) fn segments() -> Vec<Vec<u8>> {
    let three = [0x00, 3, b'a', b'b', b'c', 0x02, 0, 0x03, 0, 0x04, 2, 9, 9];
    let built = |flags: u8, more: &[u8]| behind(2, [&[flags, 4][..], &three, more].concat());
    vec![
        behind(0, segments::head(&[9; 32])),
        behind(0, b""),
        behind(1, b"MSwR no record"),
        built(0, &[]),
        built(1, &[]),
        built(4, b"a torn tail"),
        built(0x41, &[]),
        built(0x80, &[]),
        built(3, &[4, 4, 4, 4, 4]),
        built(3, &[0, 255, 255, 255, 255, 255, 255, 255, 127, 1, 255, 255, 255, 255]),
        behind(2, [0, 3, 0xc0, 9, 1, 1, 1, 0xf1, 4, 2, 2, 2, 0x01, 2, 3]),
        behind(2, [0, 2, 0xe0, 4, 1, 1, 1, 1, 200, 0, 0x00, 2, 3, 3]),
        behind(2, [0, 2, 0xd0, 2, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0x00, 2, 3, 3]),
    ]
}
