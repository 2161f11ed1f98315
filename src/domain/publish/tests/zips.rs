//! Zips that come as they are.

use super::*;
use crate::domain::zip::ZipError;
use crate::domain::zip::tests::{seekable, streamed};

const PREFIX: &str = "example.com/m@v1.0.0/";

fn zip(names: &[&str]) -> Vec<u8> {
    let files: Vec<(String, Vec<u8>)> = names
        .iter()
        .map(|name| (format!("{PREFIX}{name}"), if *name == "go.mod" { GO_MOD.1.into() } else { b"x".to_vec() }))
        .collect();
    streamed(&files)
}

fn faults(zip: &[u8]) -> Vec<(String, Fault)> {
    match check_zip(&module(), &zip.to_vec()) {
        Err(PublishError::Invalid(invalid)) => invalid.into_iter().map(|file| (file.path, file.fault)).collect(),
        other => panic!("{other:?}"),
    }
}

fn fault(names: &[&str]) -> Fault {
    let mut faults = faults(&zip(names));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0).1
}

#[test]
fn a_zip_that_the_go_command_accepts_is_accepted() {
    let good = zip(&["go.mod", "LICENSE", "a.go", "dir/b.go", "vendor/modules.txt", "vendor/x/y.go", ".git/config"]);
    let checked = check_zip(&module(), &good).unwrap();
    assert_eq!((checked.facts.files, checked.go_mod), (7, GO_MOD.1.into()));
    assert_eq!(module_of_zip(&good).unwrap(), module());
}

#[test]
fn every_entry_that_is_wrong_is_named() {
    let names = ["example.com/m@v1.0.1/a", "a.go", "example.com/m@v1.0.0/ok.go", "example.com/m@v1.0.0/a*"];
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, Vec::new())).collect();
    let faults = faults(&streamed(&files));
    let wrong_prefix = Fault::Prefix(PREFIX.into());
    let want = [
        (names[0].into(), wrong_prefix.clone()),
        (names[1].into(), wrong_prefix),
        (names[3].into(), Fault::Name("'*' is not allowed in it".into())),
    ];
    assert_eq!(faults, want);
}

#[test]
fn names_in_a_zip_follow_the_rules_for_files() {
    for unclean in ["a/../b", "./a", "a//b", "a/./b"] {
        assert_eq!(fault(&[unclean]), Fault::NotClean, "{unclean}");
    }
    for name in ["../a", "/a", "aux", "a.", "a:b", "a\\b", "a\nb"] {
        let fault = fault(&[name]);
        assert!(matches!(fault, Fault::Name(_)), "{name:?} {fault:?}");
    }
    assert_eq!(fault(&["Dir/a", "dir/b"]), Fault::Case("Dir".into()));
    assert_eq!(fault(&["a", "a/b"]), Fault::FileAndDirectory("a".into()));
}

#[test]
fn a_name_in_a_zip_is_utf_8() {
    let mut raw = zip(&["a?c"]);
    for at in raw.windows(3).enumerate().filter(|(_, it)| it == b"a?c").map(|(at, _)| at).collect::<Vec<_>>() {
        raw[at + 1] = 0xff;
    }
    assert_eq!(faults(&raw)[0].1, Fault::Name("its name is not UTF-8".into()));
}

#[test]
fn a_file_is_in_a_zip_once() {
    let mut twice = zip(&["ab", "ba"]);
    for at in twice.windows(2).enumerate().filter(|(_, it)| it == b"ba").map(|(at, _)| at).collect::<Vec<_>>() {
        twice[at..at + 2].copy_from_slice(b"ab");
    }
    assert_eq!(faults(&twice), [(format!("{PREFIX}ab"), Fault::Duplicate)]);
}

#[test]
fn a_go_mod_below_the_root_of_a_zip_is_refused() {
    assert_eq!(fault(&["sub/go.mod"]), Fault::NestedGoMod);
    assert_eq!(fault(&["vendor/x/GO.mod"]), Fault::NestedGoMod);
    assert_eq!(fault(&["Go.mod"]), Fault::GoModCase);
    assert_eq!(fault(&["go.mod/a"]), Fault::GoModDirectory);
    assert!(check_zip(&module(), &zip(&["sub/go.mod/a"])).is_ok());
}

#[test]
fn an_entry_for_a_directory_is_refused() {
    assert_eq!(fault(&["a/", "a/b"]), Fault::Directory);
    assert_eq!(fault(&[""]), Fault::Directory);
}

#[test]
fn what_is_no_sound_zip_is_refused() {
    let said = check_zip(&module(), &b"PK".to_vec()).unwrap_err();
    assert!(matches!(said, PublishError::Zip(ZipError::NotAZip(_))), "{said}");
    let mut damaged = seekable(::zip::CompressionMethod::Stored, &[(format!("{PREFIX}a"), b"content".to_vec())]);
    let at = damaged.windows(7).position(|it| it == b"content").unwrap();
    damaged[at] ^= 1;
    let said = check_zip(&module(), &damaged).unwrap_err();
    assert!(matches!(said, PublishError::Zip(ZipError::Checksum { .. })), "{said}");
}

#[test]
fn a_zip_without_go_mod_gets_the_one_that_the_go_command_makes_up() {
    assert_eq!(check_zip(&module(), &zip(&["a.go"])).unwrap().go_mod, b"module example.com/m\n");
}

#[test]
fn the_go_mod_of_a_zip_has_to_name_the_module() {
    let of = |go_mod: &str| check_zip(&module(), &streamed(&[(format!("{PREFIX}go.mod"), go_mod.into())]));
    // What counts in main modules only is not looked at: the zip is published already, somewhere.
    assert!(of("module example.com/m\ngo 1.24.x\nreplace broken\n").is_ok());
    assert!(matches!(of("module example.com/n\n"), Err(PublishError::OtherPath { .. })));
    assert!(matches!(of("go 1.24\n"), Err(PublishError::NoModuleLine)));
    assert!(matches!(of("module \"x\n"), Err(PublishError::GoMod(_))));
}

#[test]
fn an_incompatible_version_is_a_zip_without_go_mod() {
    let old = ModuleVersion::parse("example.com/m@v2.0.0+incompatible").unwrap();
    let of = |name: &str| streamed(&[(format!("{old}/{name}"), b"module example.com/m\n".to_vec())]);
    assert!(check_zip(&old, &of("a.go")).is_ok());
    assert!(matches!(check_zip(&old, &of("go.mod")), Err(PublishError::Incompatible(_))));
}

#[test]
fn the_module_version_of_a_zip_is_read_from_its_first_file() {
    for bad in ["a.go", "example.com/m/a.go", "example.com/m@v1/a.go", "m@v1.0.0/a.go", "example.com/m@v1.0.0"] {
        let said = module_of_zip(&streamed(&[(bad, Vec::new())])).unwrap_err().to_string();
        assert_eq!(said, format!("the first file of the zip is {bad:?}, where a module zip has path@version/file"));
    }
}
