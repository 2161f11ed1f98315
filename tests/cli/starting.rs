//! A node that cannot start says why in one sentence and ends with 1; one that starts says one line on stdout.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use modswarm::admin::Status;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::assert_fails;
use crate::common::FixtureProxy;
use crate::common::node::{WATCHDOG, get};
use crate::common::process::{ALONE, Ended, NodeProcess, READY, modswarm, output, run, signal};

async fn up(data: &Path, more: &[&str]) -> Ended {
    run(&[&["up", "--data", data.to_str().unwrap(), "--no-mdns"], more].concat()).await
}

async fn up_alone(data: &Path) -> Ended {
    up(data, &ALONE[..4]).await
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_no_node_file_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (http, swarm) = (address.to_string(), format!("/ip4/127.0.0.1/tcp/{}", address.port()));
    let ended = up(dir.path(), &["--http", &http, "--swarm", "/ip4/127.0.0.1/tcp/0"]).await;
    assert_fails(&ended, 1, &[&http, "is another node running", "--http"]);
    let ended = up(dir.path(), &["--http", "127.0.0.1:0", "--swarm", &swarm]).await;
    assert_fails(&ended, 1, &[&swarm, "the port is in use", "--swarm"]);
    assert!(!dir.path().join("node.json").exists());
    // Nothing of these attempts is in the way of one that can be.
    assert_eq!(NodeProcess::start(dir.path(), &[]).await.end("TERM").await.code, Some(0));
}

#[tokio::test]
async fn a_data_directory_that_is_in_use_names_the_process_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    let ended = up_alone(dir.path()).await;
    assert_fails(&ended, 1, &[&format!("in use by pid {}", node.pid()), "--data"]);
    assert_eq!(node.node_file().pid, node.pid(), "the one that runs can still be found");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for path in [file.clone(), file.join("below"), file.join("far/below")] {
        assert_fails(&up_alone(&path).await, 1, &[path.to_str().unwrap(), "cannot be used as a data directory"]);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("token/x")).unwrap();
    assert_fails(&up_alone(&data).await, 1, &["token cannot be used"]);
    let data = dir.path().join("other");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("identity.key"), "nonsense").unwrap();
    assert_fails(&up_alone(&data).await, 1, &["identity.key holds no usable key", "remove it"]);
}

#[tokio::test]
async fn go_env_without_a_go_command_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = [&["up", "--data", data.to_str().unwrap(), "--upstream", "go-env"], &ALONE[..]].concat();
    let ended = output(modswarm(&args).env("PATH", dir.path())).await;
    assert_fails(&ended, 1, &["--upstream go-env", "install Go or write the list out"]);
}

#[tokio::test]
async fn a_configuration_file_does_what_the_flags_do() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("modswarm.toml");
    let data = dir.path().join("data");
    let text = "http = '127.0.0.1:9'\nno_mdns = true\nupstream = 'http://user:s3cret@127.0.0.1:9/x'\nfresh = '5m'\n";
    std::fs::write(&config, text).unwrap();
    // `--http` is given as well, and wins over the file.
    let node = NodeProcess::start(&data, &["--config", config.to_str().unwrap()]).await;
    assert_ne!(node.goproxy, "http://127.0.0.1:9");
    assert_eq!(node.status().await.upstream.as_deref(), Some("http://127.0.0.1:9/x"));
}

#[tokio::test]
async fn stdout_has_the_ready_line_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(dir.path(), &[]).await;
    assert_eq!(get(&format!("{}/example.com/none/@v/v1.0.0.zip", node.goproxy)).await.status, 404);
    let log = node.log();
    assert!(log.contains("node started"), "the log is on stderr: {log}");
    let ended = node.end("TERM").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert!(ended.stderr.contains("node stopped"));
}

#[tokio::test]
async fn a_reader_that_leaves_after_the_ready_line_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("exec \"$0\" up --data \"$1\" {} | head -1", ALONE.join(" "));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_modswarm"), dir.path().to_str().unwrap()]);
    let mut shell = shell.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(shell.stdout.take().unwrap());
    tokio::time::timeout(WATCHDOG, stdout.read_line(&mut line)).await.expect("the node never got ready").unwrap();
    let goproxy = line.trim_end().strip_prefix(READY).unwrap();
    let served = get(&format!("{goproxy}/-/status")).await;
    assert_eq!(served.status, 200);
    signal(serde_json::from_slice::<Status>(&served.body).unwrap().pid, "TERM").await;
    // The shell ends when all of the pipe have.
    assert!(tokio::time::timeout(WATCHDOG, shell.wait()).await.expect("the node never ended").unwrap().success());
    assert!(!dir.path().join("node.json").exists());
}

#[tokio::test]
async fn json_logs_are_json_to_the_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = FixtureProxy::start(&[]).await;
    let node = NodeProcess::start(dir.path(), &["--log", "json", "--upstream", &upstream.url()]).await;
    assert_eq!(get(&format!("{}/example.com/none/@v/v1.0.0.zip", node.goproxy)).await.status, 404);
    let second = up(dir.path(), &[&ALONE[..4], &["--log", "json"]].concat()).await;
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    assert!(second.stderr.contains("in use by pid"), "{}", second.stderr);
    let first = node.end("INT").await;
    for line in first.stderr.lines().chain(second.stderr.lines()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(value["level"].is_string() && value["message"].is_string(), "{line}");
    }
    assert!(first.stderr.lines().count() >= 3, "{}", first.stderr);
}
