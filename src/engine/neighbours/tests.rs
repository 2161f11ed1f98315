use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use proptest::prelude::*;

use super::{Action, Event, Goal, How, Miss, Neighbours, Standing, first, limits};

type Node = Neighbours<u32, u16>;

const START: Duration = Duration::from_secs(100);

fn node(me: u32, fixed: Vec<(Option<u32>, u16)>) -> Node {
    Neighbours::new(me, fixed, u64::from(me), START)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs until `until` and gives every dial; nothing answers.
fn dials(node: &mut Node, now: &mut Duration, until: Duration) -> Vec<(Duration, Goal<u32>)> {
    let mut dials = Vec::new();
    while let Some(at) = node.deadline().filter(|at| *at <= until) {
        *now = at.max(*now);
        for action in node.handle(Event::Tick, *now) {
            if let Action::Dial { goal, .. } = action {
                dials.push((*now, goal));
            }
        }
    }
    *now = until;
    dials
}

fn goals(actions: &[Action<u32, u16>]) -> Vec<Goal<u32>> {
    let goal = |action: &Action<u32, u16>| match action {
        Action::Dial { goal, .. } => Some(*goal),
        _ => None,
    };
    actions.iter().filter_map(goal).collect()
}

/// Two ids of which the one given first dials first.
fn two() -> (u32, u32) {
    if first(&1, &2) { (1, 2) } else { (2, 1) }
}

#[test]
fn of_two_that_find_each_other_one_dials_at_once_and_the_other_waits_its_grace() {
    let (one, other) = two();
    let (mut a, mut b) = (node(one, vec![]), node(other, vec![]));
    a.handle(Event::Found(other, 1, How::Lan), START);
    b.handle(Event::Found(one, 2, How::Lan), START);
    let mut now = START;
    let at_once = dials(&mut a, &mut now, START + limits::SPREAD_LEAST);
    assert_eq!(at_once.iter().map(|(_, goal)| *goal).collect::<Vec<_>>(), [Goal::Found(other)]);
    let mut now = START;
    // Nothing came: a firewall on the other side, perhaps.
    let later = dials(&mut b, &mut now, START + limits::GRACE + limits::SPREAD_LEAST);
    assert!(later.len() == 1 && later[0].0 >= START + limits::GRACE, "{later:?}");
}

#[test]
fn exactly_one_of_two_goes_first_and_nobody_always() {
    for a in 0..40_u32 {
        let goes = (0..40).filter(|b| a != *b && first(&a, b)).count();
        assert!((5..35).contains(&goes), "{a} goes first in {goes} of 39");
        assert!((0..40).filter(|b| a != *b).all(|b| first(&a, &b) != first(&b, &a)));
    }
}

#[test]
fn who_is_connected_already_is_not_dialled() {
    let mut a = node(1, vec![]);
    a.handle(Event::Found(2, 1, How::Lan), START);
    a.handle(Event::Connected(2, None), START);
    assert_eq!(dials(&mut a, &mut START.clone(), START + secs(1000)), []);
    // A dial that fails although the connection came from the other side changes nothing.
    a.handle(Event::Failed(Goal::Found(2), Miss::Unreachable), START + secs(1000));
    assert_eq!(dials(&mut a, &mut (START + secs(1000)), START + secs(2000)), []);
    // And one that is found after it has connected is not dialled either.
    a.handle(Event::Connected(3, None), START + secs(2000));
    a.handle(Event::Found(3, 1, How::Lan), START + secs(2000));
    assert_eq!(dials(&mut a, &mut (START + secs(2000)), START + secs(3000)), []);
}

#[test]
fn a_static_peer_is_dialled_for_ever_and_ever_more_slowly() {
    let mut a = node(1, vec![(None, 1)]);
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..100 {
        let goals = goals(&a.handle(Event::Tick, now));
        assert_eq!(goals, [Goal::Static(0)]);
        a.handle(Event::Failed(goals[0], Miss::Unreachable), now);
        let next = a.deadline().unwrap();
        waits.push(next - now);
        now = next;
    }
    assert!(waits[0] <= limits::REDIAL_FIRST && waits[0] >= limits::REDIAL_FIRST / 2);
    assert!(waits[10..].iter().all(|wait| (limits::REDIAL_LONGEST / 2..=limits::REDIAL_LONGEST).contains(wait)));
}

#[test]
fn a_static_peer_is_dialled_however_many_neighbours_there_are() {
    let mut a = node(1, vec![(None, 1)]);
    let dialled = goals(&a.handle(Event::Tick, START));
    assert_eq!(dialled, [Goal::Static(0)]);
    (100..200).for_each(|peer| drop(a.handle(Event::Connected(peer, None), START)));
    a.handle(Event::Failed(Goal::Static(0), Miss::Unreachable), START);
    assert_eq!(goals(&a.handle(Event::Tick, START + secs(20))), [Goal::Static(0)]);
}

#[test]
fn the_back_off_is_reset_by_a_lasting_connection_only() {
    let mut a = node(1, vec![(None, 1)]);
    let mut now = START;
    let mut flap = |lasts: Duration| {
        let goal = goals(&a.handle(Event::Tick, now))[0];
        a.handle(Event::Connected(2, Some(goal)), now);
        now += lasts;
        a.handle(Event::Disconnected(2), now);
        let standing = a.known()[0].standing;
        let Standing::Wait(next) = standing else { panic!("{standing:?}") };
        let wait = next - now;
        now = next;
        wait
    };
    let waits: Vec<Duration> = (0..4).map(|_| flap(Duration::ZERO)).collect();
    assert!(waits[3] > waits[0] * 2, "{waits:?}");
    assert!(flap(limits::STABLE) <= limits::REDIAL_FIRST);
}

#[test]
fn nobody_dials_itself_or_a_copy_of_itself_in_a_loop() {
    let mut a = node(1, vec![(Some(1), 1), (None, 2), (None, 3)]);
    assert_eq!(goals(&a.handle(Event::Found(1, 1, How::Lan), START)), [Goal::Static(1), Goal::Static(2)]);
    a.handle(Event::Failed(Goal::Static(1), Miss::Ourselves), START);
    a.handle(Event::Failed(Goal::Static(2), Miss::Clone), START);
    assert_eq!(a.deadline(), Some(START + limits::REDIAL_CLONE));
}

#[test]
fn invented_peers_take_bounded_memory_and_make_room_for_real_ones() {
    let mut a = node(0, vec![]);
    let mut now = START;
    for peer in 1..=u32::try_from(limits::MAX_FOUND).unwrap() + 10 {
        (0..20).for_each(|port| drop(a.handle(Event::Found(peer, port, How::Hearsay), now)));
    }
    assert_eq!(a.known().len(), limits::MAX_FOUND);
    assert!(a.known().iter().all(|known| known.addresses.len() <= limits::MAX_ADDRESSES));
    let mut under_way = BTreeSet::new();
    for (_, goal) in dials(&mut a, &mut now, START + secs(60)) {
        under_way.insert(goal);
    }
    assert!(under_way.len() <= limits::DIALS_AT_ONCE + 1, "{under_way:?}");
    for goal in under_way {
        a.handle(Event::Failed(goal, Miss::Unreachable), now);
    }
    a.handle(Event::Found(9_999_999, 1, How::Lan), now);
    assert!(a.known().iter().any(|known| known.peer == Some(9_999_999)));
    assert_eq!(a.known().len(), limits::MAX_FOUND);
}

#[test]
fn no_more_are_dialled_than_wanted_and_one_that_leaves_is_replaced() {
    let mut a = node(0, vec![]);
    let mut now = START;
    (1..=100).for_each(|peer| drop(a.handle(Event::Found(peer, 1, How::Lan), now)));
    let mut up = Vec::new();
    let run = |a: &mut Node, now: &mut Duration, up: &mut Vec<u32>, event: Event<u32, u16>| {
        let end = *now + secs(60);
        let mut actions = a.handle(event, *now);
        while let Some(at) = a.deadline().filter(|at| *at <= end || !actions.is_empty()) {
            *now = at.min(end);
            actions.extend(a.handle(Event::Tick, *now));
            while let Some(action) = actions.pop() {
                if let Action::Dial { goal: Goal::Found(peer), .. } = action {
                    up.push(peer);
                    actions.extend(a.handle(Event::Connected(peer, Some(Goal::Found(peer))), *now));
                }
            }
        }
        *now = end;
    };
    run(&mut a, &mut now, &mut up, Event::Tick);
    assert_eq!(up.len(), limits::TARGET);
    let gone = up[3];
    run(&mut a, &mut now, &mut up, Event::Disconnected(gone));
    assert_eq!((up.len(), a.degree()), (limits::TARGET + 1, limits::TARGET));
}

#[test]
fn a_node_picks_some_itself_whoever_dials_in() {
    let mut a = node(0, vec![]);
    (1000..1009).for_each(|peer| drop(a.handle(Event::Connected(peer, None), START)));
    (1..=100).for_each(|peer| drop(a.handle(Event::Found(peer, 1, How::Lan), START)));
    let picked = dials(&mut a, &mut START.clone(), START + secs(60));
    assert_eq!(picked.len(), limits::OWN_LEAST);
}

#[test]
fn a_banned_peer_and_one_no_longer_announced_are_not_dialled_again() {
    let mut a = node(1, vec![(Some(2), 9)]);
    a.handle(Event::Found(2, 1, How::Lan), START);
    a.handle(Event::Found(3, 2, How::Lan), START);
    a.handle(Event::Banned(2), START);
    a.handle(Event::Lost(3, 2), START);
    a.handle(Event::Found(2, 5, How::Lan), START);
    a.handle(Event::Failed(Goal::Static(0), Miss::Unreachable), START);
    assert_eq!(dials(&mut a, &mut START.clone(), START + secs(1000)), []);
}

#[test]
fn remembered_peers_are_dialled_when_nothing_else_is_found() {
    let mut a = node(1, vec![]);
    (10..14).for_each(|peer| drop(a.handle(Event::Found(peer, 1, How::Remembered), START)));
    let remembered = dials(&mut a, &mut START.clone(), START + secs(10));
    assert_eq!(remembered.len(), limits::DIALS_AT_ONCE);
    assert!(remembered.iter().all(|(at, _)| *at >= START + limits::REMEMBERED_AFTER));
    let mut b = node(1, vec![]);
    (10..14).for_each(|peer| drop(b.handle(Event::Found(peer, 1, How::Remembered), START)));
    (20..24).for_each(|peer| drop(b.handle(Event::Found(peer, 1, How::Lan), START)));
    let picked = dials(&mut b, &mut START.clone(), START + secs(10));
    assert!(picked.iter().all(|(_, goal)| matches!(goal, Goal::Found(20..24))), "{picked:?}");
}

#[test]
fn hearsay_that_leads_nowhere_is_dropped_and_what_is_announced_is_kept() {
    let mut a = node(1, vec![]);
    a.handle(Event::Found(2, 1, How::Hearsay), START);
    a.handle(Event::Found(3, 1, How::Lan), START);
    let mut now = START;
    for _ in 0..20 {
        let until = now + limits::REDIAL_FOUND;
        for (_, goal) in dials(&mut a, &mut now, until) {
            a.handle(Event::Failed(goal, Miss::Unreachable), now);
        }
    }
    assert_eq!(a.known().iter().map(|known| known.peer).collect::<Vec<_>>(), [Some(3)]);
    let tries = a.known()[0].failures;
    assert!(tries > limits::GIVE_UP, "{tries}");
    // Back at the network: it is tried at once.
    a.handle(Event::NetworkChanged, now);
    let until = now + limits::SPREAD_MOST * 2;
    assert_eq!(dials(&mut a, &mut now, until).len(), 1);
}

#[test]
fn neighbours_are_asked_for_members_ever_more_rarely_and_not_when_there_are_enough() {
    let mut a = node(1, vec![]);
    let ask = |action: &Action<u32, u16>| matches!(action, Action::Ask(2));
    let mut asked = Vec::new();
    a.handle(Event::Connected(2, None), START);
    while let Some(at) = a.deadline().filter(|at| *at < START + secs(7200)) {
        asked.extend(a.handle(Event::Tick, at).iter().filter(|action| ask(action)).map(|_| at));
    }
    assert!((8..25).contains(&asked.len()), "{asked:?}");
    let last = asked.windows(2).last().unwrap();
    assert!(last[1] - last[0] > limits::ASK_LONGEST / 2);
    (10..20).for_each(|peer| drop(a.handle(Event::Connected(peer, None), START + secs(7200))));
    assert_eq!(a.deadline(), None);
}

#[test]
fn surplus_neighbours_are_let_go_when_idle_and_who_comes_back_is_kept() {
    let mut a = node(0, vec![(Some(1), 1)]);
    let count = u32::try_from(limits::HIGH).unwrap() + 4;
    a.handle(Event::Connected(1, Some(Goal::Static(0))), START);
    (2..2 + count).for_each(|peer| drop(a.handle(Event::Connected(peer, None), START)));
    let mut now = START;
    let mut closed = Vec::new();
    while now < START + secs(400) {
        now += secs(1);
        // Two of them are busy all the time.
        let mut actions = a.handle(Event::Used(2), now);
        actions.extend(a.handle(Event::Used(3), now));
        for action in actions {
            if let Action::Close(peer) = action {
                assert!(now >= START + limits::TRIM_AFTER);
                closed.push(peer);
                a.handle(Event::Disconnected(peer), now);
            }
        }
    }
    assert_eq!((closed.len(), a.degree()), (4, limits::HIGH));
    assert!(closed.iter().all(|peer| *peer > 3), "the static one and the busy ones stay: {closed:?}");
    // All four come back: they need this node. Others go in their place, once, and then nothing moves.
    closed.iter().for_each(|peer| drop(a.handle(Event::Connected(*peer, None), now)));
    let (mut moves, kept) = (0, closed);
    for _ in 0..4000 {
        now += secs(1);
        for action in a.handle(Event::Tick, now) {
            if let Action::Close(peer) = action {
                assert!(!kept.contains(&peer));
                moves += 1;
                a.handle(Event::Disconnected(peer), now);
                a.handle(Event::Connected(peer, None), now);
            }
        }
    }
    assert_eq!(moves, usize::try_from(count).unwrap() - 4, "each is let go once at most");
}

proptest! {
    /// Whatever happens in whatever order: the deadline is in the future, the counts hold, and every dial has an address.
    #[test]
    fn the_bounds_hold_whatever_happens(events in prop::collection::vec((0..9_u8, 0..60_u32, 0..4_u16), 0..400)) {
        let mut a = Node::new(5, vec![(None, 1), (Some(7), 2)], 1, START);
        let mut now = START;
        let mut up = BTreeSet::new();
        for (kind, peer, port) in events {
            now += Duration::from_millis(u64::from(port) * 700);
            let event = match kind {
                0 => Event::Found(peer, port, How::Lan),
                1 => Event::Found(peer, port, How::Hearsay),
                2 => Event::Lost(peer, port),
                3 => { up.insert(peer); Event::Connected(peer, Some(Goal::Found(peer))) }
                4 => { up.insert(peer); Event::Connected(peer, (port < 2).then_some(Goal::Static(usize::from(port)))) }
                5 => { up.remove(&peer); Event::Disconnected(peer) }
                6 => Event::Failed(Goal::Found(peer), Miss::Unreachable),
                7 => Event::Used(peer),
                _ => if port == 0 { Event::Banned(peer) } else { Event::Tick },
            };
            for action in a.handle(event, now) {
                match action {
                    Action::Dial { goal, addresses, peer } => {
                        prop_assert!(!addresses.is_empty() && peer != Some(5));
                        prop_assert!(!matches!(goal, Goal::Found(peer) if up.contains(&peer)));
                    }
                    Action::Close(peer) | Action::Ask(peer) => prop_assert!(up.contains(&peer)),
                }
            }
            prop_assert!(a.deadline().is_none_or(|at| at > now), "{:?} at {now:?}", a.deadline());
            prop_assert!(a.trying.len() <= limits::DIALS_AT_ONCE);
            let trying = a.known().iter().filter(|k| k.how.is_some() && k.standing == Standing::Trying).count();
            prop_assert_eq!(trying, a.trying.len());
        }
    }
}

/// Many nodes, of which each can reach each, with 5 to 20 ms for a handshake.
struct Network {
    nodes: Vec<Node>,
    post: BinaryHeap<Reverse<(Duration, u64, u32)>>,
    events: BTreeMap<u64, Event<u32, u16>>,
    links: BTreeSet<(u32, u32)>,
    number: u64,
    dials: usize,
    closes: usize,
}

impl Network {
    fn send(&mut self, at: Duration, to: u32, event: Event<u32, u16>) {
        self.number += 1;
        self.post.push(Reverse((at, self.number, to)));
        self.events.insert(self.number, event);
    }

    /// The next thing that happens: a message, or a deadline.
    fn step(&mut self, ticks: &mut BinaryHeap<Reverse<(Duration, u32)>>) -> Option<Duration> {
        let tick = ticks.peek().map(|Reverse((at, _))| *at);
        let post = self.post.peek().map(|Reverse((at, ..))| *at);
        let (now, to, event) = match (tick, post) {
            (Some(tick), post) if post.is_none_or(|post| tick < post) => {
                let Reverse((_, to)) = ticks.pop()?;
                (tick, to, Event::Tick)
            }
            (_, Some(post)) => {
                let Reverse((_, number, to)) = self.post.pop()?;
                (post, to, self.events.remove(&number)?)
            }
            _ => return None,
        };
        let actions = self.nodes[to as usize].handle(event, now);
        for action in actions {
            self.act(to, &action, now);
        }
        if let Some(at) = self.nodes[to as usize].deadline() {
            ticks.push(Reverse((at.max(now + Duration::from_micros(1)), to)));
        }
        Some(now)
    }

    fn act(&mut self, me: u32, action: &Action<u32, u16>, now: Duration) {
        match *action {
            Action::Dial { goal: Goal::Found(peer), .. } => {
                self.dials += 1;
                let there = now + Duration::from_millis(5 + (self.number * 7) % 15);
                let known = !self.links.insert((me.min(peer), me.max(peer)));
                self.send(there, me, Event::Connected(peer, Some(Goal::Found(peer))));
                if !known {
                    self.send(there, peer, Event::Connected(me, None));
                }
            }
            Action::Close(peer) => {
                self.closes += 1;
                self.links.remove(&(me.min(peer), me.max(peer)));
                self.send(now, me, Event::Disconnected(peer));
                self.send(now, peer, Event::Disconnected(me));
            }
            Action::Dial { .. } | Action::Ask(_) => {}
        }
    }

    fn reached(&self) -> usize {
        let mut of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (a, b) in &self.links {
            of.entry(*a).or_default().push(*b);
            of.entry(*b).or_default().push(*a);
        }
        let (mut seen, mut open) = (BTreeSet::from([0]), vec![0]);
        while let Some(at) = open.pop() {
            open.extend(of.get(&at).into_iter().flatten().filter(|next| seen.insert(**next)));
        }
        seen.len()
    }
}

#[test]
fn three_hundred_that_find_each_other_at_once_make_one_random_graph() {
    const NODES: u32 = 300;
    let mut net = Network {
        nodes: (0..NODES).map(|me| Node::new(me, vec![], u64::from(me) + 77, Duration::ZERO)).collect(),
        post: BinaryHeap::new(),
        events: BTreeMap::new(),
        links: BTreeSet::new(),
        number: 0,
        dials: 0,
        closes: 0,
    };
    for me in 0..NODES {
        for other in (0..NODES).filter(|other| *other != me) {
            // All are switched on within a second and heard within another.
            let at = Duration::from_millis(u64::from(me * 7919 + other * 104_729) % 2000);
            net.send(at, me, Event::Found(other, 1, How::Lan));
        }
    }
    let mut ticks = BinaryHeap::new();
    let degrees = |net: &Network| net.nodes.iter().map(Node::degree).collect::<Vec<_>>();
    let mut settled = None;
    while let Some(now) = net.step(&mut ticks) {
        if settled.is_none() && now > secs(3) && net.nodes.iter().all(|node| !node.seeking()) {
            settled = Some(now);
        }
        if now > secs(1800) {
            break;
        }
    }
    let all = degrees(&net);
    let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
    let mean = all.iter().sum::<usize>() as f64 / all.len() as f64;
    let story = format!(
        "degree {least} to {most}, mean {mean:.1}; {} dials, {} let go, settled at {settled:?}",
        net.dials, net.closes
    );
    assert_eq!(net.reached(), all.len(), "{story}");
    assert!(least >= limits::TARGET && most <= limits::HIGH, "{story}");
    assert!(net.dials <= all.len() * 8, "{story}");
    assert!(settled.is_some_and(|at| at < secs(60)), "{story}");
    println!("{story}");
}
