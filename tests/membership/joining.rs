//! How a machine becomes a member, and how long it is one.

use modswarm::admin::CERTIFICATE_FILE;
use modswarm::domain::membership::{CLOCK_SKEW, DAY, Roles};
use modswarm::domain::site::ClosedSite;

use super::common::node::{NodeOptions, TestNode};
use super::common::{FixtureProxy, copy_dir, make_module};
use super::{Bare, corp, now, peer_id, ticket, ticket_id, with_ticket};

#[tokio::test]
async fn new_machines_join_by_ticket_and_exchange_modules() {
    let module = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(with_ticket(1, NodeOptions::seed(&upstream.url()))).await;
    let node = TestNode::start(with_ticket(2, NodeOptions::peer_of(&[&seed]))).await;
    node.wait_for_introductions(1).await;
    let zip = "/example.com/lib/@v/v1.0.0.zip";
    let got = node.get(zip).await;
    assert_eq!((got.status, &got.body), (200, &module.zip), "{}", got.text());
    let site = node.status().await.site.unwrap();
    assert_eq!((site.name.as_str(), site.roles.as_str(), site.serial), ("corp", "seed,gateway", 0));
    assert_eq!(site.tickets, [1, 2].map(|number| ticket_id(number).to_string()));

    // What was made once is kept: the ticket is needed to renew it only.
    let dir = node.stop().await;
    let without = ClosedSite { key: corp().verifier().clone(), ticket: None };
    let node = TestNode::start_in(dir, NodeOptions { closed: Some(without), ..NodeOptions::peer_of(&[&seed]) }).await;
    node.wait_for(1, 1).await;
}

#[tokio::test]
async fn a_membership_that_ends_ends_the_connection() {
    let node = TestNode::start(with_ticket(1, NodeOptions::default())).await;
    // The end of the tolerance is near: it is let in, and does not stay.
    let late = Bare::member(&corp(), now() - CLOCK_SKEW + 3, &[&node.peer_address]).await;
    late.connected(1).await;
    late.connected(0).await;
    late.refused(1).await;
    let said = |why: &str| why == "its membership does not count: the certificate has expired a day ago";
    node.wait_until(|status| {
        status.refusals.iter().any(|refusal| refusal.id == late.id.to_string() && said(&refusal.why))
    })
    .await;
    let expired = Bare::member(&corp(), now() - CLOCK_SKEW - DAY, &[&node.peer_address]).await;
    expired.refused(2).await;
    assert_eq!(expired.handle.peers().len(), 0);
}

#[tokio::test]
async fn only_who_may_be_a_seed_is_asked_as_one() {
    let module = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let zip = "/example.com/lib/@v/v1.0.0.zip";
    for (number, roles, status) in [(1, Roles::MEMBER, 404), (2, Roles::GATEWAY, 404), (3, Roles::SEED, 200)] {
        let closed = ClosedSite { key: corp().verifier().clone(), ticket: Some(ticket(&corp(), number, roles)) };
        let seed = NodeOptions { closed: Some(closed), ..NodeOptions::seed(&upstream.url()) };
        let seed = TestNode::start(seed).await;
        let node = TestNode::start(with_ticket(9, NodeOptions::peer_of(&[&seed]))).await;
        node.wait_for_introductions(1).await;
        let got = node.get(zip).await;
        assert_eq!(got.status, status, "{roles}: {}", got.text());
    }
}

#[tokio::test]
async fn a_copied_data_directory_is_still_found_out() {
    let first = TestNode::start(with_ticket(1, NodeOptions::default())).await;
    let copy = tempfile::tempdir().unwrap();
    let from = first.stop().await;
    copy_dir(from.path(), copy.path());
    let first = TestNode::start_in(from, with_ticket(1, NodeOptions::default())).await;
    let third = TestNode::start(with_ticket(1, NodeOptions::peer_of(&[&first]))).await;
    third.wait_for(1, 0).await;
    let clone = TestNode::start_in(copy, with_ticket(1, NodeOptions::peer_of(&[&first]))).await;
    assert_eq!(peer_id(&clone), peer_id(&first));
    let bare = Bare::member(&corp(), now() + DAY, &[&clone.peer_address]).await;
    bare.connected(1).await;
    assert_eq!(clone.status().await.peers.len(), 1, "it does not connect to itself");
    assert_eq!(third.status().await.peers.len(), 1, "and takes nobody's place");
    assert!(clone.data().join(CERTIFICATE_FILE).exists());
}
