//! Opening: the lock, the index that is derived, directories that will not do.

use std::sync::atomic::Ordering;

use super::*;

async fn filled(bench: &Bench) -> Manifest {
    let store = bench.open();
    let page = blob(1, 100);
    let manifest = with_zip("example.com/a@v1.0.0", &page);
    store.put(vec![page]).await.unwrap();
    store.accept(verified(&manifest)).await.unwrap();
    store.complete(manifest.id()).await.unwrap();
    store.set_fact("pin/a", 7, "yes".into()).await.unwrap();
    store.note_wanted("example.com/b", "latest", 9).await.unwrap();
    store.close().await.unwrap();
    manifest
}

fn assert_filled(store: &Store, manifest: &Manifest) {
    assert!(store.manifest(&manifest.module).unwrap().unwrap().complete);
    assert_eq!(store.catalog_ids(), [manifest.id()]);
    assert_eq!(store.fact("pin/a").unwrap().unwrap().at, 7);
    assert_eq!(store.wanted().unwrap().len(), 1);
    assert!(store.has(&blob(1, 100).id()).unwrap());
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_again() {
    let bench = Bench::new();
    let manifest = filled(&bench).await;
    fs::remove_dir_all(bench.dir.path().join("index")).unwrap();
    assert_filled(&bench.open(), &manifest);
    assert!(!bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn an_index_of_garbage_is_set_aside_and_made_again_and_few_are_kept() {
    let bench = Bench::new();
    let manifest = filled(&bench).await;
    for round in 1..=5 {
        let index = bench.dir.path().join("index");
        fs::remove_dir_all(&index).unwrap();
        // A file where sled wants a directory, and a directory with a configuration that is none.
        if round % 2 == 0 {
            fs::write(&index, b"garbage").unwrap();
        } else {
            fs::create_dir(&index).unwrap();
            fs::write(index.join("conf"), [0x5a; 300]).unwrap();
            fs::write(index.join("db"), [0x5a; 4000]).unwrap();
        }
        assert_filled(&bench.open(), &manifest);
        assert!(bench.dir.path().join(format!("index.bad-{round}")).exists());
    }
    assert!(!bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn a_store_without_segments_is_opened_again_and_again_without_a_word() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.open().close().await.unwrap();
    }
    assert!(!bench.dir.path().join("index.bad-1").exists());
    let manifest = filled(&bench).await;
    assert_filled(&bench.open(), &manifest);
    assert!(!bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn an_index_of_another_store_is_set_aside() {
    let (bench, other) = (Bench::new(), Bench::new());
    let manifest = filled(&bench).await;
    let stranger = other.open();
    stranger.accept(verified(&go_mod_only("example.com/stranger@v1.0.0"))).await.unwrap();
    stranger.close().await.unwrap();
    fs::remove_dir_all(bench.dir.path().join("index")).unwrap();
    copy_dir(&other.dir.path().join("index"), &bench.dir.path().join("index"));
    let store = bench.open();
    assert_filled(&store, &manifest);
    assert!(bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn an_index_that_knows_more_than_the_segments_is_not_believed() {
    let bench = Bench::new();
    filled(&bench).await;
    fs::remove_file(bench.segment(1)).unwrap();
    let store = bench.open();
    assert_eq!((store.stats().manifests, store.wanted().unwrap()), (0, vec![]));
    assert!(bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn an_older_index_is_brought_up_to_date() {
    let bench = Bench::with_segments(2000);
    let manifest = filled(&bench).await;
    let old = bench.crashed();
    let store = bench.open();
    for n in 0..10 {
        store.accept(verified(&go_mod_only(&format!("example.com/m{n}@v1.0.0")))).await.unwrap();
    }
    store.set_fact("pin/a", 8, "no".into()).await.unwrap();
    store.close().await.unwrap();
    fs::remove_dir_all(bench.dir.path().join("index")).unwrap();
    copy_dir(&old.dir.path().join("index"), &bench.dir.path().join("index"));
    let store = bench.open();
    assert_eq!(store.stats().manifests, 11);
    assert_eq!(store.fact("pin/a").unwrap().unwrap().at, 8);
    assert!(store.manifest(&manifest.module).unwrap().unwrap().complete);
    assert!(!bench.dir.path().join("index.bad-1").exists());
}

#[tokio::test]
async fn numbers_that_a_failed_batch_used_up_do_not_confuse_the_next_start() {
    let bench = Bench::new();
    let manifest = filled(&bench).await;
    let store = bench.open();
    store.set_fact("pin/b", 8, "yes".into()).await.unwrap();
    bench.knobs.full.store(true, Ordering::SeqCst);
    assert!(store.put(blobs(10..20, 10)).await.is_err());
    assert!(store.set_fact("pin/c", 9, "yes".into()).await.is_err());
    store.close().await.unwrap();
    bench.knobs.full.store(false, Ordering::SeqCst);
    let store = bench.open();
    assert_filled(&store, &manifest);
    assert!(!bench.dir.path().join("index.bad-1").exists());
    store.set_fact("pin/c", 10, "yes".into()).await.unwrap();
    let rebuilt = bench.crashed().open();
    assert_eq!(rebuilt.facts("pin/").unwrap().iter().map(|(_, fact)| fact.at).collect::<Vec<_>>(), [7, 8, 10]);
}

#[tokio::test]
async fn after_an_orderly_close_the_segments_are_not_read_again() {
    let bench = Bench::with_segments(1000);
    filled(&bench).await;
    let store = bench.open();
    for n in 0..20 {
        store.set_fact(&format!("pin/{n}"), n, Bytes::new()).await.unwrap();
        store.put(blobs(n..n + 1, 500)).await.unwrap();
    }
    store.close().await.unwrap();
    let segments = fs::read_dir(bench.dir.path().join("segments")).unwrap().count() as u64;
    let before = Knobs::count(&bench.knobs.reads);
    let store = bench.open();
    let reads = Knobs::count(&bench.knobs.reads) - before;
    assert!(segments > 5 && reads <= 3 * segments + 3, "{reads} reads of {segments} segments");
    assert_eq!(store.stats().segments, segments);
}

#[tokio::test]
async fn a_second_store_on_a_directory_is_told_who_has_it() {
    let bench = Bench::new();
    let store = bench.open();
    let clone = store.clone();
    let want = format!(
        "{} is in use by pid {}; stop that node, or give this one its own directory with --data",
        bench.dir.path().display(),
        std::process::id()
    );
    assert_eq!(bench.try_open_in(bench.dir.path()).unwrap_err().to_string(), want);
    store.close().await.unwrap();
    assert!(matches!(bench.try_open_in(bench.dir.path()), Err(StoreError::InUse { .. })), "a clone is left");
    let error = clone.put(blobs(0..1, 10)).await.unwrap_err();
    assert_eq!(error.to_string(), "the store is closed; restart the node to use it again");
    clone.close().await.unwrap();
    // What stood in the lock file does not matter, only who holds it.
    fs::write(bench.dir.path().join("lock"), "999999999 and a long text that is no number at all").unwrap();
    drop(bench.open());
    drop(bench.open());
}

#[test]
fn a_directory_that_cannot_be_is_one_sentence() {
    let bench = Bench::new();
    let file = bench.dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = bench.try_open_in(&file.join("data")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unusable { .. }));
    assert!(
        text.starts_with(&format!("{} cannot be used as a data directory (", file.join("data").display())),
        "{text}"
    );
    assert!(text.ends_with("; mend its permissions or choose another with --data"), "{text}");
}

#[tokio::test]
async fn a_segment_of_a_later_version_is_not_touched() {
    let bench = Bench::new();
    filled(&bench).await;
    let mut bytes = fs::read(bench.segment(1)).unwrap();
    for copy in [0, 128] {
        bytes[copy + 8] = 2;
        let sum = blake3::hash(&bytes[copy..copy + 112]);
        bytes[copy + 112..copy + 128].copy_from_slice(&sum.as_bytes()[..16]);
    }
    fs::write(bench.segment(1), &bytes).unwrap();
    let error = bench.try_open_in(bench.dir.path()).unwrap_err();
    let want = format!(
        "{} has format 2 and this version reads up to 1; run the version that wrote it",
        bench.segment(1).display()
    );
    assert_eq!(error.to_string(), want);
    assert_eq!(fs::read(bench.segment(1)).unwrap(), bytes);
}
