//! Blobs: stored once, found everywhere, in few reads and few syncs.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;

use super::*;

#[tokio::test]
async fn what_was_put_is_there_and_after_a_reopen_too() {
    let bench = Bench::new();
    let all = [blobs(0..20, 3000), vec![blob(99, 0), blob(100, 1 << 20)]].concat();
    let store = bench.open();
    store.put(all.clone()).await.unwrap();
    assert_held(&store, &all);
    let absent = blob(1000, 10);
    assert_eq!((store.get(&absent.id()).unwrap(), store.has(&absent.id()).unwrap()), (None, false));
    assert_eq!(store.missing(&[absent.id(), all[0].id()]).unwrap(), [absent.id()]);
    store.close().await.unwrap();
    let store = bench.open();
    assert_held(&store, &all);
    assert_eq!((store.stats().blobs, store.stats().segments), (22, 1));
    assert_eq!(store.stats().live_bytes, 20 * 3000 + (1 << 20));
}

#[tokio::test]
async fn the_real_disk_does_what_the_tests_disk_does() {
    let dir = tempfile::tempdir().unwrap();
    let all = blobs(0..10, 5000);
    let options = || super::super::StoreOptions { segment_bytes: 20_000, ..Default::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    for blob in &all {
        store.put(vec![blob.clone()]).await.unwrap();
    }
    store.close().await.unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    assert_held(&store, &all);
    assert_eq!((store.stats().segments, store.stats().damaged), (3, 0));
}

#[tokio::test]
async fn a_blob_is_written_once_however_often_it_is_put() {
    let bench = Bench::new();
    let store = bench.open();
    let twice = vec![blob(1, 100), blob(2, 100), blob(1, 100)];
    store.put(twice.clone()).await.unwrap();
    let (len, syncs) = (fs::metadata(bench.segment(1)).unwrap().len(), Knobs::count(&bench.knobs.syncs));
    store.put(twice).await.unwrap();
    store.put(Vec::new()).await.unwrap();
    assert_eq!(fs::metadata(bench.segment(1)).unwrap().len(), len);
    assert_eq!(Knobs::count(&bench.knobs.syncs), syncs, "nothing new needs no sync");
    assert_eq!(store.stats().blobs, 2);
}

#[tokio::test]
async fn callers_that_wait_at_the_same_time_share_one_sync() {
    let bench = Bench::new();
    let store = bench.open();
    store.put(vec![blob(0, 10)]).await.unwrap();
    let before = Knobs::count(&bench.knobs.syncs);
    bench.knobs.shut_gate();
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.put(vec![blob(1, 10)]).await }
    });
    let knobs = Arc::clone(&bench.knobs);
    tokio::task::spawn_blocking(move || knobs.await_sync()).await.unwrap();
    // The writer waits in the sync of the first; polled once, all others are in the queue.
    let mut others = Box::pin(join_all((2..102).map(|n| store.put(blobs(n..n + 2, 10)))));
    assert!(futures::poll!(&mut others).is_pending());
    bench.knobs.open_gate();
    assert!(others.await.iter().all(Result::is_ok));
    first.await.unwrap().unwrap();
    assert_eq!(Knobs::count(&bench.knobs.syncs) - before, 2);
    assert_held(&store, &blobs(0..103, 10));
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_stop_the_write() {
    let bench = Bench::new();
    let store = bench.open();
    bench.knobs.shut_gate();
    let mut put = Box::pin(store.put(blobs(0..3, 10)));
    assert!(futures::poll!(&mut put).is_pending());
    drop(put);
    bench.knobs.open_gate();
    store.put(vec![blob(9, 10)]).await.unwrap();
    assert_held(&store, &blobs(0..3, 10));
}

#[tokio::test]
async fn sealed_segments_are_found_again_and_never_hold_a_blob_twice() {
    let bench = Bench::with_segments(20_000);
    let store = bench.open();
    let all = blobs(0..300, 1000);
    for part in all.chunks(7) {
        store.put(part.to_vec()).await.unwrap();
    }
    let segments = store.stats().segments;
    assert!(segments > 10, "{segments}");
    assert_held(&store, &all);
    store.put(all.clone()).await.unwrap();
    store.close().await.unwrap();
    let store = bench.open();
    assert_held(&store, &all);
    assert_eq!(store.missing(&ids(&blobs(290..310, 1000))).unwrap(), ids(&blobs(300..310, 1000)));
    let stats = store.stats();
    assert_eq!((stats.segments, stats.blobs, stats.live_bytes, stats.damaged), (segments, 300, 300_000, 0));
}

#[tokio::test]
async fn ten_thousand_small_neighbours_cost_few_reads() {
    let bench = Bench::new();
    let all = blobs(0..10_000, 60);
    let store = bench.open();
    store.put(all.clone()).await.unwrap();
    let before = Knobs::count(&bench.knobs.reads);
    assert_held(&store, &all);
    let reads = Knobs::count(&bench.knobs.reads) - before;
    assert!(reads <= 2, "{reads} reads for 1.2 MB in one piece");
    drop(store);
    // Sealed: the pages of the footer are read once each.
    let bench = Bench { segment_bytes: 1000, ..bench };
    let store = bench.open();
    let before = Knobs::count(&bench.knobs.reads);
    assert_held(&store, &all);
    let (reads, pages) = (Knobs::count(&bench.knobs.reads) - before, 10_000_u64.div_ceil(85));
    assert!(reads <= pages + 2, "{reads} reads with {pages} pages");
}

#[tokio::test]
async fn reads_come_in_the_order_that_was_asked_for_and_are_bounded() {
    let bench = Bench::with_segments(50_000);
    let store = bench.open();
    let all = blobs(0..200, 777);
    for part in all.chunks(20) {
        store.put(part.to_vec()).await.unwrap();
    }
    let mut shuffled: Vec<VerifiedBlob> = all.iter().rev().step_by(3).cloned().collect();
    shuffled.push(all[7].clone());
    shuffled.push(all[7].clone());
    assert_held(&store, &shuffled);
    let locations: Vec<super::super::Location> =
        store.locations(&ids(&shuffled)).unwrap().into_iter().map(Option::unwrap).collect();
    assert_eq!(store.read(locations[3]).unwrap(), shuffled[3].bytes());
    assert_eq!(super::super::Location::within(&locations, 777 * 4 + 700), 4);
    assert_eq!(super::super::Location::within(&locations, 1), 1);
    assert_eq!(super::super::Location::within(&[], 1), 0);
    assert_eq!((locations[0].id(), locations[0].len(), locations[0].is_empty()), (shuffled[0].id(), 777, false));

    let big = blob(5000, 1 << 20);
    store.put(vec![big.clone()]).await.unwrap();
    let error = store.get_many(&vec![big.id(); 65]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a read of 68157440 bytes is more than the 67108864 that the store takes at once; ask in smaller pieces"
    );
    let error = store.put(vec![big; 65]).await.unwrap_err();
    assert!(matches!(error, StoreError::TooMuch { what: "a put", .. }), "{error}");
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_goes_on_reading_and_later_writing() {
    let bench = Bench::new();
    let store = bench.open();
    store.put(blobs(0..5, 1000)).await.unwrap();
    let len = fs::metadata(bench.segment(1)).unwrap().len();
    bench.knobs.full.store(true, Ordering::SeqCst);
    let error = store.put(blobs(3..9, 1000)).await.unwrap_err();
    let want = format!(
        "the disk of {} is full; free some space: what is held is still served, nothing new is kept",
        bench.segment(1).display()
    );
    assert_eq!(error.to_string(), want);
    assert_eq!(fs::metadata(bench.segment(1)).unwrap().len(), len, "cut back to the last good end");
    assert!(store.accept(verified(&go_mod_only("example.com/a@v1.0.0"))).await.is_err());
    assert_held(&store, &blobs(0..5, 1000));
    assert_eq!(store.missing(&ids(&blobs(3..9, 1000))).unwrap().len(), 4);
    assert_eq!(store.manifest(&module("example.com/a@v1.0.0")).unwrap().map(|held| held.id), None);

    bench.knobs.full.store(false, Ordering::SeqCst);
    store.put(blobs(3..9, 1000)).await.unwrap();
    let crashed = bench.crashed().open();
    assert_held(&crashed, &blobs(0..9, 1000));
    assert_eq!(crashed.stats().damaged, 0);
}

#[tokio::test]
async fn a_full_disk_that_takes_no_new_segment_leaves_nothing_behind() {
    let bench = Bench::new();
    let store = bench.open();
    bench.knobs.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.put(blobs(0..2, 10)).await, Err(StoreError::Full { .. })));
    }
    assert_eq!(fs::read_dir(bench.dir.path().join("segments")).unwrap().count(), 0);
    bench.knobs.full.store(false, Ordering::SeqCst);
    store.put(blobs(0..2, 10)).await.unwrap();
    assert_held(&store, &blobs(0..2, 10));
}

#[tokio::test]
async fn after_a_failed_sync_the_segment_is_never_written_again() {
    let bench = Bench::new();
    let store = bench.open();
    store.put(blobs(0..5, 1000)).await.unwrap();
    let before = fs::read(bench.segment(1)).unwrap();
    bench.knobs.sync_fails.store(true, Ordering::SeqCst);
    let error = store.put(blobs(5..7, 1000)).await.unwrap_err();
    assert!(error.to_string().starts_with("could not sync "), "{error}");
    assert!(error.to_string().ends_with("(input/output error); check the disk and the system log"), "{error}");
    assert!(!store.has(&blob(5, 1000).id()).unwrap());
    assert!(store.put(blobs(5..7, 1000)).await.is_err());
    bench.knobs.sync_fails.store(false, Ordering::SeqCst);
    store.put(blobs(5..7, 1000)).await.unwrap();
    assert_held(&store, &blobs(0..7, 1000));
    assert_eq!(fs::read(bench.segment(1)).unwrap(), before);
    assert_held(&bench.crashed().open(), &blobs(0..7, 1000));
}

#[tokio::test]
async fn blocking_calls_run_off_the_async_threads_and_panics_go_on() {
    let bench = Bench::new();
    let store = bench.open();
    store.put(blobs(0..1, 10)).await.unwrap();
    let id = blob(0, 10).id();
    assert!(store.run(move |store| store.has(&id)).await.unwrap());
    let panicked = tokio::spawn(async move { store.run(|_| -> Result<(), StoreError> { panic!("as told") }).await });
    assert!(panicked.await.unwrap_err().is_panic());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_acknowledged_blob_while_segments_are_sealed_under_them() {
    let bench = Bench::with_segments(3000);
    let store = bench.open();
    let (acknowledged, mut readers) = (Arc::new(AtomicU64::new(0)), Vec::new());
    for _ in 0..2 {
        let acknowledged = Arc::clone(&acknowledged);
        let reader = store.clone();
        readers.push(tokio::task::spawn_blocking(move || {
            loop {
                let upto = acknowledged.load(Ordering::SeqCst);
                assert_held(&reader, &blobs(upto.saturating_sub(20)..upto, 200));
                // Also when the writing side has failed and let go of its counter.
                if upto == 200 || Arc::strong_count(&acknowledged) < 3 {
                    break;
                }
            }
        }));
    }
    for n in 0..200 {
        store.put(vec![blob(n, 200)]).await.unwrap();
        acknowledged.store(n + 1, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(store.stats().segments > 10);
}
