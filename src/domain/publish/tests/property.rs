//! Whatever tree passes, its zip passes, and has the hash of its files.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::domain::zip::check_module_zip;

/// Elements that meet the rules from both sides, often enough for them to meet each other.
fn element() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "a",
        "A",
        "b",
        "vendor",
        "modules.txt",
        "go.mod",
        "GO.MOD",
        "LICENSE",
        ".git",
        ".svn",
        "..",
        "x.",
        "con",
        "ß",
        "ẞ",
        "long~1",
        "ä b",
        "~",
        ".hg_archival.txt",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-d]{1,2}", 1 => "\\PC{1,3}"]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(element(), 1..4).prop_map(|elements| elements.join("/"))
}

fn kind() -> impl Strategy<Value = Option<FileKind>> {
    let odd = prop::sample::select(vec![FileKind::Symlink, FileKind::Other, FileKind::Directory]);
    prop_oneof![5 => Just(None), 1 => odd.prop_map(Some)]
}

type Files = BTreeMap<String, (Option<FileKind>, Vec<u8>)>;

fn files() -> impl Strategy<Value = Files> {
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (0..200_000_usize).prop_map(|len| b"package a\n".repeat(len / 10))
    ];
    prop::collection::btree_map(path(), (kind(), content), 0..6)
}

proptest! {
    #[test]
    fn the_zip_of_a_tree_that_passes_is_one_that_passes(mut files in files(), go in prop::sample::select(vec!["1.23", "1.24"])) {
        let go_mod = format!("module example.com/m\n\ngo {go}\n").into_bytes();
        // What is below a file collides with it; here that has to be another file than go.mod.
        files.retain(|path, _| !path.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case("go.mod")));
        files.insert("go.mod".into(), (None, go_mod.clone()));
        let entry = |(path, (kind, content)): (&String, &(Option<FileKind>, Vec<u8>))| FileEntry {
            path: path.as_bytes().to_vec(),
            kind: kind.unwrap_or(FileKind::Regular { size: content.len() as u64 }),
        };
        let mut entries: Vec<FileEntry> = files.iter().map(entry).collect();
        let first = Tree::check(module(), Some(go_mod.clone()), &entries);
        // With what is invalid taken out, what is left has to pass: each file is judged for itself.
        let checked = check_files(&module(), Vendoring::of_go_mod(Some(&go_mod)), &entries);
        let listed = checked.valid.len() + checked.omitted.len() + checked.invalid.len();
        let plain_directory = |file: &&FileEntry| file.kind == FileKind::Directory;
        prop_assert!(listed <= entries.len() && listed >= entries.len() - entries.iter().filter(plain_directory).count());
        prop_assert_eq!(first.is_ok(), checked.invalid.is_empty());
        entries.retain(|file| checked.invalid.iter().all(|invalid| invalid.path.as_bytes() != file.path));
        let tree = Tree::check(module(), Some(go_mod), &entries).unwrap();

        let mut zip = Vec::new();
        let facts = tree.write_zip(|path| Ok(files[path].1.as_slice()), &mut zip).unwrap();
        prop_assert_eq!(&check_module_zip(&module(), &zip).unwrap(), &facts);
        prop_assert_eq!(&check_zip(&module(), &zip).unwrap().facts, &facts);
        let lines = tree.files().iter().map(|file| {
            (format!("example.com/m@v1.0.0/{}", file.path), Sha256::digest(&files[&file.path].1).into())
        });
        prop_assert_eq!(H1::of_lines(lines), facts.h1);
    }
}
