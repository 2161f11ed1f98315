//! Crowds in which something goes wrong.

use super::*;

fn crowd(receivers: usize, slices: u32) -> Crowd {
    Crowd { receivers, slices, ..Crowd::default() }
}

/// Time as a share of the bound, after the crowd has come.
fn at(crowd: &Crowd, share: f64) -> Duration {
    Duration::from_secs_f64(1.0 + crowd.bound() * share)
}

#[test]
fn a_crowd_comes_near_the_bound_and_takes_little_more_than_one_copy_from_the_seed() {
    let figures = crowd(20, 20).run(1);
    assert!(figures.share >= 0.80, "{figures:?}");
    assert!(figures.egress <= 1.5, "{figures:?}");
    assert_eq!(figures.stuck, 0, "{figures:?}");
    assert!(figures.messages < 0.01 * 20.0 * f64::from(1 << 20), "{figures:?}");
}

#[test]
fn one_alone_gets_the_whole_line() {
    let pair = Crowd { dials: 1, ..crowd(1, 20) };
    let figures = pair.run(1);
    assert!(figures.share > 0.9, "{figures:?}");
    assert!((figures.egress - 1.0).abs() < 1e-9, "{figures:?}");
}

#[test]
fn an_item_of_two_slices_reaches_all() {
    let figures = crowd(20, 2).run(1);
    assert!(figures.share > 0.6 && figures.stuck == 0, "{figures:?}");
}

#[test]
fn the_seed_may_go_when_each_slice_was_sent_once() {
    let crowd = crowd(20, 20);
    let (mut world, nodes) = crowd.world(1);
    let all = crowd.load().bytes();
    world.run_while(at(&crowd, 3.0), |world| world.stats(nodes[0]).bulk_sent < all);
    // The last one is on its way still.
    let gone = world.now() + Duration::from_millis(200);
    world.run_until(gone);
    world.crash(nodes[0]);
    let figures = crowd.finish(&mut world, &nodes, 5.0);
    assert!(figures.share > 0.6, "{figures:?}");
}

#[test]
fn liars_and_broken_nodes_do_not_stop_the_honest() {
    let conducts = vec![Conduct::Boaster, Conduct::Drain, Conduct::Idler];
    let crowd = Crowd { conducts, ..crowd(20, 20) };
    let (mut world, nodes) = crowd.world(2);
    // One that sends nothing, one whose disk is broken.
    world.stall(nodes[4], true);
    world.corrupt(nodes[5], true);
    let figures = crowd.finish(&mut world, &nodes, 10.0);
    assert!(figures.share > 0.2, "{figures:?}");
    for node in crowd.honest(&nodes) {
        let blamed = &world.machine(node).unwrap().blamed;
        assert!(blamed.iter().all(|(whom, _)| (1..=3).contains(&whom.0)), "the honest are not blamed: {blamed:?}");
    }
}

#[test]
fn slow_nodes_do_not_slow_the_others() {
    let crowd = crowd(20, 20);
    let (mut world, nodes) = crowd.world(1);
    for &node in &nodes[1..5] {
        world.set_line(node, Line::even(crowd.line.up / 10));
    }
    let fast = &nodes[5..];
    world.run_while(at(&crowd, 5.0), |world| !fast.iter().all(|&node| world.stats(node).done.is_some()));
    let last = fast.iter().filter_map(|&node| world.stats(node).done).max().unwrap();
    assert!(last < at(&crowd, 2.5), "{last:?}");
    world.run_until(at(&crowd, 20.0));
    assert!(nodes[1..].iter().all(|&node| world.stats(node).done.is_some()), "in the end they have it too");
}

#[test]
fn who_comes_late_gets_it_from_several() {
    let crowd = crowd(12, 20);
    let (mut world, nodes) = crowd.world(3);
    let load = crowd.load();
    let line = Line { up: crowd.line.up, down: crowd.line.down * 10 };
    let late = world.add(Node::new(Rules::default(), 99, Conduct::Honest), line);
    nodes[1..7].iter().for_each(|&node| world.connect(late, node, crowd.latency));
    crowd.finish(&mut world, &nodes, 5.0);
    let wants = world.now() + Duration::from_millis(100);
    let wanted = load.clone();
    world.at(wants, late, move |node, now| node.want(&wanted, now));
    world.run_until(wants + Duration::from_secs(10));
    let took = world.stats(late).done.unwrap().saturating_sub(wants);
    let alone = Duration::from_secs_f64(load.bytes() as f64 / crowd.line.up as f64);
    assert!(took < alone.mul_f64(1.2), "{took:?} of {alone:?}");
}

#[test]
fn two_crowds_share_the_lines() {
    let crowd = crowd(16, 12);
    let (mut world, nodes) = crowd.world(4);
    let other = Load::even(2, 12, 1 << 20);
    // The second one begins at another node.
    let held = other.clone();
    world.at(Duration::from_secs(1), nodes[1], move |node, _| {
        node.hold(&held);
        Vec::new()
    });
    for &node in &nodes[2..] {
        let other = other.clone();
        world.at(Duration::from_millis(1_050), node, move |node, now| node.want(&other, now));
    }
    let both = |world: &World<Node>, node: NodeId| world.machine(node).is_some_and(|node| node.complete.len() == 2);
    world.run_while(at(&crowd, 10.0), |world| !nodes[2..].iter().all(|&node| both(world, node)));
    assert!(nodes[2..].iter().all(|&node| both(&world, node)));
    let took = world.now().as_secs_f64() - 1.0;
    assert!(took < crowd.bound() * 2.0 * 1.5, "{took} of twice {}", crowd.bound());
}

#[test]
fn a_crowd_that_is_parted_and_joined_again_ends_whole() {
    let crowd = crowd(16, 16);
    let (mut world, nodes) = crowd.world(5);
    world.run_until(at(&crowd, 0.3));
    world.part(&nodes[10..]);
    world.run_until(at(&crowd, 1.0));
    world.join(&nodes[10..]);
    let figures = crowd.finish(&mut world, &nodes, 6.0);
    assert!(figures.share > 0.3, "{figures:?}");
}

#[test]
fn who_restarts_goes_on_with_what_is_on_its_disk() {
    let crowd = crowd(8, 20);
    let (mut world, nodes) = crowd.world(6);
    world.run_until(at(&crowd, 0.6));
    let before = world.crash(nodes[3]).unwrap();
    let had = before.holds(crowd.load().item);
    assert!(had > 3, "{had}");
    world.run_until(at(&crowd, 0.8));
    world.restart(nodes[3], before.restarted(Rules::default(), 7));
    let load = crowd.load();
    world.at(at(&crowd, 0.8), nodes[3], move |node, now| node.want(&load, now));
    let received = world.stats(nodes[3]).bulk_received;
    let figures = crowd.finish(&mut world, &nodes, 6.0);
    assert!(figures.share > 0.4, "{figures:?}");
    let again = world.stats(nodes[3]).bulk_received - received;
    assert!(again < u64::from(20 - had + 3) << 20, "{again} bytes though {had} slices were there");
}
