//! What all servers of the benchmark serve: many small module versions and a checksum database that has recorded them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use bytes::Bytes;
use modswarm::domain::dirhash::H1;
use zip::write::SimpleFileOptions;

use super::super::Failure;
use super::super::fixture::{Dice, source};
use super::Kind;

#[path = "../../../../tests/common/sumdb.rs"]
mod sumdb;
use sumdb::{FixtureDb, NAME};

/// Versions of each module, all of them tagged: so many lines has a list.
const VERSIONS_PER_MODULE: usize = 20;

/// Every file by its URL path, and the database behind those of `/sumdb/`.
pub(super) struct Tree {
    files: HashMap<String, Bytes>,
    /// The paths of each kind, in the order in which they were made.
    paths: HashMap<Kind, Vec<String>>,
    db: FixtureDb,
}

impl Tree {
    /// Makes about `versions` module versions. The same number gives the same bytes.
    pub(super) fn make(versions: usize) -> Result<Self, Failure> {
        let mut tree = Self { files: HashMap::new(), paths: HashMap::new(), db: FixtureDb::new(NAME) };
        let mut dice = Dice::new(11);
        let mut recorded = Vec::new();
        for module in 0..versions.div_ceil(VERSIONS_PER_MODULE) {
            let path = format!("example.com/team{}/module{module}", module % 17);
            let mut list = String::new();
            for minor in 0..VERSIONS_PER_MODULE {
                let version = format!("v1.{minor}.{}", module % 5);
                let base = format!("/{path}/@v/{version}");
                let go_mod = go_mod(&path, &mut dice);
                let zip = zip(&format!("{path}@{version}"), &go_mod, &mut dice)?;
                tree.db.add(&format!("{path}@{version}"), go_mod.as_bytes(), Some(H1::of_zip(&zip)?));
                tree.put(Kind::Info, format!("{base}.info"), info(&path, &version).into());
                tree.put(Kind::Mod, format!("{base}.mod"), go_mod.into());
                tree.put(Kind::Zip, format!("{base}.zip"), zip.into());
                recorded.push(format!("lookup/{path}@{version}"));
                writeln!(list, "{version}")?;
            }
            tree.put(Kind::List, format!("/{path}/@v/list"), list.into());
        }
        for lookup in recorded {
            let body = tree.db.answer(&lookup).ok_or("the database does not know its own record")?;
            tree.put(Kind::Lookup, format!("/sumdb/{NAME}/{lookup}"), body.into());
        }
        Ok(tree)
    }

    fn put(&mut self, kind: Kind, path: String, body: Bytes) {
        self.paths.entry(kind).or_default().push(path.clone());
        self.files.insert(path, body);
    }

    /// The key of the database, as `--sumdb` takes it.
    pub(super) fn sumdb(&self) -> String {
        self.db.key()
    }

    /// The paths of a kind.
    pub(super) fn paths(&self, kind: Kind) -> &[String] {
        self.paths.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.files.iter()
    }

    /// Length of the file of a path in bytes.
    pub(super) fn len(&self, path: &str) -> usize {
        self.files.get(path).map_or(0, Bytes::len)
    }

    /// What an upstream with these modules and this database answers.
    pub(super) fn answer(&self, path: &str) -> Option<Bytes> {
        if let Some(body) = self.files.get(path) {
            return Some(body.clone());
        }
        let question = path.strip_prefix("/sumdb/")?.strip_prefix(NAME)?.strip_prefix('/')?;
        self.db.answer(question).map(Bytes::from)
    }

    /// Writes it below `root`, one file for each path.
    pub(super) fn write(&self, root: &Path) -> Result<(), Failure> {
        for (path, body) in &self.files {
            let file = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().ok_or("a file without a directory")?)?;
            fs::write(file, body)?;
        }
        Ok(())
    }
}

/// As long as what the public mirror answers for a module of a repository with tags.
fn info(path: &str, version: &str) -> String {
    let hash = blake3::hash(format!("{path}@{version}").as_bytes()).to_hex();
    format!(
        r#"{{"Version":"{version}","Time":"2026-01-01T00:00:00Z","Origin":{{"VCS":"git","URL":"https://{path}","Hash":"{}","Ref":"refs/tags/{version}"}}}}"#,
        &hash[..40]
    )
}

/// A go.mod with some requirements, 0.3 to 1.5 KB.
fn go_mod(path: &str, dice: &mut Dice) -> String {
    let mut text = format!("module {path}\n\ngo 1.22\n\nrequire (\n");
    for _ in 0..5 + dice.below(25) {
        // To a string it cannot fail.
        let _ = writeln!(text, "\texample.com/needed{}/library v1.{}.0", dice.below(1000), dice.below(40));
    }
    text + ")\n"
}

/// A zip with one file of source: some kilobytes.
fn zip(prefix: &str, go_mod: &str, dice: &mut Dice) -> Result<Vec<u8>, Failure> {
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("go.mod", go_mod.as_bytes().to_vec()), ("module.go", source(dice, 2))] {
        writer.start_file(format!("{prefix}/{name}"), options)?;
        writer.write_all(&bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}
