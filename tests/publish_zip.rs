//! What is published against the real go command: the hashes of trees, the verdicts on zips, and the characters of names.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use modswarm::domain::module::ModuleVersion;
use modswarm::domain::publish::{FileEntry, FileKind, Tree, Vendoring, check_file_path, check_files, check_zip, info};
use modswarm::domain::zip::ZipFacts;
use modswarm::publish_dir::PublishDir;
use serde_json::Value;
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Whether `program` is not installed; a machine that builds for everybody has to have it.
fn is_missing(program: &str) -> bool {
    let found = Command::new(program).arg("version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "CI is set and there is no {program} command");
    if !found {
        eprintln!("skipped: there is no {program} command on this machine");
    }
    !found
}

/// A place with a repository, a proxy's files, and a user's home that know of nothing else.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["repo", "proxy", "app"] {
            std::fs::create_dir(place.path(dir)).unwrap();
        }
        let instead =
            format!("[url \"file://{}\"]\n\tinsteadOf = https://host.example/repo\n", place.path("repo").display());
        let user = "[user]\n\tname = test\n\temail = test@host.example\n[init]\n\tdefaultBranch = main\n";
        std::fs::write(place.path("gitconfig"), format!("{instead}{user}[protocol \"file\"]\n\tallow = always\n"))
            .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: &str, dir: &str, args: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path(dir)).env_clear();
        command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "GOROOT"));
        for (name, value) in [
            ("GOSUMDB", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOFLAGS", "-mod=mod -modcacherw"),
            ("GOENV", "off"),
            ("GOWORK", "off"),
            ("GOVCS", "*:git"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ] {
            command.env(name, value);
        }
        for (name, place) in
            [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache"), ("GIT_CONFIG_GLOBAL", "gitconfig")]
        {
            command.env(name, self.path(place));
        }
        // What it has compiled of the standard library is kept from run to run: it proves nothing, and takes long.
        command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"));
        command.envs(more.iter().copied()).output().unwrap()
    }

    fn git(&self, args: &[&str]) {
        let output = self.run("git", "repo", args, &[]);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What `go mod download -json` says of each version, by `path@version`.
    fn download(&self, goproxy: &str, modules: &[String]) -> BTreeMap<String, Value> {
        let mut args = vec!["mod", "download", "-json"];
        args.extend(modules.iter().map(String::as_str));
        let output = self.run("go", "app", &args, &[("GOPROXY", goproxy)]);
        let said = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        let said: BTreeMap<String, Value> = said
            .map(Result::unwrap)
            .map(|it| (format!("{}@{}", it["Path"].as_str().unwrap(), it["Version"].as_str().unwrap()), it))
            .collect();
        assert_eq!(said.len(), modules.len(), "{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Puts a version into the proxy's files.
    fn put(&self, module: &ModuleVersion, go_mod: &[u8], zip: &[u8]) {
        let dir = self.path("proxy").join(module.path.escaped()).join("@v");
        std::fs::create_dir_all(&dir).unwrap();
        for (end, bytes) in
            [("info", info(&module.version, 1_767_323_045)), ("mod", go_mod.into()), ("zip", zip.into())]
        {
            std::fs::write(dir.join(format!("{}.{end}", module.version.escaped())), bytes).unwrap();
        }
    }

    fn proxy(&self) -> String {
        format!("file://{}", self.path("proxy").display())
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn publish(&self, dir: &str, module: &str) -> (Tree, ZipFacts, Vec<u8>) {
        let dir = PublishDir::read(&self.path(dir)).unwrap();
        let tree = dir.check(ModuleVersion::parse(module).unwrap()).unwrap();
        assert_eq!(dir.module_path().unwrap(), tree.module().path);
        let mut zip = Vec::new();
        let facts = tree.write_zip(|path| dir.open(path), &mut zip).unwrap();
        assert_eq!(check_zip(tree.module(), &zip).unwrap().facts, facts);
        (tree, facts, zip)
    }
}

/// Fills the repository with something for every rule that decides what belongs to a module.
fn fill(place: &Place) {
    for (path, content) in [
        ("a.go", "package a\n"),
        ("LICENSE", "none\n"),
        ("doc/with space (ä).txt", "text\n"),
        ("empty.txt", ""),
        ("large.txt", &"0123456789\n".repeat(20_000)),
        ("vendor/modules.txt", "# x.y/z v1.0.0\n"),
        ("vendor/vendor.go", "package vendor\n"),
        ("vendor/x.y/z/z.go", "package z\n"),
        ("pkg/vendor/vendor.go", "package vendor\n"),
        ("pkg/vendor/modules.txt", "none\n"),
        ("pkg/vendor/x.y/z/z.go", "package z\n"),
        ("nested/go.mod", "module host.example/repo.git/nested\n"),
        ("nested/n.go", "package n\n"),
        ("nested/deep/n.go", "package n\n"),
        ("shout/GO.MOD", "module host.example/repo.git/shout\n"),
        ("shout/s.go", "package s\n"),
        ("licensed/go.mod", "module host.example/repo.git/licensed\n"),
        ("licensed/LICENSE", "some\n"),
        (".hg_archival.txt", "repo: 0\n"),
        ("deep/.hg_archival.txt", "repo: 0\n"),
        (".gitignore", "*.log\n"),
        (".github/workflows/ci.yml", "on: push\n"),
    ] {
        place.write(&format!("repo/{path}"), content);
    }
    std::fs::create_dir(place.path("repo/nothing")).unwrap();
    #[cfg(unix)]
    for (link, target) in [("link.go", "a.go"), ("linked", "doc"), ("broken", "nowhere")] {
        std::os::unix::fs::symlink(target, place.path("repo").join(link)).unwrap();
    }
}

#[test]
fn a_published_tree_has_the_hash_that_the_go_command_gets_from_its_repository() {
    if is_missing("go") || is_missing("git") {
        return;
    }
    let place = Place::new();
    place.git(&["init", "--quiet"]);
    fill(&place);
    let mut published = BTreeMap::new();
    let mut publish = |dir: &str, module: &str| {
        let (tree, facts, zip) = place.publish(dir, module);
        published.insert(module.to_owned(), facts.h1.to_string());
        place.put(tree.module(), tree.go_mod(), &zip);
        tree
    };
    for (version, go) in
        [("v1.0.0", "go 1.23.4\n"), ("v1.1.0", "go 1.24\n"), ("v1.2.0", "go 1.24rc1\n"), ("v1.3.0", "")]
    {
        place.write("repo/go.mod", &format!("module host.example/repo.git\n\n{go}"));
        place.git(&["add", "--force", "."]);
        place.git(&["commit", "--quiet", "--message", version]);
        place.git(&["tag", version]);
        let tree = publish("repo", &format!("host.example/repo.git@{version}"));
        let names: Vec<&str> = tree.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names.contains(&"vendor/modules.txt"), ["v1.0.0", "v1.3.0"].contains(&version), "{names:?}");
    }
    // Modules deeper in the repository, with the licence of its root and with one of its own.
    for name in ["nested", "licensed"] {
        place.git(&["tag", &format!("{name}/v1.0.0")]);
        let tree = publish(&format!("repo/{name}"), &format!("host.example/repo.git/{name}@v1.0.0"));
        assert!(tree.files().iter().any(|file| file.path == "LICENSE"));
    }

    let modules: Vec<String> = published.keys().cloned().collect();
    for goproxy in ["direct", &place.proxy()] {
        let said = place.download(goproxy, &modules);
        for (module, h1) in &published {
            assert_eq!(said[module]["Sum"].as_str(), Some(h1.as_str()), "{goproxy}: {}", said[module]);
        }
        std::fs::remove_dir_all(place.path("modcache")).unwrap();
    }
}

fn zip_of(files: &[(String, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Names that meet the rules from both sides. Chosen by a hash, so that they are the same in each run.
fn names(number: u32) -> Vec<String> {
    const ELEMENTS: [&str; 46] = [
        "a", "b", "c", "d", "dir", "x.go", "A", "B", "Dir", "go.mod", "GO.MOD", "Go.mod", "LICENSE", "license",
        "vendor", ".git", "..", ".", "", "x.", "con", "CON.txt", "com1", "com10", "aux", "long~1", "a b", "a'b", "a*b",
        "a:b", "a?b", "a\tb", "ä", "Ä", "ß", "ẞ", "字", "☺", "Ⅷ", "k", "\u{212a}", "-x", "@", "{}", "~", "ı",
    ];
    /// How many at the start of the list nobody objects to: half of the elements are of those.
    const PLAIN: usize = 6;
    let mut random = blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof();
    let mut next = |below: usize| {
        let mut byte = [0];
        random.fill(&mut byte);
        usize::from(byte[0]) % below
    };
    let element =
        |next: &mut dyn FnMut(usize) -> usize| ELEMENTS[if next(2) == 0 { next(PLAIN) } else { next(ELEMENTS.len()) }];
    let mut names: Vec<String> = Vec::new();
    for _ in 0..1 + next(3) {
        let elements: Vec<&str> = (0..1 + next(3)).map(|_| element(&mut next)).collect();
        let name = elements.join("/");
        // A directory's name is another test, and the writer of this one does not write a name twice.
        if !name.is_empty() && !name.ends_with('/') && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[test]
fn zips_are_refused_that_the_go_command_refuses_and_no_others() {
    if is_missing("go") {
        return;
    }
    const ZIPS: u32 = 400;
    const GO_MOD_DIRECTORY: &str = "/go.mod/";
    let place = Place::new();
    let mut verdicts = BTreeMap::new();
    for number in 0..ZIPS {
        let module = ModuleVersion::parse(&format!("example.com/m@v1.0.{number}")).unwrap();
        let prefix = module.zip_prefix();
        let files: Vec<(String, &str)> =
            names(number).iter().map(|name| (format!("{prefix}{name}"), "module example.com/m\n")).collect();
        let zip = zip_of(&files);
        place.put(&module, b"module example.com/m\n", &zip);
        verdicts.insert(module.to_string(), (check_zip(&module, &zip), files));
    }
    let accepted = verdicts.values().filter(|(verdict, _)| verdict.is_ok()).count();
    assert!((100..300).contains(&accepted), "{accepted} of {ZIPS}: too few of one kind to say anything");
    let said = place.download(&place.proxy(), &verdicts.keys().cloned().collect::<Vec<_>>());
    for (module, (ours, files)) in &verdicts {
        match (ours, said[module]["Error"].as_str()) {
            (Ok(checked), None) => assert_eq!(said[module]["Sum"], checked.facts.h1.to_string()),
            (Err(_), Some(_)) => {}
            // A directory Go.mod is harmless here, and stands in the way of go.mod where the case of letters does not count.
            (Err(_), None)
                if files.iter().any(|(name, _)| {
                    name.to_ascii_lowercase().split_once(GO_MOD_DIRECTORY).is_some_and(|(prefix, _)| prefix == module)
                }) => {}
            (ours, theirs) => panic!("{files:?}: here {ours:?}, there {theirs:?}"),
        }
    }
}

#[test]
fn a_zip_with_entries_for_directories_would_fail_verification_everywhere() {
    if is_missing("go") {
        return;
    }
    let place = Place::new();
    place.write("app/go.mod", "module example.com/app\n\ngo 1.21\n\nrequire example.com/m v1.0.0\n");
    let module = ModuleVersion::parse("example.com/m@v1.0.0").unwrap();
    let verify = |directory: bool| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        if directory {
            zip.add_directory(format!("{module}/dir"), SimpleFileOptions::default()).unwrap();
        }
        zip.start_file(format!("{module}/dir/a.go"), SimpleFileOptions::default()).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        assert_eq!(check_zip(&module, &zip).is_err(), directory);
        place.put(&module, b"module example.com/m\n", &zip);
        std::fs::remove_dir_all(place.path("modcache")).unwrap_or_default();
        std::fs::remove_file(place.path("app/go.sum")).unwrap_or_default();
        let proxy = place.proxy();
        let downloaded = place.run("go", "app", &["mod", "download"], &[("GOPROXY", &proxy)]);
        assert!(downloaded.status.success(), "{}", String::from_utf8_lossy(&downloaded.stderr));
        place.run("go", "app", &["mod", "verify"], &[("GOPROXY", &proxy)])
    };
    assert!(verify(false).status.success());
    let said = String::from_utf8(verify(true).stderr).unwrap();
    assert!(said.contains("dir has been modified"), "{said}");
}

/// Prints the version of Unicode, and each letter with the smallest one of those that are equal to it when case is folded.
const LETTERS: &str = r#"package main

import (
	"bufio"
	"fmt"
	"os"
	"unicode"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, unicode.Version)
	for letter := rune(0); letter <= unicode.MaxRune; letter++ {
		if unicode.IsLetter(letter) {
			least := letter
			for other := unicode.SimpleFold(letter); other != letter; other = unicode.SimpleFold(other) {
				least = min(least, other)
			}
			fmt.Fprintln(out, letter, least)
		}
	}
}
"#;

#[test]
fn letters_and_their_cases_are_those_of_the_go_command() {
    if is_missing("go") {
        return;
    }
    let place = Place::new();
    place.write("app/main.go", LETTERS);
    let output = place.run("go", "app", &["run", "main.go"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let unicode = lines.next().unwrap();
    let char_of = |text: &str| char::from_u32(text.parse().unwrap()).unwrap();
    let theirs: BTreeMap<char, char> =
        lines.map(|line| line.split_once(' ').unwrap()).map(|(c, least)| (char_of(c), char_of(least))).collect();

    let is_letter = |c: char| check_file_path(c.to_string().as_bytes()).is_ok();
    let ours: Vec<char> = ('\u{80}'..=char::MAX).filter(|c| is_letter(*c)).collect();
    let missing: String = ours.iter().filter(|c| !theirs.contains_key(c)).collect();
    assert_eq!(missing, "", "letters here that Go with Unicode {unicode} does not know");
    if unicode == "15.0.0" {
        assert_eq!(ours.len(), theirs.keys().filter(|c| !c.is_ascii()).count());
    }

    let module = ModuleVersion::parse("example.com/m@v1.0.0").unwrap();
    let file = |c: char| FileEntry { path: c.to_string().into(), kind: FileKind::Regular { size: 0 } };
    let invalid = |files: &[FileEntry]| check_files(&module, Vendoring::Since124, files).invalid.len();
    let mut missed = String::new();
    for (c, least) in ours.iter().map(|c| (*c, theirs[c])).filter(|(c, least)| c != least) {
        if invalid(&[file(least), file(c)]) != 1 {
            writeln!(missed, "{least} and {c}").unwrap();
        }
    }
    assert_eq!(missed, "", "Go with Unicode {unicode} folds them");
    let least: Vec<FileEntry> = theirs.iter().filter(|(c, least)| c == least).map(|(c, _)| file(*c)).collect();
    if unicode == "15.0.0" {
        assert_eq!(invalid(&least), 0, "Go does not fold what is folded here");
    }
}

#[test]
fn a_directory_without_go_mod_is_no_module() {
    let place = Place::new();
    place.write("app/sub/go.mod", "module x.y/z\n");
    let said = PublishDir::read(&place.path("app")).unwrap_err().to_string();
    assert!(
        said.ends_with("app has no go.mod file: run go mod init MODULE-PATH there, or name the directory that has one")
    );
    let said = PublishDir::read(&place.path("nowhere")).unwrap_err().to_string();
    assert!(said.contains("nowhere cannot be read: "), "{said}");
}

#[cfg(unix)]
#[test]
fn a_file_name_that_is_not_utf_8_refuses_the_tree() {
    use std::os::unix::ffi::OsStrExt as _;

    let place = Place::new();
    place.write("app/go.mod", "module x.y/z\n");
    let name = std::ffi::OsStr::from_bytes(b"\xff.go");
    if std::fs::write(place.path("app").join(name), "").is_err() {
        eprintln!("skipped: this file system has no such names");
        return;
    }
    let dir = PublishDir::read(&place.path("app")).unwrap();
    let said = dir.check(ModuleVersion::parse("x.y/z@v1.0.0").unwrap()).unwrap_err().to_string();
    assert_eq!(said, "1 file cannot be in a module zip: \"\u{fffd}.go\" (its name is not UTF-8)");
}
