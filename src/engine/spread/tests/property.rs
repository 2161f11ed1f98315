//! Whatever happens, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PEERS: u8 = 4;
const ITEMS: u8 = 3;

/// Items of 1, 5 and 9 slices.
fn thing(number: u8) -> Item {
    item(number, u32::from(number) * 4 + 1)
}

fn any_held() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..9_u32, 0..5)
}

fn any_message() -> impl Strategy<Value = Message> {
    let why = prop_oneof![Just(Why::Held), Just(Why::Coming), Just(Why::Busy), Just(Why::Unwanted)];
    (0..10_u8, 0..ITEMS, 0..10_u32, any_held(), any::<bool>(), why).prop_map(
        |(kind, number, slice, held, wants, why)| {
            let item = thing(number);
            let held: BTreeSet<u32> = held.into_iter().filter(|&slice| slice < item.slices).collect();
            match kind {
                0 => Message::Have { item, held: Held::All, wants },
                1 | 2 => Message::Have { item, held: some(item.slices, &Vec::from_iter(held)), wants },
                3 => Message::Got { item, slice },
                4 | 5 => Message::Offer { item, slice: slice % item.slices },
                6 => Message::Accept { item, slice },
                7 => Message::Decline { item, slice, why },
                8 if wants => Message::Ready { item },
                8 => Message::Coming { item, slice },
                _ => Message::Leave { item },
            }
        },
    )
}

fn any_event() -> impl Strategy<Value = Event<u8>> {
    let peer = 0..PEERS;
    let failure = prop_oneof![Just(Failure::Missing), Just(Failure::Broken), Just(Failure::Forged)];
    prop_oneof![
        2 => peer.clone().prop_map(Event::PeerUp),
        1 => peer.clone().prop_map(Event::PeerDown),
        12 => (peer.clone(), any_message()).prop_map(|(peer, message)| Event::Message(peer, message)),
        2 => (0..ITEMS).prop_map(|number| want(thing(number))),
        1 => (0..ITEMS).prop_map(|number| Event::Unwant(thing(number))),
        1 => (0..ITEMS, any::<bool>()).prop_map(|(number, all)| Event::Looked { item: thing(number), all }),
        4 => (0..ITEMS, 0..9_u32).prop_map(|(number, slice)| Event::Landed { item: thing(number), slice }),
        2 => (peer.clone(), 0..ITEMS, 0..9_u32, failure).prop_map(|(from, number, slice, failure)| Event::Failed {
            from,
            item: thing(number),
            slice,
            failure,
        }),
        2 => (peer, 0..3_000_u64, 0..3_000_u64)
            .prop_map(|(peer, sent, received)| Event::Moved { peer, sent, received }),
        3 => Just(Event::Tick),
    ]
}

/// What a driver knows of what it was told to do.
#[derive(Default)]
struct Driver {
    fetches: BTreeSet<(u8, Item, u32)>,
    held: BTreeSet<(Item, u32)>,
    wanted: BTreeSet<Item>,
}

impl Driver {
    /// What the event means for what is under way.
    fn before(&mut self, event: &Event<u8>) {
        match *event {
            Event::Want { item, .. } if self.wanted.insert(item) => self.held.retain(|held| held.0 != item),
            Event::Landed { item, slice } if slice < item.slices => {
                self.held.insert((item, slice));
                // One that lands ends its fetch; of two, the engine cancels both.
                let from: Vec<_> =
                    self.fetches.iter().filter(|fetch| (fetch.1, fetch.2) == (item, slice)).copied().collect();
                if let [one] = from[..] {
                    self.fetches.remove(&one);
                }
            }
            Event::Failed { from, item, slice, .. } => _ = self.fetches.remove(&(from, item, slice)),
            _ => {}
        }
    }

    fn after(&mut self, actions: &[Action<u8>]) {
        for action in actions {
            match *action {
                Action::Fetch { from, item, slice } => {
                    assert!(!self.held.contains(&(item, slice)), "a slice that is held is fetched");
                    assert!(self.wanted.contains(&item), "what nobody wants is fetched");
                    assert!(self.fetches.insert((from, item, slice)), "a slice is fetched twice from the same one");
                    let twice = self.fetches.iter().filter(|fetch| (fetch.1, fetch.2) == (item, slice)).count();
                    assert!(twice <= 2, "a slice is fetched from three");
                }
                Action::Cancel { from, item, slice } => _ = self.fetches.remove(&(from, item, slice)),
                Action::Complete(item) => {
                    assert!(self.wanted.remove(&item), "complete twice, or unasked");
                    let held = self.held.iter().filter(|held| held.0 == item).count();
                    assert_eq!(held, item.slices as usize, "complete too early");
                }
                Action::Stuck(item) => assert!(self.wanted.contains(&item)),
                Action::Send(..) | Action::Look(_) | Action::Blame(..) => {}
            }
        }
    }
}

/// What must hold between events.
fn check(engine: &Engine, driver: &Driver) {
    let rules = Rules::default();
    assert!(engine.uploads.len() <= rules.slices_out.max(17), "{}", engine.uploads.len());
    assert!(engine.items.len() <= ITEMS as usize && engine.heard.len() <= (PEERS * ITEMS) as usize);
    assert!(engine.deadline().is_none_or(|due| due > engine.now), "a deadline that has passed comes again and again");
    let fetches: BTreeSet<(u8, Item, u32)> = engine
        .items
        .values()
        .flat_map(|swarm| swarm.fetches().map(|(from, slice)| (from, swarm.item, slice)))
        .collect();
    assert_eq!(fetches, driver.fetches, "a fetch has no end");
    for swarm in engine.items.values() {
        assert_eq!(swarm.count, swarm.held.count());
        for (peer, neighbour) in &swarm.neighbours {
            assert!(engine.peers.contains(peer));
            assert_eq!(neighbour.count, neighbour.held.count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_it(events in proptest::collection::vec((any_event(), 0..400_u64), 0..150)) {
        let mut engine = Engine::new(Rules::default(), 1);
        let mut driver = Driver::default();
        let mut now = ms(0);
        for (event, pause) in events {
            now += ms(pause);
            if let Event::Unwant(item) = event {
                driver.wanted.remove(&item);
            }
            driver.before(&event);
            driver.after(&engine.handle(event, now));
            if engine.deadline().is_some_and(|due| due <= now) {
                driver.after(&engine.handle(Event::Tick, now));
            }
            check(&engine, &driver);
        }
        // Left alone, all that is under way comes to an end, in a bounded number of steps.
        for _ in 0..1_000 {
            let Some(due) = engine.deadline() else { break };
            driver.after(&engine.handle(Event::Tick, due));
            check(&engine, &driver);
            if driver.fetches.is_empty() {
                break;
            }
        }
        prop_assert!(driver.fetches.is_empty());
    }
}
