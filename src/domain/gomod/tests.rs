use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> GoMod {
    GoMod::parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn refused(text: &str, message: &str) {
    assert_eq!(GoMod::parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
}

/// `path version` of each requirement, `~` before the indirect ones.
fn requires(parsed: &GoMod) -> Vec<String> {
    let mark = |require: &Require| if require.indirect { "~" } else { "" };
    parsed.require.iter().map(|require| format!("{}{} {}", mark(require), require.path, require.version)).collect()
}

const WHOLE: &str = r#"// Deprecated: use something else
module example.com/whole // the module

go 1.21.0
toolchain go1.26.1
godebug default=go1.21

require rsc.io/quote v1.5.2 // indirect
require (
	"golang.org/x/text" v0.3.0
	`x.y/z/v2` v2.0.0 // indirect; because
	// golang.org/x/none v9.9.9
	x.y/branch main//comment

	x.y/w v1.0.0 // indirect or so
)
exclude x.y/w v1.0.1
exclude ( x.y/w v1.0.2 )
replace x.y/w => ../w
replace (
	x.y/w v1.0.0 => x.y/fork v1.1.0
	x.y/q => C:\q
)
retract v1.0.0
retract [v1.1.0, v1.2.0] // published by mistake
retract (
	[ v2.0.0 ,v2.1.0 ]
)
tool x.y/cmd/tool
ignore ./node_modules
surprise (
	module of.the/future
)
surprise more (
	require of.the/future v1.0.0
)
"#;

#[test]
fn every_directive_is_read_or_skipped() {
    // "( x )" on one line is no block for the go command either, and an exclude of that form is an error there.
    let parsed = parse(&WHOLE.replace("exclude ( x.y/w v1.0.2 )\n", "exclude ()\n"));
    assert_eq!(parsed.module.as_deref(), Some("example.com/whole"));
    assert_eq!(parsed.go.as_deref(), Some("1.21.0"));
    assert_eq!(parsed.toolchain.as_deref(), Some("go1.26.1"));
    assert_eq!(
        requires(&parsed),
        ["~rsc.io/quote v1.5.2", "golang.org/x/text v0.3.0", "~x.y/z/v2 v2.0.0", "x.y/branch main", "x.y/w v1.0.0"]
    );
    assert_eq!(parsed.exclude, [Exclude { path: "x.y/w".into(), version: "v1.0.1".into() }]);
    let module = |path: &str, version: &str| Replacement::Module { path: path.into(), version: version.into() };
    assert_eq!(
        parsed.replace,
        [
            Replace { path: "x.y/w".into(), version: None, with: Replacement::Local("../w".into()) },
            Replace { path: "x.y/w".into(), version: Some("v1.0.0".into()), with: module("x.y/fork", "v1.1.0") },
            Replace { path: "x.y/q".into(), version: None, with: Replacement::Local("C:\\q".into()) },
        ]
    );
    let ranges: Vec<_> = parsed.retract.iter().map(|range| (range.low.as_str(), range.high.as_str())).collect();
    assert_eq!(ranges, [("v1.0.0", "v1.0.0"), ("v1.1.0", "v1.2.0"), ("v2.0.0", "v2.1.0")]);
    assert_eq!(parsed.tool, ["x.y/cmd/tool"]);
    refused(WHOLE, "line 18 of the go.mod file: exclude takes a module path and a version");
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let text = WHOLE.replace("exclude ( x.y/w v1.0.2 )\n", "");
    assert_eq!(parse(&text.replace('\n', "\r\n")), parse(&text));
    assert_eq!(parse(text.trim_end()), parse(&text));
}

#[test]
fn a_requirement_is_a_module_version_where_nothing_is_left_to_look_up() {
    let require = |path: &str, version: &str| Require { path: path.into(), version: version.into(), indirect: false };
    let both = |path, version| {
        let require = require(path, version);
        (require.module().map(|m| m.to_string()), require.dependency().map(|m| m.to_string()))
    };
    let same = |text: &str| (Some(text.to_owned()), Some(text.to_owned()));
    assert_eq!(both("x.y/z", "v1.0.0"), same("x.y/z@v1.0.0"));
    assert_eq!(both("x.y/z", "v2.0.0+incompatible"), same("x.y/z@v2.0.0+incompatible"));
    assert_eq!(both("x.y/z", "v1.2"), (None, Some("x.y/z@v1.2.0".into())));
    assert_eq!(both("x.y/z", "v1.2.0+meta"), (None, Some("x.y/z@v1.2.0".into())));
    assert_eq!(both("x.y/z", "main"), (None, None));
    assert_eq!(both("x.y/z", "v2.0.0"), (None, None));
    assert_eq!(both("../z", "v1.0.0"), (None, None));
}

#[test]
fn what_could_hide_a_requirement_is_an_error_with_its_line() {
    refused(
        "module x.y/z\n\nrequire (\n\ta.b/c v1.0.0\n",
        r#"line 3 of the go.mod file: the block "require" that starts here does not end"#,
    );
    refused("require a.b/c", "line 1 of the go.mod file: require takes a module path and a version");
    refused(
        "require (\na.b/c v1.0.0 v1.0.1\n)",
        "line 2 of the go.mod file: require takes a module path and a version",
    );
    refused("module", "line 1 of the go.mod file: module takes one argument");
    refused("go 1.21 1.22", "line 1 of the go.mod file: go takes one argument");
    refused("require \"a.b/c v1", "line 1 of the go.mod file: a string that starts with \" does not end");
    refused("require `a.b/c v1", "line 1 of the go.mod file: a string that starts with ` does not end");
    refused("require \"a\\", r#"line 1 of the go.mod file: in a string only \\ and \" are understood"#);
    refused("/* old */", "line 1 of the go.mod file: comments are written // and not /* */");
    refused("require (\n) x", "line 2 of the go.mod file: after the ) that ends a block there is more");
    refused("retract [v1.0.0]", "line 1 of the go.mod file: retract is written: version, or [low, high]");
    refused(
        "replace a.b/c => d.e/f",
        r#"line 1 of the go.mod file: the replacement "d.e/f" is no directory (./x, ../x, /x) and has no version"#,
    );
    for text in ["replace a.b/c", "replace => ./c", "replace a.b/c =>", "replace a b c => ./d", "replace a => b c d"] {
        refused(text, "line 1 of the go.mod file: replace is written: path [version] => directory, or => path version");
    }
}

#[test]
fn in_a_dependency_only_its_requirements_can_be_wrong() {
    let text = "module x.y/z\ngo 1.20\nrequire a.b/c v1.0.0\nretract [v1.0.0]\nretract v0.9.0\n";
    let broken = format!("{text}replace a => b\nexclude a\ntool\nreplace (\nnonsense\n)\n");
    let read = GoMod::parse_dependency(broken.as_bytes()).unwrap();
    assert_eq!((requires(&read).as_slice(), read.retract.len()), (["a.b/c v1.0.0".to_owned()].as_slice(), 1));
    assert!(read.prunes_graph());
    assert!(GoMod::parse(broken.as_bytes()).is_err());
    assert!(GoMod::parse_dependency(b"require a.b/c").is_err());
    assert!(GoMod::parse_dependency(b"future (").is_err());
}

#[test]
fn pruning_begins_with_go_1_17() {
    for (go, prunes) in [
        ("1.17", true),
        ("1.17.0", true),
        ("1.21rc2", true),
        ("1.26.1", true),
        ("2.0", true),
        ("v1.18.x", true),
        ("1.16", false),
        ("1.16.9", false),
        ("1.17rc1", false),
        ("1.17beta1", false),
        ("1.9", false),
        ("1", false),
        ("", false),
        ("1.", false),
        ("99999999999999999999.1", false),
    ] {
        assert_eq!(GoMod { go: Some(go.into()), ..GoMod::default() }.prunes_graph(), prunes, "{go}");
    }
    assert!(!GoMod::default().prunes_graph());
}

#[test]
fn a_workspace_is_read() {
    let text =
        "go 1.22\ntoolchain go1.26.1\nuse .\nuse (\n\t./a // first\n\t\"./b c\"\n)\nreplace x.y/z => ../z\nfuture x\n";
    let work = GoWork::parse(text.as_bytes()).unwrap();
    assert_eq!(work.use_dirs, [".", "./a", "./b c"]);
    assert_eq!((work.go.as_deref(), work.toolchain.as_deref()), (Some("1.22"), Some("go1.26.1")));
    assert_eq!(work.replace.len(), 1);
    let error = GoWork::parse(b"use a b").unwrap_err();
    assert_eq!(error.to_string(), "line 1 of the go.work file: use takes one argument");
}

#[test]
fn bytes_that_are_no_text_and_too_many_bytes_are_told() {
    assert_eq!(GoMod::parse(b"require a\xff.b/c v1.0.0").unwrap().require[0].module(), None);
    let long = vec![b'\n'; usize::try_from(MAX_GO_MOD).unwrap() + 1];
    assert_eq!(
        GoMod::parse(&long).unwrap_err().to_string(),
        "line 1 of the go.mod file: it has more than 16777216 bytes"
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in "(module|require|replace|retract|use|[()\\[\\],\"`\\\\/ \n\r]|//|=>|v1|\\PC){0,40}") {
        let _ = GoMod::parse(text.as_bytes());
        let _ = GoWork::parse(text.as_bytes());
    }

    #[test]
    fn a_requirement_survives_quoting_blocks_and_line_ends(
        path in "[a-z]{1,5}\\.[a-z]{2}(/[a-zA-Z0-9_~-]{1,5}){0,2}", quote in "[\"`]?", end in "(\r?\n|)", block: bool
    ) {
        let line = format!("{quote}{path}{quote} v1.2.3 // indirect");
        let text = if block { format!("require (\n{line}\n){end}") } else { format!("require {line}{end}") };
        prop_assert_eq!(requires(&GoMod::parse(text.as_bytes()).unwrap()), [format!("~{path} v1.2.3")]);
    }
}
