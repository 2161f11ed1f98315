//! The engine, one event at a time.

mod hostile;
mod property;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::blob::BlobId;

pub(super) type Engine = Spread<u8>;

pub(super) fn item(number: u8, slices: u32) -> Item {
    Item { manifest: BlobId::of(&[number]), part: Part::Chunks, slices }
}

pub(super) fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

pub(super) fn some(slices: u32, held: &[u32]) -> Held {
    let mut bits = Bitfield::none(slices);
    held.iter().for_each(|&slice| assert!(bits.set(slice)));
    Held::Some(bits)
}

pub(super) fn want(item: Item) -> Event<u8> {
    Event::Want { item, sizes: vec![1000; item.slices as usize].into(), held: Bitfield::none(item.slices) }
}

pub(super) fn have(peer: u8, item: Item, held: Held, wants: bool) -> Event<u8> {
    Event::Message(peer, Message::Have { item, held, wants })
}

/// An engine with these neighbours.
pub(super) fn engine(peers: impl IntoIterator<Item = u8>) -> Engine {
    let mut engine = Engine::new(Rules::default(), 1);
    peers.into_iter().for_each(|peer| assert_eq!(engine.handle(Event::PeerUp(peer), ms(0)), vec![]));
    engine
}

/// An engine that holds all of an item, which these neighbours want and have nothing of; and what it offered to whom.
pub(super) fn holder(item: Item, peers: impl IntoIterator<Item = u8> + Clone) -> (Engine, Vec<(u8, u32)>) {
    let mut engine = engine(peers.clone());
    for peer in peers {
        engine.handle(have(peer, item, some(item.slices, &[]), true), ms(0));
    }
    let actions = engine.handle(Event::Looked { item, all: true }, ms(0));
    (engine, offers(&actions))
}

pub(super) fn offers(actions: &[Action<u8>]) -> Vec<(u8, u32)> {
    let offer = |action: &Action<u8>| match action {
        Action::Send(to, Message::Offer { slice, .. }) => Some((*to, *slice)),
        _ => None,
    };
    actions.iter().filter_map(offer).collect()
}

fn offer(peer: u8, item: Item, slice: u32) -> Event<u8> {
    Event::Message(peer, Message::Offer { item, slice })
}

fn accept(item: Item, slice: u32) -> Message {
    Message::Accept { item, slice }
}

fn decline(item: Item, slice: u32, why: Why) -> Message {
    Message::Decline { item, slice, why }
}

#[test]
fn who_wants_an_item_asks_all_neighbours_and_those_that_come_later() {
    let thing = item(1, 3);
    let mut engine = engine([1, 2]);
    let question = |to| Action::Send(to, Message::Have { item: thing, held: some(3, &[]), wants: true });
    assert_eq!(engine.handle(want(thing), ms(0)), vec![question(1), question(2)]);
    assert_eq!(engine.handle(Event::PeerUp(3), ms(1)), vec![question(3)]);
}

#[test]
fn who_is_asked_looks_and_answers_with_all_and_offers_at_once() {
    let thing = item(1, 2);
    let mut engine = engine([1]);
    assert_eq!(engine.handle(have(1, thing, some(2, &[]), true), ms(0)), vec![Action::Look(thing)]);
    assert_eq!(engine.handle(have(1, thing, some(2, &[]), true), ms(1)), vec![], "one look does for a while");
    let actions = engine.handle(Event::Looked { item: thing, all: true }, ms(2));
    let answer = Message::Have { item: thing, held: Held::All, wants: false };
    let offered = |slice| Action::Send(1, Message::Offer { item: thing, slice });
    assert_eq!(actions, vec![Action::Send(1, answer), offered(0), offered(1)], "to one alone, in order");
}

#[test]
fn what_was_said_of_an_item_is_remembered_until_it_is_wanted() {
    let thing = item(1, 2);
    let mut engine = engine([1, 2]);
    engine.handle(have(1, thing, some(2, &[1]), true), ms(0));
    engine.handle(Event::Looked { item: thing, all: false }, ms(0));
    engine.handle(want(thing), ms(1));
    assert_eq!(engine.crowd(thing), (1, 0));
    engine.handle(offer(2, thing, 0), ms(2));
    let actions = engine.handle(Event::Landed { item: thing, slice: 0 }, ms(3));
    assert!(offers(&actions).contains(&(1, 0)), "{actions:?}");
}

#[test]
fn an_offer_is_answered_once_and_its_slice_is_passed_on() {
    let thing = item(1, 3);
    let mut engine = engine([1, 2, 3]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, Held::All, false), ms(1));
    engine.handle(have(2, thing, some(3, &[]), true), ms(1));
    let actions = engine.handle(offer(1, thing, 2), ms(2));
    assert_eq!(
        actions,
        vec![
            Action::Send(1, accept(thing, 2)),
            Action::Fetch { from: 1, item: thing, slice: 2 },
            Action::Send(2, Message::Coming { item: thing, slice: 2 }),
        ]
    );
    assert_eq!(engine.handle(offer(2, thing, 2), ms(3)), vec![Action::Send(2, decline(thing, 2, Why::Coming))]);
    assert_eq!(engine.handle(offer(2, thing, 1), ms(3)), vec![Action::Send(2, decline(thing, 1, Why::Busy))]);
    assert_eq!(
        engine.handle(offer(2, item(9, 1), 0), ms(3)),
        vec![Action::Send(2, decline(item(9, 1), 0, Why::Unwanted))]
    );
    let got = |to| Action::Send(to, Message::Got { item: thing, slice: 2 });
    let actions = engine.handle(Event::Landed { item: thing, slice: 2 }, ms(4));
    assert_eq!(actions, vec![got(1), got(2), Action::Send(2, Message::Offer { item: thing, slice: 2 })]);
    assert_eq!(engine.handle(offer(1, thing, 2), ms(5)), vec![Action::Send(1, decline(thing, 2, Why::Held))]);
}

#[test]
fn an_item_is_complete_once_and_forgotten_when_nobody_wants_it() {
    let thing = item(1, 1);
    let mut engine = engine([1, 2]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, Held::All, false), ms(1));
    engine.handle(have(2, thing, some(1, &[]), true), ms(1));
    engine.handle(offer(1, thing, 0), ms(2));
    let actions = engine.handle(Event::Landed { item: thing, slice: 0 }, ms(3));
    assert_eq!(actions.iter().filter(|&action| *action == Action::Complete(thing)).count(), 1);
    assert_eq!(engine.handle(Event::Landed { item: thing, slice: 0 }, ms(3)), vec![]);
    assert_eq!(engine.crowd(thing), (1, 1), "it is served while it is wanted");
    engine.handle(Event::Message(2, Message::Got { item: thing, slice: 0 }), ms(4));
    assert_eq!((engine.crowd(thing), engine.deadline()), ((0, 0), None));
}

#[test]
fn a_full_first_holder_sends_each_slice_once_before_it_repeats_any() {
    let thing = item(1, 6);
    let (mut engine, first) = holder(thing, 1..=4);
    let mut given = Vec::new();
    let mut next = first;
    for step in 0..40 {
        let Some(&(to, slice)) = next.first() else { break };
        given.push(slice);
        engine.handle(Event::Message(to, accept(thing, slice)), ms(step));
        next = offers(&engine.handle(Event::Message(to, Message::Got { item: thing, slice }), ms(step)));
        if given.len() == 6 {
            break;
        }
        next = if next.is_empty() { offers(&engine.handle(Event::Tick, ms(step))) } else { next };
    }
    given.sort_unstable();
    assert_eq!(given, vec![0, 1, 2, 3, 4, 5]);
    assert_eq!(next, vec![], "the others have it now");
    let late = engine.deadline().unwrap();
    assert!(!offers(&engine.handle(Event::Tick, late)).is_empty(), "but not for ever");
}

#[test]
fn the_neighbour_that_has_least_is_served_first() {
    let thing = item(1, 8);
    let mut engine = engine([1, 2, 3]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, some(8, &[1, 2]), true), ms(0));
    engine.handle(have(2, thing, some(8, &[1]), true), ms(0));
    engine.handle(have(3, thing, some(8, &[1, 2, 3]), true), ms(0));
    engine.handle(offer(1, thing, 0), ms(1));
    let actions = engine.handle(Event::Landed { item: thing, slice: 0 }, ms(2));
    assert_eq!(offers(&actions)[0], (2, 0));
}

#[test]
fn a_fetch_without_progress_is_given_up_and_others_may_offer_the_slice() {
    let thing = item(1, 3);
    let mut engine = engine([1, 2]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, Held::All, false), ms(0));
    engine.handle(have(2, thing, Held::All, false), ms(0));
    engine.handle(offer(1, thing, 0), ms(0));
    engine.handle(offer(2, thing, 0), ms(0));
    engine.handle(Event::Moved { peer: 1, sent: 0, received: 10 }, ms(3_000));
    let actions = engine.handle(Event::Tick, ms(6_000));
    assert!(actions.iter().any(|action| matches!(action, Action::Send(2, Message::Have { .. }))), "{actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Cancel { .. })));
    let actions = engine.handle(Event::Tick, ms(8_000));
    assert!(actions.contains(&Action::Cancel { from: 1, item: thing, slice: 0 }), "{actions:?}");
    assert!(actions.contains(&Action::Send(1, decline(thing, 0, Why::Coming))), "its sender need not wait");
    let actions = engine.handle(offer(2, thing, 0), ms(8_001));
    assert!(actions.contains(&Action::Fetch { from: 2, item: thing, slice: 0 }));
}

#[test]
fn the_last_slice_may_come_from_two_when_it_is_overdue() {
    let thing = item(1, 2);
    let mut engine = engine([1, 2]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, Held::All, false), ms(0));
    engine.handle(have(2, thing, Held::All, false), ms(0));
    engine.handle(offer(1, thing, 0), ms(0));
    engine.handle(Event::Landed { item: thing, slice: 0 }, ms(100));
    engine.handle(offer(1, thing, 1), ms(100));
    assert_eq!(engine.handle(offer(2, thing, 1), ms(500)), vec![Action::Send(2, decline(thing, 1, Why::Coming))]);
    assert_eq!(engine.deadline(), Some(ms(900)), "three times what the first took, and a half second");
    let actions = engine.handle(Event::Tick, ms(900));
    assert!(actions.iter().any(|action| matches!(action, Action::Send(2, Message::Have { .. }))), "{actions:?}");
    assert!(engine.handle(offer(2, thing, 1), ms(901)).contains(&Action::Send(2, accept(thing, 1))));
    let actions = engine.handle(Event::Landed { item: thing, slice: 1 }, ms(950));
    assert!(actions.contains(&Action::Cancel { from: 1, item: thing, slice: 1 }));
    assert!(actions.contains(&Action::Complete(thing)));
}

#[test]
fn stuck_is_told_once_and_not_while_a_crowd_goes_on() {
    let thing = item(1, 4);
    let mut alone = engine([1]);
    alone.handle(want(thing), ms(0));
    assert_eq!(alone.deadline(), Some(ms(1_000)));
    assert_eq!(alone.handle(Event::Tick, ms(1_000)), vec![Action::Stuck(thing)]);
    assert_eq!(alone.handle(Event::Tick, ms(30_000)), vec![], "once");

    let mut engine = engine([1, 2]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, some(4, &[]), true), ms(0));
    for at in 0..4 {
        let got = Message::Got { item: thing, slice: at };
        let actions = engine.handle(Event::Message(1, got), ms(u64::from(at) * 4_900 + 4_900));
        assert_eq!(actions, vec![], "it waits its turn");
    }
    assert_eq!(engine.handle(Event::Tick, ms(4 * 4_900 + 5_000)), vec![Action::Stuck(thing)]);
}

#[test]
fn an_item_that_is_not_wanted_any_more_is_left() {
    let thing = item(1, 4);
    let mut engine = engine([1]);
    engine.handle(want(thing), ms(0));
    engine.handle(have(1, thing, Held::All, false), ms(0));
    engine.handle(offer(1, thing, 0), ms(0));
    let actions = engine.handle(Event::Unwant(thing), ms(1));
    assert_eq!(
        actions,
        vec![Action::Cancel { from: 1, item: thing, slice: 0 }, Action::Send(1, Message::Leave { item: thing })]
    );
    assert_eq!(engine.handle(offer(1, thing, 1), ms(2)), vec![Action::Send(1, decline(thing, 1, Why::Unwanted))]);
    assert_eq!(engine.deadline(), None);
}

#[test]
fn the_line_is_shared_among_items_and_a_small_one_goes_first() {
    let (large, small) = (item(1, 40), item(2, 2));
    let mut engine = engine([1, 2]);
    for thing in [large, small] {
        engine.handle(have(1, thing, some(thing.slices, &[]), true), ms(0));
        engine.handle(have(2, thing, some(thing.slices, &[]), true), ms(0));
    }
    let mut queue = offers(&engine.handle(Event::Looked { item: large, all: true }, ms(0)));
    assert_eq!(queue.len(), 1);
    engine.handle(Event::Looked { item: small, all: true }, ms(0));
    let (to, slice) = queue.remove(0);
    engine.handle(Event::Message(to, accept(large, slice)), ms(1));
    let actions = engine.handle(Event::Message(to, Message::Got { item: large, slice }), ms(2));
    let next = actions.iter().find_map(|action| match action {
        Action::Send(_, Message::Offer { item, .. }) => Some(*item),
        _ => None,
    });
    assert_eq!(next, Some(small), "{actions:?}");
}

#[test]
fn one_to_one_the_window_follows_the_line() {
    let thing = item(1, 1000);
    let (mut engine, first) = holder(thing, [1]);
    let sizes: Arc<[u32]> = vec![1 << 20; 1000].into();
    engine.handle(Event::Sizes { item: thing, sizes }, ms(0));
    let mut under_way: std::collections::VecDeque<u32> = first.into_iter().map(|(_, slice)| slice).collect();
    assert_eq!(under_way.len(), 2);
    let mut most = 0;
    for step in 0..500 {
        let slice = under_way.pop_front().unwrap();
        assert_eq!(slice, u32::try_from(step).unwrap(), "in order");
        engine.handle(Event::Message(1, accept(thing, slice)), ms(step));
        let mut actions = engine.handle(Event::Moved { peer: 1, sent: 1 << 20, received: 0 }, ms(step));
        actions.extend(engine.handle(Event::Message(1, Message::Got { item: thing, slice }), ms(step)));
        under_way.extend(offers(&actions).into_iter().map(|(_, slice)| slice));
        most = most.max(under_way.len());
    }
    assert_eq!(most, 16, "1 MiB each ms is more than the largest window");
}
