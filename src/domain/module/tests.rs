//! Values are those of the public tests of golang.org/x/mod (`module_test.go`, `pseudo_test.go`, `semver_test.go`)
//! and of golang.org/ref/mod, besides our own.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> ModulePath {
    ModulePath::parse(text).unwrap()
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn paths_that_the_go_command_takes_are_taken() {
    for text in [
        "x.y",
        "x.y/z",
        "x..y/z",
        "x.y-/z",
        "x.y/z~",
        "x.y/z_",
        "x.y/z/v2",
        "x.y/v",
        "x.y/v10",
        "x.y/prn2",
        "x.y/com",
        "x.y/calm1",
        "x.y/x.foo",
        "x.y/~1a",
        "x.y/a~b",
        "github.com/BurntSushi/toml",
        "gopkg.in/yaml.v0",
        "gopkg.in/yaml.v2-unstable",
        "gopkg.in/user/pkg.v10",
        "golang.org/toolchain",
        "127.0.0.1/x",
    ] {
        assert_eq!(ModulePath::parse(text).map(|path| path.to_string()), Ok(text.into()));
    }
}

#[test]
fn a_path_is_refused_by_the_rule_that_it_breaks() {
    for (text, rule) in [
        ("", "it is empty"),
        ("-x.y/z", "starts with a dash"),
        ("/x.y/z", "empty element"),
        ("x.y//z", "empty element"),
        ("x.y/z/", "empty element"),
        ("x.y/z/../../w", "ends with a dot"),
        ("x./z", "ends with a dot"),
        ("x.y/.git", "starts with a dot"),
        (".gitignore", "starts with a dot"),
        ("quote", "has no dot"),
        ("golang/x.y", "has no dot"),
        ("X.y/z", "has 'X' in it"),
        ("x.y_/z", "has '_' in it"),
        ("x.y/z%2f", "'%' is not allowed"),
        ("x.y/z+", "'+' is not allowed"),
        ("x.y/z\\w", "'\\\\' is not allowed"),
        ("x.y/a b", "' ' is not allowed"),
        ("x.y/z\0", "'\\0' is not allowed"),
        ("x.y/испытание", "'и' is not allowed"),
        ("x.y/aux.foo", "\"aux\" for a device"),
        ("x.y/NuL", "\"NuL\" for a device"),
        ("com1.y/z", "\"com1\" for a device"),
        ("x.y/long~1", "Windows short name"),
        ("x.y/long~12.txt", "Windows short name"),
        ("x.y/z/v0", "/v2 or higher"),
        ("x.y/z/v1", "/v2 or higher"),
        ("x.y/z/v02", "/v2 or higher"),
        ("x.y/z/v2.0", "/v2 or higher"),
        ("gopkg.in/yaml", "has to end with .vN"),
        ("gopkg.in/yaml/v2", "has to end with .vN"),
        ("gopkg.in/yaml.v", "has to end with .vN"),
        ("gopkg.in/yaml.v01", "has to end with .vN"),
        ("gopkg.in/yaml.v0-unstable", "has to end with .vN"),
        ("gopkg.in/yaml.v2-unstable-unstable", "has to end with .vN"),
    ] {
        let error = ModulePath::parse(text).unwrap_err().to_string();
        assert!(error.contains(rule), "{text:?}: {error}");
        assert!(error.contains("is not a module path: "), "{error}");
    }
}

#[test]
fn an_error_shows_hostile_text_escaped_and_cut() {
    let error = ModulePath::parse(&format!("x.y/\n\x1b[31m{}", "a".repeat(10_000))).unwrap_err().to_string();
    assert!(error.starts_with(r#""x.y/\n\u{1b}[31maaa"#), "{error}");
    assert!(error.len() < 400 && error.contains('…'), "{error}");
}

#[test]
fn case_is_escaped_and_only_the_one_spelling_comes_back() {
    assert_eq!(path("github.com/GoogleCloudPlatform/omega").escaped(), "github.com/!google!cloud!platform/omega");
    assert_eq!(version("v1.0.0-RC1").escaped(), "v1.0.0-!r!c1");
    assert_eq!(ModulePath::from_escaped("rsc.io/!q!u!o!t!e"), Ok(path("rsc.io/QUOTE")));
    for (bad, rule) in [
        ("github.com/GoogleCloudPlatform/omega", "the upper-case letter G has to be escaped as !g"),
        ("github.com/!google!/omega", "after each !"),
        ("github.com/!0google", "after each !"),
        ("github.com/!!google", "after each !"),
        ("github.com/!G", "after each !"),
        ("github.com/google!", "after each !"),
        ("!x.y/z", "has 'X' in it"),
        ("x.y/é", "is not ASCII"),
        ("", "it is empty"),
    ] {
        let error = ModulePath::from_escaped(bad).unwrap_err().to_string();
        assert!(error.contains(rule), "{bad}: {error}");
    }
    assert!(Version::from_escaped("v1.0.0-RC1").is_err());
    assert_eq!(Version::from_escaped("v1.0.0-!r!c1"), Ok(version("v1.0.0-RC1")));
}

#[test]
fn only_canonical_versions_are_versions() {
    for text in
        ["v1.2.3", "v0.0.0", "v1.2.3-456-789", "v1.0.0-alpha.beta", "v2.0.0+incompatible", "v1.2.3-0a.b-+incompatible"]
    {
        assert_eq!(version(text).to_string(), text);
    }
    for (text, rule) in [
        ("v1", "its canonical form is v1.0.0"),
        ("v1.2", "its canonical form is v1.2.0"),
        ("v1.2.3+meta", "its canonical form is v1.2.3"),
        ("v1.2.3+incompatible.1", "its canonical form is v1.2.3"),
        ("v1.2.3-pre+meta", "its canonical form is v1.2.3-pre"),
        ("", "looks like"),
        ("1.2.3", "looks like"),
        ("latest", "looks like"),
        ("v01.2.3", "looks like"),
        ("v1.2.3.4", "looks like"),
        ("v1.2.3-", "looks like"),
        ("v1.2.3+", "looks like"),
        ("v1.2.3-01", "looks like"),
        ("v1.2.3-a..b", "looks like"),
        ("v1.2.3+a+b", "looks like"),
        ("v1-pre", "looks like"),
        ("v1.2+meta", "looks like"),
        ("v1.2.3-../x", "looks like"),
        ("v1.2.3\n", "looks like"),
        ("v1..3", "looks like"),
    ] {
        let error = Version::parse(text).unwrap_err().to_string();
        assert!(error.contains(rule) && error.contains("is not a canonical version: "), "{text}: {error}");
    }
}

#[test]
fn versions_have_gos_order() {
    let rising = [
        "v0.0.0-20160102150405-abcdef123456",
        "v0.0.1",
        "v0.9.0",
        "v0.10.0",
        "v1.0.0-1",
        "v1.0.0-2",
        "v1.0.0-11",
        "v1.0.0-alpha",
        "v1.0.0-alpha.1",
        "v1.0.0-alpha.beta",
        "v1.0.0-beta",
        "v1.0.0-beta.2",
        "v1.0.0-beta.11",
        "v1.0.0-rc.1",
        "v1.0.0",
        "v1.0.0+incompatible",
        "v1.0.1-0.20160102150405-abcdef123456",
        "v1.0.1",
        "v99999999999999999999.0.0",
        "v100000000000000000000.0.0",
    ];
    for (i, a) in rising.iter().enumerate() {
        for (j, b) in rising.iter().enumerate() {
            assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} {b}");
        }
    }
}

#[test]
fn text_that_is_no_version_is_below_all_versions() {
    assert_eq!(compare_semver("main", "v0.0.0-0"), Ordering::Less);
    assert_eq!(compare_semver("main", "master"), Ordering::Equal);
    assert_eq!(compare_semver("v1", "v1.0.0+meta"), Ordering::Equal);
    assert_eq!(compare_semver("v1.19", "v1.2"), Ordering::Greater);
    assert_eq!(canonical("v1.2+meta"), None);
    assert_eq!(canonical("v3+incompatible"), None);
    assert_eq!(canonical("v1.2").as_deref(), Some("v1.2.0"));
}

#[test]
fn pseudo_versions_are_known_by_their_three_forms() {
    for text in [
        "v0.0.0-20191109021931-daa7c04131f5",
        "v2.0.0-20191109021931-daa7c04131f5",
        "v1.2.4-0.20191109021931-daa7c04131f5",
        "v1.2.3-pre.0.20191109021931-daa7c04131f5",
        "v4.0.1-0.20191109021931-daa7c04131f5+incompatible",
    ] {
        let version = version(text);
        assert!(version.is_pseudo() && version.is_prerelease(), "{text}");
        assert_eq!(version.pseudo_rev(), Some("daa7c04131f5"));
        assert_eq!(version.pseudo_time().as_deref(), Some("2019-11-09T02:19:31Z"));
    }
    for text in [
        "v1.2.3",
        "v1.2.3-pre",
        "v1.2.3-20191109021931-daa7c04131f5",
        "v0.1.0-20191109021931-daa7c04131f5",
        "v0.0.0-2019110902193-daa7c04131f5",
        "v0.0.0-201911090219310-daa7c04131f5",
        "v0.0.0-20191109021931",
        "v0.0.0-20191109021931-",
        "v1.2.3-pre.1.20191109021931-daa7c04131f5",
        "v1.2.3-x0.20191109021931-daa7c04131f5",
        "v0.0.0-20191109021931-daa7c-",
        "v0.0.1-go1.26.1.linux-amd64",
    ] {
        assert!(!version(text).is_pseudo(), "{text}");
        assert_eq!(version(text).pseudo_time(), None);
    }
}

#[test]
fn a_pseudo_versions_time_is_a_date_or_nothing() {
    let time = |stamp: &str| version(&format!("v0.0.0-{stamp}-000000000000")).pseudo_time();
    assert_eq!(time("00010101000000").as_deref(), Some("0001-01-01T00:00:00Z"));
    assert_eq!(time("20240229235959").as_deref(), Some("2024-02-29T23:59:59Z"));
    for bad in
        ["20230229000000", "20231301000000", "20230100000000", "20230431000000", "20230101240000", "20230101006000"]
    {
        assert_eq!(time(bad), None, "{bad}");
    }
    assert_eq!(time("19000229000000"), None);
}

#[test]
fn path_and_version_have_to_agree_on_the_major_version() {
    for (text, fits) in [
        ("github.com/go-yaml/yaml@v0.8.0", true),
        ("github.com/go-yaml/yaml@v1.0.0", true),
        ("github.com/go-yaml/yaml@v2.0.0", false),
        ("github.com/go-yaml/yaml@v2.0.0+incompatible", true),
        ("github.com/go-yaml/yaml/v2@v1.0.0", false),
        ("github.com/go-yaml/yaml/v2@v2.1.5", true),
        ("github.com/go-yaml/yaml/v2@v20.0.0", false),
        ("gopkg.in/yaml.v0@v0.8.0", true),
        ("gopkg.in/yaml.v0@v1.0.0", false),
        ("gopkg.in/yaml.v1@v0.8.0", false),
        ("gopkg.in/check.v1@v0.0.0", false),
        ("gopkg.in/check.v1@v0.0.0-20160102150405-abcdef123456", true),
        ("gopkg.in/yaml.v2@v2.1.5", true),
        ("gopkg.in/yaml.v2-unstable@v2.1.5", true),
        ("gopkg.in/yaml.v2@v3.0.0", false),
        ("rsc.io/quote@v17.0.0+incompatible", true),
        ("golang.org/toolchain@v0.0.1-go1.26.1.linux-amd64", true),
    ] {
        assert_eq!(ModuleVersion::parse(text).is_ok(), fits, "{text}");
    }
    let error = ModuleVersion::parse("x.y/z@v2.0.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""x.y/z@v2.0.0" is not a module version: the path wants a version of v0 or v1, not of v2"#
    );
    assert!(ModuleVersion::parse("x.y/z/v3@v2.0.0").unwrap_err().to_string().contains("a version of v3, not of v2"));
    assert!(ModuleVersion::parse("x.y/z").unwrap_err().to_string().contains("there is no @"));
    assert!(ModuleVersion::parse("x.y/z@v1.0.0@v1.0.0").is_err());
}

#[test]
fn a_zip_prefix_is_not_escaped() {
    let module = ModuleVersion::parse("github.com/BurntSushi/toml@v0.3.0+incompatible").unwrap();
    assert_eq!(module.zip_prefix(), "github.com/BurntSushi/toml@v0.3.0+incompatible/");
}

prop_compose! {
    fn any_path()(host in "[a-z0-9]{1,6}\\.[a-z]{2,4}", rest in prop::collection::vec("[A-Za-z0-9_~.-]{1,8}", 0..4)) -> String {
        std::iter::once(host).chain(rest).collect::<Vec<_>>().join("/")
    }
}

fn any_version() -> impl Strategy<Value = String> {
    "v(0|[1-9][0-9]{0,2})\\.(0|[1-9][0-9]?)\\.(0|[1-9][0-9]?)(-[0-9A-Za-z-]{1,4}(\\.[0-9A-Za-z-]{1,4}){0,2})?(\\+incompatible)?"
}

proptest! {
    #[test]
    fn a_path_survives_its_text_and_its_escaped_text(text in any_path()) {
        if let Ok(path) = ModulePath::parse(&text) {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert_eq!(ModulePath::parse(&path.to_string()), Ok(path.clone()));
            prop_assert_eq!(ModulePath::from_escaped(&path.escaped()), Ok(path.clone()));
            prop_assert!(!path.escaped().bytes().any(|b| b.is_ascii_uppercase()));
        }
    }

    #[test]
    fn a_version_survives_its_text_and_its_escaped_text(text in any_version()) {
        if let Ok(version) = Version::parse(&text) {
            prop_assert_eq!(Version::parse(&version.to_string()), Ok(version.clone()));
            prop_assert_eq!(Version::from_escaped(&version.escaped()), Ok(version));
        }
    }

    #[test]
    fn a_module_version_survives_its_text(path in any_path(), version in any_version()) {
        if let Ok(module) = ModuleVersion::parse(&format!("{path}@{version}")) {
            prop_assert_eq!(ModuleVersion::parse(&module.to_string()), Ok(module));
        }
    }

    #[test]
    fn no_text_panics_and_what_is_taken_is_the_text(text in ".{0,40}") {
        if let Ok(path) = ModulePath::parse(&text) { prop_assert_eq!(path.to_string(), text.clone()); }
        if let Ok(version) = Version::parse(&text) { prop_assert_eq!(version.to_string(), text.clone()); }
        if let Ok(path) = ModulePath::from_escaped(&text) { prop_assert_eq!(path.escaped(), text); }
    }

    #[test]
    fn the_order_of_versions_is_total(a in any_version(), b in any_version(), c in any_version()) {
        if let (Ok(a), Ok(b), Ok(c)) = (Version::parse(&a), Version::parse(&b), Version::parse(&c)) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c { prop_assert!(a <= c); }
        }
    }
}
