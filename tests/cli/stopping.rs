//! Signals: an orderly end with exit code 0 whatever is under way, and an end at once when it is asked for twice.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::process::Command;

use crate::assert_fails;
use crate::common::node::{WATCHDOG, get};
use crate::common::process::{Ended, NodeProcess, modswarm, output, run, signal};
use crate::common::{Fault, FixtureModule, FixtureProxy, make_module, noise};

const ZIP: &str = "/example.com/lib/@v/v1.0.0.zip";

fn lib(len: usize) -> FixtureModule {
    make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n"), ("data.bin", &noise(len, 5))])
}

/// The node ended in order, left nothing behind that is in the way, and can be started again.
async fn assert_orderly(ended: &Ended, data: &Path) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("node stopped"), "{}", ended.stderr);
    assert!(!data.join("node.json").exists());
    let again = NodeProcess::start(data, &[]).await;
    assert!(!again.log().contains("rebuilt"), "{}", again.log());
    assert_eq!(again.end("TERM").await.code, Some(0));
}

/// Asks for a path in a task of its own; what comes of it is of no interest.
fn ask(node: &NodeProcess, path: &str) {
    let url = format!("{}{path}", node.goproxy);
    tokio::spawn(async move { reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.is_ok() });
}

#[tokio::test]
async fn sigint_and_sigterm_stop_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["INT", "TERM"] {
        let node = NodeProcess::start(dir.path(), &[]).await;
        assert_orderly(&node.end(name).await, dir.path()).await;
    }
}

#[tokio::test]
async fn a_stalled_upstream_does_not_keep_a_node_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let module = lib(300_000);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.script(ZIP, [Fault::StallAfter(100_000)]);
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    ask(&node, ZIP);
    node.wait_until(|status| status.fetching == 1 && upstream.count(ZIP) == 1).await;
    assert_orderly(&node.end("INT").await, dir.path()).await;
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    assert_eq!(get(&format!("{}{ZIP}", node.goproxy)).await.body, module.zip);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_a_node_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    // More than the buffers of two sockets take.
    let module = lib(16 << 20);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = node.goproxy.strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client.write_all(format!("GET {ZIP} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    tokio::time::timeout(WATCHDOG, client.read_exact(&mut first)).await.expect("no answer").unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_orderly(&node.end("TERM").await, dir.path()).await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(WATCHDOG, client.read_to_end(&mut rest)).await.expect("the connection stayed");
    assert!(read.is_err() || rest.len() < module.zip.len(), "nobody can take what was cut for the whole zip");
}

#[tokio::test]
async fn what_is_nearly_done_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let module = lib(1000);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.hold();
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let url = format!("{}/example.com/lib/@v/v1.0.0.mod", node.goproxy);
    let client = tokio::spawn(async move { get(&url).await });
    upstream.wait_in_flight(2).await;
    signal(node.pid(), "TERM").await;
    node.logged("stopping").await;
    upstream.release(2);
    let got = client.await.unwrap();
    assert_eq!((got.status, got.body), (200, module.go_mod));
    assert_orderly(&node.ended().await, dir.path()).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let module = lib(300_000);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.always(ZIP, Fault::StallAfter(100_000));
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    ask(&node, ZIP);
    node.wait_until(|status| status.fetching == 1).await;
    let pid = node.pid();
    let both = output(Command::new("sh").args(["-c", &format!("kill -INT {pid}; kill -TERM {pid}")])).await;
    assert_eq!(both.code, Some(0));
    let ended = node.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("a second signal"), "{}", ended.stderr);
    // Nothing of that is in the way.
    assert_eq!(NodeProcess::start(dir.path(), &[]).await.end("TERM").await.code, Some(0));
}

#[tokio::test]
async fn a_node_that_stops_in_the_middle_of_a_seed_run_says_so_to_who_watches() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = FixtureProxy::start(&[lib(300_000)]).await;
    upstream.always(ZIP, Fault::StallAfter(100_000));
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let data = node.data().to_owned();
    let watching = tokio::spawn(async move { run(&["seed", "example.com/lib@v1.0.0", "--data", &data]).await });
    node.wait_until(|_| upstream.count(ZIP) == 1).await;
    assert_orderly(&node.end("TERM").await, dir.path()).await;
    assert_fails(&watching.await.unwrap(), 1, &["stopped before it was done", "what it had is kept"]);
}

#[tokio::test]
async fn ctrl_c_in_a_seed_command_ends_the_watching_and_not_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let module = lib(300_000);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.hold();
    let node = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let mut command = modswarm(&["seed", "example.com/lib@v1.0.0", "--data", node.data()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    upstream.wait_in_flight(2).await;
    signal(child.id().unwrap(), "INT").await;
    let ended = tokio::time::timeout(WATCHDOG, child.wait_with_output()).await.expect("it never ended").unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("the node goes on seeding") && told.contains(node.data()), "{told}");
    upstream.release(100);
    node.wait_until(|status| status.store.zips == 1).await;
    assert_eq!(upstream.count(ZIP), 1);
}
