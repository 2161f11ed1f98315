use std::collections::BTreeSet;

use libp2p::identity::Keypair;
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::domain::membership::{
    CLOCK_SKEW, Certificate, DAY, Greeting, MemberError, Orders, Roles, SiteId, Terms, TicketId, TicketSecret,
};
use crate::domain::note::Signer;
use crate::swarm::membership::Current;

const NOW: u64 = 1_767_225_600;

fn now() -> u64 {
    NOW
}

fn site() -> Signer {
    Signer::from_secret("corp", [1; 32]).unwrap()
}

fn peer() -> PeerId {
    Keypair::generate_ed25519().public().to_peer_id()
}

fn member_until(key: &Signer, peer: &PeerId, not_after: u64) -> Membership {
    let bytes = Certificate::sign(key, &peer.to_bytes(), Roles::SEED, NOW - 100 * DAY, not_after);
    let certificate = Certificate::open(&bytes, key.verifier()).unwrap();
    Membership::closed(key.verifier().clone(), certificate, Current::default(), now)
}

fn member(key: &Signer, peer: &PeerId) -> Membership {
    member_until(key, peer, NOW + DAY)
}

fn by_ticket(peer: &PeerId) -> Membership {
    let terms = Terms { not_before: NOW, not_after: NOW + DAY, max_days: 3, roles: Roles::MEMBER };
    let ticket = TicketSecret::issue(&site(), TicketId([5; 16]), [6; 32], &terms).unwrap();
    let bytes = ticket.enrol(site().verifier(), &peer.to_bytes(), NOW).unwrap();
    let certificate = Certificate::open(&bytes, site().verifier()).unwrap();
    Membership::closed(site().verifier().clone(), certificate, Current::default(), now)
}

fn orders(peers: &[&PeerId], tickets: &[TicketId]) -> Current {
    let peers = peers.iter().map(|peer| peer.to_bytes()).collect();
    let orders = Orders { serial: 1, peers, tickets: tickets.iter().copied().collect(), blocked: BTreeSet::new() };
    Current { signed: orders.sign(&site()).unwrap().into(), orders }
}

type Wire = Compat<DuplexStream>;

fn wire() -> (Wire, Wire) {
    let (a, b) = tokio::io::duplex(64 << 10);
    (a.compat(), b.compat())
}

type Met = Result<(PeerId, Gate<Wire>), SecureError>;

/// What the dialler and the listener make of each other.
async fn meet_both(dialler: (&PeerId, &Membership), listener: (&PeerId, &Membership)) -> (Met, Met) {
    let (a, b) = wire();
    tokio::join!(meet(a, *listener.0, dialler.1, Side::Dialler), meet(b, *dialler.0, listener.1, Side::Listener))
}

fn why(met: Met) -> Option<Why> {
    match met {
        Ok(_) => None,
        Err(SecureError::Refused { why, .. }) => Some(why),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn members_of_one_site_and_open_nodes_meet_and_nobody_else() {
    let (a, b) = (peer(), peer());
    let other = Signer::from_secret("corp", [2; 32]).unwrap();
    let of = |kind: &str, peer: &PeerId| match kind {
        "open" => Membership::open(),
        "ours" => member(&site(), peer),
        "ticket" => by_ticket(peer),
        "other" => member(&other, peer),
        "expired" => member_until(&site(), peer, NOW - CLOCK_SKEW - 1),
        "borrowed" => member(&site(), &PeerId::random()),
        _ => unreachable!(),
    };
    let expired = || Some(Why::Invalid(MemberError::Expired { what: "certificate", since: CLOCK_SKEW + 1 }));
    let borrowed = || Some(Why::Invalid(MemberError::OtherPeer));
    for (dials, listens, dialler_says, listener_says) in [
        ("open", "open", None, None),
        ("ours", "ours", None, None),
        ("ours", "ticket", None, None),
        ("ticket", "ours", None, None),
        ("open", "ours", Some(Why::HungUp), Some(Why::Stranger)),
        ("ours", "open", Some(Why::HungUp), Some(Why::Closed)),
        ("other", "ours", Some(Why::HungUp), Some(Why::OtherSite)),
        ("expired", "ours", Some(Why::HungUp), expired()),
        ("borrowed", "ours", Some(Why::HungUp), borrowed()),
        // The listener has taken the dialler and answered; what it sees next is the end of the connection.
        ("ours", "expired", expired(), None),
        ("ours", "borrowed", borrowed(), None),
    ] {
        let (dialler, listener) = (of(dials, &a), of(listens, &b));
        let (to_listener, to_dialler) = meet_both((&a, &dialler), (&b, &listener)).await;
        assert_eq!(why(to_listener), dialler_says, "{dials} dials {listens}");
        assert_eq!(why(to_dialler), listener_says, "{dials} dials {listens}");
    }
}

#[tokio::test]
async fn a_greeting_that_is_none_gets_no_answer_at_all() {
    let me = peer();
    let ours = member(&site(), &me);
    let good = Greeting::Closed { site: SiteId::of(site().verifier()), certificate: vec![7; 40], serial: 0 }.encode();
    let frame = |length: u16, bytes: &[u8]| [&length.to_be_bytes(), bytes].concat();
    let whole = |bytes: &[u8]| frame(u16::try_from(bytes.len()).unwrap(), bytes);
    let over = u16::try_from(MAX_GREETING + 1).unwrap();
    for (sent, expected) in [
        (vec![], "broke"),
        (vec![0], "broke"),
        (frame(100, b"cut"), "broke"),
        (whole(b""), "does not greet"),
        (whole(&[1]), "does not greet"),
        (whole(&[9, 0]), "does not greet"),
        (whole(&[good.as_slice(), &[0]].concat()), "does not greet"),
        (whole(&good), "membership does not count"),
        (frame(over, &vec![0; usize::from(over)]), "does not greet"),
        (frame(u16::MAX, &[]), "65535 bytes"),
        (b"\x13/multistream/1.0.0\n".to_vec(), "does not greet"),
    ] {
        let (mut stranger, wire) = wire();
        stranger.write_all(&sent).await.unwrap();
        stranger.close().await.unwrap();
        let Err(refused) = meet(wire, peer(), &ours, Side::Listener).await else { panic!("{sent:?} let in") };
        assert!(refused.to_string().contains(expected), "{sent:?}: {refused}");
        let mut answer = Vec::new();
        stranger.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"", "{sent:?} was answered");
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let (_silent, wire) = wire();
    let ours = member(&site(), &peer());
    let met = tokio::time::timeout(limits::GREETING * 6, meet(wire, peer(), &ours, Side::Listener)).await;
    assert_eq!(why(met.expect("waits for ever")), Some(Why::Silent));
}

#[tokio::test]
async fn who_is_revoked_is_refused_and_what_stands_is_cut() {
    let (a, b, c) = (peer(), peer(), peer());
    let (ours, revoked, guest) = (member(&site(), &a), member(&site(), &b), by_ticket(&c));
    let (_b, met) = meet_both((&b, &revoked), (&a, &ours)).await;
    let mut one = met.unwrap().1;
    let (_c, met) = meet_both((&c, &guest), (&a, &ours)).await;
    let mut two = met.unwrap().1;
    assert_eq!((ours.members().len(), ours.roles(&b), ours.roles(&c)), (2, Roles::SEED, Roles::MEMBER));
    one.write_all(b"still").await.unwrap();

    assert!(ours.follow(orders(&[&b], &[])) && !ours.follow(orders(&[&b], &[])), "once");
    let cut = one.write_all(b"no more").await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::ConnectionAborted);
    assert!(one.read(&mut [0; 8]).await.is_err() && one.flush().await.is_err() && one.close().await.is_err());
    two.write_all(b"still").await.unwrap();
    assert_eq!(why(meet_both((&b, &revoked), (&a, &ours)).await.1), Some(Why::Revoked));

    let mut both = orders(&[&b], &[TicketId([5; 16])]);
    both.orders.serial = 2;
    assert!(ours.follow(both));
    assert!(two.write_all(b"no more").await.is_err());
    assert_eq!(why(meet_both((&c, &guest), (&a, &ours)).await.1), Some(Why::TicketRevoked(TicketId([5; 16]))));
    drop((one, two));
    assert_eq!(ours.members(), []);
}

/// As libp2p wraps errors, several deep.
#[derive(Debug, thiserror::Error)]
#[error("handshake failed")]
struct Wrapped(#[source] SecureError);

#[test]
fn what_is_refused_is_found_in_the_errors_of_a_real_connection() {
    let refused = SecureError::Refused { peer: PeerId::random(), why: Why::Revoked };
    let SecureError::Refused { peer, .. } = refused else { unreachable!() };
    assert_eq!(refusal_in(&io::Error::other(Wrapped(refused))), Some((peer, Why::Revoked)));
    assert_eq!(refusal_in(&io::Error::other("else")), None);
    assert_eq!(refusal_in(&io::Error::from(io::ErrorKind::TimedOut)), None);
}
