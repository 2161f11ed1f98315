use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

type Node = Beacon<u8, u32>;

const LAN: u8 = 1;

fn node(number: u32) -> Node {
    let identity =
        Identity { site: [0; 8], peer: number.to_be_bytes().to_vec(), nonce: u64::from(number).to_be_bytes() };
    let mut node = Beacon::new(identity, u64::from(number) + 5);
    assert_eq!(node.handle(Event::Up(LAN), Duration::ZERO), []);
    node
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn hear(node: &mut Node, from: u32, bytes: &[u8], now: Duration) -> Vec<Action<u8, u32>> {
    node.handle(Event::Heard { on: Some(LAN), from, bytes }, now)
}

/// Runs all nodes on one LAN until `until`; gives who sent when. `found[n]` is whom n has heard.
fn run(nodes: &mut [Node], from: Duration, until: Duration, found: &mut [BTreeSet<u32>]) -> Vec<(Duration, u32)> {
    let mut sent = Vec::new();
    let mut now = from;
    loop {
        let next = nodes.iter().enumerate().filter_map(|(at, node)| Some((node.deadline()?, at))).min();
        let Some((at, sender)) = next.filter(|(at, _)| *at <= until) else { return sent };
        now = now.max(at);
        let actions = nodes[sender].handle(Event::Tick, now);
        for _ in actions.iter().filter(|action| matches!(action, Action::Send(LAN))) {
            sent.push((now, u32::try_from(sender).unwrap()));
            let bytes = nodes[sender].packet(&[6638]);
            for (at, node) in nodes.iter_mut().enumerate() {
                let heard = hear(node, u32::try_from(sender).unwrap(), &bytes, now);
                if heard.iter().any(|action| matches!(action, Action::Found { .. })) {
                    found[at].insert(u32::try_from(sender).unwrap());
                }
            }
        }
    }
}

#[test]
fn hundreds_of_settled_nodes_are_nearly_silent_and_one_that_comes_is_answered() {
    const NODES: u32 = 300;
    let mut nodes: Vec<Node> = (0..NODES).map(node).collect();
    let mut found = vec![BTreeSet::new(); NODES as usize + 1];
    let start = run(&mut nodes, Duration::ZERO, secs(15), &mut found);
    assert!(found[..NODES as usize].iter().all(|heard| heard.len() == NODES as usize - 1), "all have heard all");
    assert!(start.len() <= 4 * NODES as usize, "{} beacons", start.len());
    nodes.iter_mut().for_each(|node| node.seek(false, secs(15)));
    run(&mut nodes, secs(15), secs(2000), &mut found);
    let calm = run(&mut nodes, secs(2000), secs(3024), &mut found);
    // Four intervals of 256 s, which do not begin together: RFC 6206 promises a few times k for each.
    assert!((4..=40).contains(&calm.len()), "{} beacons in 1024 s", calm.len());
    // A newcomer.
    let mut fresh = Beacon::new(Identity { site: [0; 8], peer: vec![9], nonce: [9; 8] }, 99);
    fresh.handle(Event::Up(LAN), secs(3024));
    nodes.push(fresh);
    let sent = run(&mut nodes, secs(3024), secs(3030), &mut found);
    let answers = found[NODES as usize].len();
    assert!((3..=40).contains(&answers), "{answers} answers");
    assert!(sent.len() <= 60, "{} beacons", sent.len());
    assert!(found[..NODES as usize].iter().all(|heard| heard.contains(&NODES)));
}

#[test]
fn two_that_find_nobody_else_speak_ever_more_rarely() {
    let mut nodes: Vec<Node> = (0..2).map(node).collect();
    let mut found = vec![BTreeSet::new(); 2];
    let sent = run(&mut nodes, Duration::ZERO, secs(7200), &mut found);
    // 8 doublings, then one every 256 s, for each of the two.
    assert!((60..=90).contains(&sent.len()), "{} beacons", sent.len());
    // A third one is heard at once, and answered within two seconds although both were quiet.
    nodes.push(node(7));
    nodes[2] = Beacon::new(Identity { site: [0; 8], peer: vec![7], nonce: [7; 8] }, 7);
    nodes[2].handle(Event::Up(LAN), secs(7200));
    found.push(BTreeSet::new());
    run(&mut nodes, secs(7200), secs(7203), &mut found);
    assert_eq!(found[2], BTreeSet::from([0, 1]));
}

#[test]
fn one_that_loses_its_neighbours_speaks_up_at_once() {
    let mut a = node(1);
    a.seek(false, Duration::ZERO);
    let mut now = Duration::ZERO;
    while now < secs(2000) {
        now = a.deadline().unwrap();
        a.handle(Event::Tick, now);
    }
    a.seek(true, now);
    assert!(a.deadline().unwrap() <= now + INTERVAL_LEAST);
}

#[test]
fn own_echo_copies_and_other_sites_are_told_apart() {
    let (mut a, b) = (node(1), node(2));
    let own = a.packet(&[1]);
    assert_eq!(hear(&mut a, 1, &own, Duration::ZERO), []);
    let found = Action::Found { on: Some(LAN), from: 2, peer: 2_u32.to_be_bytes().to_vec(), ports: vec![1, 2] };
    assert_eq!(hear(&mut a, 2, &b.packet(&[1, 2]), Duration::ZERO), [found]);
    let copy = Node::new(Identity { site: [0; 8], peer: 1_u32.to_be_bytes().to_vec(), nonce: [3; 8] }, 0);
    assert_eq!(hear(&mut a, 3, &copy.packet(&[1]), Duration::ZERO), [Action::Copy(3)]);
    let other = Node::new(Identity { site: [1; 8], peer: vec![4], nonce: [4; 8] }, 0);
    assert_eq!(hear(&mut a, 4, &other.packet(&[1]), Duration::ZERO), [Action::Foreign(4)]);
}

#[test]
fn a_source_that_floods_is_cut_and_sources_without_end_take_no_memory_without_end() {
    let (mut a, b) = (node(1), node(2).packet(&[1]));
    let heard = (0..100).filter(|_| !hear(&mut a, 2, &b, Duration::ZERO).is_empty()).count();
    assert_eq!(heard, SOURCE_BURST as usize);
    assert_eq!(hear(&mut a, 2, &b, secs(2)).iter().filter(|a| matches!(a, Action::Found { .. })).count(), 1);
    for from in 0..u32::try_from(MAX_SOURCES).unwrap() * 3 {
        hear(&mut a, from, &b, secs(2));
    }
    assert!(a.sources.len() <= MAX_SOURCES);
    for number in 0..u32::try_from(MAX_HEARD).unwrap() * 2 {
        a.remember(u64::from(number).to_be_bytes());
    }
    assert!(a.heard.len() <= MAX_HEARD && a.order.len() <= MAX_HEARD);
}

#[test]
fn what_is_no_beacon_is_told_from_one_that_is_broken() {
    let good = Packet { seeking: true, site: [1; 8], nonce: [2; 8], ports: vec![6638], peer: vec![7; 38] };
    let bytes = good.encode();
    assert_eq!((bytes.len(), Packet::parse(&bytes)), (68, Ok(good.clone())));
    let golden = "4d4f44535741524d01010101010101010101020202020202020201";
    assert!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().starts_with(golden));
    assert_eq!(Packet::parse(b"HTTP/1.1"), Err(BadPacket::Foreign));
    assert_eq!(Packet::parse(&[0; 2000]), Err(BadPacket::Foreign));
    assert_eq!(Packet::parse(&[]), Err(BadPacket::Foreign));
    for cut in MAGIC_LEN..bytes.len() {
        assert_eq!(Packet::parse(&bytes[..cut]), Err(BadPacket::Malformed), "{cut} bytes");
    }
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_eq!(Packet::parse(&newer), Err(BadPacket::Version(2)));
    let appended = [&bytes[..], &[1, 2, 3]].concat();
    assert_eq!(Packet::parse(&appended), Ok(good.clone()));
    for bad in [
        Packet { ports: vec![], ..good.clone() },
        Packet { ports: vec![0], ..good.clone() },
        Packet { peer: vec![], ..good.clone() },
    ] {
        assert_eq!(Packet::parse(&bad.encode()), Err(BadPacket::Malformed), "{bad:?}");
    }
    let longest = Packet { ports: vec![1; MAX_PORTS], peer: vec![1; MAX_PEER], ..good };
    assert!(longest.encode().len() <= MAX_PACKET);
    assert_eq!(Packet::parse(&longest.encode()), Ok(longest));
}

const MAGIC_LEN: usize = 8;

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), ours in any::<bool>()) {
        if ours && bytes.len() > 9 {
            bytes[..9].copy_from_slice(b"MODSWARM\x01");
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert_eq!(Packet::parse(&packet.encode()), Ok(packet));
        }
    }
}
