//! Who is not in the site gets nothing of it: no protocol is spoken with them.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, ping, tcp, yamux};

use super::common::node::{NodeOptions, TestNode, WATCHDOG};
use super::{Bare, corp, now, peer_id, rival, with_ticket};
use modswarm::domain::membership::DAY;

#[tokio::test]
async fn an_open_node_and_a_member_of_another_site_are_told_nothing() {
    let node = TestNode::start(with_ticket(1, NodeOptions::default())).await;
    let member = Bare::member(&corp(), now() + DAY, &[&node.peer_address]).await;
    member.connected(1).await;
    let open = Bare::open(&[&node.peer_address]).await;
    let other = Bare::member(&rival(), now() + DAY, &[&node.peer_address]).await;
    for stranger in [&open, &other] {
        let why = stranger.refused(3).await;
        assert!(why.starts_with("it hung up when this node said where it belongs"), "{why}");
        assert_eq!(stranger.handle.peers().len(), 0);
    }
    node.wait_until(|status| status.refusals.len() == 2).await;
    let status = node.status().await;
    let why = |id: String| status.refusals.iter().find(|refusal| refusal.id == id).unwrap().why.clone();
    assert_eq!(why(open.id.to_string()), "it has no membership: its site file names no site");
    assert_eq!(why(other.id.to_string()), "it belongs to another site");
    assert_eq!(status.peers.len(), 1, "the member stays");
}

#[tokio::test]
async fn two_sites_and_open_nodes_on_one_network_do_not_mix() {
    let open = Bare::open(&[]).await;
    let rival = Bare::member(&rival(), now() + DAY, &[]).await;
    let peers = [&open.address, &rival.address].map(Clone::clone).to_vec();
    let node = TestNode::start(with_ticket(1, NodeOptions { peers, ..NodeOptions::default() })).await;
    assert!(open.refused(2).await.starts_with("it belongs to a closed site"), "an open node says no, too");
    assert_eq!(rival.refused(2).await, "it belongs to another site");
    let (ours, status) = (peer_id(&node), node.status().await);
    assert_eq!(status.peers.len(), 0);
    assert!(open.handle.refusals().iter().all(|refusal| refusal.peer == ours));
}

#[derive(NetworkBehaviour)]
struct Curious {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// A program that speaks Noise and Yamux and would like to know more, but knows nothing of sites.
fn curious() -> libp2p::Swarm<Curious> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Curious {
            identify: identify::Behaviour::new(identify::Config::new("/modswarm/1".into(), key.public())),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(10))),
        })
        .unwrap()
        .build()
}

/// Runs it until a connection has come to nothing.
async fn until_thrown_out(swarm: &mut libp2p::Swarm<Curious>) {
    let thrown_out = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(CuriousEvent::Identify(identify::Event::Received { info, .. })) => {
                    panic!("a stranger was told {info:?}");
                }
                SwarmEvent::Behaviour(CuriousEvent::Ping(ping::Event { result: Ok(_), .. })) => {
                    panic!("a stranger's ping was answered");
                }
                SwarmEvent::ConnectionClosed { .. }
                | SwarmEvent::OutgoingConnectionError { .. }
                | SwarmEvent::IncomingConnectionError { .. } => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(WATCHDOG, thrown_out).await.expect("a stranger stays connected");
}

#[tokio::test]
async fn no_protocol_is_spoken_with_a_program_that_cannot_greet() {
    let node = TestNode::start(with_ticket(1, NodeOptions::default())).await;
    let mut dials = curious();
    for _ in 0..3 {
        dials.dial(node.peer_address.parse::<Multiaddr>().unwrap()).unwrap();
        until_thrown_out(&mut dials).await;
    }
    let mut listens = curious();
    listens.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = listens.select_next_some().await {
            break address;
        }
    };
    let options = NodeOptions { peers: vec![address.to_string()], ..NodeOptions::default() };
    let dialler = TestNode::start(with_ticket(1, options)).await;
    for _ in 0..3 {
        until_thrown_out(&mut listens).await;
    }
    for node in [&node, &dialler] {
        assert_eq!(node.status().await.peers.len(), 0);
    }
}
