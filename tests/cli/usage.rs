//! Wrong usage: exit code 2, and one sentence with what to write instead.

use std::path::Path;

use crate::assert_fails;
use crate::common::process::{ALONE, Ended, READY, modswarm, output, run};

#[tokio::test]
async fn help_is_for_terminals_of_100_columns_and_goes_to_stdout() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["up", "--help"],
        &["seed", "--help"],
        &["status", "-h"],
        &["env", "--help"],
        &["doctor", "--help"],
        &["publish", "--help"],
        &["site", "--help"],
        &["site", "key", "--help"],
        &["site", "show", "--help"],
    ] {
        let help = run(args).await;
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{args:?}");
        let widest = help.stdout.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 100, "{args:?} has a line of {} columns: {widest}", widest.chars().count());
    }
    let version = run(&["--version"]).await;
    assert_eq!(version.stdout, format!("modswarm {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn what_clap_refuses_ends_with_2_and_a_suggestion() {
    for (args, words) in [
        (&[][..], &["Usage: modswarm", "up", "seed", "status", "env"][..]),
        (&["stats"], &["unrecognized subcommand 'stats'", "a similar subcommand exists: 'status'"]),
        (&["up", "--upsteam", "off"], &["unexpected argument '--upsteam'", "'--upstream'"]),
        (&["up", "--data"], &["--data"]),
        (&["up", "--log", "xml"], &["invalid value 'xml'", "text, json"]),
        (&["seed"], &["<WHAT>..."]),
        (&["seed", "toolchain"], &["no toolchain version", "go1.26.1"]),
        (&["seed", "toolchain", "1.26.1"], &["\"1.26.1\"", "write go1.26.1"]),
        (&["seed", "toolchain", "go1.26.1", "linux-amd64"], &["\"linux-amd64\"", "write linux/amd64"]),
        (&["seed", "toolchain", "go1.26.1", "lunix/amd64"], &["\"lunix/amd64\"", "go tool dist list"]),
        (&["seed", "toolchain@go1.26.1"], &["modswarm seed toolchain go1.26.1"]),
        (&["seed", "go1.26.1"], &["modswarm seed toolchain go1.26.1"]),
        (&["status", "extra"], &["unexpected argument 'extra'"]),
    ] {
        assert_fails(&run(args).await, 2, words);
    }
}

#[tokio::test]
async fn a_directory_called_toolchain_is_meant_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("toolchain")).unwrap();
    let seed = async |what: &[&str]| {
        let mut command = modswarm(&[&["seed", "--data", "nowhere"], what].concat());
        output(command.current_dir(dir.path())).await
    };
    assert_fails(&seed(&["toolchain"]).await, 2, &["no toolchain version", "./toolchain"]);
    assert_fails(&seed(&["./toolchain"]).await, 2, &["the directory ./toolchain has no go.mod"]);
}

#[tokio::test]
async fn values_that_cannot_be_used_are_named_with_what_to_write_instead() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (flags, words) in [
        (&["--http", "nonsense"][..], &["--http \"nonsense\"", "127.0.0.1:6637"][..]),
        (&["--http", "localhost"], &["--http \"localhost\""]),
        (&["--swarm", "127.0.0.1:0"], &["--swarm \"127.0.0.1:0\"", "/ip4/"]),
        (&["--swarm", "/ip4/127.0.0.1/udp/0"], &["/ip4/127.0.0.1/udp/0", "tcp"]),
        (&["--peer", "nonsense"], &["--peer \"nonsense\"", "/ip4/192.0.2.1/tcp/6638"]),
        (&["--peer", "/ip4/192.0.2.1"], &["/ip4/192.0.2.1", "tcp"]),
        (&["--fresh", "60"], &["--fresh \"60\"", "60s"]),
        (&["--office", "a b"], &["--office \"a b\""]),
        (&["--upstream", "direct"], &["`direct`", "module proxies"]),
        (&["--upstream", "https://proxy.example,direct"], &["`direct`", "leave `direct` out"]),
        (&["--upstream", ""], &["no entries", "`off`"]),
        (&["--sumdb", "nonsense"], &["nonsense", "not a known database"]),
        (&["--sumdb", "off", "--sumdb", "sum.example+key"], &["--sumdb \"off\"", "give it alone"]),
        (&["--upstream", "ftp://user:s3cret@proxy.example"], &["ftp://proxy.example", "https"]),
    ] {
        let free = ALONE[..4].chunks(2).filter(|pair| pair[0] != flags[0]).flatten().copied().collect::<Vec<_>>();
        let args = [&["up", "--no-mdns", "--data", data.to_str().unwrap()], flags, &free].concat();
        let ended = run(&args).await;
        assert_fails(&ended, 2, words);
        assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"));
    }
}

#[tokio::test]
async fn a_filter_for_the_log_that_is_none_is_refused() {
    let ended = output(modswarm(&["up"]).env("MODSWARM_LOG", "modswarm=loud")).await;
    assert_fails(&ended, 2, &["MODSWARM_LOG", "modswarm=loud"]);
}

async fn up_with_config(config: &Path) -> Ended {
    run(&["up", "--config", config.to_str().unwrap()]).await
}

#[tokio::test]
async fn a_configuration_file_with_a_mistake_is_refused_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("modswarm.toml");
    assert_fails(&up_with_config(&config).await, 2, &["modswarm.toml", "cannot be read"]);
    for (text, words) in [
        ("no_mdns = true\nhtpp = '127.0.0.1:0'\n", &["line 2", "unknown field `htpp`", "`http`"][..]),
        ("fresh = 60\n", &["line 1", "expected a string"]),
        ("http = '127.0.0.1:0\n", &["line 1"]),
        ("http = 'nonsense'\n", &["--http \"nonsense\""]),
        ("upstream = 'https://user:s3cret@proxy.example' x\n", &["line 1"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let ended = up_with_config(&config).await;
        assert_fails(&ended, 2, words);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    assert_fails(&up_with_config(dir.path()).await, 2, &["cannot be read"]);
}

#[tokio::test]
async fn seed_says_which_argument_is_none_before_it_looks_for_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::write(path("notes.txt"), "").unwrap();
    for (what, words) in [
        (path("empty"), &["has no go.mod and no go.work"][..]),
        (path("notes.txt"), &["notes.txt is no go.mod, go.sum or go.work file"]),
        (path("gone/go.mod"), &["there is no file or directory"]),
        ("go.mod.gone".into(), &["there is no file or directory go.mod.gone"]),
        ("example.com/lib".into(), &["example.com/lib@latest"]),
        ("example.com/lib@".into(), &["nothing after the @"]),
        ("nodot@latest".into(), &["nodot"]),
        ("@latest".into(), &["module path"]),
    ] {
        let ended = run(&["seed", &what, "--data", &path("nowhere")]).await;
        assert_fails(&ended, 2, words);
        assert!(!ended.stderr.contains(READY));
    }
}
