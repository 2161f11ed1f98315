//! One test per rule. Values from the tests of golang.org/x/mod are facts; where they are from stands beside them.

mod property;
mod zips;

use std::io::{self, Read};

use super::files::Tally;
use super::*;
use crate::domain::dirhash::H1;
use crate::domain::manifest::{MAX_GO_MOD, MAX_ZIP};
use crate::domain::module::ModuleVersion;
use crate::domain::zip::{MAX_FILES, MAX_LICENSE};

fn module() -> ModuleVersion {
    ModuleVersion::parse("example.com/m@v1.0.0").unwrap()
}

fn regular(path: impl AsRef<[u8]>, size: usize) -> FileEntry {
    FileEntry { path: path.as_ref().to_vec(), kind: FileKind::Regular { size: size as u64 } }
}

fn of_kind(path: &str, kind: FileKind) -> FileEntry {
    FileEntry { path: path.into(), kind }
}

fn check(vendoring: Vendoring, paths: &[&str]) -> Checked {
    let files: Vec<FileEntry> = paths.iter().map(|path| regular(path, 1)).collect();
    check_files(&module(), vendoring, &files)
}

fn valid(checked: &Checked) -> Vec<&str> {
    checked.valid.iter().map(|file| file.path.as_str()).collect()
}

fn omitted(checked: &Checked) -> Vec<(&str, OmitReason)> {
    checked.omitted.iter().map(|file| (file.path.as_str(), file.reason)).collect()
}

fn invalid(checked: &Checked) -> Vec<(&str, String)> {
    checked.invalid.iter().map(|file| (file.path.as_str(), file.fault.to_string())).collect()
}

/// What is wrong with `paths` in one tree, each of them with one fault at most.
fn faults(paths: &[&str]) -> Vec<String> {
    check(Vendoring::Since124, paths).invalid.into_iter().map(|file| file.fault.to_string()).collect()
}

type Content = (&'static str, &'static str);

fn tree_of(module: &ModuleVersion, files: &[Content]) -> Result<Tree, PublishError> {
    let entries: Vec<FileEntry> = files.iter().map(|(path, content)| regular(path, content.len())).collect();
    let go_mod = files.iter().find(|(path, _)| *path == "go.mod").map(|(_, content)| content.as_bytes().to_vec());
    Tree::check(module.clone(), go_mod, &entries)
}

fn pack(tree: &Tree, files: &[Content]) -> (Vec<u8>, H1) {
    let mut zip = Vec::new();
    let open = |path: &str| Ok(files.iter().find(|file| file.0 == path).unwrap().1.as_bytes());
    let facts = tree.write_zip(open, &mut zip).unwrap();
    assert_eq!(facts, check_zip(tree.module(), &zip).unwrap().facts);
    (zip, facts.h1)
}

fn refused(module: &str, files: &[Content]) -> String {
    tree_of(&ModuleVersion::parse(module).unwrap(), files).unwrap_err().to_string()
}

const GO_MOD: Content = ("go.mod", "module example.com/m\n\ngo 1.24\n");

#[test]
fn files_are_sorted_as_x_mod_does() {
    // golang.org/x/mod/zip, testdata/check_files/various_go123.txt and various_go124.txt.
    let paths = [
        "valid.go",
        "not/../clean",
        "go.mod",
        "invalid.go'",
        "vendor/x/y",
        "vendor/modules.txt",
        "sub/go.mod",
        ".hg_archival.txt",
        "valid.go",
        "valid.go",
    ];
    let checked = check(Vendoring::Since124, &paths);
    assert_eq!(valid(&checked), ["valid.go", "go.mod"]);
    let want = [
        ("vendor/x/y", OmitReason::Vendored),
        ("vendor/modules.txt", OmitReason::Vendored),
        ("sub/go.mod", OmitReason::NestedModule),
        (".hg_archival.txt", OmitReason::HgArchival),
    ];
    assert_eq!(omitted(&checked), want);
    let want = [
        ("not/../clean", "its path is not clean".to_owned()),
        ("invalid.go'", "'\\'' is not allowed in it".to_owned()),
        ("valid.go", "it is there more than once".to_owned()),
    ];
    assert_eq!(invalid(&checked), want);
    assert_eq!(valid(&check(Vendoring::Before124, &paths)), ["valid.go", "go.mod", "vendor/modules.txt"]);
}

#[test]
fn the_hash_is_that_of_x_mod() {
    // golang.org/x/mod/zip, testdata/create/exclude_vendor_go124.txt: files and hash, but for sub/vendor/sub.txt. That file
    // is from before Go 1.24 took its rule for such files back; the go command itself is asked in tests/publish_zip.rs.
    let go_mod = "module example.com/m\n\ngo 1.24\nmodules.txt is excluded in 1.24+. See golang.org/issue/63395\n";
    let files = [
        ("go.mod", go_mod),
        ("vendor/modules.txt", "excluded\nsee comment in isVendoredPackage and golang.org/issue/31562.\n"),
        ("vendor/example.com/x/x.go", "excluded\n"),
    ];
    let (_, h1) = pack(&tree_of(&module(), &files).unwrap(), &files);
    assert_eq!(h1.to_string(), "h1:WxQ7ERgHLILawPCiuSwXp5UHul7CUSRRftO8b7GTnV8=");
    // TestCreateFromDirSpecial, dir_is_vendor.
    let files = [("go.mod", "module example.com/m\n\ngo 1.13\n")];
    let (_, h1) = pack(&tree_of(&module(), &files).unwrap(), &files);
    assert_eq!(h1.to_string(), "h1:XduFAgX/GaspZa8Jv4pfzoGEzNaU/r88PiCunijw5ok=");
}

#[test]
fn version_control_is_left_out() {
    let mut files: Vec<FileEntry> =
        [".git/config", "a/.hg/x", ".svn/x", "b/.bzr/y/z", ".gitignore", ".github/x", "a.git/x"]
            .iter()
            .map(|path| regular(path, 1))
            .collect();
    files.push(of_kind(".bzr", FileKind::Directory));
    // Work trees of git have a file there; a *file* of another system's name is a file like others, as in Go.
    files.extend([regular("worktree/.git", 1), regular("c/.svn", 1), of_kind("c", FileKind::Directory)]);
    let checked = check_files(&module(), Vendoring::Since124, &files);
    assert_eq!(valid(&checked), [".gitignore", ".github/x", "a.git/x", "c/.svn"]);
    let vcs = [".git/config", "a/.hg/x", ".svn/x", "b/.bzr/y/z", ".bzr", "worktree/.git"];
    assert_eq!(omitted(&checked), vcs.map(|path| (path, OmitReason::Vcs)));
}

#[test]
fn a_nested_module_is_left_out_with_all_that_is_below() {
    let files = [
        regular("sub/a.go", 1),
        regular("sub/go.mod", 1),
        regular("sub/deep/b.go", 1),
        of_kind("sub", FileKind::Directory),
        regular("subway/c.go", 1),
        regular("upper/GO.MOD", 1),
        regular("upper/d.go", 1),
        of_kind("linked/go.mod", FileKind::Symlink),
        regular("linked/e.go", 1),
        of_kind("fake/go.mod", FileKind::Directory),
        regular("fake/f.go", 1),
        of_kind("shout/GO.MOD", FileKind::Symlink),
        regular("shout/g.go", 1),
    ];
    let checked = check_files(&module(), Vendoring::Since124, &files);
    assert_eq!(valid(&checked), ["subway/c.go", "fake/f.go", "shout/g.go"]);
    let nested = [
        "sub/a.go",
        "sub/go.mod",
        "sub/deep/b.go",
        "sub",
        "upper/GO.MOD",
        "upper/d.go",
        "linked/go.mod",
        "linked/e.go",
    ];
    let mut want: Vec<_> = nested.iter().map(|path| (*path, OmitReason::NestedModule)).collect();
    want.push(("shout/GO.MOD", OmitReason::Symlink));
    assert_eq!(omitted(&checked), want);
}

#[test]
fn links_and_devices_are_left_out_whatever_their_names_are() {
    let files = [
        of_kind("CON", FileKind::Symlink),
        of_kind("a*", FileKind::Other),
        regular("A", 1),
        of_kind("a", FileKind::Symlink),
    ];
    let checked = check_files(&module(), Vendoring::Since124, &files);
    assert_eq!(valid(&checked), ["A"]);
    assert_eq!(
        omitted(&checked),
        [("CON", OmitReason::Symlink), ("a*", OmitReason::NotRegular), ("a", OmitReason::Symlink)]
    );
    assert!(checked.verdict().is_ok());
}

#[test]
fn a_vendored_directory_is_named_once() {
    let files = [
        of_kind("vendor", FileKind::Directory),
        of_kind("vendor/x", FileKind::Directory),
        regular("vendor/vendor.go", 1),
    ];
    let checked = check_files(&module(), Vendoring::Since124, &files);
    assert_eq!(
        (valid(&checked), omitted(&checked)),
        (vec!["vendor/vendor.go"], vec![("vendor/x", OmitReason::Vendored)])
    );
}

#[test]
fn file_names_are_those_of_check_file_path() {
    // golang.org/x/mod/module, checkPathTests: the column fileOK. A leading dash (-x/z) was not allowed once.
    let good = "x.y/z x.y .x/z x..y/z x.y/z/v0 x.y/z/v1 x.y/z/v2 x.y/z/v2.0 X.y/z !x.y/z _x.y/z x.y!/z x.y#/z x.y$/z x.y%/z \
                x.y&/z x.y(/z x.y)/z x.y+/z x.y,/z x.y-/z x.y=/z x.y@/z x.y[/z x.y]/z x.y^/z x.y_/z x.y{/z x.y}/z x.y~/z \
                x.y/z! x.y/z# x.y/z$ x.y/z% x.y/z& x.y/z( x.y/z) x.y/z+ x.y/z, x.y/z- x.y/z.t x.y/z/t x.y/z= x.y/z@ x.y/z[ \
                x.y/z] x.y/z^ x.y/z_ x.y/z{ x.y/z} x.y/z~ x.y/x.foo x.y/prn2 x.y/com x.y/calm1 github.com/!123/logrus \
                github.com/user/unicode/испытание .gitignore .github/ISSUE_TEMPLATE -x/z";
    for name in good.split_whitespace() {
        assert_eq!(check_file_path(name.as_bytes()), Ok(name));
    }
    let bad = "/x.y/z x./z x.y/z/../../w x.y//z x.y/z//w x.y/z/ x.y\"/z x.y'/z x.y*/z x.y./zt x.y:/z x.y;/z x.y</z x.y>/z x.y?/z \
               x.y\\/z x.y`/z x.y/z\" x.y/z' x.y/z* x.y/z: x.y/z; x.y/z< x.y/z> x.y/z? x.y/z\\ x.y/z` x.y/aux.foo x.y/prn \
               x.y/com1 x.y/com1.txt ../x ./y x:y \\temp\\foo x☺y";
    for name in bad.split_whitespace() {
        assert!(check_file_path(name.as_bytes()).is_err(), "{name}");
    }
    assert!(check_file_path(b"").is_err());
    assert_eq!(check_file_path(b"x.y/\xFFz"), Err("its name is not UTF-8".into()));
}

#[test]
fn names_that_a_file_system_cannot_keep_are_invalid() {
    let said = faults(&[
        "CON",
        "dir/nul.txt",
        "lpt9",
        "trailing.",
        "dir./x",
        "...",
        "tab\t",
        "nul\0",
        "line\nbreak",
        "del\x7f",
    ]);
    assert_eq!(said[0], r#"Windows keeps the name "CON" for a device"#);
    assert_eq!(said[3], r#"the element "trailing." ends with a dot"#);
    assert_eq!(said[6], r"'\t' is not allowed in it");
    assert_eq!(said.len(), 10, "{said:?}");
    // Only module paths may not look like short names of Windows.
    assert_eq!(faults(&["longna~1.txt", "with space", "com10", "ǅ", "字"]), Vec::<String>::new());
}

#[test]
fn a_letter_is_what_go_takes_for_one_and_not_what_looks_alike() {
    // Numerals, marks and letters from after Unicode 15.0, which char::is_alphabetic takes; and an emoji.
    for other in ["Ⅷ", "a\u{345}", "Ⓐ", "\u{1c89}", "\u{2ebf0}", "🙂", "²"] {
        assert!(check_file_path(other.as_bytes()).is_err(), "{other:?}");
    }
}

#[test]
fn paths_are_clean_and_relative() {
    for path in ["", "a//b", "a/", "./a", "a/.", "a/../b", "/a/", "//a", "/..", "../a/.."] {
        assert_eq!(faults(&[path]), ["its path is not clean"], "{path:?}");
    }
    for path in ["/a", "/"] {
        assert_eq!(faults(&[path]), ["its path is not relative"], "{path:?}");
    }
    for path in ["..", "../a", "../../a", "."] {
        assert!(faults(&[path])[0].ends_with("ends with a dot"), "{path:?}");
    }
}

#[test]
fn names_that_differ_in_case_only_collide() {
    let collide = |a: &str, b: &str| {
        let said = faults(&[a, b]);
        assert_eq!(said, [format!("its name collides with {a:?} where the case of letters does not count")], "{a} {b}");
    };
    collide("README", "readme");
    collide("straße", "STRAẞE");
    collide("Kelvin", "\u{212a}elvin");
    collide("ſ", "S");
    collide("σ", "ς");
    collide("ǆ", "ǅ");
    assert_eq!(
        faults(&["ss", "ß", "i", "ı", "İ", "fi", "ﬁ"]),
        Vec::<String>::new(),
        "no full folding, and no Turkish one"
    );
}

#[test]
fn directories_collide_as_files_do() {
    let said = faults(&["dir/a", "DIR/b", "Dir"]);
    assert_eq!(said, [r#"its name collides with "dir" where the case of letters does not count"#; 2]);
}

#[test]
fn a_file_cannot_be_a_directory() {
    assert_eq!(faults(&["a", "a/b"]), [r#""a" is a file and a directory"#]);
    assert_eq!(faults(&["a/b/c", "a"]), [r#""a" is a file and a directory"#]);
}

#[test]
fn go_mod_is_written_in_lower_case() {
    assert_eq!(faults(&["GO.mod"]), ["a go.mod file has to be named in lower case"]);
    let said = refused("example.com/m@v1.0.0", &[("GO.MOD", "module example.com/m\n")]);
    assert_eq!(said, r#"1 file cannot be in a module zip: "GO.MOD" (a go.mod file has to be named in lower case)"#);
}

#[test]
fn go_mod_and_license_may_have_sixteen_mebibytes() {
    let max = |name: &str, size: u64, more: u64| FileEntry {
        path: name.into(),
        kind: FileKind::Regular { size: size + more },
    };
    for (name, limit, fault) in [("go.mod", MAX_GO_MOD, Fault::GoModSize), ("LICENSE", MAX_LICENSE, Fault::LicenseSize)]
    {
        let fits = check_files(&module(), Vendoring::Since124, &[max(name, limit, 0)]);
        assert_eq!(valid(&fits), [name]);
        let over = check_files(&module(), Vendoring::Since124, &[max(name, limit, 1)]);
        assert_eq!((over.valid.len(), &over.invalid[0].fault), (0, &fault));
    }
    assert_eq!(check_files(&module(), Vendoring::Since124, &[max("sub/LICENSE", MAX_LICENSE, 1)]).invalid, []);
}

#[test]
fn all_files_together_may_have_five_hundred_mebibytes() {
    // golang.org/x/mod/zip, sizeLimitTests: total_large, total_too_large and negative.
    let limit = usize::try_from(MAX_ZIP).unwrap();
    let verdict = |size| {
        check_files(&module(), Vendoring::Since124, &[regular("small.go", 10), regular("large.go", size)]).verdict()
    };
    assert!(verdict(limit - 10).is_ok());
    for size in [limit - 9, usize::MAX] {
        assert!(matches!(verdict(size), Err(PublishError::Oversize { .. })));
    }
    let link = of_kind("link", FileKind::Symlink);
    assert!(check_files(&module(), Vendoring::Since124, &[regular("vendor/x/y", limit + 1), link]).verdict().is_ok());
}

#[test]
fn more_files_or_longer_names_than_a_node_takes_are_refused() {
    let after = |files: usize, len: usize| {
        let mut tally = Tally::default();
        (0..files).for_each(|_| tally.add(len));
        tally.is_too_many()
    };
    assert!(!after(MAX_FILES, 64) && after(MAX_FILES + 1, 64));
    assert!(!after(1024, 65_536) && after(1025, 65_535));
    assert!(!after(MAX_FILES, 128) && after(MAX_FILES, 129));
    let verdict = |too_many| Checked { too_many, ..Checked::default() }.verdict();
    assert!(verdict(false).is_ok() && matches!(verdict(true), Err(PublishError::TooManyFiles)));
}

#[test]
fn a_longer_name_than_a_zip_has_room_for_is_refused() {
    let room = 65_535 - "example.com/m@v1.0.0/".len();
    assert_eq!(faults(&[&"x".repeat(room)]), Vec::<String>::new());
    assert_eq!(faults(&[&"x".repeat(room + 1)])[0], Fault::TooLong.to_string());
}

#[test]
fn ten_invalid_files_are_named_and_the_others_counted() {
    let names: Vec<String> = (10..23).map(|number| format!("{number}*")).collect();
    let mut files: Vec<FileEntry> = names.iter().map(|name| regular(name, 1)).collect();
    files.extend([regular("go.mod", 1), regular(vec![b'y'; 3], 1), regular(b"\xff\xfe", 1)]);
    let said = Tree::check(module(), Some(b"x".to_vec()), &files).unwrap_err().to_string();
    assert!(
        said.starts_with("14 files cannot be in a module zip: \"10*\" ('*' is not allowed in it); \"11*\""),
        "{said}"
    );
    assert!(said.ends_with("\"19*\" ('*' is not allowed in it); and 4 more"), "{said}");
    let checked = check_files(&module(), Vendoring::Since124, &files);
    assert_eq!(checked.invalid.len(), 14, "the report has all of them");
    assert_eq!(checked.invalid[13].path, "\u{fffd}\u{fffd}");
}

#[test]
fn a_tree_needs_a_go_mod() {
    let said = refused("example.com/m@v1.0.0", &[("a.go", "package a\n"), ("sub/go.mod", "module x.y/z\n")]);
    assert_eq!(said, "there is no go.mod file in the module's root: run go mod init example.com/m there");
    let linked = [of_kind("go.mod", FileKind::Symlink)];
    let said = Tree::check(module(), Some(GO_MOD.1.into()), &linked).unwrap_err();
    assert!(matches!(said, PublishError::GoModNotRegular), "{said}");
}

#[test]
fn go_mod_has_to_name_the_module_that_is_published() {
    let said = refused("example.com/n@v1.0.0", &[GO_MOD]);
    assert_eq!(said, "the go.mod file says module example.com/m, and cannot be published as example.com/n");
    let said = refused("example.com/M@v1.0.0", &[GO_MOD]);
    assert_eq!(said, "the go.mod file says module example.com/m, and cannot be published as example.com/M");
    let said = refused("example.com/m@v1.0.0", &[("go.mod", "go 1.24\n")]);
    assert_eq!(said, "the go.mod file has no module line: run go mod edit -module PATH");
}

#[test]
fn go_mod_has_to_be_one_that_the_go_command_reads() {
    let said = refused("example.com/m@v1.0.0", &[("go.mod", "module example.com/m\nrequire (\n")]);
    assert_eq!(said, "line 2 of the go.mod file: the block \"require\" that starts here does not end");
    let said = refused("example.com/m@v1.0.0", &[("go.mod", "module example.com/m\n\ngo 1.24.x\n")]);
    assert!(said.starts_with("the go.mod file says go 1.24.x, which is no Go version"), "{said}");
}

#[test]
fn a_tree_is_no_incompatible_version() {
    let said = refused("example.com/m@v2.0.0+incompatible", &[GO_MOD]);
    assert!(
        said.starts_with("example.com/m@v2.0.0+incompatible has a go.mod file, and +incompatible versions may not")
    );
}

#[test]
fn a_pseudo_version_needs_a_time_that_there_was() {
    let of = |version: &str| tree_of(&ModuleVersion::parse(&format!("example.com/m@{version}")).unwrap(), &[GO_MOD]);
    assert!(of("v0.0.0-20240229101112-abcdefabcdef").is_ok());
    let said = of("v0.0.0-20230229101112-abcdefabcdef").unwrap_err().to_string();
    assert_eq!(said, "the time in the pseudo-version example.com/m@v0.0.0-20230229101112-abcdefabcdef is no date");
}

#[test]
fn the_module_path_is_read_from_go_mod() {
    assert_eq!(declared_path(GO_MOD.1.as_bytes()).unwrap().as_str(), "example.com/m");
    assert!(matches!(declared_path(b"go 1.24\n"), Err(PublishError::NoModuleLine)));
    assert!(matches!(declared_path(b"module main\n"), Err(PublishError::ModuleLine(_))));
}

#[test]
fn a_zip_depends_on_nothing_but_the_files() {
    let files = [GO_MOD, ("b.go", "package b\n"), ("a/ä.go", "package a\n"), ("LICENSE", "")];
    let mut other_order = files;
    other_order.reverse();
    let zip = pack(&tree_of(&module(), &files).unwrap(), &files);
    assert_eq!(zip, pack(&tree_of(&module(), &other_order).unwrap(), &files));
}

/// Gives bytes one at a time, with interruptions, and then perhaps fails.
struct Slow<'a>(&'a [u8], Option<io::ErrorKind>);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = self.1.take() {
            return Err(kind.into());
        }
        self.0.read(&mut buf[..1])
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let files = [GO_MOD, ("a.go", "package a\n")];
    let tree = tree_of(&module(), &files).unwrap();
    let write = |content: &'static [u8], error| tree.write_zip(|_| Ok(Slow(content, error)), io::sink());
    assert!(write(b"package b\n", Some(io::ErrorKind::Interrupted)).is_ok());
    for changed in [b"package a".as_slice(), b"package a\n\n", b""] {
        let said = write(changed, None).unwrap_err().to_string();
        let want = "\"a.go\" changed while it was packed (it had 10 bytes when it was listed): publish again";
        assert_eq!(said, want);
    }
    let said = write(b"package a\n", Some(io::ErrorKind::PermissionDenied)).unwrap_err();
    assert!(matches!(said, PublishError::Read { ref path, .. } if path == "a.go"), "{said}");
    let cannot_open = tree.write_zip(|_| Err::<io::Empty, _>(io::ErrorKind::NotFound.into()), io::sink()).unwrap_err();
    assert!(matches!(cannot_open, PublishError::Read { ref path, .. } if path == "a.go"), "{cannot_open}");
}

#[test]
fn what_is_packed_as_go_mod_is_what_was_checked() {
    let tree = tree_of(&module(), &[GO_MOD]).unwrap();
    let opened = tree.write_zip(|path| Err::<io::Empty, _>(io::Error::other(path.to_owned())), io::sink());
    assert_eq!(opened.unwrap().files, 1);
    // It was longer when its length was taken.
    let files = [regular("go.mod", GO_MOD.1.len() + 1)];
    let tree = Tree::check(module(), Some(GO_MOD.1.into()), &files).unwrap();
    assert!(matches!(tree.write_zip(|_| Ok(io::empty()), io::sink()), Err(PublishError::Changed { .. })));
}

#[test]
fn a_full_disk_is_not_the_fault_of_a_file() {
    let mut room = [0_u8; 40];
    let tree = tree_of(&module(), &[GO_MOD]).unwrap();
    let said = tree.write_zip(|_| Ok(io::empty()), room.as_mut_slice()).unwrap_err();
    assert!(matches!(said, PublishError::Write(_)), "{said}");
}

#[test]
fn a_zip_of_more_files_than_sixteen_bits_count_is_written_with_zip64_records() {
    let mut files: Vec<FileEntry> = (0..65_600).map(|number| regular(number.to_string(), 0)).collect();
    files.push(regular("go.mod", GO_MOD.1.len()));
    let tree = Tree::check(module(), Some(GO_MOD.1.into()), &files).unwrap();
    let mut zip = Vec::new();
    let facts = tree.write_zip(|_| Ok(io::empty()), &mut zip).unwrap();
    assert_eq!(check_zip(&module(), &zip).unwrap().facts, facts);
    assert_eq!(facts.files, 65_601);
}
