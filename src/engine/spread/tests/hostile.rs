//! Neighbours that lie.

use super::*;

fn blames(actions: &[Action<u8>]) -> Vec<u8> {
    let blame = |action: &Action<u8>| match action {
        Action::Blame(peer, _) => Some(*peer),
        _ => None,
    };
    actions.iter().filter_map(blame).collect()
}

#[test]
fn what_no_honest_node_says_is_blamed() {
    let thing = item(1, 8);
    let message = |message| Event::Message(1, message);
    let cases: Vec<(&str, Event<u8>)> = vec![
        ("a bitfield that is too short", have(1, thing, some(0, &[]), true)),
        ("a bitfield that is too long", have(1, thing, some(9, &[]), true)),
        ("an item of no slices", have(1, item(1, 0), Held::All, true)),
        ("an item of too many slices", have(1, item(1, limits::MAX_SLICES + 1), Held::All, true)),
        ("a slice that is not there", message(Message::Got { item: thing, slice: 8 })),
        ("an offer of one", message(Message::Offer { item: thing, slice: u32::MAX })),
        ("acceptance of one", message(Message::Accept { item: thing, slice: 8 })),
        ("one that is coming", message(Message::Coming { item: thing, slice: 8 })),
        ("acceptance of what was not offered", message(accept(thing, 3))),
        ("a slice got twice", message(Message::Got { item: thing, slice: 5 })),
    ];
    for (case, event) in cases {
        let mut engine = engine([1]);
        engine.handle(want(thing), ms(0));
        engine.handle(have(1, thing, some(8, &[5]), true), ms(0));
        assert_eq!(blames(&engine.handle(event, ms(1))), vec![1], "{case}");
    }
}

#[test]
fn who_brings_nothing_or_the_wrong_thing_twice_is_not_accepted_from_any_more() {
    for failure in [Failure::Missing, Failure::Forged] {
        let thing = item(1, 8);
        let mut engine = engine([1, 2]);
        engine.handle(want(thing), ms(0));
        engine.handle(have(1, thing, Held::All, false), ms(0));
        for slice in 0..2 {
            let actions = engine.handle(offer(1, thing, slice), ms(0));
            assert!(actions.contains(&Action::Fetch { from: 1, item: thing, slice }));
            engine.handle(Event::Failed { from: 1, item: thing, slice, failure }, ms(1));
        }
        let actions = engine.handle(offer(1, thing, 2), ms(2));
        assert_eq!(actions, vec![Action::Send(1, decline(thing, 2, Why::Unwanted))]);
        assert!(engine.handle(offer(2, thing, 2), ms(2)).contains(&Action::Send(2, accept(thing, 2))), "others are");
    }
}

#[test]
fn who_never_says_that_it_got_anything_gets_each_slice_at_most_twice() {
    let thing = item(1, 4);
    let (mut engine, mut queue) = holder(thing, [1, 2]);
    // The other one is honest, and has enough.
    engine.handle(have(2, thing, Held::All, false), ms(0));
    let mut given = [0; 4];
    for _ in 0..1_000 {
        for (to, slice) in std::mem::take(&mut queue) {
            if to == 1 {
                given[slice as usize] += 1;
                engine.handle(Event::Message(1, accept(thing, slice)), engine.now);
                queue.extend(offers(&engine.handle(Event::Moved { peer: 1, sent: 1 << 20, received: 0 }, engine.now)));
            }
        }
        // It may also begin anew as often as it likes.
        let at = engine.now + ms(500);
        queue.extend(offers(&engine.handle(have(1, thing, some(4, &[]), true), at)));
        queue.extend(offers(&engine.handle(Event::Tick, at)));
    }
    assert!(given.iter().all(|&times| (1..=2).contains(&times)), "{given:?}");
}

#[test]
fn who_lets_offers_lie_comes_last() {
    let thing = item(1, 9);
    let (mut engine, queue) = holder(thing, [1, 2]);
    let silent = queue[0].0;
    let talks = 3 - silent;
    let mut next: Vec<(u8, u32)> = queue.into_iter().filter(|&(to, _)| to == talks).collect();
    let at = engine.deadline().unwrap();
    next.extend(offers(&engine.handle(Event::Tick, at)));
    for _ in 0..4 {
        let Some(at) = next.iter().position(|&(to, _)| to == talks) else { break };
        let (to, slice) = next.remove(at);
        engine.handle(Event::Message(to, accept(thing, slice)), engine.now);
        let now = engine.now;
        next.extend(offers(&engine.handle(Event::Message(to, Message::Got { item: thing, slice }), now)));
    }
    assert_eq!(engine.crowd(thing), (2, 0));
    let served = engine.items[&thing].neighbours[&talks].count;
    assert!(served >= 3, "{served}");
}

#[test]
fn talk_of_items_nobody_holds_takes_a_bounded_place_and_the_loudest_pays_for_it() {
    let rules = Rules { heard_per_peer: 20, heard: 30, ..Rules::default() };
    let mut engine = Engine::new(rules, 1);
    (1..=3).for_each(|peer| _ = engine.handle(Event::PeerUp(peer), ms(0)));
    let quiet = item(200, 5);
    engine.handle(have(1, quiet, Held::All, false), ms(0));
    for number in 0..200 {
        for peer in [2, 3] {
            engine.handle(have(peer, item(number, 5), Held::All, true), ms(0));
            engine.handle(offer(peer, item(number, 6), 1), ms(0));
            assert!(engine.heard.len() <= 30);
        }
    }
    engine.handle(want(quiet), ms(1));
    assert_eq!(engine.crowd(quiet), (0, 1), "it is still known that the first one holds it");
    (1..=3).for_each(|peer| _ = engine.handle(Event::PeerDown(peer), ms(2)));
    assert_eq!(engine.heard.len(), 0);
}

#[test]
fn who_only_talks_does_not_keep_a_user_waiting_for_ever() {
    let thing = item(1, 4);
    let mut engine = engine([1]);
    engine.handle(want(thing), ms(0));
    let mut told = 0;
    for at in 0..100 {
        let held = if at % 2 == 0 { some(4, &[0]) } else { Held::All };
        let actions = engine.handle(have(1, thing, held, true), ms(at * 1_000));
        told += actions.iter().filter(|&action| *action == Action::Stuck(thing)).count();
    }
    assert!(told >= 1);
}

#[test]
fn who_is_not_a_neighbour_is_not_heard() {
    let thing = item(1, 4);
    let mut engine = engine([1]);
    engine.handle(want(thing), ms(0));
    assert_eq!(engine.handle(offer(9, thing, 0), ms(0)), vec![]);
    assert_eq!(engine.handle(have(9, thing, Held::All, true), ms(0)), vec![]);
}
