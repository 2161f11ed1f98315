//! Connections, addresses, announcements.

use bytes::Bytes;
use libp2p::identity::Keypair;
use modswarm::swarm::{self, SwarmConfig, SwarmError, SwarmNews, Verdict, Via, limits};
use tokio_util::sync::CancellationToken;

use super::common::{ANY, mute, node, within};

#[tokio::test]
async fn a_static_peer_is_found_and_both_sides_know_how() {
    within(async {
        let mut a = node(&[]).await;
        let mut b = node(&[a.address()]).await;
        b.news(|news| *news == SwarmNews::Connected(a.id)).await;
        a.news(|news| *news == SwarmNews::Connected(b.id)).await;
        b.connected_to(1).await;
        a.connected_to(1).await;
        let (at_a, at_b) = (a.handle.peers(), b.handle.peers());
        assert_eq!((at_a[0].id, at_a[0].via), (b.id, Via::Incoming));
        assert_eq!((at_b[0].id, at_b[0].via), (a.id, Via::Static));
        assert_eq!(at_b[0].addresses, [a.address()]);
        b.stop.cancel();
        a.news(|news| *news == SwarmNews::Disconnected(b.id)).await;
        a.connected_to(0).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_without_a_known_id_and_by_name_is_found_too() {
    within(async {
        let a = node(&[]).await;
        let port = a.handle.listen_addrs()[0].to_string().replace("/ip4/127.0.0.1", "/dns4/localhost");
        let b = node(&[port.parse().unwrap()]).await;
        b.connected_to(1).await;
        assert_eq!(b.handle.peers()[0].id, a.id);
    })
    .await;
}

#[tokio::test]
async fn two_that_dial_each_other_at_once_end_up_connected() {
    within(async {
        let (one, two) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
        let a = mute(one.clone(), ANY, &[]).await;
        let at_a = a.address();
        a.stop.cancel();
        let mut a = a;
        (&mut a.task).await.unwrap();
        // `b` dials into the void until `a` is back, and `a` dials `b` in the same moment.
        let b = mute(two, ANY, std::slice::from_ref(&at_a)).await;
        let listen = at_a.iter().take(2).collect::<libp2p::Multiaddr>().to_string();
        let a = mute(one, &listen, &[b.address()]).await;
        a.connected_to(1).await;
        b.connected_to(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_found_again() {
    within(async {
        let identity = Keypair::generate_ed25519();
        let mut a = mute(identity.clone(), ANY, &[]).await;
        let listen = a.handle.listen_addrs()[0].to_string();
        let mut b = node(&[a.address()]).await;
        for _ in 0..2 {
            b.news(|news| *news == SwarmNews::Connected(a.id)).await;
            a.stop.cancel();
            (&mut a.task).await.unwrap();
            b.news(|news| *news == SwarmNews::Disconnected(a.id)).await;
            a = mute(identity.clone(), &listen, &[]).await;
        }
        b.news(|news| *news == SwarmNews::Connected(a.id)).await;
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_and_an_address_that_is_none_stop_the_start() {
    within(async {
        let a = node(&[]).await;
        let taken = a.handle.listen_addrs()[0].clone();
        let start = |listen: &str, peers: &[&str]| {
            let config = SwarmConfig {
                identity: Keypair::generate_ed25519(),
                listen: vec![listen.parse().unwrap()],
                peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
                mdns: false,
                beacon: None,
                remember: None,
            };
            swarm::start(config, CancellationToken::new())
        };
        let err = start(&taken.to_string(), &[]).await.map(drop).unwrap_err();
        assert_eq!(
            err.to_string(),
            format!(
                "cannot listen on {taken}: the port is in use, perhaps by another modswarm node; stop that or choose another --swarm address"
            )
        );
        let err = start("/ip4/127.0.0.1/udp/0/quic-v1", &[]).await.map(drop).unwrap_err();
        assert!(matches!(err, SwarmError::ListenAddress { .. }), "{err}");
        let err = start("/ip4/192.0.2.1/tcp/1", &[]).await.map(drop).unwrap_err();
        assert!(err.to_string().starts_with("cannot listen on /ip4/192.0.2.1/tcp/1: "), "{err}");
        let err = start("/ip4/127.0.0.1/tcp/0", &["/ip4/127.0.0.1/udp/1"]).await.map(drop).unwrap_err();
        assert!(matches!(err, SwarmError::PeerAddress { .. }), "{err}");
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_the_node_and_the_node_itself_are_no_peers() {
    within(async {
        let identity = Keypair::generate_ed25519();
        let a = mute(identity.clone(), ANY, &[]).await;
        let other = node(&[]).await;
        let without_id = a.handle.listen_addrs()[0].clone();
        // A copy of `a` that is told of `a`, with and without the id, and of one real peer.
        let copy = mute(identity, ANY, &[without_id, a.address(), other.address()]).await;
        copy.connected_to(1).await;
        assert_eq!(copy.handle.peers()[0].id, other.id);
        assert!(a.handle.peers().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_banned_peer_is_thrown_out_and_stays_out() {
    within(async {
        let mut a = node(&[]).await;
        let mut b = node(&[a.address()]).await;
        b.news(|news| *news == SwarmNews::Connected(a.id)).await;
        a.news(|news| *news == SwarmNews::Connected(b.id)).await;
        a.handle.bans().send(b.id).await.unwrap();
        a.news(|news| *news == SwarmNews::Disconnected(b.id)).await;
        // `b` dials again and is refused; a third one is let in.
        let c = node(&[a.address()]).await;
        a.news(|news| *news == SwarmNews::Connected(c.id)).await;
        assert!(a.handle.peers().iter().all(|peer| peer.id != b.id));
    })
    .await;
}

#[tokio::test]
async fn an_announcement_goes_on_when_it_was_accepted_and_only_then() {
    within(async {
        let mut b = node(&[]).await;
        let mut a = node(&[b.address()]).await;
        let mut c = node(&[b.address()]).await;
        a.news(|news| *news == SwarmNews::Subscribed(b.id)).await;
        c.news(|news| *news == SwarmNews::Subscribed(b.id)).await;
        let mut known = Vec::new();
        while known.len() < 2 {
            if let SwarmNews::Subscribed(peer) = b.news(|_| true).await {
                known.push(peer);
            }
        }
        for (text, verdict) in [("wrong", Verdict::Reject), ("odd", Verdict::Ignore), ("right", Verdict::Accept)] {
            a.handle.announce(Bytes::from(text)).unwrap();
            let news = b.news(|news| matches!(news, SwarmNews::Announcement { .. })).await;
            let SwarmNews::Announcement { id, from, bytes } = news else { unreachable!() };
            assert_eq!((from, &bytes[..]), (a.id, text.as_bytes()));
            b.handle.report(id, from, verdict).unwrap();
        }
        let news = c.news(|news| matches!(news, SwarmNews::Announcement { .. })).await;
        assert!(matches!(news, SwarmNews::Announcement { from, bytes, .. } if from == b.id && bytes == "right"));
        assert_eq!(b.handle.dropped_news(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_announcement_over_the_limit_or_after_the_end_is_refused() {
    within(async {
        let a = node(&[]).await;
        let err = a.handle.announce(vec![0; limits::MAX_ANNOUNCEMENT + 1].into()).unwrap_err();
        assert_eq!(
            err.to_string(),
            "an announcement of 4097 bytes is over the limit of 4096 bytes; announce its id instead"
        );
        a.stop.cancel();
        let mut a = a;
        (&mut a.task).await.unwrap();
        assert_eq!(a.handle.announce(Bytes::new()).unwrap_err().to_string(), "the swarm has stopped");
    })
    .await;
}
