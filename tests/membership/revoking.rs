//! Orders that revoke: who is out is cut off while the network runs, and stays out.

use std::collections::BTreeSet;
use std::time::Instant;

use modswarm::domain::membership::Orders;

use super::common::node::{NodeOptions, TestNode};
use super::{CUT_OFF, corp, give, order, peer_id, revoking, rival, ticket_id, with_ticket};

/// A chain of three: the first is connected with the second, the second with the third, whose ticket is another one.
async fn three() -> [TestNode; 3] {
    let a = TestNode::start(with_ticket(1, NodeOptions::default())).await;
    let b = TestNode::start(with_ticket(1, NodeOptions::peer_of(&[&a]))).await;
    let c = TestNode::start(with_ticket(2, NodeOptions::peer_of(&[&b]))).await;
    b.wait_for_introductions(2).await;
    a.wait_for_introductions(1).await;
    c.wait_for_introductions(1).await;
    [a, b, c]
}

/// Gives orders to `a` and waits until `b` has cut off who is revoked.
async fn cut_off(a: &TestNode, b: &TestNode, orders: &Orders) {
    let begun = Instant::now();
    order(a, orders).await;
    let cut = b.wait_until(|status| status.peers.len() == 1);
    tokio::time::timeout(CUT_OFF, cut).await.expect("a revoked node was not cut off in time");
    eprintln!("cut off at a neighbour after {:?}", begun.elapsed());
}

fn refuses(node: &str, times: u64, why: &'static str) -> impl Fn(&modswarm::admin::Status) -> bool {
    let node = node.to_owned();
    move |status| status.refusals.iter().any(|line| line.id == node && line.times >= times && line.why.starts_with(why))
}

#[tokio::test]
async fn a_revoked_machine_is_cut_off_everywhere_and_stays_out() {
    let [a, b, c] = three().await;
    let out = c.node_file().peer_id;
    cut_off(&a, &b, &revoking(1, &[peer_id(&c)])).await;
    c.wait_until(|status| status.peers.is_empty()).await;
    // It dials again and again.
    b.wait_until(refuses(&out, 3, "its membership was revoked")).await;
    c.wait_until(refuses(&b.node_file().peer_id, 2, "it hung up")).await;
    assert_eq!(b.status().await.peers.len(), 1);
    // A restart does not bring it back, though nobody is there who could tell.
    drop(a);
    let b = TestNode::start_in(b.stop().await, with_ticket(1, NodeOptions::default())).await;
    assert_eq!(b.status().await.site.unwrap().serial, 1);
    let c = TestNode::start_in(c.stop().await, with_ticket(2, NodeOptions::peer_of(&[&b]))).await;
    b.wait_until(refuses(&out, 2, "its membership was revoked")).await;
    assert_eq!((b.status().await.peers.len(), c.status().await.peers.len()), (0, 0));
}

#[tokio::test]
async fn a_revoked_ticket_takes_all_along_that_came_with_it_and_a_new_one_brings_them_back() {
    let [a, b, c] = three().await;
    let orders = Orders { serial: 1, tickets: BTreeSet::from([ticket_id(2)]), ..Orders::default() };
    cut_off(&a, &b, &orders).await;
    b.wait_until(refuses(&c.node_file().peer_id, 2, "its membership was made with the ticket 0202")).await;
    let c = TestNode::start_in(c.stop().await, with_ticket(3, NodeOptions::peer_of(&[&b]))).await;
    c.wait_for(1, 0).await;
}

#[tokio::test]
async fn who_was_away_learns_of_orders_when_it_comes_back() {
    let [a, b, c] = three().await;
    let dir = b.stop().await;
    let peers = vec![a.peer_address.clone(), c.peer_address.clone()];
    order(&a, &revoking(7, &[peer_id(&c)])).await;
    let b = TestNode::start_in(dir, with_ticket(1, NodeOptions { peers, ..NodeOptions::default() })).await;
    b.wait_until(|status| status.site.as_ref().unwrap().serial == 7 && status.peers.len() == 1).await;
    assert_eq!(b.status().await.peers[0].id, a.node_file().peer_id);
}

#[tokio::test]
async fn only_the_sites_key_orders_and_only_forwards() {
    let [a, b, _c] = three().await;
    order(&a, &Orders { serial: 3, ..Orders::default() }).await;
    b.wait_until(|status| status.site.as_ref().unwrap().serial == 3).await;
    let signed = |serial, key| revoking(serial, &[peer_id(&b)]).sign(key).unwrap();
    let (corp, rival) = (corp(), rival());
    let mut broken = signed(5, &corp);
    broken[10] ^= 1;
    for (orders, status, words) in [
        (signed(2, &corp), 409, "serial 3 count already"),
        (signed(5, &rival), 422, "of another site"),
        (broken, 422, ""),
        (Vec::new(), 422, "cannot be read"),
        (vec![0; 2 << 20], 422, "cannot be read"),
    ] {
        let (got, said) = give(&a, orders).await;
        assert_eq!(got, status, "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(a.status().await.site.unwrap().serial, 3);
    let open = TestNode::start(NodeOptions::default()).await;
    let (got, said) = give(&open, signed(9, &corp)).await;
    assert!(got == 409 && said.contains("belongs to no closed site"), "{got} {said}");
}
