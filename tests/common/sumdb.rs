//! A checksum database in memory, with a key of its own, that answers as a real one does.
//!
//! Its signatures are real, so it can be told to a node or to a go command: `GOSUMDB="$(key) http://.../base"`.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::HashMap;

use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::note::{Signer, Verifier};
use modswarm::domain::sumdb::{Lookup, Record, SignedHead, SumdbProof};
use modswarm::domain::tlog::{
    FULL_WIDTH, HashLog, Hashes, Node, TILE_HEIGHT, Tile, TilePath, TreeHead, prove_record, prove_tree, tree_hash,
};

/// The name of the database unless a test chooses another.
pub(crate) const NAME: &str = "sum.example";

/// The secret of every fixture database. Databases of one name have one key: that is how a fork is made.
const SECRET: [u8; 32] = [0x5a; 32];

/// The database.
pub(crate) struct FixtureDb {
    signer: Signer,
    log: HashLog,
    records: Vec<Record>,
    by_name: HashMap<String, usize>,
}

impl FixtureDb {
    /// An empty database called `name`, which may have a path.
    pub(crate) fn new(name: &str) -> Self {
        Self::signed_by(Signer::from_secret(name, SECRET).expect("a name without spaces"))
    }

    /// An empty database with a key of the test's own.
    pub(crate) fn signed_by(signer: Signer) -> Self {
        Self { signer, log: HashLog::default(), records: Vec::new(), by_name: HashMap::new() }
    }

    /// A database called [`NAME`] with `count` records that no test asks for.
    pub(crate) fn with_records(count: u64) -> Self {
        let mut db = Self::new(NAME);
        (0..count).for_each(|n| _ = db.add_filler(n));
        db
    }

    /// The key, as GOSUMDB takes it.
    pub(crate) fn key(&self) -> String {
        self.verifier().to_string()
    }

    /// The key.
    pub(crate) fn verifier(&self) -> Verifier {
        self.signer.verifier().clone()
    }

    /// Records `path@version` and gives the record's index.
    pub(crate) fn add(&mut self, module: &str, go_mod: &[u8], zip_h1: Option<H1>) -> u64 {
        let module = ModuleVersion::parse(module).expect("a module version");
        let record = Record::new(self.log.size(), module, zip_h1, H1::of_go_mod(go_mod));
        self.by_name.insert(escape(&record.module.to_string()), self.records.len());
        self.log.push(&record.text);
        self.records.push(record);
        self.log.size() - 1
    }

    /// Records something that no test asks for.
    pub(crate) fn add_filler(&mut self, n: u64) -> u64 {
        self.add(&format!("filler.example/m{n}@v1.0.0"), b"", Some(H1::from_bytes([1; 32])))
    }

    /// A record by its index.
    pub(crate) fn record(&self, index: u64) -> &Record {
        &self.records[usize::try_from(index).expect("a small log")]
    }

    /// The number of records.
    pub(crate) fn size(&self) -> u64 {
        self.log.size()
    }

    /// The signed head of the tree of all records.
    pub(crate) fn head(&self) -> SignedHead {
        self.head_at(self.size())
    }

    /// The signed head of the tree of the first `size` records, as it was once.
    pub(crate) fn head_at(&self, size: u64) -> SignedHead {
        let verifier = self.verifier();
        SignedHead::open(verifier.name(), self.note_at(size), std::slice::from_ref(&verifier))
            .expect("its own signature")
    }

    /// The note of the head of the tree of all records: what lookups end with.
    pub(crate) fn note(&self) -> Vec<u8> {
        self.note_at(self.size())
    }

    fn note_at(&self, size: u64) -> Vec<u8> {
        let hash = tree_hash(size, &self.log).expect("not more than there are");
        self.sign(&TreeHead { size, hash }.format())
    }

    /// Any text, signed by the database.
    pub(crate) fn sign(&self, text: &str) -> Vec<u8> {
        self.signer.sign(text).expect("a text").into_bytes()
    }

    /// The proof that the tree of the first `new` records contains that of the first `old`.
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<modswarm::domain::tlog::Hash> {
        prove_tree(new, old, &self.log).expect("sizes that there are")
    }

    /// The proof of a recorded module version under the head of the tree of all records.
    pub(crate) fn proof_of(&self, module: &str) -> SumdbProof {
        let record = &self.records[self.by_name[&escape(module)]];
        SumdbProof {
            database: self.verifier().name().into(),
            index: record.id,
            record: record.text.clone(),
            path: prove_record(self.size(), record.id, &self.log).expect("a record of the tree"),
            head: self.note(),
        }
    }

    /// The data of a tile, if the log has that many hashes in it.
    pub(crate) fn tile(&self, tile: Tile) -> Option<Vec<u8>> {
        let held = tile.in_tree(self.size()).filter(|held| held.width() >= tile.width())?;
        let first = held.n() * u64::from(FULL_WIDTH);
        let nodes = (first..first + u64::from(tile.width())).map(|n| Node::new(tile.level() * TILE_HEIGHT, n));
        let hashes: Option<Vec<[u8; 32]>> =
            nodes.map(|node| self.log.hash(node?).map(|hash| *hash.as_bytes())).collect();
        hashes.map(|hashes| hashes.concat())
    }

    /// The body of the 200 answer for a path below `/sumdb/NAME/`; `None` is 404.
    pub(crate) fn answer(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(name) = path.strip_prefix("lookup/") {
            let record = &self.records[*self.by_name.get(name)?];
            return Lookup::format(record, &self.note()).ok();
        }
        match path {
            "supported" => Some(Vec::new()),
            "latest" => Some(self.note()),
            _ => match TilePath::parse(path).ok()? {
                TilePath::Hashes(tile) => self.tile(tile),
                TilePath::Data { n, width } => self.data_tile(n, width),
            },
        }
    }

    fn data_tile(&self, n: u64, width: u16) -> Option<Vec<u8>> {
        let first = usize::try_from(n * u64::from(FULL_WIDTH)).ok()?;
        let records = self.records.get(first..first + usize::from(width))?;
        Some(records.iter().flat_map(|record| [record.text.as_slice(), b"\n"].concat()).collect())
    }
}

/// `!` and the small letter for each capital one, as the go command asks.
fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_ascii_uppercase() { vec!['!', c.to_ascii_lowercase()] } else { vec![c] })
        .collect()
}
