use std::time::Duration;

use super::super::error::FetchError;
use super::super::limits;
use super::*;

struct Bench {
    plan: Plan,
    now: Instant,
    numbers: u64,
    wants: Vec<(BlobId, u32)>,
}

type Ask = (PeerId, u64, Vec<(BlobId, u32)>);

impl Bench {
    fn new(count: u32, len: u32) -> Self {
        Self::with(count, len, Rules::default())
    }

    fn with(count: u32, len: u32, rules: Rules) -> Self {
        let wants: Vec<(BlobId, u32)> = (0..count).map(|n| (BlobId::of(&n.to_le_bytes()), len)).collect();
        Self { plan: Plan::new(wants.clone(), rules), now: Instant::now(), numbers: 0, wants }
    }

    fn up(&mut self) -> PeerId {
        let peer = PeerId::random();
        self.plan.peer_up(peer, self.now);
        peer
    }

    fn poll(&mut self) -> (Vec<Ask>, Vec<u64>) {
        let numbers = &mut self.numbers;
        let next = || {
            *numbers += 1;
            *numbers
        };
        let (mut asks, mut cancels) = (Vec::new(), Vec::new());
        for action in self.plan.poll(self.now, next) {
            match action {
                Action::Ask { peer, request, items } => asks.push((peer, request, items)),
                Action::Cancel { request, .. } => cancels.push(request),
            }
        }
        (asks, cancels)
    }

    fn asks(&mut self) -> Vec<Ask> {
        self.poll().0
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn deliver(&mut self, (_, request, items): &Ask) {
        for (index, (id, _)) in (0..).zip(items) {
            if self.plan.got(*request, index, *id, self.now) {
                self.plan.delivered(*id);
            }
        }
    }

    fn miss(&mut self, (_, request, items): &Ask) {
        (0..).zip(items).for_each(|(index, _)| self.plan.missing(*request, index, self.now));
    }
}

fn bytes(asks: &[Ask]) -> u64 {
    asks.iter().flat_map(|(.., items)| items).map(|(_, len)| u64::from(*len)).sum()
}

#[test]
fn every_want_is_asked_for_once_and_the_work_is_shared() {
    let mut bench = Bench::new(64, 1 << 20);
    let peers = [bench.up(), bench.up(), bench.up()];
    let mut seen = Vec::new();
    while !bench.plan.is_over() {
        let asks = bench.asks();
        assert!(!asks.is_empty());
        for ask in asks {
            seen.extend(ask.2.clone());
            bench.deliver(&ask);
        }
    }
    seen.sort_unstable();
    bench.wants.sort_unstable();
    assert_eq!(seen, bench.wants);
    let report = bench.plan.outcome().unwrap();
    assert_eq!((report.blobs, report.bytes), (64, 64 << 20));
    for peer in peers {
        let share = report.peers.iter().find(|share| share.peer == peer).unwrap();
        assert!(share.bytes >= 16 << 20, "{report:?}");
    }
}

#[test]
fn a_window_is_earned_and_bounded() {
    let mut bench = Bench::new(64, 1 << 20);
    let _peer = bench.up();
    let first = bench.asks();
    assert_eq!(bytes(&first), limits::BATCH_BYTES, "a stranger is asked for one batch");
    bench.deliver(&first[0]);
    let mut outstanding = bench.asks();
    assert_eq!(bytes(&outstanding), 2 * limits::BATCH_BYTES);
    for _ in 0..10 {
        let ask = outstanding.remove(0);
        bench.deliver(&ask);
        outstanding.extend(bench.asks());
        assert!(bytes(&outstanding) <= limits::PEER_WINDOW);
    }
    assert_eq!(bytes(&outstanding), limits::PEER_WINDOW, "the next batch is asked for before the last has come");
}

#[test]
fn a_batch_of_small_blobs_is_bounded_by_number() {
    let mut bench = Bench::new(20_000, 10);
    let _peer = bench.up();
    let asks = bench.asks();
    assert!(asks.iter().all(|(.., items)| items.len() <= limits::MAX_IDS));
    assert_eq!(asks.iter().map(|(.., items)| items.len()).sum::<usize>(), limits::PEER_IDS);
}

#[test]
fn a_reader_that_takes_nothing_stops_the_asking() {
    let mut bench = Bench::new(100, 1 << 20);
    for _ in 0..20 {
        bench.up();
    }
    let mut arrived = 0;
    loop {
        let asks = bench.asks();
        if asks.is_empty() {
            break;
        }
        for (_, request, items) in asks {
            for (index, (id, _)) in (0..).zip(items) {
                assert!(bench.plan.got(request, index, id, bench.now));
                arrived += 1;
            }
        }
    }
    assert_eq!(arrived << 20, limits::FETCH_WINDOW);
    assert!(!bench.plan.is_over(), "what is unread has to be taken over first");
    bench.plan.delivered(BlobId::of(&0_u32.to_le_bytes()));
    assert_eq!(bytes(&bench.asks()), 1 << 20);
}

#[test]
fn who_lacks_a_blob_is_not_asked_for_it_again_and_nobody_has_it_is_a_miss() {
    let mut bench = Bench::new(2, 10);
    let (a, b) = (bench.up(), bench.up());
    let first = bench.asks();
    bench.miss(&first[0]);
    let second = bench.asks();
    assert_eq!(second.len(), 1);
    assert_ne!(first[0].0, second[0].0);
    assert!([a, b].contains(&second[0].0));
    bench.plan.got(second[0].1, 0, second[0].2[0].0, bench.now);
    bench.plan.delivered(second[0].2[0].0);
    bench.plan.missing(second[0].1, 1, bench.now);
    assert_eq!(bench.asks(), []);
    assert!(bench.plan.is_over());
    let lacking = second[0].2[1].0;
    assert_eq!(bench.plan.outcome(), Err(FetchError::Missing { ids: vec![lacking], asked: 2 }));
}

#[test]
fn a_peer_that_has_nothing_is_left_alone_while_another_one_brings() {
    let mut bench = Bench::new(50, 1 << 20);
    let (empty, full) = (bench.up(), bench.up());
    let mut asked_in_vain = 0;
    while !bench.plan.is_over() {
        let mut asks = bench.asks();
        // The one that has them answers first.
        asks.sort_by_key(|(peer, ..)| *peer != full);
        for ask in asks {
            if ask.0 == empty {
                asked_in_vain += ask.2.len();
                bench.miss(&ask);
            } else {
                bench.deliver(&ask);
            }
        }
    }
    assert!(bench.plan.outcome().is_ok());
    assert_eq!(asked_in_vain, 1);
}

#[test]
fn a_silent_peer_loses_its_wants_and_then_its_place() {
    let mut bench = Bench::new(8, 1 << 20);
    let silent = bench.up();
    let first = bench.asks();
    bench.pass(limits::PROGRESS - Duration::from_millis(1));
    assert_eq!(bench.poll(), (vec![], vec![]));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.plan.wake(bench.now), Some(bench.now));
    // Nobody else has it, so it gets a second chance.
    let (again, cancelled) = bench.poll();
    assert_eq!(cancelled, [first[0].1]);
    assert_eq!((again[0].0, again[0].2[0]), (silent, first[0].2[0]));
    bench.pass(limits::PROGRESS);
    assert_eq!(bench.poll(), (vec![], vec![again[0].1]));
    assert!(bench.plan.is_over());
    let Err(FetchError::Unreachable { ids, peers }) = bench.plan.outcome() else { panic!() };
    assert_eq!((ids.len(), peers), (8, vec![(silent, "brought nothing for 10.0 s".into())]));
}

#[test]
fn bytes_are_progress_and_a_trickle_is_not() {
    let mut bench = Bench::new(1, 1 << 20);
    let peer = bench.up();
    bench.asks();
    for step in 1..5 {
        bench.pass(limits::PROGRESS / 2);
        bench.plan.progress(peer, step * limits::PROGRESS_BYTES, bench.now);
        assert_eq!(bench.poll(), (vec![], vec![]));
    }
    bench.pass(limits::PROGRESS);
    bench.plan.progress(peer, 4 * limits::PROGRESS_BYTES + 1, bench.now);
    assert_eq!(bench.poll().1.len(), 1);
}

#[test]
fn the_wants_of_one_who_leaves_go_to_those_who_stay() {
    let mut bench = Bench::new(4, 1 << 20);
    let (a, b) = (bench.up(), bench.up());
    let asks = bench.asks();
    let of_a: Vec<_> = asks.iter().filter(|ask| ask.0 == a).flat_map(|ask| ask.2.clone()).collect();
    bench.plan.peer_down(a);
    asks.iter().filter(|ask| ask.0 == b).for_each(|ask| bench.deliver(ask));
    let (again, _) = bench.poll();
    assert!(again.iter().all(|ask| ask.0 == b));
    assert!(again.iter().flat_map(|ask| &ask.2).any(|want| of_a.contains(want)));
    // An answer that was on its way all the same counts.
    let late = asks.iter().find(|ask| ask.0 == a).unwrap();
    assert!(bench.plan.got(late.1, 0, late.2[0].0, bench.now));
    assert!(!bench.plan.got(late.1, 0, late.2[0].0, bench.now), "but only once");
}

#[test]
fn a_slow_last_want_is_given_to_an_idle_peer_and_cancelled_where_it_lost() {
    let mut bench = Bench::new(2, 1 << 20);
    let (a, b) = (bench.up(), bench.up());
    let asks = bench.asks();
    let (slow, fast) = (&asks[0], &asks[1]);
    assert_eq!([slow.0, fast.0], [a, b]);
    bench.deliver(fast);
    assert_eq!(bench.asks(), [], "not at once: it may be on its way");
    assert_eq!(bench.plan.wake(bench.now), Some(bench.now + limits::END_GAME));
    bench.pass(limits::END_GAME);
    let doubled = bench.asks();
    assert_eq!(doubled, [(b, doubled[0].1, slow.2.clone())]);
    bench.deliver(&doubled[0]);
    assert_eq!(bench.poll(), (vec![], vec![slow.1]));
    assert!(bench.plan.is_over() && bench.plan.outcome().is_ok());
}

#[test]
fn wrong_bytes_are_asked_of_another_and_the_liar_is_named() {
    let mut bench = Bench::new(1, 10);
    let (a, b) = (bench.up(), bench.up());
    let first = bench.asks().remove(0);
    bench.plan.forged(first.1, 0, bench.now);
    let second = bench.asks().remove(0);
    assert_ne!(first.0, second.0);
    bench.plan.missing(second.1, 0, bench.now);
    assert_eq!(bench.asks(), []);
    assert!([a, b].contains(&first.0));
    assert_eq!(
        bench.plan.outcome(),
        Err(FetchError::Forged { ids: vec![first.2[0].0], peers: vec![first.0] }),
        "forgery is worse than a miss"
    );
}

#[test]
fn a_stream_that_breaks_again_and_again_is_a_failure_and_no_miss() {
    let mut bench = Bench::new(1, 10);
    let peer = bench.up();
    for _ in 0..limits::MAX_FAILURES {
        let ask = bench.asks().remove(0);
        bench.plan.broken(ask.1, "no route", bench.now);
        bench.poll();
        bench.pass(limits::TICK * limits::MAX_FAILURES);
    }
    assert_eq!(bench.asks(), []);
    assert!(bench.plan.is_over());
    let Err(FetchError::Unreachable { peers, .. }) = bench.plan.outcome() else { panic!() };
    assert_eq!(peers, [(peer, "no route".into())]);
}

#[test]
fn a_peer_whose_disk_fails_makes_no_miss_either() {
    let mut bench = Bench::new(1, 10);
    let peer = bench.up();
    let ask = bench.asks().remove(0);
    bench.plan.failed(ask.1, 0, bench.now);
    assert_eq!(bench.asks(), []);
    let Err(FetchError::Unreachable { peers, .. }) = bench.plan.outcome() else { panic!() };
    assert_eq!(peers, [(peer, "could not read its store".into())]);
}

#[test]
fn a_full_queue_is_a_pause_and_costs_the_peer_nothing() {
    let mut bench = Bench::new(1, 10);
    let _peer = bench.up();
    for _ in 0..20 {
        let ask = bench.asks().remove(0);
        bench.plan.refused(ask.1, bench.now);
        assert_eq!(bench.asks(), []);
        assert!(!bench.plan.is_over());
        assert_eq!(bench.plan.wake(bench.now), Some(bench.now + limits::TICK));
        bench.pass(limits::TICK);
    }
    let ask = bench.asks().remove(0);
    bench.deliver(&ask);
    bench.poll();
    assert!(bench.plan.is_over() && bench.plan.outcome().is_ok());
}

#[test]
fn with_nobody_to_ask_it_is_over_at_once_and_no_miss() {
    let mut bench = Bench::new(3, 10);
    assert_eq!(bench.asks(), []);
    assert!(bench.plan.is_over());
    assert!(
        matches!(bench.plan.outcome(), Err(FetchError::Unreachable { ids, peers }) if ids.len() == 3 && peers.is_empty())
    );
    let mut nothing = Bench::new(0, 0);
    nothing.asks();
    assert!(nothing.plan.is_over() && nothing.plan.outcome().is_ok());
}

#[test]
fn answers_nobody_waits_for_change_nothing() {
    let mut bench = Bench::new(2, 10);
    let _peer = bench.up();
    let ask = bench.asks().remove(0);
    bench.plan.missing(99, 0, bench.now);
    bench.plan.forged(ask.1, 2, bench.now);
    bench.plan.broken(99, "?", bench.now);
    assert!(!bench.plan.got(ask.1, 0, BlobId::of(b"another"), bench.now));
    assert!(bench.plan.got(ask.1, 1, ask.2[1].0, bench.now));
    assert!(!bench.plan.got(ask.1, 1, ask.2[1].0, bench.now));
}

#[test]
fn whatever_peers_do_the_plan_ends_and_its_books_balance() {
    // A small generator of our own: the test is the same in every run.
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut dice = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        let mut bench = Bench::new(300, 40_000);
        let peers: Vec<PeerId> = (0..4).map(|_| bench.up()).collect();
        let mut open: Vec<Ask> = Vec::new();
        let mut steps = 0;
        loop {
            open.extend(bench.asks());
            if bench.plan.is_over() {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "seed {seed} does not end");
            let peer = peers[usize::try_from(dice(4)).unwrap()];
            match dice(40) {
                0 => bench.plan.peer_down(peer),
                1 => bench.plan.peer_up(peer, bench.now),
                2 => bench.pass(limits::END_GAME),
                3 => bench.pass(limits::PROGRESS),
                _ if open.is_empty() => bench.pass(limits::TICK),
                _ => {
                    let ask = open.swap_remove(usize::try_from(dice(open.len() as u64)).unwrap());
                    match dice(12) {
                        0 => bench.miss(&ask),
                        1 => bench.plan.broken(ask.1, "broke", bench.now),
                        2 => bench.plan.forged(ask.1, 0, bench.now),
                        _ => bench.deliver(&ask),
                    }
                }
            }
        }
        let report = bench.plan.report();
        let Shortfall { missing, unreachable, forged } = bench.plan.shortfall();
        let lacking = missing.len() + unreachable.len() + forged.len();
        assert_eq!(report.blobs + lacking as u64, 300, "seed {seed}");
        assert!(report.peers.iter().map(|share| share.bytes).sum::<u64>() <= report.bytes);
        assert_eq!((bench.plan.outstanding_bytes(), bench.plan.outstanding_ids()), (0, 0), "seed {seed}");
    }
}
