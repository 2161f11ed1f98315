//! The commands of a publisher: keys, the site file, and `modswarm publish`.

use std::path::Path;

use modswarm::domain::note::{Signer, Verifier};
use serde_json::Value;

use super::common::node::get;
use super::common::process::{Ended, NodeProcess, modswarm, output, run};
use super::{PREFIX, lib};

#[track_caller]
fn assert_fails(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{:?} should say {word:?}", ended.stderr);
    }
}

/// Makes a key in a data directory, and a site file that lets it publish.
async fn site_in(data: &Path) -> String {
    let made = run(&["site", "key", "--name", "corp-team", "--data", data.to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let key = made.stdout.trim().to_owned();
    std::fs::write(data.join("site.toml"), format!("[publishers]\n\"{PREFIX}\" = [\"{key}\"]\n")).unwrap();
    key
}

fn tree(dir: &Path, code: &str) -> String {
    std::fs::create_dir_all(dir.join(".git")).unwrap();
    std::fs::write(dir.join("go.mod"), format!("module {PREFIX}/lib\n\ngo 1.21\n")).unwrap();
    std::fs::write(dir.join("lib.go"), code).unwrap();
    dir.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_is_secret_is_never_overwritten_and_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = run(&["site", "key", "--name", "corp-team", "--data", data.to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let verifier: Verifier = made.stdout.trim().parse().unwrap();
    assert_eq!((verifier.name(), made.stdout.lines().count()), ("corp-team", 1));
    assert!(
        made.stderr.contains(&format!("= [\"{verifier}\"]")) && made.stderr.contains("[publishers]"),
        "{}",
        made.stderr
    );
    let file = data.join("publisher.key");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!(Signer::parse(secret.trim()).unwrap().verifier(), &verifier);
    assert!(!made.stderr.contains(secret.trim()), "the secret is not shown");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = ["site", "key", "--name", "other", "--out", file.to_str().unwrap()];
    assert_fails(&run(&again).await, 1, &["publisher.key exists and is not overwritten", "--out"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let out = dir.path().join("second.key");
    let second = run(&["site", "key", "--name", "corp-team", "--out", out.to_str().unwrap()]).await;
    assert_ne!(second.stdout.trim(), verifier.to_string(), "each key is another");
    for name in ["", "corp team", "corp+team"] {
        let out = dir.path().join("never.key");
        let ended = run(&["site", "key", "--name", name, "--out", out.to_str().unwrap()]).await;
        assert_fails(&ended, 2, &["no spaces and no plus sign"]);
        assert!(!out.exists());
    }
}

#[tokio::test]
async fn the_policy_is_shown_as_a_site_file_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let none = run(&["site", "show", "--data", data]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(none.stderr.contains("site.toml names no publisher"), "{}", none.stderr);
    let key = site_in(dir.path()).await;
    let shown = run(&["site", "show", "--data", data]).await;
    assert_eq!(shown.stdout, format!("[publishers]\n\"{PREFIX}\" = [\"{key}\"]\n"));
    let file = dir.path().join("site.toml");
    let script = run(&["site", "show", "--json", "--site", file.to_str().unwrap(), "--data", data]).await;
    let script: Value = serde_json::from_str(&script.stdout).unwrap();
    assert_eq!(script["publishers"][PREFIX][0], key.as_str());
}

#[tokio::test]
async fn a_site_file_with_a_mistake_stops_a_node_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("site.toml"));
    let up = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&["up", "--sumdb", "off", "--data", data.to_str().unwrap(), "--site", file.to_str().unwrap()]).await
    };
    for (text, words) in [
        ("[publisher]\n", &["site.toml is not usable: line 1: ", "unknown field `publisher`"][..]),
        ("[publishers]\n\n'corp.example' = ['nonsense']\n", &["line 3", "\"nonsense\" is not a key"]),
        ("[publishers]\n'golang.org' = []\n", &["line 2", "golang.org/toolchain"]),
    ] {
        let ended = up(text).await;
        assert_fails(&ended, 2, words);
        assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {}", ended.stderr);
        assert!(!data.exists());
    }
    let gone = run(&["up", "--sumdb", "off", "--data", data.to_str().unwrap(), "--site", "gone.toml"]).await;
    assert_fails(&gone, 2, &["the site file gone.toml cannot be read"]);
    let spaced = run(&["up", "--data", data.to_str().unwrap(), "--private", "a.example, b.example"]).await;
    assert_fails(&spaced, 2, &["--private", "has a space in it"]);
}

#[tokio::test]
async fn a_directory_is_published_once_and_the_same_again_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (data, src) = (dir.path().join("data"), tree(&dir.path().join("src"), "package lib\n"));
    site_in(&data).await;
    let node = NodeProcess::start(&data, &["--sumdb", "off"]).await;
    let publish = async |more: &[&str]| {
        let args = [&["publish", &src, "--version", "v1.2.3", "--data", node.data()], more].concat();
        output(modswarm(&args).env_remove("SOURCE_DATE_EPOCH")).await
    };
    let dry = publish(&["--dry-run"]).await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    for line in ["can be published", "left out: .git", "packed: go.mod ("] {
        assert!(dry.stderr.contains(line), "{}", dry.stderr);
    }
    assert_eq!(node.status().await.store.versions, 0);
    let first = publish(&[]).await;
    assert_eq!((first.code, &first.stdout), (Some(0), &dry.stdout), "{first:?}");
    assert!(first.stderr.contains(&format!("{PREFIX}/lib@v1.2.3 is published")), "{}", first.stderr);
    let sums: Vec<&str> = first.stdout.lines().collect();
    assert!(sums[0].starts_with(&format!("{PREFIX}/lib v1.2.3 h1:")), "{}", first.stdout);
    assert!(sums[1].starts_with(&format!("{PREFIX}/lib v1.2.3/go.mod h1:")), "{}", first.stdout);
    let base = format!("{}/{PREFIX}/lib/@v/", node.goproxy);
    assert_eq!(get(&format!("{base}v1.2.3.mod")).await.text(), format!("module {PREFIX}/lib\n\ngo 1.21\n"));
    let info: Value = serde_json::from_str(&get(&format!("{base}v1.2.3.info")).await.text()).unwrap();
    assert_eq!(info["Version"], "v1.2.3");

    let again = publish(&["--json"]).await;
    let said: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code, &said["outcome"]), (Some(0), &"already-published".into()), "{again:?}");
    assert_eq!(sums[0].split(' ').nth(2), said["h1"].as_str());
    // A zip of it is as good as the directory.
    let zip = dir.path().join("lib.zip");
    std::fs::write(&zip, get(&format!("{base}v1.2.3.zip")).await.body).unwrap();
    let zipped = run(&["publish", zip.to_str().unwrap(), "--data", node.data()]).await;
    assert!(zipped.code == Some(0) && zipped.stderr.contains("before with the same content"), "{zipped:?}");

    tree(Path::new(&src), "package lib // changed\n");
    let changed = publish(&[]).await;
    assert_fails(&changed, 1, &["published already with other content", sums[0].split(' ').nth(2).unwrap()]);
    assert_eq!(node.end("TERM").await.code, Some(0));
}

#[tokio::test]
async fn what_cannot_be_published_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, src) = (dir.path().join("data"), tree(&dir.path().join("src"), "package lib\n"));
    let node = NodeProcess::start(&data, &["--sumdb", "off"]).await;
    let publish = async |args: &[&str]| run(&[&["publish"], args, &["--data", node.data()]].concat()).await;
    let version = ["--version", "v1.0.0"];
    assert_fails(&publish(&[&src]).await, 2, &["name one with --version"]);
    assert_fails(&publish(&[&src, "--version", "1.0"]).await, 2, &["\"1.0\" is not a canonical version"]);
    assert_fails(&publish(&[&src, "--version", "v2.0.0"]).await, 2, &["the path wants a version of v0 or v1"]);
    assert_fails(&publish(&["gone", "--version", "v1.0.0"]).await, 1, &["gone cannot be read"]);
    assert_fails(
        &publish(&[&src, version[0], version[1]]).await,
        1,
        &["publisher.key", "modswarm site key --name NAME"],
    );
    let made = run(&["site", "key", "--name", "me", "--data", node.data()]).await;
    let refused = publish(&[&src, version[0], version[1]]).await;
    let line = format!("\"{PREFIX}/lib\" = [\"{}\"]", made.stdout.trim());
    assert_fails(&refused, 1, &["no prefix in the site file of this node", &line, "site.toml"]);
    let broken = dir.path().join("broken.zip");
    let module = lib("v1.0.0", "package lib\n");
    std::fs::write(&broken, &module.zip[..module.zip.len() - 30]).unwrap();
    assert_fails(&publish(&[broken.to_str().unwrap()]).await, 1, &["broken.zip cannot be published"]);
    std::fs::write(data.join("publisher.key"), "PRIVATE+KEY+me+1+s3cret").unwrap();
    let ended = publish(&[&src, version[0], version[1]]).await;
    assert_fails(&ended, 1, &["publisher.key holds no publisher's key"]);
    assert!(!ended.stderr.contains("s3cret"));
    assert_eq!(node.status().await.store.versions, 0);
}
