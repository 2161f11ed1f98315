//! The world keeps its own rules.

use std::time::Duration;

use super::*;

const MB: u64 = 1_000_000;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A machine that notes what it hears, answers nothing, and holds `bulk` of everything but number 404.
#[derive(Default)]
struct Ear {
    heard: Vec<(Duration, Input<u32, u64>)>,
    bulk: u64,
    alarm: Option<Duration>,
}

impl Machine for Ear {
    type Message = u32;
    type Bulk = u64;

    fn handle(&mut self, input: Input<u32, u64>, now: Duration) -> Vec<Output<u32, u64>> {
        if input == Input::Tick {
            self.alarm = None;
        }
        if !matches!(input, Input::Moved { .. }) {
            self.heard.push((now, input));
        }
        Vec::new()
    }

    fn deadline(&self) -> Option<Duration> {
        self.alarm
    }

    fn serves(&self, bulk: u64) -> Option<u64> {
        (bulk != 404).then_some(self.bulk)
    }
}

/// So many ears with even lines of 1 MB/s, all linked with 1 ms, without jitter; what they hear first is over.
fn ears(count: usize) -> (World<Ear>, Vec<NodeId>) {
    let settings = Settings { jitter: 0.0, latency_jitter: 0.0, ..Settings::default() };
    let mut world = World::new(7, settings);
    let nodes: Vec<NodeId> =
        (0..count).map(|_| world.add(Ear { bulk: MB, ..Ear::default() }, Line::even(MB))).collect();
    for (a, b) in topology::mesh(&nodes) {
        world.connect(a, b, ms(1));
    }
    world.run_until(ms(2));
    (world, nodes)
}

fn heard(world: &World<Ear>, node: NodeId) -> Vec<(u64, Input<u32, u64>)> {
    let heard = &world.machine(node).unwrap().heard;
    heard.iter().map(|(at, input)| (u64::try_from(at.as_millis()).unwrap(), input.clone())).collect()
}

#[test]
fn messages_take_their_latency_and_their_bytes_and_stay_in_order() {
    let (mut world, nodes) = ears(2);
    let to = nodes[1];
    world.at(ms(10), nodes[0], move |_, _| {
        let say = |bytes, message| Output::Send { to, bytes, message };
        vec![say(5_000, 1), say(1, 2)]
    });
    world.run_until(ms(100));
    let expected =
        vec![(1, Input::PeerUp(nodes[0])), (16, Input::Message(nodes[0], 1)), (16, Input::Message(nodes[0], 2))];
    assert_eq!(heard(&world, to), expected);
    assert_eq!(world.stats(to).message_bytes_received, 5_001);
}

#[test]
fn an_uplink_serves_in_order_and_a_downlink_is_shared() {
    let (mut world, nodes) = ears(3);
    for to in [1, 2] {
        let from = nodes[0];
        world.at(ms(10), nodes[to], move |_, _| vec![Output::Fetch { from, bulk: 1 }]);
    }
    world.run_until(ms(5_000));
    let landed = |node| heard(&world, node).iter().find(|(_, input)| matches!(input, Input::Landed { .. })).unwrap().0;
    assert!((1_010..1_030).contains(&landed(nodes[1])), "the first alone");
    assert!((2_010..2_030).contains(&landed(nodes[2])), "then the second");

    let (mut world, nodes) = ears(3);
    let both = [nodes[1], nodes[2]];
    world.at(ms(10), nodes[0], move |_, _| both.map(|from| Output::Fetch { from, bulk: 1 }).into());
    world.run_until(ms(5_000));
    let at: Vec<u64> = heard(&world, nodes[0])
        .iter()
        .filter_map(|(at, input)| matches!(input, Input::Landed { .. }).then_some(*at))
        .collect();
    assert!(at.len() == 2 && at[0] > 1_800 && at[1] < 2_100, "{at:?}");
    assert_eq!(world.stats(nodes[0]).bulk_received, 2 * MB);
}

#[test]
fn a_receiver_that_cannot_keep_up_does_not_hold_up_the_next() {
    let (mut world, nodes) = ears(3);
    world.set_line(nodes[1], Line { up: MB, down: MB / 100 });
    for to in [1, 2] {
        let from = nodes[0];
        world.at(ms(10), nodes[to], move |_, _| vec![Output::Fetch { from, bulk: 1 }]);
    }
    world.run_until(ms(2_000));
    assert!(heard(&world, nodes[2]).iter().any(|(at, input)| matches!(input, Input::Landed { .. }) && *at < 1_600));
}

#[test]
fn a_fetch_ends_in_one_way() {
    let (mut world, nodes) = ears(4);
    world.corrupt(nodes[1], true);
    let from = [nodes[1], nodes[2], nodes[3], nodes[3]];
    world.at(ms(10), nodes[0], move |_, _| {
        let bulk = [1, 404, 3, 4];
        from.iter().zip(bulk).map(|(&from, bulk)| Output::Fetch { from, bulk }).collect()
    });
    let cancelled = nodes[3];
    world.at(ms(20), nodes[0], move |_, _| vec![Output::Cancel { from: cancelled, bulk: 4 }]);
    world.run_until(ms(30));
    world.crash(nodes[3]);
    world.run_until(ms(3_000));
    let ends: Vec<(u64, Failure)> = heard(&world, nodes[0])
        .into_iter()
        .filter_map(|(_, input)| match input {
            Input::Failed { bulk, failure, .. } => Some((bulk, failure)),
            Input::Landed { .. } => panic!("nothing lands here"),
            _ => None,
        })
        .collect();
    assert_eq!(ends, vec![(404, Failure::Missing), (3, Failure::Broken), (1, Failure::Forged)]);
}

#[test]
fn a_crash_is_noticed_at_once_a_lost_power_line_later_and_a_restart_brings_the_links_back() {
    let (mut world, nodes) = ears(3);
    world.crash(nodes[1]);
    world.vanish(nodes[2]);
    world.run_until(Duration::from_secs(20));
    assert!(world.machine(nodes[1]).is_none());
    world.restart(nodes[1], Ear::default());
    world.run_until(Duration::from_secs(21));
    let (a, b) = (nodes[1], nodes[2]);
    let changes = heard(&world, nodes[0]).split_off(2);
    assert_eq!(changes, vec![(3, Input::PeerDown(a)), (15_002, Input::PeerDown(b)), (20_001, Input::PeerUp(a)),]);
    assert_eq!(heard(&world, a), vec![(20_001, Input::PeerUp(nodes[0]))], "a new life knows nothing of the old one");
}

#[test]
fn what_is_on_a_link_that_is_cut_is_lost_and_a_part_is_joined_again() {
    let (mut world, nodes) = ears(3);
    let to = nodes[1];
    world.at(ms(10), nodes[0], move |_, _| vec![Output::Send { to, bytes: 1, message: 1 }]);
    world.run_until(ms(10));
    world.part(&nodes[..1]);
    world.run_until(ms(20));
    world.join(&nodes[..1]);
    world.run_until(ms(30));
    let seen = heard(&world, to).split_off(2);
    assert_eq!(seen, vec![(11, Input::PeerDown(nodes[0])), (21, Input::PeerUp(nodes[0]))]);
}

#[test]
fn a_deadline_is_kept_by_the_nodes_own_clock() {
    for (ahead, faster) in [(0, 0), (5_000, 0), (0, 500_000), (3_000, -100_000)] {
        let mut world = World::new(1, Settings::default());
        let alarm = Some(ms(9_000));
        let node = world.add(Ear::default(), Line::even(MB));
        world.skew(node, ms(ahead), faster);
        world.at(ms(0), node, move |machine, _| {
            machine.alarm = alarm;
            Vec::new()
        });
        world.run_until(Duration::from_secs(60));
        let heard = heard(&world, node);
        assert_eq!(heard, vec![(9_000, Input::Tick)], "{ahead} {faster}");
        assert_eq!(world.stats(node).ticks, 1);
    }
}

#[test]
fn topologies_are_what_they_are_called() {
    let (mut world, nodes) = ears(30);
    let mut rng = world.rng();
    assert_eq!(topology::mesh(&nodes).len(), 30 * 29 / 2);
    assert_eq!(topology::star(&nodes).len(), 29);
    let links = topology::dialled(&nodes, 6, &mut rng);
    assert!((120..=180).contains(&links.len()), "about 12 per node: {}", links.len());
    let (inside, between) = topology::offices(&[nodes[..10].to_vec(), nodes[10..].to_vec()], 4, &mut rng);
    assert_eq!(between, vec![(nodes[0], nodes[10])]);
    assert!(inside.iter().all(|(a, b)| (a.0 < 10) == (b.0 < 10)));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed, Settings::default());
        let nodes: Vec<NodeId> =
            (0..10).map(|_| world.add(Ear { bulk: MB, ..Ear::default() }, Line::even(MB))).collect();
        for (a, b) in topology::dialled(&nodes, 3, &mut world.rng()) {
            world.connect(a, b, ms(1));
            world.at(ms(5), a, move |_, _| vec![Output::Fetch { from: b, bulk: 1 }]);
        }
        world.run_until(Duration::from_secs(60));
        nodes.iter().map(|&node| world.machine(node).unwrap().heard.clone()).collect::<Vec<_>>()
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}
