//! The real go command sees no difference between a plain tree of files and a node: same exit code, same output, same go.mod and
//! go.sum, for every kind of command.
//!
//! Four places to fetch from hold the same modules: a `file://` tree; a node with an upstream; the same node when the
//! upstream is gone; a node that knows only that one. What is left out of the comparison: addresses and directories, the
//! progress lines of downloads, the order of progress lines, and the *reasons* that a proxy gives (each has its own words for "there is no such file").

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fixtures::{MAIN, modules, upstream, write_tree};
use crate::common::go::{go_with, no_go_command};
use crate::common::process::{NodeProcess, run};

/// What a go command left behind.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    go_mod: String,
    go_sum: String,
}

/// A command, and the project in which it is run.
struct Case {
    args: Vec<&'static str>,
    project: Project,
}

#[derive(Clone, Copy, PartialEq)]
enum Project {
    /// A module that requires nothing.
    Empty,
    /// A module that requires and imports most of the fixtures.
    App,
    /// A module that imports and requires nothing yet.
    Untidy,
    /// A module with `replace` and `exclude`.
    Odd,
}

impl Project {
    fn requires(self) -> &'static str {
        match self {
            Self::Empty | Self::Untidy => "",
            Self::App => {
                "\nrequire (\n\texample.com/Upper/Case v1.0.0-RC.1\n\texample.com/dep v1.1.0\n\texample.com/gone v1.0.0\n\
                 \texample.com/lib v1.0.0\n\texample.com/lib/v2 v2.0.0\n\texample.com/old v1.0.0\n\
                 \texample.com/pseudo v0.0.0-20190501000000-0123456789ab\n)\n"
            }
            Self::Odd => {
                "\nrequire (\n\texample.com/dep v1.0.0\n\texample.com/lib v1.0.0\n)\n\n\
                 exclude example.com/lib v1.1.0\n\nreplace example.com/dep => example.com/fork v1.0.0\n"
            }
        }
    }

    fn write(self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("go.mod"), format!("module example.com/app\n\ngo 1.21\n{}", self.requires())).unwrap();
        let imports = match self {
            Self::Empty => return,
            Self::Odd => "\t_ \"example.com/dep\"\n\t_ \"example.com/lib/sub\"\n",
            Self::App | Self::Untidy => {
                "\t_ \"example.com/Upper/Case\"\n\t_ \"example.com/dep\"\n\t_ \"example.com/gone\"\n\t_ \"example.com/lib\"\n\
                 \t_ \"example.com/lib/v2/sub\"\n\t_ \"example.com/nest/inner\"\n\t_ \"example.com/old\"\n"
            }
        };
        std::fs::write(dir.join("app.go"), format!("package app\n\nimport (\n{imports})\n")).unwrap();
    }
}

/// Commands in a module that requires nothing.
const IN_EMPTY: [&str; 51] = [
    "list -m -versions example.com/lib",
    "list -m -versions example.com/dep",
    "list -m -retracted -versions example.com/dep",
    "list -m -versions example.com/pseudo",
    "list -m -json example.com/lib@v1.0.0",
    "list -m -json example.com/lib@latest",
    "list -m -json -retracted example.com/dep@v1.1.0",
    "list -m example.com/lib@main",
    "list -m example.com/lib@v1.0",
    "list -m example.com/old@latest",
    "list -m example.com/old@v2",
    "list -m example.com/pseudo@latest",
    "list -m example.com/pseudo@0123456",
    "list -m example.com/none@latest",
    "list -m example.com/lib@v9.9.9",
    "list -m example.com/lib@nonsense",
    "list -m example.com/lib@v2.0.0",
    "mod download -json example.com/lib@v1.1.0",
    "mod download -json example.com/Upper/Case@v1.0.0-RC.1",
    "mod download -json example.com/old@v2.0.0+incompatible",
    "mod download -json example.com/none@v1.0.0",
    "mod download -json example.com/lib@v9.9.9",
    "get example.com/lib@v1",
    "get example.com/lib@v1.0",
    "get example.com/lib@latest",
    "get example.com/lib@main",
    "get example.com/lib@abcdefabcdef",
    "get example.com/lib@abcdefa",
    "get example.com/lib@>v1.0.0",
    "get example.com/lib@<v1.0.1",
    "get example.com/lib@v1.2.0-rc.1",
    "get example.com/lib/v2@latest",
    "get example.com/lib/v2@v1.0.0",
    "get example.com/dep@latest",
    "get example.com/dep@v1.1.0",
    "get example.com/gone@latest",
    "get example.com/old@latest",
    "get example.com/old@v2.0.0+incompatible",
    "get example.com/pseudo@latest",
    "get example.com/Upper/Case@latest",
    "get example.com/upper/case@latest",
    "get example.com/nest/inner@latest",
    "get example.com/nest/sub@latest",
    "get example.com/nest/none@latest",
    "get example.com/lib/none@v1.0.0",
    "get example.com/renamed@v1.0.0",
    "get example.com/none",
    "get example.com/lib@v9.9.9",
    "install example.com/tool/cmd/hello@v1.0.0",
    "install example.com/tool/cmd/hello@latest",
    "install example.com/tool/cmd/none@latest",
];

/// Commands in a module that requires most of the fixtures.
const IN_APP: [&str; 16] = [
    "list -m -u all",
    "list -m -u -json all",
    "list -m -versions all",
    "mod download -json",
    "mod graph",
    "mod why -m example.com/dep example.com/pseudo",
    "mod why example.com/lib/v2/sub",
    "mod tidy",
    "mod verify",
    "get -u ./...",
    "get -u=patch ./...",
    "get example.com/lib@upgrade",
    "get example.com/lib@patch",
    "get example.com/lib@none",
    "list -deps -f {{.ImportPath}} ./...",
    "build ./...",
];

const IN_UNTIDY: [&str; 2] = ["mod tidy", "build ./..."];

const IN_ODD: [&str; 5] =
    ["list -m all", "get example.com/lib@latest", "get example.com/lib@v1.1.0", "mod tidy", "mod graph"];

fn cases() -> Vec<Case> {
    let projects: [(Project, &[&'static str]); 4] =
        [(Project::Empty, &IN_EMPTY), (Project::App, &IN_APP), (Project::Untidy, &IN_UNTIDY), (Project::Odd, &IN_ODD)];
    let case = |project, line: &'static str| Case { args: line.split(' ').collect(), project };
    projects.into_iter().flat_map(|(project, lines)| lines.iter().map(move |line| case(project, line))).collect()
}

/// Somewhere to fetch from, and what that is called in its output.
struct Place {
    name: &'static str,
    goproxy: String,
    home: TempDir,
}

impl Place {
    fn new(name: &'static str, goproxy: &str) -> Self {
        Self { name, goproxy: goproxy.into(), home: tempfile::tempdir().unwrap() }
    }

    /// Runs a case from nothing: no module is in the cache.
    async fn see(&self, case: &Case) -> Seen {
        let home = self.home.path();
        for dir in ["modcache", "app", "gopath"] {
            std::fs::remove_dir_all(home.join(dir)).unwrap_or_default();
        }
        let app = home.join("app");
        case.project.write(&app);
        let flags = [("GOFLAGS", "-modcacherw -mod=mod")];
        // `go install` of a version knows no project that could be changed.
        let flags = if case.args.contains(&"install") { &[][..] } else { &flags };
        let ended = go_with(home, &app, &self.goproxy, &case.args, flags).await;
        let read = |name: &str| std::fs::read_to_string(app.join(name)).unwrap_or_default();
        Seen {
            code: ended.code,
            stdout: self.plain(&ended.stdout),
            stderr: self.plain(&ended.stderr),
            go_mod: read("go.mod"),
            go_sum: read("go.sum"),
        }
    }

    /// Output without what has to differ: addresses, directories, the order of downloads, a proxy's own words.
    fn plain(&self, text: &str) -> String {
        let home = self.home.path().to_str().unwrap();
        let text = text.replace(&self.goproxy, "PROXY").replace(home, "HOME").replace("\\n", "\n").replace("\\t", "\t");
        let (mut lines, mut search): (Vec<String>, Vec<String>) = Default::default();
        for line in text.lines().filter(|line| !line.starts_with("go: downloading ")) {
            match line.find("reading PROXY/") {
                // The file that was asked for stays, its proxy's reason does not.
                Some(at) => {
                    let rest = &line[at..];
                    let end = rest.find(": ").unwrap_or(rest.len());
                    lines.push(line[..at + end].into());
                }
                None if line.trim_start().starts_with("server response:") => {}
                // In the order of a Go map, so in none.
                None if line.starts_with("go: finding module ") || line.starts_with("go: found ") => {
                    search.push(line.into())
                }
                None => lines.push(line.into()),
            }
        }
        search.sort();
        lines.append(&mut search);
        lines.join("\n")
    }
}

/// A tree, a node that has all of it, and the node's upstream.
struct Site {
    tree: Place,
    dir: TempDir,
    seed: NodeProcess,
}

fn data(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

/// How an outcome differs from the tree's, if it does.
fn difference(place: &Place, case: &Case, want: &Seen, got: &Seen) -> Option<String> {
    let line = case.args.join(" ");
    (want != got).then(|| format!("go {line}\n  the tree: {want:?}\n  {}: {got:?}\n", place.name))
}

/// All differences between the tree, whose output is given, and a place.
async fn compare(place: &Place, wanted: &[(Case, Seen)]) -> Vec<String> {
    let mut differences = Vec::new();
    for (case, want) in wanted {
        let got = place.see(case).await;
        differences.extend(difference(place, case, want, &got));
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_command_sees_no_difference_between_a_tree_and_a_node() {
    if no_go_command().await {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_tree(&data(&dir, "tree"));
    let tree = Place::new("a tree", &format!("file://{}", data(&dir, "tree").display()));
    let upstream = upstream().await;
    // What it was told of lists stays fresh, or each question would wait for all attempts at an upstream that is gone.
    let seed = ["--upstream", &upstream.url(), "--fresh", "1d"];
    let seed = NodeProcess::start(&data(&dir, "seed"), &seed).await;
    let site = Site { tree, dir, seed };

    let live = Place::new("a node with an upstream", &site.seed.goproxy);
    let (mut wanted, mut differences) = (Vec::new(), Vec::new());
    for case in cases() {
        let (want, got) = tokio::join!(site.tree.see(&case), live.see(&case));
        differences.extend(difference(&live, &case, &want, &got));
        wanted.push((case, want));
    }
    assert_meaningful(&wanted);

    let versions: Vec<String> = modules().iter().map(|module| format!("{}@{}", module.path, module.version)).collect();
    let mut args = vec!["seed", "--data", site.seed.data()];
    args.extend(versions.iter().map(String::as_str));
    let seeded = run(&args).await;
    // The path that a module gives itself is the go command's business, and so is a graph with holes in it.
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    drop(upstream);
    let node = NodeProcess::start(&data(&site.dir, "node"), &["--peer", &site.seed.peer_address().await]).await;
    let all = modules().len() as u64;
    node.wait_until(|status| status.store.versions == all).await;

    let gone = Place::new("a node whose upstream is gone", &site.seed.goproxy);
    let peer = Place::new("a node that knows only another", &node.goproxy);
    let (on_the_seed, on_the_node) = tokio::join!(compare(&gone, &wanted), compare(&peer, &wanted));
    differences.extend(on_the_seed.into_iter().chain(on_the_node));

    assert_eq!(site.seed.end("TERM").await.code, Some(0));
    let restarted = NodeProcess::start(&data(&site.dir, "seed"), &[]).await;
    let alone = Place::new("the seed, without an upstream since", &restarted.goproxy);
    differences.extend(compare(&alone, &wanted).await);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// The tree's own answers are what they should be, so that equality says something.
fn assert_meaningful(wanted: &[(Case, Seen)]) {
    let of = |project: Project, line: &str| {
        let fits = |case: &Case| case.project == project && case.args.join(" ") == line;
        &wanted.iter().find(|(case, _)| fits(case)).unwrap().1
    };
    let listed = of(Project::App, "list -m -u all");
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains("example.com/dep v1.1.0 (retracted) [v1.2.0]"), "{}", listed.stdout);
    assert!(listed.stdout.contains("example.com/gone v1.0.0 [v1.0.1] (deprecated)"), "{}", listed.stdout);
    assert!(of(Project::Empty, "get example.com/lib@main").go_mod.contains(MAIN));
    assert!(of(Project::Empty, "get example.com/lib@abcdefa").go_mod.contains(MAIN));
    assert!(of(Project::Empty, "get example.com/old@latest").go_mod.contains("example.com/old v1.0.0"));
    let missing = of(Project::Empty, "list -m example.com/none@latest");
    assert!(missing.code == Some(1) && missing.stderr.contains("reading PROXY/"), "{missing:?}");
    for (project, line) in [
        (Project::App, "build ./..."),
        (Project::App, "mod tidy"),
        (Project::App, "get -u ./..."),
        (Project::Untidy, "mod tidy"),
        (Project::Odd, "mod tidy"),
        (Project::Empty, "install example.com/tool/cmd/hello@latest"),
    ] {
        assert_eq!(of(project, line).code, Some(0), "go {line}: {:?}", of(project, line));
    }
}
