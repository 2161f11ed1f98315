use std::collections::BTreeSet;

use proptest::prelude::*;

use super::certificate::MAX_CERTIFICATE;
use super::greeting::MAX_GREETING;
use super::orders::MAX_ORDERS;
use super::*;
use crate::domain::module::ModuleVersion;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
const PEER: &[u8] = b"\x00\x24peer";

fn site() -> Signer {
    Signer::from_secret("corp", [1; 32]).unwrap()
}

fn other() -> Signer {
    Signer::from_secret("corp", [2; 32]).unwrap()
}

fn terms() -> Terms {
    Terms { not_before: NOW, not_after: NOW + 365 * DAY, max_days: 30, roles: Roles::SEED }
}

fn ticket() -> TicketSecret {
    TicketSecret::issue(&site(), TicketId([3; 16]), [4; 32], &terms()).unwrap()
}

fn by_ticket() -> Vec<u8> {
    ticket().enrol(site().verifier(), PEER, NOW + DAY).unwrap()
}

fn by_site() -> Vec<u8> {
    Certificate::sign(&site(), PEER, Roles::GATEWAY, NOW, NOW + 90 * DAY)
}

/// As a node does with what a peer sends.
fn admit(bytes: &[u8], peer: &[u8], now: u64) -> Result<Member, MemberError> {
    let member = Certificate::open(bytes, site().verifier())?.member().clone();
    member.is_of(peer)?;
    member.is_valid(now)?;
    Ok(member)
}

fn orders() -> Orders {
    Orders {
        serial: 7,
        peers: BTreeSet::from([PEER.to_vec(), b"other".to_vec()]),
        tickets: BTreeSet::from([TicketId([3; 16])]),
        blocked: BTreeSet::from([ModuleVersion::parse("example.com/Bad@v1.2.3").unwrap()]),
    }
}

#[test]
fn both_kinds_of_certificates_make_a_member() {
    let member = admit(&by_ticket(), PEER, NOW + 2 * DAY).unwrap();
    assert_eq!((member.ticket, member.roles, member.not_after), (Some(TicketId([3; 16])), Roles::SEED, NOW + 31 * DAY));
    let member = admit(&by_site(), PEER, NOW).unwrap();
    assert_eq!((member.ticket, member.roles, member.issued), (None, Roles::GATEWAY, NOW));
    for bytes in [by_ticket(), by_site()] {
        let text = Certificate::text(&bytes);
        assert_eq!(Certificate::parse(&(text + "\n"), site().verifier()).unwrap().bytes(), bytes);
        assert!(bytes.len() < MAX_CERTIFICATE / 2, "{} bytes", bytes.len());
    }
}

#[test]
fn a_certificate_is_for_one_machine_of_one_site_for_a_while() {
    assert_eq!(admit(&by_site(), b"somebody else", NOW), Err(MemberError::OtherPeer));
    for (signed, key) in [(by_site(), other()), (by_ticket(), other())] {
        let refused = Certificate::open(&signed, key.verifier()).unwrap_err();
        assert!(matches!(refused, MemberError::OtherSite(_)), "{refused}");
    }
    let ends = NOW + 90 * DAY;
    assert!(admit(&by_site(), PEER, ends + CLOCK_SKEW).is_ok(), "clocks differ");
    let expired = admit(&by_site(), PEER, ends + CLOCK_SKEW + 1).unwrap_err();
    assert_eq!(expired.to_string(), "the certificate has expired a day ago");
    assert!(admit(&by_site(), PEER, NOW - CLOCK_SKEW).is_ok());
    assert_eq!(admit(&by_site(), PEER, NOW - CLOCK_SKEW - 1), Err(MemberError::NotYet("certificate")));
    assert!(admit(&by_site(), PEER, u64::MAX).is_err() && admit(&by_site(), PEER, 0).is_err());
}

#[test]
fn a_ticket_gives_no_more_than_it_says_whatever_is_signed_with_it() {
    let ticket = ticket();
    let make = |roles, issued, not_after| {
        let body = certificate::body(SiteId::of(site().verifier()), PEER, roles, issued, not_after);
        let message = message(certificate::BY_TICKET, &body);
        let key = Signer::from_secret("any", [4; 32]).unwrap();
        let chain: (Option<Signed>, Signed) =
            (signed_ticket(&ticket), Signed { body, signature: key.sign_message(&message) });
        Certificate::open(&codec_encode(&chain), site().verifier()).map(|certificate| certificate.member().roles)
    };
    let until = terms().not_after;
    for (roles, issued, not_after, expected) in [
        (Roles::SEED, NOW, NOW + 30 * DAY, Ok(Roles::SEED)),
        (Roles::MEMBER, NOW, NOW + DAY, Ok(Roles::MEMBER)),
        (Roles::SEED, until, until + 30 * DAY, Ok(Roles::SEED)),
        (Roles::GATEWAY, NOW, NOW + DAY, Err(MemberError::BeyondTicket("more roles"))),
        (Roles::ALL, NOW, NOW + DAY, Err(MemberError::BeyondTicket("more roles"))),
        (Roles::SEED, NOW, NOW + 30 * DAY + 1, Err(MemberError::BeyondTicket("a longer life"))),
        (Roles::SEED, NOW, u64::MAX, Err(MemberError::BeyondTicket("a longer life"))),
        (Roles::SEED, NOW - 1, NOW + DAY, Err(MemberError::BeyondTicket("to be made at another time"))),
        (Roles::SEED, until + 1, until + DAY, Err(MemberError::BeyondTicket("to be made at another time"))),
        (Roles::SEED, u64::MAX, u64::MAX, Err(MemberError::BeyondTicket("to be made at another time"))),
    ] {
        assert_eq!(make(roles, issued, not_after), expected, "{roles} {issued} {not_after}");
    }
}

fn signed_ticket(ticket: &TicketSecret) -> Option<Signed> {
    let bytes = ticket.enrol(site().verifier(), PEER, NOW).unwrap();
    let (signed, _): (Option<Signed>, Signed) = super::super::codec::decode::<_, MAX_CERTIFICATE>(&bytes).unwrap();
    signed
}

fn codec_encode(chain: &(Option<Signed>, Signed)) -> Vec<u8> {
    super::super::codec::encode(chain)
}

#[test]
fn a_ticket_is_used_in_its_time_only() {
    let enrol = |now| ticket().enrol(site().verifier(), PEER, now).map(|_| ());
    assert_eq!(enrol(NOW), Ok(()));
    assert_eq!(enrol(NOW - CLOCK_SKEW), Ok(()), "a clock that is behind");
    assert_eq!(enrol(NOW - CLOCK_SKEW - 1), Err(MemberError::NotYet("ticket")));
    assert_eq!(enrol(terms().not_after), Ok(()));
    let expired = enrol(terms().not_after + 5 * DAY).unwrap_err().to_string();
    assert_eq!(expired, "the ticket has expired 5 days ago");
    let behind = ticket().enrol(site().verifier(), PEER, NOW - CLOCK_SKEW).unwrap();
    assert!(admit(&behind, PEER, NOW - CLOCK_SKEW).is_ok());
}

#[test]
fn a_ticket_is_one_word_and_keeps_its_secret_to_itself() {
    let text = ticket().text();
    assert!(text.starts_with("modswarm-ticket-") && !text.contains(char::is_whitespace) && text.len() < 500, "{text}");
    let read = TicketSecret::parse(&text, site().verifier()).unwrap();
    assert_eq!((&read, read.ticket().terms), (&ticket(), terms()));
    assert_eq!(format!("{read:?}"), format!("TicketSecret({})", TicketId([3; 16])));
    assert_eq!(TicketSecret::parse(&text, other().verifier()), Err(MemberError::OtherSite("ticket")));
    for broken in ["", "modswarm-ticket-", &text[..text.len() - 4], &text[16..], &text.replace('A', "*")] {
        assert!(
            matches!(TicketSecret::parse(broken, site().verifier()), Err(MemberError::Malformed { .. })),
            "{broken}"
        );
    }
    let bytes = from_text("modswarm-ticket-", "ticket", &text).unwrap();
    let mut stranger = bytes.clone();
    *stranger.last_mut().unwrap() ^= 1;
    let refused = TicketSecret::parse(&to_text("modswarm-ticket-", &stranger), site().verifier()).unwrap_err();
    assert!(refused.to_string().contains("its secret is not its own"), "{refused}");
    assert_eq!(TicketId::parse(&TicketId([3; 16]).to_string()), Some(TicketId([3; 16])));
    for text in ["", "03", &"g".repeat(32), &format!("+{}", "0".repeat(31)), &"0".repeat(33)] {
        assert_eq!(TicketId::parse(text), None, "{text}");
    }
}

#[test]
fn orders_revoke_machines_and_all_that_came_with_a_ticket() {
    let orders = Orders::open(&orders().sign(&site()).unwrap(), site().verifier()).unwrap();
    assert_eq!(orders, self::orders());
    let (mut member, guest) = (admit(&by_site(), PEER, NOW).unwrap(), admit(&by_ticket(), PEER, NOW + DAY).unwrap());
    assert_eq!(orders.revoke(&member), Some(Revoked::Peer));
    let by_ticket = Orders { peers: BTreeSet::new(), ..orders.clone() };
    assert_eq!(by_ticket.revoke(&guest), Some(Revoked::Ticket(TicketId([3; 16]))));
    assert_eq!(by_ticket.revoke(&member), None);
    member.peer = b"unknown".to_vec();
    assert_eq!(orders.revoke(&member), None);
    assert_eq!(Orders::default().revoke(&guest), None);
}

#[test]
fn orders_of_another_site_or_over_the_limit_are_none() {
    let signed = orders().sign(&site()).unwrap();
    assert_eq!(Orders::open(&signed, other().verifier()), Err(MemberError::OtherSite("orders")));
    assert!(Orders::open(&vec![0; MAX_ORDERS + 1], site().verifier()).is_err());
    let many = Orders {
        peers: (0..20_000_u64).map(|n| [vec![0; 50], n.to_le_bytes().to_vec()].concat()).collect(),
        ..Orders::default()
    };
    assert!(many.sign(&site()).unwrap_err().to_string().contains("over 1 MiB"));
    let long = Orders { peers: BTreeSet::from([vec![0; MAX_PEER + 1]]), ..Orders::default() };
    assert!(Orders::open(&long.sign(&site()).unwrap(), site().verifier()).is_err());
}

/// One kind of statement with a valid signature never passes for another one, whoever made it for what.
#[test]
fn a_signature_counts_for_one_kind_of_statement_only() {
    let site = site();
    let bytes = codec_body_of(&by_site());
    for kind in ["ticket", "orders", "certificate by ticket", ""] {
        let forged: (Option<Signed>, Signed) = (None, Signed::by(&site, kind, bytes.clone()));
        let refused = Certificate::open(&codec_encode(&forged), site.verifier());
        assert_eq!(refused, Err(MemberError::Signature("certificate")), "{kind}");
    }
    // A ticket's key that is the site's own does not turn certificates of the one kind into the other.
    let orders: Signed = super::super::codec::decode::<_, MAX_ORDERS>(&orders().sign(&site).unwrap()).unwrap();
    for kind in ["ticket", "certificate"] {
        let forged = Signed::by(&site, kind, orders.body.clone());
        assert_eq!(
            Orders::open(&super::super::codec::encode(&forged), site.verifier()),
            Err(MemberError::Signature("orders"))
        );
    }
    // What is signed is no note, and no note is signed as this.
    let text = String::from_utf8(message("ticket", b"text\n")).unwrap();
    assert!(site.sign(&text).is_err(), "a note has no control characters");
}

fn codec_body_of(certificate: &[u8]) -> Vec<u8> {
    let (_, signed): (Option<Signed>, Signed) = super::super::codec::decode::<_, MAX_CERTIFICATE>(certificate).unwrap();
    signed.body
}

#[test]
fn no_bit_of_anything_can_be_flipped() {
    let site = site();
    let orders = orders().sign(&site).unwrap();
    for good in [by_ticket(), by_site()] {
        for_each_flip(&good, |bad| assert!(Certificate::open(bad, site.verifier()).is_err()));
        for cut in 0..good.len() {
            assert!(Certificate::open(&good[..cut], site.verifier()).is_err());
        }
    }
    for_each_flip(&orders, |bad| assert!(Orders::open(bad, site.verifier()).is_err()));
    let ticket = from_text("modswarm-ticket-", "ticket", &ticket().text()).unwrap();
    for_each_flip(&ticket, |bad| {
        assert!(TicketSecret::parse(&to_text("modswarm-ticket-", bad), site.verifier()).is_err());
    });
}

fn for_each_flip(good: &[u8], check: impl Fn(&[u8])) {
    let mut bytes = good.to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn the_encodings_stay_as_they_are() {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
    let greeting = Greeting::Closed { site: SiteId::of(site().verifier()), certificate: by_site(), serial: 300 };
    let all = [
        SiteId::of(site().verifier()).to_string()[..16].to_owned(),
        hash(ticket().text().as_bytes()),
        hash(&by_ticket()),
        hash(&by_site()),
        hash(&orders().sign(&site()).unwrap()),
        hash(&greeting.encode()),
    ];
    assert_eq!(
        all,
        [
            "2d2c2db4d07fcc82",
            "d9fe7c30d1776929",
            "18e79f6ba8afdc12",
            "4ce9ce76f7c8861b",
            "16155d314459a9a5",
            "4383b101b4d16f9e"
        ]
    );
    assert_eq!(Greeting::Open.encode(), [1, 0]);
}

#[test]
fn a_greeting_is_read_back_and_anything_else_is_refused() {
    let closed = Greeting::Closed { site: SiteId::of(site().verifier()), certificate: by_ticket(), serial: u64::MAX };
    for greeting in [Greeting::Open, closed] {
        let bytes = greeting.encode();
        assert!(bytes.len() <= MAX_GREETING);
        assert_eq!(Greeting::decode(&bytes), Ok(greeting));
        assert!(Greeting::decode(&[bytes, vec![0]].concat()).is_err());
    }
    for bad in [&b""[..], &[2, 0], &[1], &[1, 2], b"\x13/multistream/1.0.0\n", &[0; MAX_GREETING + 1]] {
        assert!(Greeting::decode(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn roles_are_words() {
    for (text, roles) in
        [("member", Roles::MEMBER), ("seed", Roles::SEED), ("gateway", Roles::GATEWAY), ("seed,gateway", Roles::ALL)]
    {
        assert_eq!((Roles::parse(text), roles.to_string().as_str()), (Ok(roles), text));
    }
    assert_eq!(Roles::parse("seed, king"), Err("king".into()));
    assert!(Roles::ALL.contains(Roles::SEED) && !Roles::SEED.contains(Roles::ALL));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let site = site();
        prop_assert!(Certificate::open(&bytes, site.verifier()).is_err());
        prop_assert!(Orders::open(&bytes, site.verifier()).is_err());
        prop_assert!(TicketSecret::parse(&to_text("modswarm-ticket-", &bytes), site.verifier()).is_err());
        let _ = Greeting::decode(&bytes);
    }
}
