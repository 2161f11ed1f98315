//! Bits that flip, tails that are torn, files that are gone.

use super::super::segment::SEGMENT_HEADER;
use super::*;

const RECORD: usize = 64 + 500;
const START: usize = SEGMENT_HEADER as usize;

/// A bench with one segment of four batches of one blob of 500 bytes each.
async fn four() -> (Bench, Vec<VerifiedBlob>) {
    let bench = Bench::new();
    let all = blobs(0..4, 500);
    let store = bench.open();
    for blob in &all {
        store.put(vec![blob.clone()]).await.unwrap();
    }
    store.close().await.unwrap();
    (bench, all)
}

/// Only the segments: what sled does is not of interest, and takes time.
fn segments_of(bench: &Bench) -> Bench {
    let copy = Bench { dir: tempfile::tempdir().unwrap(), knobs: Arc::default(), ..*bench };
    copy_dir(&bench.dir.path().join("segments"), &copy.dir.path().join("segments"));
    copy
}

fn recover(bench: &Bench) -> super::super::recover::Recovered {
    let dir = bench.dir.path().join("segments");
    super::super::recover::recover(&FaultDisk::default(), &dir, bench.segment_bytes).unwrap()
}

fn held(found: &super::super::recover::Recovered, all: &[VerifiedBlob]) -> Vec<bool> {
    found.segments.find_many(&ids(all)).unwrap().iter().map(Option::is_some).collect()
}

#[tokio::test]
async fn a_tail_cut_at_any_byte_costs_the_last_record_and_is_appended_over() {
    let (bench, all) = four().await;
    let copy = segments_of(&bench);
    let whole = fs::read(bench.segment(1)).unwrap();
    assert_eq!(whole.len(), START + 4 * RECORD);
    for len in START + 3 * RECORD..whole.len() {
        fs::write(copy.segment(1), &whole[..len]).unwrap();
        let found = recover(&copy);
        assert_eq!(held(&found, &all), [true, true, true, false], "cut at {len}");
        assert_eq!(found.open.unwrap().end, (START + 3 * RECORD) as u64);
        assert_eq!(fs::metadata(copy.segment(1)).unwrap().len(), (START + 3 * RECORD) as u64);
    }
    fs::write(bench.segment(1), &whole[..whole.len() - 1]).unwrap();
    let store = bench.open();
    store.put(all.clone()).await.unwrap();
    assert_eq!(store.stats().segments, 1);
    drop(store);
    assert_held(&bench.open(), &all);
}

#[tokio::test]
async fn a_tail_of_zeros_or_noise_is_cut() {
    let (bench, all) = four().await;
    let whole = fs::read(bench.segment(1)).unwrap();
    for tail in [vec![0; 5000], vec![0xa5; 300_000], whole[..START + RECORD / 2].to_vec()] {
        let copy = segments_of(&bench);
        fs::write(copy.segment(1), [whole.as_slice(), &tail].concat()).unwrap();
        let found = recover(&copy);
        assert_eq!(held(&found, &all), [true; 4]);
        assert_eq!((found.gaps, found.open.unwrap().end), (0, whole.len() as u64));
    }
}

#[tokio::test]
async fn a_flipped_bit_costs_its_own_record_wherever_it_is() {
    let (bench, all) = four().await;
    // In the second record's header: seen at start, and nothing is appended behind it.
    for at in [0, 5, 9, 13, 30, 60] {
        let copy = segments_of(&bench);
        copy.flip(1, START + RECORD + at);
        let found = recover(&copy);
        assert_eq!(held(&found, &all), [true, false, true, true], "byte {at}");
        assert!(found.open.is_none() && found.gaps == 1);
        // It was sealed: the second start has no damage to step over.
        let again = recover(&copy);
        assert_eq!((held(&again, &all), again.gaps), (vec![true, false, true, true], 0));
    }
    // In a payload: seen when it is read, given up, stored again.
    bench.flip(1, START + RECORD + 64 + 250);
    let store = bench.open();
    assert!(store.has(&all[1].id()).unwrap());
    let error = store.get(&all[1].id()).unwrap_err();
    let want = format!(
        "{} in {} at byte {} is damaged on disk and was given up; it will be fetched again when asked for",
        all[1].id(),
        bench.segment(1).display(),
        START + RECORD
    );
    assert_eq!(error.to_string(), want);
    assert_eq!((store.get(&all[1].id()).unwrap(), store.stats().damaged), (None, 1));
    assert_eq!(store.missing(&ids(&all)).unwrap(), [all[1].id()]);
    store.put(all.clone()).await.unwrap();
    assert_held(&store, &all);
    drop(store);
    let store = bench.open();
    assert_held(&store, &all);
}

#[tokio::test]
async fn many_reads_name_the_damaged_one_and_find_its_other_copy() {
    let (bench, all) = four().await;
    bench.flip(1, START + RECORD + 64);
    let store = bench.open();
    let locations: Vec<_> = store.locations(&ids(&all)).unwrap().into_iter().map(Option::unwrap).collect();
    let error = store.get_many(&ids(&all)).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { id, .. } if *id == all[1].id()), "{error}");
    assert_eq!(store.get_many(&ids(&all)).unwrap().iter().flatten().count(), 3);
    assert!(matches!(store.read_many(&locations), Err(StoreError::Damaged { .. })));
    store.put(all.clone()).await.unwrap();
    drop(store);
    // After a start the damage is forgotten, and both copies are found: one of them reads.
    let store = bench.open();
    assert_held(&store, &all);
}

#[tokio::test]
async fn either_copy_of_a_segment_header_will_do_and_without_both_another_segment_helps() {
    let bench = Bench::with_segments(1500);
    let all = blobs(0..9, 500);
    let store = bench.open();
    for blob in &all {
        store.put(vec![blob.clone()]).await.unwrap();
    }
    store.close().await.unwrap();
    for flips in [&[10][..], &[128 + 20], &[20, 128 + 20]] {
        let copy = segments_of(&bench);
        flips.iter().for_each(|at| copy.flip(1, *at));
        assert_eq!(held(&recover(&copy), &all), [true; 9], "{flips:?}");
    }
    // Alone, and without its key, nothing in it can be told from noise: kept for a human.
    let (single, _) = four().await;
    [20, 128 + 20].iter().for_each(|at| single.flip(1, *at));
    let store = single.open();
    assert_eq!(store.stats().blobs, 0);
    assert!(single.dir.path().join("segments/00000001.seg.bad").exists());
    store.put(all.clone()).await.unwrap();
    assert_held(&store, &all);
}

#[tokio::test]
async fn a_damaged_footer_is_made_again_at_start_and_stepped_around_while_running() {
    let bench = Bench::with_segments(1500);
    let all = blobs(0..3, 500);
    bench.open().put(all.clone()).await.unwrap();
    let (records, len) = (START + 3 * RECORD, fs::metadata(bench.segment(1)).unwrap().len() as usize);
    assert!(len > records + 4096);
    for at in [records + 4096 + 5, records + 4096 + 40, len - 100, len - 1] {
        let copy = segments_of(&bench);
        copy.flip(1, at);
        let found = recover(&copy);
        assert_eq!((held(&found, &all), found.gaps), (vec![true; 3], 0), "byte {at}");
        assert!(fs::read(copy.segment(1)).unwrap() == fs::read(bench.segment(1)).unwrap(), "sealed again");
    }
    // A page is only read when it is needed.
    bench.flip(1, records + 10);
    let store = bench.open();
    assert_held(&store, &all);
    assert_held(&store, &all);
}

#[tokio::test]
async fn what_a_crash_leaves_of_a_segment_being_made_or_sealed_is_no_obstacle() {
    let (bench, all) = four().await;
    for len in [0, 100, 256] {
        let copy = segments_of(&bench);
        let head = fs::read(copy.segment(1)).unwrap();
        fs::write(copy.segment(2), &head[..len]).unwrap();
        let found = recover(&copy);
        assert_eq!(held(&found, &all), [true; 4]);
        assert_eq!(copy.segment(2).exists(), len == 256);
    }
    let sealed = Bench { segment_bytes: 10, ..segments_of(&bench) };
    drop(sealed.open());
    let whole = fs::read(sealed.segment(1)).unwrap();
    for len in (START + 4 * RECORD..whole.len()).step_by(499) {
        let copy = segments_of(&sealed);
        fs::write(copy.segment(1), &whole[..len]).unwrap();
        let found = recover(&copy);
        assert_eq!((held(&found, &all), found.gaps), (vec![true; 4], 0), "footer cut at {len}");
    }
}

#[tokio::test]
async fn a_crash_at_any_moment_keeps_all_that_was_acknowledged() {
    let bench = Bench::with_segments(5000);
    let store = bench.open();
    let page = blob(500, 10);
    for round in 0..6 {
        store.put(blobs(round * 5..round * 5 + 5, 400)).await.unwrap();
        store.put(vec![page.clone()]).await.unwrap();
        let manifest = with_zip(&format!("example.com/a@v1.{round}.0"), &page);
        store.accept(verified(&manifest)).await.unwrap();
        store.complete(manifest.id()).await.unwrap();
        if round % 2 == 1 {
            let crashed = bench.crashed().open();
            assert_held(&crashed, &blobs(0..round * 5 + 5, 400));
            let versions = crashed.versions(&path("example.com/a")).unwrap();
            assert!(versions.len() as u64 == round + 1 && versions.iter().all(|version| version.complete));
            assert_eq!(crashed.catalog_digests(), store.catalog_digests());
            assert_eq!(crashed.stats().damaged, 0);
        }
    }
}
