use super::super::{Finding, Level, Node, Report, rules};
use super::page;
use crate::admin::{BeaconLine, Doctor, InterfaceLine, KnownLine, KnownState, RefusalLine, Status, StoreLine};

const GOPROXY: &str = "http://127.0.0.1:6637";

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        uptime_seconds: 7200,
        goproxy: GOPROXY.into(),
        data: "/data".into(),
        peer_id: "12D3KooWC5b2CZVbFckJSKvtS5HehYwY1V4QRmhRXCEqEPWCUVaU".into(),
        listen: vec!["/ip4/192.168.1.7/tcp/6638".into()],
        upstream: None,
        peers: Vec::new(),
        store: StoreLine { versions: 3, zips: 2, go_mods: 1, blobs: 40, disk_bytes: 1 << 20 },
        fetching: 0,
        publishers: Vec::new(),
        site: None,
        refusals: Vec::new(),
        traffic: crate::admin::TrafficLine::default(),
        sumdb: Vec::new(),
    }
}

fn interface(name: &str, class: &str, address: &str) -> InterfaceLine {
    InterfaceLine {
        name: name.into(),
        class: class.into(),
        addresses: vec![address.into()],
        ..InterfaceLine::default()
    }
}

fn known(id: &str, address: &str, found: &str, state: KnownState) -> KnownLine {
    let id = (!id.is_empty()).then(|| format!("12D3KooW{id}"));
    KnownLine { id, addresses: vec![address.into()], found: found.into(), state, failures: 0, reason: None }
}

fn network() -> Doctor {
    Doctor {
        interfaces: vec![
            InterfaceLine {
                unused: Some("a bridge to containers or virtual machines of this machine".into()),
                ..interface("docker0", "container", "172.17.0.1/16")
            },
            InterfaceLine {
                beacons_sent: 12,
                beacons_heard: 40,
                beacon_seconds: Some(31),
                mdns_heard: 3,
                mdns_seconds: Some(1900),
                ..interface("eth0", "lan", "192.168.1.7/24")
            },
            InterfaceLine { beacons_sent: 12, ..interface("lo", "loopback", "127.0.0.1/8") },
        ],
        beacon: BeaconLine { port: Some(6638), foreign: vec!["192.168.1.99".into()], ..BeaconLine::default() },
        mdns: true,
        seeking: true,
        neighbours: 2,
        known: vec![
            KnownLine {
                failures: 3,
                reason: Some("Connection refused (os error 111)".into()),
                ..known("waiting3", "/ip4/192.168.1.30/tcp/6638", "lan", KnownState::Waiting { seconds: 8 })
            },
            known("incomin1", "/ip4/192.168.1.20/tcp/51234", "incoming", KnownState::Connected { seconds: 300 }),
            known("", "/dns4/seed/tcp/6638", "static", KnownState::Dialling),
            known(
                "lanpeer2",
                "/ip4/192.168.1.21/tcp/6638/p2p/12D3KooWlanpeer2",
                "lan",
                KnownState::Connected { seconds: 61 },
            ),
        ],
        refusals: vec![RefusalLine {
            id: "12D3KooWstranger".into(),
            address: "/ip4/192.168.1.66/tcp/6638".into(),
            why: "its membership has been revoked".into(),
            seconds_ago: 90,
            times: 3,
        }],
    }
}

fn report(network: Doctor) -> Report {
    let mut findings = rules::network(&network, 7200);
    findings.push(rules::http(&status()));
    findings.extend(rules::variable("GOPROXY", GOPROXY, "https://proxy.example,direct"));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Report { node: Some(Node { status: status(), network }), findings }
}

#[test]
fn the_page_says_everything_in_80_columns() {
    let text = page(&report(network()), 80);
    let expected = include_str!("page.txt");
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 100, 120] {
        let text = page(&report(network()), width);
        // An address, or a command to copy, is not torn apart.
        let long = text.lines().filter(|line| line.chars().count() > width);
        assert!(long.clone().all(|line| line.split_whitespace().count() == 1), "{long:?}");
    }
}

fn told(network: &Doctor, uptime: u64) -> Vec<(Level, String)> {
    rules::network(network, uptime).into_iter().map(|Finding { level, text }| (level, text)).collect()
}

fn has(network: &Doctor, uptime: u64, level: Level, words: &str) -> bool {
    told(network, uptime).iter().any(|(is, text)| *is == level && text.contains(words))
}

#[test]
fn silence_after_beacons_is_a_firewall_and_silence_after_the_start_is_not() {
    let quiet = InterfaceLine { beacons_sent: 9, ..interface("eth0", "lan", "192.168.1.7/24") };
    let alone = Doctor {
        interfaces: vec![quiet],
        known: vec![],
        beacon: BeaconLine { port: Some(6638), ..BeaconLine::default() },
        ..network()
    };
    assert!(has(&alone, 600, Level::Wrong, "9 beacons went out and nothing came in"));
    assert!(!has(&alone, 5, Level::Wrong, "nothing came in"));
    let fed = Doctor { known: network().known, ..alone.clone() };
    assert!(has(&fed, 600, Level::Note, "nothing came in"), "it has peers all the same");
    let road = Doctor { interfaces: vec![interface("lo", "loopback", "127.0.0.1/8")], ..alone.clone() };
    assert!(has(&road, 600, Level::Wrong, "No interface leads to a LAN"));
    let off = Doctor { beacon: BeaconLine::default(), mdns: false, ..alone };
    assert!(
        has(&off, 600, Level::Note, "--no-mdns") && told(&off, 600).iter().all(|(level, _)| *level != Level::Wrong)
    );
}

#[test]
fn copies_dead_static_peers_and_a_beacon_that_cannot_be_sent_are_wrong() {
    let mut sick = network();
    sick.beacon.copies = vec!["192.168.1.8".into()];
    sick.beacon.trouble = Some("UDP port 6638 cannot be used: Address in use".into());
    sick.known[2].reason = Some("Connection refused".into());
    sick.known[2].state = KnownState::Waiting { seconds: 3 };
    for words in [
        "identity.key",
        "UDP port 6638 cannot be used",
        "/dns4/seed/tcp/6638 that was named with --peer cannot be reached",
    ] {
        assert!(has(&sick, 600, Level::Wrong, words), "{words}: {:?}", told(&sick, 600));
    }
    assert!(told(&network(), 600).iter().all(|(level, _)| *level != Level::Wrong), "{:?}", told(&network(), 600));
}

#[test]
fn the_go_command_is_held_to_what_the_site_needs() {
    assert_eq!(rules::variable("GOPROXY", GOPROXY, &format!("{GOPROXY},direct")), None);
    assert_eq!(rules::variable("GOPROXY", GOPROXY, "off").unwrap().level, Level::Wrong);
    assert_eq!(rules::variable("GOSUMDB", "off", "sum.golang.org").unwrap().level, Level::Note);
    assert_eq!(rules::past_the_node("-trimpath", "none"), []);
    assert_eq!(rules::past_the_node("-trimpath -mod=vendor", "*.corp.example").len(), 2);
    assert_eq!(rules::clock(std::time::SystemTime::UNIX_EPOCH).level, Level::Wrong);
    assert_eq!(rules::clock(std::time::SystemTime::now()).level, Level::Fine);
}
