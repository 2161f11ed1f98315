//! The commands of a closed site, from its first key to a machine that is put out.

use std::path::Path;

use modswarm::domain::membership::{Certificate, Roles};
use modswarm::domain::note::{Signer, Verifier};
use serde_json::Value;

use super::common::process::{ALONE, Ended, NodeProcess, run};
use super::common::{FixtureProxy, make_module};

#[track_caller]
fn assert_fails(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{:?} should say {word:?}", ended.stderr);
    }
}

#[track_caller]
fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

async fn init(dir: &Path) -> (String, String) {
    let ca = dir.join("corp.key").to_str().unwrap().to_owned();
    let made = done(run(&["site", "init", "--name", "corp", "--out", &ca]).await);
    (ca, made.stdout.trim().to_owned())
}

fn site_file(data: &Path, key: &str, ticket: Option<&str>) {
    std::fs::create_dir_all(data).unwrap();
    let ticket = ticket.map_or_else(String::new, |ticket| format!("ticket = \"{ticket}\"\n"));
    std::fs::write(data.join("site.toml"), format!("[site]\nkey = \"{key}\"\n{ticket}")).unwrap();
}

#[tokio::test]
async fn a_site_begins_with_a_secret_that_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("corp.key");
    let args = ["site", "init", "--name", "corp", "--out", ca.to_str().unwrap()];
    let made = done(run(&args).await);
    let key: Verifier = made.stdout.trim().parse().unwrap();
    let secret = std::fs::read_to_string(&ca).unwrap();
    assert_eq!(Signer::parse(secret.trim()).unwrap().verifier(), &key);
    assert!(made.stderr.contains(&format!("[site]\nkey = \"{key}\"")) && !made.stderr.contains(secret.trim()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&ca).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_fails(&run(&args).await, 1, &["corp.key exists and is not overwritten"]);
    assert_eq!(std::fs::read_to_string(&ca).unwrap(), secret);
    let bad = ["site", "init", "--name", "our corp", "--out", "never.key"];
    assert_fails(&run(&bad).await, 2, &["no spaces and no plus sign"]);
}

#[tokio::test]
async fn a_machine_is_told_what_it_needs_and_is_enrolled_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = init(dir.path()).await;
    let data = dir.path().join("data");
    let data_arg = data.to_str().unwrap();
    site_file(&data, &key, None);
    let up = [&["up", "--data", data_arg], &ALONE[..]].concat();
    let refused = run(&up).await;
    assert_fails(&refused, 1, &["is no member of site corp", "site.toml under [site]", "modswarm site enrol"]);
    let peer = refused.stderr.split("peer id ").nth(1).unwrap().split(')').next().unwrap().to_owned();

    let enrolled = done(run(&["site", "enrol", &peer, "--ca", &ca, "--role", "seed", "--days", "10"]).await);
    let verifier: Verifier = key.parse().unwrap();
    let certificate = Certificate::parse(&enrolled.stdout, &verifier).unwrap();
    assert_eq!(certificate.member().roles, Roles::SEED);
    let file = dir.path().join("machine.cert");
    std::fs::write(&file, &enrolled.stdout).unwrap();
    done(run(&["site", "enrol", "--certificate", file.to_str().unwrap(), "--data", data_arg]).await);
    let node = NodeProcess::start(&data, &[]).await;
    assert_eq!(node.status().await.site.unwrap().roles, "seed");
    let status = done(run(&["status", "--data", data_arg]).await).stdout;
    assert!(status.contains("\nsite       corp, seed until 2"), "{status}");
    node.end("TERM").await;

    // What is of no use is not taken.
    let (_, other) = init(tempfile::tempdir().unwrap().path()).await;
    let elsewhere = dir.path().join("elsewhere");
    site_file(&elsewhere, &other, None);
    let wrong = ["site", "enrol", "--certificate", file.to_str().unwrap(), "--data", elsewhere.to_str().unwrap()];
    assert_fails(&run(&wrong).await, 1, &["of another site"]);
    let ticket = ["site", "enrol", "--ticket", "modswarm-ticket-nonsense", "--data", data_arg];
    assert_fails(&run(&ticket).await, 1, &["the ticket cannot be read"]);
    assert_fails(&run(&["site", "enrol", "nobody", "--ca", &ca]).await, 2, &["nobody"]);
    assert_fails(&run(&["site", "enrol", "--data", data_arg]).await, 2, &["required"]);
    let open = dir.path().join("open");
    let nowhere = ["site", "enrol", "--ticket", "x", "--data", open.to_str().unwrap()];
    assert_fails(&run(&nowhere).await, 1, &["site.toml names no site"]);
}

#[tokio::test]
async fn a_site_is_run_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = init(dir.path()).await;
    let ticket = |role: &'static str| {
        let ca = ca.clone();
        async move {
            let made = done(run(&["site", "ticket", "--ca", &ca, "--role", role]).await);
            (made.stdout.trim().to_owned(), made.stderr.split_whitespace().nth(1).unwrap().to_owned())
        }
    };
    let ((seeds, _), (members, id)) = (ticket("seed").await, ticket("member").await);
    let module = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let upstream = FixtureProxy::start(&[module]).await;
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    site_file(&one, &key, Some(&seeds));
    site_file(&two, &key, None);
    let joined = ["site", "enrol", "--ticket", &members, "--data", two.to_str().unwrap()];
    done(run(&joined).await);
    let seed = NodeProcess::seed(&one, &upstream.url()).await;
    let node = NodeProcess::start(&two, &["--peer", &seed.peer_address().await]).await;
    seed.wait_until(|status| status.peers.len() == 1).await;

    let data = seed.data().to_owned();
    let ordered = |command: &[&str]| {
        let args: Vec<String> =
            [&["site"], command, &["--ca", &ca, "--data", &data]].concat().iter().map(ToString::to_string).collect();
        async move { done(run(&args.iter().map(String::as_str).collect::<Vec<_>>()).await).stderr }
    };
    let said = ordered(&["block", "example.com/lib@v1.0.0"]).await;
    assert_eq!(said, "orders 1 are followed by this node and on their way to the others\n");
    assert!(ordered(&["block", "example.com/lib@v1.0.0"]).await.contains("nothing was changed"));
    node.wait_until(|status| status.site.as_ref().unwrap().serial == 1).await;
    let shown = done(run(&["site", "show", "--data", node.data()]).await).stdout;
    for line in [
        "site       corp (",
        "member     until 2",
        &format!("ticket     {id}"),
        "orders     serial 1",
        "  blocked  example.com/lib@v1.0.0",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    ordered(&["unblock", "example.com/lib@v1.0.0"]).await;

    ordered(&["revoke", &id]).await;
    seed.wait_until(|status| status.peers.is_empty() && !status.refusals.is_empty()).await;
    seed.logged("is refused: its membership was made with the ticket").await;
    let script = done(run(&["site", "show", "--json", "--data", &data]).await).stdout;
    let script: Value = serde_json::from_str(&script).unwrap();
    assert_eq!((&script["site"]["serial"], &script["site"]["revoked_tickets"][0]), (&3.into(), &id.clone().into()));
    ordered(&["revoke", "--undo", &id]).await;
    seed.wait_until(|status| status.peers.len() == 1).await;

    // Without a node at hand: orders in a file, which any member takes.
    let file = dir.path().join("orders");
    let file = file.to_str().unwrap();
    let peer = node.status().await.peer_id;
    done(run(&["site", "revoke", &peer, "--ca", &ca, "--orders", file]).await);
    assert_fails(&run(&["site", "orders", file, "--data", &data]).await, 1, &["serial 4 count already"]);
    assert_fails(&run(&["site", "revoke", "nobody", "--ca", &ca]).await, 2, &["neither a peer id"]);
    assert_fails(&run(&["site", "block", "example.com/lib", "--ca", &ca]).await, 2, &["no module version"]);
    let (other, _) = init(tempfile::tempdir().unwrap().path()).await;
    assert!(!Path::new(&other).exists());
    assert_fails(&run(&["site", "ticket", "--ca", &other]).await, 1, &["cannot be read", "--ca"]);
    node.end("TERM").await;
    let offline = done(run(&["site", "show", "--data", two.to_str().unwrap()]).await).stdout;
    assert!(offline.contains("orders     serial 4"), "{offline}");
}
