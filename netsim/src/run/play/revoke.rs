//! Members are revoked: the site's orders go round, and whoever knows them cuts the revoked off.
//!
//! Certificates and orders are signed and checked by `domain::membership`. Orders go round like announcements (see
//! [`announce`](super::announce)): to all neighbours at first, then over the mesh of six.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use modswarm::domain::membership::{Certificate, Member, Orders, Roles};
use modswarm::domain::note::{Signer, Verifier};
use rand::Rng as _;
use rand::seq::IteratorRandom as _;

use super::announce::{graft, settings};
use super::{ascending, ratio, wire};
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::Revoke;
use crate::world::{Input, Line, Machine, NodeId, Output, Outputs, World, topology};

/// When the orders are given: the links are up by then.
const BEGIN: Duration = Duration::from_secs(1);
/// When the revoked dial everybody again.
const AGAIN: Duration = Duration::from_secs(30);
/// When it ends.
const END: Duration = Duration::from_secs(60);
/// Checking a signature and storing the orders, which is a sync of a disk.
const CHECK: Duration = Duration::from_millis(20);
/// The time at which all this happens, in seconds since 1970; certificates are valid for a day.
const TODAY: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

/// One member.
struct Node {
    site: Verifier,
    /// What each neighbour's certificate says, as it was shown when the connection was made.
    members: Rc<Vec<Member>>,
    neighbours: BTreeSet<NodeId>,
    mesh: BTreeSet<NodeId>,
    orders: Orders,
    encoded: Rc<[u8]>,
    /// When, and from whom not back to, the orders are handed on.
    hand_on: Option<(Duration, NodeId)>,
    /// Hands nothing on.
    revoked: bool,
    /// When it knew.
    told: Option<Duration>,
    /// Whom it wants to be rid of.
    cut: Vec<NodeId>,
}

impl Node {
    fn adopt(&mut self, encoded: &Rc<[u8]>, now: Duration) -> bool {
        let Ok(orders) = Orders::open(encoded, &self.site) else { return false };
        if orders.serial <= self.orders.serial {
            return false;
        }
        self.orders = orders;
        self.encoded = Rc::clone(encoded);
        self.told = Some(now);
        let neighbours = std::mem::take(&mut self.neighbours);
        neighbours.iter().for_each(|peer| self.judge(*peer));
        self.neighbours = neighbours;
        true
    }

    fn judge(&mut self, peer: NodeId) {
        let member = &self.members[peer.0 as usize];
        if member.is_valid(TODAY).is_err() || self.orders.revoke(member).is_some() {
            self.cut.push(peer);
        }
    }

    fn say(&self, to: NodeId) -> Output<Rc<[u8]>, u8> {
        Output::Send { to, bytes: wire::gossip(self.encoded.len() as u64), message: Rc::clone(&self.encoded) }
    }
}

impl Machine for Node {
    type Message = Rc<[u8]>;
    type Bulk = u8;

    fn handle(&mut self, input: Input<Rc<[u8]>, u8>, now: Duration) -> Outputs<Self> {
        match input {
            Input::PeerUp(peer) => {
                self.neighbours.insert(peer);
                if !self.revoked {
                    self.judge(peer);
                }
            }
            Input::PeerDown(peer) => {
                self.neighbours.remove(&peer);
            }
            Input::Message(from, orders) if !self.revoked && self.adopt(&orders, now + CHECK) => {
                self.hand_on = Some((now + CHECK, from));
            }
            Input::Tick => {
                if let Some((_, from)) = self.hand_on.take() {
                    let to = self.mesh.intersection(&self.neighbours).copied().filter(|to| *to != from);
                    return to.map(|to| self.say(to)).collect();
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn deadline(&self) -> Option<Duration> {
        self.hand_on.map(|(at, _)| at)
    }

    fn serves(&self, _: u8) -> Option<u64> {
        None
    }
}

fn peer_id(node: u32) -> Vec<u8> {
    [&[0, 0x24, 8, 1, 0x12, 0x20][..], blake3::hash(&node.to_le_bytes()).as_bytes()].concat()
}

/// Lets time pass; whoever wants to be rid of a neighbour cuts the connection. Returns how many were cut, and when the last one was.
fn run(world: &mut World<Node>, until: Duration) -> (usize, Option<Duration>) {
    let (mut count, mut last) = (0, None);
    loop {
        let calm =
            |world: &World<Node>| world.nodes().filter_map(|node| world.machine(node)).all(|node| node.cut.is_empty());
        let over = world.run_while(until, calm);
        let cuts: Vec<(NodeId, NodeId)> = world
            .nodes()
            .filter_map(|node| world.machine(node).map(|machine| (node, machine)))
            .flat_map(|(node, machine)| machine.cut.iter().map(move |peer| (node, *peer)))
            .collect();
        for (node, peer) in &cuts {
            world.cut(*node, *peer);
            world.at(world.now(), *node, |machine, _| {
                machine.cut.clear();
                Vec::new()
            });
        }
        count += cuts.len();
        if over && cuts.is_empty() {
            return (count, last);
        }
        last = Some(world.now());
        // The clearing above happens now.
        world.run_until(world.now());
    }
}

/// Plays it.
///
/// # Errors
/// The site's key cannot sign.
pub(super) fn play(scenario: &Revoke, seed: u64) -> Result<Played, String> {
    let mut world: World<Node> = World::new(seed, settings(scenario.latency.0, scenario.jitter.0));
    let mut rng = world.rng();
    let site = Signer::from_secret("site.example", rng.random()).map_err(|err| err.to_string())?;
    let verifier = site.verifier().clone();
    let member = |node: u32| {
        let certificate = Certificate::sign(&site, &peer_id(node), Roles::MEMBER, TODAY, TODAY + DAY);
        Certificate::open(&certificate, &verifier).map(|certificate| certificate.member().clone())
    };
    let members: Result<Vec<Member>, _> = (0..scenario.nodes).map(member).collect();
    let members = Rc::new(members.map_err(|err| err.to_string())?);
    let nodes: Vec<NodeId> = (0..scenario.nodes).map(NodeId).collect();
    let revoked: BTreeSet<NodeId> =
        nodes[1..].iter().copied().choose_multiple(&mut rng, scenario.revoked as usize).into_iter().collect();
    let links = topology::dialled(&nodes, (scenario.neighbours / 2).max(1) as usize, &mut rng);
    for (node, mesh) in nodes.iter().zip(graft(&links, nodes.len(), &mut rng)) {
        let node = Node {
            site: verifier.clone(),
            members: Rc::clone(&members),
            neighbours: BTreeSet::new(),
            mesh,
            orders: Orders::default(),
            encoded: Rc::from([]),
            hand_on: None,
            revoked: revoked.contains(node),
            told: None,
            cut: Vec::new(),
        };
        world.add(node, Line::even(scenario.rate.0));
    }
    links.iter().for_each(|(a, b)| world.connect(*a, *b, scenario.latency.0));
    let peers = revoked.iter().map(|node| peer_id(node.0)).collect();
    let orders = Orders { serial: 1, peers, ..Orders::default() }.sign(&site).map_err(|err| err.to_string())?;
    let orders: Rc<[u8]> = orders.into();
    world.at(BEGIN, NodeId(0), move |machine, now| {
        machine.adopt(&orders, now);
        machine.neighbours.iter().map(|to| machine.say(*to)).collect()
    });
    let (cut, last) = run(&mut world, AGAIN);
    let mut dialled: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (a, b) in links.iter().filter(|(a, b)| revoked.contains(a) != revoked.contains(b)) {
        world.connect(*a, *b, scenario.latency.0);
        *dialled.entry(if revoked.contains(a) { *a } else { *b }).or_default() += 1;
    }
    let (again, _) = run(&mut world, END);
    Ok(result(&world, &revoked, (cut, last), (again, dialled.values().sum())))
}

fn result(
    world: &World<Node>,
    revoked: &BTreeSet<NodeId>,
    (cut, last): (usize, Option<Duration>),
    (again, dialled): (usize, usize),
) -> Played {
    let honest = world.nodes().filter(|node| !revoked.contains(node)).count();
    let since = |at: Duration| at.saturating_sub(BEGIN);
    let told = ascending(world.nodes().filter_map(|node| world.machine(node)?.told).map(since));
    let mut figures = Figures::default();
    figures.put(Figure::Told, ratio(told.len() as u64, honest as u64));
    // A connection that should have been cut and was not has no time, and no time breaks the limit.
    if let Some(last) = last.filter(|_| cut == dialled && again == dialled) {
        figures.put(Figure::CutOff, since(last).as_secs_f64());
    }
    let notes =
        vec![format!("{cut} connections were cut, and {again} of {dialled} again when the revoked dialled again")];
    Played { figures, completions: told, counted: honest, bound: None, notes }
}
