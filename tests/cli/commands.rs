//! The commands that talk to a running node: status and env, the token, and what they say when no node runs.

use std::path::Path;

use modswarm::admin::{SEED_PATH, Status, TOKEN_HEADER};
use tokio::process::Command;

use crate::assert_fails;
use crate::common::node::get;
use crate::common::process::{Ended, NodeProcess, output, run, signal};
use crate::common::{FixtureProxy, make_module};

async fn all_commands(data: &Path, mut check: impl FnMut(&Ended)) {
    let data = data.to_str().unwrap();
    for command in
        [&["status"][..], &["status", "--json"], &["env"], &["env", "--json"], &["seed", "example.com/m@latest"]]
    {
        check(&run(&[command, &["--data", data]].concat()).await);
    }
}

#[tokio::test]
async fn without_a_node_each_command_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let words = ["no node runs with the data directory", data.to_str().unwrap(), "modswarm up --data"];
    all_commands(&data, |ended| assert_fails(ended, 1, &words)).await;
    assert!(!data.exists(), "asking makes nothing");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("node.json"), "{").unwrap();
    all_commands(&data, |ended| assert_fails(ended, 1, &words)).await;
}

#[tokio::test]
async fn a_killed_node_is_not_taken_for_a_running_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    assert_eq!(node.end("KILL").await.code, None);
    assert!(dir.path().join("node.json").exists(), "what this test is about");
    all_commands(dir.path(), |ended| assert_fails(ended, 1, &["no node runs with the data directory"])).await;
    assert_eq!(NodeProcess::start(dir.path(), &[]).await.end("TERM").await.code, Some(0));
    assert!(!dir.path().join("node.json").exists(), "an orderly end takes the file away");
}

#[tokio::test]
async fn another_program_on_the_port_of_a_killed_node_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (killed, other) = (dir.path().join("killed"), dir.path().join("other"));
    let node = NodeProcess::start(&killed, &[]).await;
    let old = std::fs::read_to_string(killed.join("node.json")).unwrap();
    let old_port = node.goproxy.clone();
    node.end("KILL").await;
    // Another node has the port now.
    let other = NodeProcess::start(&other, &[]).await;
    std::fs::write(killed.join("node.json"), old.replace(&old_port, &other.goproxy)).unwrap();
    all_commands(&killed, |ended| assert_fails(ended, 1, &["no node runs with the data directory"])).await;
    // Something else has it.
    let stranger = FixtureProxy::start(&[]).await;
    std::fs::write(killed.join("node.json"), old.replace(&old_port, &stranger.url())).unwrap();
    all_commands(&killed, |ended| assert_fails(ended, 1, &["does not answer as a modswarm node does"])).await;
    assert_eq!(stranger.count(SEED_PATH), 0, "no token goes to a stranger");
}

#[tokio::test]
async fn status_is_for_people_and_for_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    let second = tempfile::tempdir().unwrap();
    let second = NodeProcess::start(second.path(), &["--peer", &node.peer_address().await]).await;
    node.wait_until(|status| status.peers.len() == 1).await;
    let people = run(&["status", "--data", node.data()]).await;
    assert_eq!((people.code, people.stderr.as_str()), (Some(0), ""));
    let script = run(&["status", "--json", "--data", node.data()]).await;
    assert_eq!((script.code, script.stdout.lines().count()), (Some(0), 1));
    let status: Status = serde_json::from_str(&script.stdout).unwrap();
    assert_eq!((status.pid, &status.goproxy, status.peers.len()), (node.pid(), &node.goproxy, 1));
    let peer = second.status().await.peer_id;
    for shown in [&status.goproxy, &status.peer_id, &status.data, &status.listen[0], &peer, &status.pid.to_string()] {
        assert!(people.stdout.contains(shown), "{shown} is not in\n{}", people.stdout);
    }
}

#[tokio::test]
async fn env_is_for_a_shell_and_for_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    let script = "eval \"$(\"$0\" env --data \"$1\")\" && printf %s \"$GOPROXY\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_modswarm"), node.data()]).env_remove("GOPROXY");
    let ended = output(&mut shell).await;
    assert_eq!((ended.code, &ended.stdout, ended.stderr.as_str()), (Some(0), &node.goproxy, ""));
    let json = run(&["env", "--json", "--data", node.data()]).await.stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["GOPROXY"], node.goproxy.as_str());
}

#[tokio::test]
async fn output_into_a_closed_pipe_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    let script = "{ \"$0\" status --data \"$1\"; echo \"code $?\" >&2; } | true";
    let mut shell = Command::new("sh");
    let ended = output(shell.args(["-c", script, env!("CARGO_BIN_EXE_modswarm"), node.data()])).await;
    assert_eq!(ended.stderr, "code 0\n");
}

#[tokio::test]
async fn seeding_needs_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let module = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let upstream = FixtureProxy::start(&[module]).await;
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let url = format!("{}{SEED_PATH}", node.goproxy);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = || client.post(&url).json(&serde_json::json!({ "queries": ["example.com/lib@latest"] }));
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let wrong = token.replace(|c: char| c.is_ascii_digit(), "a");
    for request in [
        request(),
        request().header(TOKEN_HEADER, ""),
        request().header(TOKEN_HEADER, &wrong),
        request().header(TOKEN_HEADER, &token[..token.len() - 1]),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.text().await.unwrap().contains("needs the token"));
    }
    assert_eq!(get(&url).await.status, 405, "reading a call that changes something");
    assert_eq!(upstream.total(), 0);
    assert_eq!(request().header(TOKEN_HEADER, &token).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = FixtureProxy::start(&[]).await;
    // The second upstream is gone: what is said about it must not have the password either.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let list = format!("http://user:s3cret@{},http://user:s3cret@{gone}/x", upstream.host());
    let node = NodeProcess::start(dir.path(), &["--upstream", &list]).await;
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let answer = get(&format!("{}/example.com/none/@v/v1.0.0.info", node.goproxy)).await.text();
    let seeded = run(&["seed", "example.com/none@latest", "--data", node.data()]).await;
    let status = run(&["status", "--data", node.data()]).await;
    assert!(status.stdout.contains(&upstream.host()), "{}", status.stdout);
    let as_json = run(&["status", "--json", "--data", node.data()]).await;
    let process = std::fs::read_to_string(dir.path().join("node.json")).unwrap();
    let authorized = upstream.requests("/example.com/none/@v/v1.0.0.info")[0].headers.get("authorization").cloned();
    assert_eq!(authorized.as_deref(), Some("Basic dXNlcjpzM2NyZXQ="), "the password is used");
    signal(node.pid(), "TERM").await;
    let log = node.ended().await.stderr;
    for text in [answer, seeded.stderr, seeded.stdout, status.stdout, as_json.stdout, process, log] {
        for secret in ["s3cret", "dXNlcjpzM2NyZXQ", token.trim()] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
