use proptest::prelude::*;

use super::*;

fn path(text: &str) -> ModulePath {
    ModulePath::parse(text).unwrap()
}

fn module(text: &str) -> ModuleVersion {
    ModuleVersion::parse(text).unwrap()
}

fn info(path_text: &str, name: &str) -> Request {
    Request::Info { path: path(path_text), query: Query::Name(name.into()) }
}

#[track_caller]
fn refused(raw: &str, because: &str) {
    let error = parse(raw).unwrap_err().to_string();
    assert!(error.starts_with("not found: ") && error.contains(because), "{raw}: {error}");
}

#[test]
fn each_form_of_request_is_told_from_the_others() {
    assert_eq!(parse("/rsc.io/quote/@v/list"), Ok(Request::List(path("rsc.io/quote"))));
    assert_eq!(parse("/rsc.io/quote/@latest"), Ok(Request::Latest(path("rsc.io/quote"))));
    assert_eq!(parse("/rsc.io/quote/@v/v1.5.2.mod"), Ok(Request::GoMod(module("rsc.io/quote@v1.5.2"))));
    assert_eq!(parse("/rsc.io/quote/@v/v1.5.2.zip"), Ok(Request::Zip(module("rsc.io/quote@v1.5.2"))));
    let version = Version::parse("v1.5.2").unwrap();
    let asked = Request::Info { path: path("rsc.io/quote"), query: Query::Version(version) };
    assert_eq!(parse("/rsc.io/quote/@v/v1.5.2.info"), Ok(asked));
    assert_eq!(parse("/sumdb/sum.golang.org/supported"), Ok(Request::Sumdb("sum.golang.org/supported".into())));
    assert_eq!(
        parse("/golang.org/toolchain/@v/v0.0.1-go1.26.1.linux-amd64.zip"),
        Ok(Request::Zip(module("golang.org/toolchain@v0.0.1-go1.26.1.linux-amd64")))
    );
}

#[test]
fn fact_01_an_escaped_bang_and_a_raw_one_are_the_same_request() {
    let wanted = Ok(Request::GoMod(module("github.com/BurntSushi/toml@v0.3.0-RC1")));
    assert_eq!(parse("/github.com/%21burnt%21sushi/toml/@v/v0.3.0-%21r%21c1.mod"), wanted);
    assert_eq!(parse("/github.com/!burnt!sushi/toml/@v/v0.3.0-!r!c1.mod"), wanted);
    assert_eq!(parse("/github.com%2f!burnt%21sushi%2Ftoml/%40v/v0.3.0-!r!c1%2Emod"), wanted);
    // Decoded once only: %2521 is a percent sign, and no module path has that.
    refused("/github.com/%2521burnt/toml/@v/list", "'%' is not allowed");
    for broken in ["/x.y/%", "/x.y/%2", "/x.y/%2/@v/list", "/x.y/%zz/@v/list", "/x.y/%+1/@v/list"] {
        refused(broken, "not followed by two hexadecimal digits");
    }
    refused("/x.y/%ff/@v/list", "not UTF-8");
    refused("/x.y/%00/@v/list", r"'\0' is not allowed");
}

#[test]
fn fact_02_path_and_version_are_unescaped_separately() {
    refused("/github.com/BurntSushi/toml/@v/list", "the upper-case letter B has to be escaped");
    refused("/x.y/!!z/@v/list", "after each !");
    refused("/x.y/!0/@v/list", "after each !");
    // The bang at the end of one part must not reach into the next.
    refused("/x.y/z!/@v/list", "after each !");
    refused("/x.y/z/@v/v1.0.0-!.mod", "after each !");
    for file in ["v1.0.0-RC1.mod", "v1.0.0-RC1.zip", "v1.0.0-RC1.info", "Main.info"] {
        refused(&format!("/x.y/z/@v/{file}"), "has to be escaped");
    }
    assert_eq!(parse("/x.y/z/@v/!main.info"), Ok(info("x.y/z", "Main")));
}

#[test]
fn fact_03_module_paths_are_checked_before_anything_is_touched() {
    for (raw, because) in [
        ("/quote/@v/list", "no dot"),
        ("/x.y//z/@v/list", "empty, . or .."),
        ("/x.y/../z/@v/list", "empty, . or .."),
        ("/x.y/%2e%2e/z/@v/list", "empty, . or .."),
        ("/x.y/aux/@v/list", "for a device"),
        ("/x.y/z/v1/@v/list", "/v2 or higher"),
        ("/gopkg.in/yaml/@latest", "has to end with .vN"),
        ("/x.y/a~1/@latest", "short name"),
        ("/x.y/z/@v/@v/list", "after /@v/ there is list"),
        ("/@v/list", "after the module"),
        ("/@latest", "after the module"),
    ] {
        refused(raw, because);
    }
    assert!(parse("/gopkg.in/yaml.v2/@latest").is_ok());
}

#[test]
fn fact_04_paths_that_differ_in_case_are_different_modules() {
    assert_eq!(parse("/rsc.io/!q!u!o!t!e/@v/list"), Ok(Request::List(path("rsc.io/QUOTE"))));
    assert_ne!(parse("/rsc.io/!q!u!o!t!e/@v/list"), parse("/rsc.io/quote/@v/list"));
}

#[test]
fn fact_05_an_uncleaned_path_is_not_a_request() {
    for raw in [
        "//rsc.io/quote/@v/list",
        "/rsc.io/quote//@v/list",
        "/rsc.io/quote/@v//list",
        "/rsc.io/quote/@v/list/",
        "/rsc.io/quote/@latest/",
        "/./rsc.io/quote/@v/list",
        "/rsc.io/x/../quote/@v/list",
        "/sumdb/sum.golang.org/../x",
        "/sumdb/",
        "/",
    ] {
        refused(raw, "empty, . or ..");
    }
    refused("", "does not start with a slash");
    refused("rsc.io/quote/@v/list", "does not start with a slash");
    refused(&format!("/x.y/{}/@v/list", "a".repeat(MAX_RAW_PATH)), "more than 4096 bytes");
}

#[test]
fn fact_06_the_grammar_is_of_paths_alone() {
    // Methods and query strings are the HTTP layer's; a question mark that gets here is a character like any other.
    refused("/rsc.io/quote/@v/list?x=1", "after /@v/ there is list");
    refused("/rsc.io/quote/@latest?x", "/@v/ or /@latest");
    refused("/rsc.io/quote", "/@v/ or /@latest");
    refused("/rsc.io/quote/@v", "/@v/ or /@latest");
    refused("/rsc.io/quote/@v/v1.0.0.ziphash", r#"no "ziphash""#);
    refused("/rsc.io/quote/@v/v1.0.0.ZIP", r#"no "ZIP""#);
}

#[test]
fn fact_07_a_probe_of_a_parent_path_is_either_refused_or_an_ordinary_request() {
    refused("/golang/@v/list", "no dot");
    assert_eq!(parse("/golang.org/@v/list"), Ok(Request::List(path("golang.org"))));
    assert!(matches!(parse("/rsc.io/@v/v1.5.2.info"), Ok(Request::Info { query: Query::Version(_), .. })));
}

#[test]
fn fact_08_only_canonical_versions_have_files_and_the_go_commands_words_are_no_queries() {
    for version in ["v1", "v1.2", "v1.2.3+meta", "main", "latest", "1.2.3", "v2.0.0"] {
        for extension in ["mod", "zip"] {
            assert!(parse(&format!("/x.y/z/@v/{version}.{extension}")).is_err(), "{version}.{extension}");
        }
    }
    refused("/x.y/z/@v/v1.2.mod", "its canonical form is v1.2.0");
    refused("/x.y/z/@v/v2.0.0.zip", "the path wants a version of v0 or v1, not of v2");
    for word in ["latest", "upgrade", "patch"] {
        refused(&format!("/x.y/z/@v/{word}.info"), "the go command's word");
    }
}

#[test]
fn fact_09_branches_commits_and_short_versions_are_queries() {
    for name in ["main", "v1", "v1.2", "daa7c04131f5", "release-1.x", "v1.2.3+meta", "list", "a b", "feature#1"] {
        assert_eq!(parse(&format!("/x.y/z/@v/{}.info", name.replace(' ', "%20"))), Ok(info("x.y/z", name)));
    }
    // What a client asks that saw the tag v2.0.0 of a module without /v2; the answer is v2.0.0+incompatible.
    assert_eq!(parse("/x.y/z/@v/v2.0.0.info"), Ok(info("x.y/z", "v2.0.0")));
    for bad in
        ["", ".", "a/b", "a%2Fb", "%3Cv1.2", "%3Ev1", "a:b", "a\\b", "nul", "con.x", "x%0A", "%C3%A9", "a%22", "x."]
    {
        assert!(parse(&format!("/x.y/z/@v/{bad}.info")).is_err(), "{bad}");
    }
}

#[test]
fn fact_10_incompatible_stays_in_the_version() {
    let wanted = module("x.y/z@v2.0.0+incompatible");
    assert_eq!(parse("/x.y/z/@v/v2.0.0+incompatible.zip"), Ok(Request::Zip(wanted.clone())));
    assert_eq!(parse("/x.y/z/@v/v2.0.0%2Bincompatible.zip"), Ok(Request::Zip(wanted.clone())));
    assert_eq!(wanted.zip_prefix(), "x.y/z@v2.0.0+incompatible/");
}

#[test]
fn a_reason_is_one_printable_line() {
    for raw in ["/x.y/%0A%1B[31m/@v/list", "/x.y/z/@v/%0D%0A.info", "/x.y/z/@v/v1.%0Ainfo", "/x.y/z/@v/v1%00.mod"] {
        let reason = parse(raw).unwrap_err().to_string();
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
    }
    let long = parse(&format!("/x.y/{}%0A/@v/list", "a".repeat(4000))).unwrap_err().to_string();
    assert!(long.len() < 500, "{}", long.len());
}

#[test]
fn fact_28_a_checksum_database_is_found_by_its_whole_name() {
    let known = ["sum.golang.org", "sum.example/a", "sum.example/a/b"];
    let split = |text| split_sumdb(text, known);
    assert_eq!(split("sum.golang.org/supported"), Some(("sum.golang.org", SumdbRequest::Supported)));
    assert_eq!(split("sum.example/a/latest"), Some(("sum.example/a", SumdbRequest::Latest)));
    assert_eq!(split("sum.example/a/b/latest"), Some(("sum.example/a/b", SumdbRequest::Latest)));
    let tile = SumdbRequest::Tile("tile/8/0/x001/234.p/56".into());
    assert_eq!(split("sum.golang.org/tile/8/0/x001/234.p/56"), Some(("sum.golang.org", tile)));
    let lookup = SumdbRequest::Lookup(module("github.com/BurntSushi/toml@v1.0.0"));
    assert_eq!(split("sum.golang.org/lookup/github.com/!burnt!sushi/toml@v1.0.0"), Some(("sum.golang.org", lookup)));
    for none in [
        "sum.golang.org",
        "sum.golang.orgx/latest",
        "sum.example/latest",
        "other.example/supported",
        "sum.golang.org/",
        "sum.golang.org/lookup/x.y/z",
        "sum.golang.org/lookup/x.y/Z@v1.0.0",
        "sum.golang.org/lookup/x.y/z@v1",
        "sum.golang.org/lookup/x.y/z@v1.0.0/go.mod",
        "sum.golang.org/tiles",
    ] {
        assert_eq!(split(none), None, "{none}");
    }
}

fn url(request: &Request) -> String {
    match request {
        Request::List(path) => format!("/{}/@v/list", path.escaped()),
        Request::Latest(path) => format!("/{}/@latest", path.escaped()),
        Request::Info { path, query: Query::Version(version) } => {
            format!("/{}/@v/{}.info", path.escaped(), version.escaped())
        }
        Request::Info { .. } => String::new(),
        Request::GoMod(module) => format!("/{}/@v/{}.mod", module.path.escaped(), module.version.escaped()),
        Request::Zip(module) => format!("/{}/@v/{}.zip", module.path.escaped(), module.version.escaped()),
        Request::Sumdb(rest) => format!("/sumdb/{rest}"),
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_taken_has_one_spelling(raw in "/(x\\.y|[!-~]{0,8})/[!-~]{0,12}/@(latest|v/[ -~]{0,12}(list|\\.info|\\.mod|\\.zip))") {
        if let Ok(request) = parse(&raw) {
            let url = url(&request);
            if !url.is_empty() && !matches!(request, Request::Sumdb(_)) { prop_assert_eq!(parse(&url), Ok(request)); }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(raw in ".{0,60}") {
        let _ = parse(&raw);
        let _ = split_sumdb(&raw, ["sum.golang.org", ""]);
    }
}
