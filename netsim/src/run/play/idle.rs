//! What a node says when nothing happens, in bytes per second with IP headers (Ethernet's own are not counted).
//!
//! The beacons are the engine's, on a LAN that has settled. The rest is libp2p, which reads the real clock, so it is counted out of the
//! sizes of its frames and the daemon's intervals. Two real nodes on loopback, left alone for ten minutes with a ping every 15 s, each sent
//! 431 bytes for a ping, where this model says 444, and 970 for identify.
//!
//! * *ping*: each end asks, answers and acknowledges. An exchange wakes yamux up, which then measures the round trip for its window.
//! * *identify*: each end asks again on a new substream, by libp2p's own setting every five minutes, in the daemon once a day.
//! * *mDNS*: each node's timer is set back by every answer that it hears, so one query a period would do. But all timers are set back at
//!   the same moment and run out within 100 ms of each other, and whoever asks before the answer has come round is answered by all too.
//! * *gossipsub* says nothing when there is nothing to say.

use std::time::Duration;

use modswarm::swarm::limits::{INTRODUCE_EVERY, MDNS_EVERY, PING_INTERVAL};
use modswarm::sync::limits::RECONCILE_EVERY;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::lan::{Air, Lan};
use super::wire;
use crate::run::figure::{Figure, Figures};
use crate::run::scenario::Announce;

/// Payload of a ping and of its answer.
const PING: u64 = 32;
/// How often libp2p's identify asks again unless told otherwise.
const IDENTIFY_OWN: Duration = Duration::from_secs(300);
/// What one end sends for both directions of an identify exchange: negotiation, its description, acknowledgements; as measured.
const IDENTIFY: u64 = 970;
/// A question for a catalog's symbols, and the answer that both are alike, as the transfer protocol encodes them.
const COMPARE: (u64, u64) = (62, 17);
/// An mDNS query comes later than [`MDNS_EVERY`] by up to so much, which a node draws once.
const MDNS_SPREAD: Duration = Duration::from_millis(100);
/// A node needs about so long to answer.
const MDNS_ANSWERS: Duration = Duration::from_millis(1);
/// A query, and an answer with one address, both with headers.
const MDNS: (u64, u64) = (33 + wire::UDP_IP, 246 + wire::UDP_IP);
/// The LAN settles for so long before it is watched.
const SETTLE: Duration = Duration::from_secs(1800);
/// Ping intervals of the table in the notes, in seconds.
const INTERVALS: [u64; 4] = [15, 60, 90, 120];

/// What one end of a connection sends per second when it is left alone.
fn per_peer(ping_every: Duration, identify_every: Duration) -> f64 {
    let ping = bytes(wire::message(PING) * 2 + wire::ACK);
    // Yamux measures the round trip when it is awake and ten seconds have passed: once for each ping.
    let measure = bytes(wire::message(0) * 2);
    (ping + measure) / ping_every.as_secs_f64() + bytes(IDENTIFY) / identify_every.as_secs_f64()
}

/// Comparing equal catalogs: each node asks one neighbour, and is asked once in the same time.
fn comparing() -> f64 {
    bytes(wire::message(COMPARE.0) + wire::message(COMPARE.1) + 2 * wire::ACK) / RECONCILE_EVERY.as_secs_f64()
}

/// mDNS of one node on a LAN of so many.
fn mdns(nodes: u32, latency: Duration, rng: &mut SmallRng) -> f64 {
    let late: Vec<Duration> = (0..nodes).map(|_| MDNS_SPREAD.mul_f64(rng.random())).collect();
    let first = late.iter().min().copied().unwrap_or_default();
    let heard = first + 2 * latency + MDNS_ANSWERS;
    let asking = late.iter().filter(|at| **at <= heard).count() as u64;
    let queries = bytes(asking * MDNS.0) / f64::from(nodes);
    (queries + bytes(asking * MDNS.1)) / MDNS_EVERY.as_secs_f64()
}

/// A LAN that has settled: what each node's beacons cost, mean, and how many neighbours each has.
fn settled(scenario: &Announce, seed: u64) -> (f64, Vec<f64>) {
    let mut lan = Lan::new(seed, Air { latency: scenario.latency.0, jitter: scenario.jitter.0 });
    for _ in 0..scenario.lan {
        let peer = lan.identity();
        lan.add(peer, Duration::from_secs(5));
    }
    lan.run_until(SETTLE);
    let sent = |lan: &Lan| lan.machines.iter().map(|machine| machine.beacons.1).sum::<u64>();
    let before = sent(&lan);
    lan.run_until(SETTLE + scenario.watch.0);
    let beacons = bytes(sent(&lan) - before) / f64::from(scenario.lan) / scenario.watch.0.as_secs_f64();
    (beacons, (0..lan.machines.len()).map(|place| lan.degree(place).into()).collect())
}

/// Puts the idle figures.
pub(super) fn measure(scenario: &Announce, seed: u64, figures: &mut Figures) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (beacons, degrees) = settled(scenario, seed);
    let mean = degrees.iter().sum::<f64>() / f64::from(scenario.lan);
    let most = degrees.iter().copied().fold(0.0, f64::max);
    let mdns = mdns(scenario.lan, scenario.latency.0, &mut rng);
    let rest = beacons + mdns + comparing();
    let now = per_peer(PING_INTERVAL, INTRODUCE_EVERY);
    figures.put(Figure::Idle, mean * now + rest);
    figures.put(Figure::IdleMost, most * now + rest);
    figures.put(Figure::IdlePeers, mean * now);
    figures.put(Figure::IdleDiscovery, beacons + mdns);
    figures.put(Figure::IdleCatalog, comparing());
    let row = |identify: Duration| {
        let cell = |every: &u64| {
            let idle = mean * per_peer(Duration::from_secs(*every), identify) + rest;
            format!("{idle:.0} ({every} s)")
        };
        INTERVALS.iter().map(cell).collect::<Vec<_>>().join(", ")
    };
    vec![
        format!("idle in B/s by ping interval, at {mean:.1} connections: {}", row(INTRODUCE_EVERY)),
        format!("the same with identify every five minutes: {}", row(IDENTIFY_OWN)),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn bytes(count: u64) -> f64 {
    count as f64
}
