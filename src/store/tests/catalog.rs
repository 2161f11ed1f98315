//! Manifests, completeness, facts and the wanted list.

use futures::future::join_all;

use super::super::{Accepted, limits};
use super::*;

#[tokio::test]
async fn a_manifest_is_kept_found_and_listed() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let (a, b) = (with_zip("example.com/a@v1.0.0", &page), go_mod_only("example.com/a@v1.1.0"));
    assert_eq!(store.accept(verified(&a)).await.unwrap(), Accepted::New);
    assert_eq!(store.accept(verified(&b)).await.unwrap(), Accepted::New);
    assert_eq!(store.accept(verified(&a)).await.unwrap(), Accepted::Known);
    for name in ["example.com/ab@v1.9.0", "example.com/a/sub@v1.9.0", "example.com/a-b@v1.9.0"] {
        store.accept(verified(&go_mod_only(name))).await.unwrap();
    }
    for store in [store.clone(), bench.crashed().open()] {
        let held = store.manifest(&a.module).unwrap().unwrap();
        assert_eq!((held.id, &*held.manifest, held.complete), (a.id(), &a, false));
        assert_eq!(held.envelope, verified(&a).envelope());
        assert_eq!(store.manifest_by_id(&b.id()).unwrap().as_ref(), Some(verified(&b).envelope()));
        assert_eq!(store.manifest_by_id(&page.id()).unwrap(), None);
        assert!(store.manifest(&module("example.com/a@v1.2.0")).unwrap().is_none());
        let versions = store.versions(&path("example.com/a")).unwrap();
        let seen: Vec<_> = versions.iter().map(|v| (v.version.as_str(), v.id, v.complete, v.has_zip)).collect();
        assert_eq!(seen, [("v1.0.0", a.id(), false, true), ("v1.1.0", b.id(), true, false)]);
        let modules = store.modules(None).unwrap();
        let names: Vec<_> = modules.iter().map(ModulePath::as_str).collect();
        assert_eq!(names, ["example.com/a", "example.com/a-b", "example.com/a/sub", "example.com/ab"]);
        assert_eq!(store.modules(Some(&modules[1])).unwrap(), modules[2..]);
        let stats = store.stats();
        assert_eq!((stats.manifests, stats.with_zip, stats.complete), (5, 1, 4));
    }
}

#[tokio::test]
async fn completeness_needs_the_manifest_and_its_pages_and_survives() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let manifest = with_zip("example.com/a@v1.0.0", &page);
    let error = store.complete(manifest.id()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("manifest {} is not in the catalog; accept it before marking it complete", manifest.id())
    );
    store.accept(verified(&manifest)).await.unwrap();
    let error = store.complete(manifest.id()).await.unwrap_err();
    assert!(matches!(error, StoreError::Incomplete { missing, .. } if missing == page.id()), "{error}");
    store.put(vec![page]).await.unwrap();
    store.complete(manifest.id()).await.unwrap();
    store.complete(manifest.id()).await.unwrap();
    for store in [store.clone(), bench.crashed().open()] {
        assert!(store.manifest(&manifest.module).unwrap().unwrap().complete);
        assert!(store.versions(&manifest.module.path).unwrap()[0].complete);
        assert_eq!(store.stats().complete, 1);
    }
}

#[tokio::test]
async fn a_fuller_manifest_takes_over_and_a_contradiction_does_not() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let thin = go_mod_only("example.com/a@v1.0.0");
    let full = with_zip("example.com/a@v1.0.0", &page);
    let mut other = full.clone();
    other.zip.as_mut().unwrap().h1 = H1::from_bytes([9; 32]);
    // In one batch: the later ones see what the earlier ones will have done.
    let done = futures::join!(
        store.accept(verified(&thin)),
        store.accept(verified(&full)),
        store.accept(verified(&thin)),
        store.accept(verified(&other)),
    );
    assert_eq!(done.0.unwrap(), Accepted::New);
    assert_eq!(done.1.unwrap(), Accepted::Replaced { old: thin.id() });
    assert_eq!(done.2.unwrap(), Accepted::Superseded { held: full.id() });
    assert_eq!(done.3.unwrap(), Accepted::Conflict { held: full.id() });
    let rebuilt = bench.crashed();
    fs::remove_dir_all(rebuilt.dir.path().join("index")).unwrap();
    for store in [store.clone(), rebuilt.open()] {
        assert_eq!(store.manifest(&thin.module).unwrap().unwrap().id, full.id());
        assert_eq!(store.manifest_by_id(&thin.id()).unwrap(), None);
        assert_eq!(store.catalog_ids(), [full.id()]);
        assert!(matches!(store.complete(thin.id()).await, Err(StoreError::UnknownManifest(_))));
    }
}

#[tokio::test]
async fn an_envelope_too_long_for_the_index_is_read_from_its_segment() {
    let bench = Bench::with_segments(1000);
    let store = bench.open();
    let mut manifest = go_mod_only("example.com/a@v1.0.0");
    manifest.info = format!("{{\"Version\":\"v1.0.0\"}}{}", " ".repeat(limits::INLINE_ENVELOPE)).into_bytes();
    store.accept(verified(&manifest)).await.unwrap();
    for store in [store.clone(), bench.crashed().open()] {
        assert_eq!(*store.manifest(&manifest.module).unwrap().unwrap().manifest, manifest);
        assert_eq!(store.manifest_by_id(&manifest.id()).unwrap().as_ref(), Some(verified(&manifest).envelope()));
    }
}

#[tokio::test]
async fn two_stores_with_the_same_manifests_have_the_same_digests() {
    let (one, other) = (Bench::new(), Bench::new());
    let (one, other) = (one.open(), other.open());
    let manifests: Vec<Manifest> = (0..40).map(|n| go_mod_only(&format!("example.com/m{n}@v1.0.0"))).collect();
    for manifest in &manifests {
        one.accept(verified(manifest)).await.unwrap();
    }
    for manifest in manifests.iter().rev().skip(1) {
        other.accept(verified(manifest)).await.unwrap();
    }
    let differing: Vec<u8> = (0..=255)
        .filter(|at| one.catalog_digests()[usize::from(*at)] != other.catalog_digests()[usize::from(*at)])
        .collect();
    let missing = manifests[39].id();
    assert_eq!(differing, [missing.as_bytes()[0]]);
    assert!(one.catalog_bucket(differing[0]).contains(&missing));
    assert!(!other.catalog_bucket(differing[0]).contains(&missing));
    other.accept(verified(&manifests[39])).await.unwrap();
    assert_eq!(one.catalog_digests(), other.catalog_digests());
}

#[tokio::test]
async fn the_last_fact_counts_also_when_the_index_is_rebuilt() {
    let bench = Bench::with_segments(300);
    let store = bench.open();
    for (at, value) in [(10, "one"), (20, "two")] {
        store.set_fact("latest/example.com/a", at, value.into()).await.unwrap();
        store.set_fact("latest/example.com/b", at, value.into()).await.unwrap();
    }
    store.set_fact("latest/example.com/a", 5, "three".into()).await.unwrap();
    store.forget_fact("latest/example.com/b").await.unwrap();
    store.set_fact("pin/x", 1, Bytes::new()).await.unwrap();
    let rebuilt = bench.crashed();
    fs::remove_dir_all(rebuilt.dir.path().join("index")).unwrap();
    for store in [store.clone(), rebuilt.open()] {
        let fact = store.fact("latest/example.com/a").unwrap().unwrap();
        assert_eq!((fact.at, &fact.value[..]), (5, &b"three"[..]));
        assert_eq!(store.fact("latest/example.com/b").unwrap(), None);
        let keys: Vec<String> = store.facts("latest/").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["latest/example.com/a"]);
        assert_eq!(store.fact("pin/x").unwrap().unwrap().value, Bytes::new());
    }
    let long = Bytes::from(vec![0; limits::MAX_FACT + 1]);
    assert!(matches!(store.set_fact("k", 0, long).await, Err(StoreError::TooMuch { what: "a fact", .. })));
}

#[tokio::test]
async fn the_wanted_list_is_renewed_hourly_and_forgets_what_came() {
    let bench = Bench::new();
    let store = bench.open();
    assert!(store.note_wanted("example.com/a", "latest", 1000).await.unwrap());
    assert!(store.note_wanted("example.com/a", "v1.0.0", 1000).await.unwrap());
    let syncs = Knobs::count(&bench.knobs.syncs);
    assert!(store.note_wanted("example.com/a", "latest", 1000 + 3599).await.unwrap());
    assert_eq!(Knobs::count(&bench.knobs.syncs), syncs);
    assert!(store.note_wanted("example.com/a", "latest", 1000 + 3600).await.unwrap());
    store.no_longer_wanted("example.com/a", "v1.0.0").await.unwrap();
    store.no_longer_wanted("example.com/never", "v1.0.0").await.unwrap();
    for store in [store.clone(), bench.crashed().open()] {
        let wanted = store.wanted().unwrap();
        let seen: Vec<_> = wanted.iter().map(|w| (w.module.as_str(), w.query.as_str(), w.asked_at)).collect();
        assert_eq!(seen, [("example.com/a", "latest", 4600)]);
    }
    let error = store.note_wanted("a\0b", "latest", 0).await.unwrap_err();
    assert_eq!(error.to_string(), r#""a\0b" holds a zero byte and cannot be stored"#);
    assert!(matches!(
        store.note_wanted(&"a".repeat(limits::MAX_FACT_KEY), "latest", 0).await,
        Err(StoreError::TooMuch { what: "a key", .. })
    ));
}

#[tokio::test]
async fn a_full_wanted_list_takes_no_more_until_something_leaves() {
    let bench = Bench::new();
    let store = bench.open();
    let noted = join_all((0..=limits::MAX_WANTED).map(|n| {
        let store = &store;
        async move { store.note_wanted(&format!("example.com/m{n:05}"), "latest", 5).await.unwrap() }
    }))
    .await;
    assert_eq!(noted.iter().filter(|noted| **noted).count(), limits::MAX_WANTED);
    assert_eq!(store.wanted().unwrap().len(), limits::MAX_WANTED);
    assert!(store.note_wanted("example.com/m00000", "latest", 6).await.unwrap(), "it is on it");
    store.no_longer_wanted("example.com/m00000", "latest").await.unwrap();
    assert!(store.note_wanted("example.com/late", "latest", 7).await.unwrap());
    assert!(!store.note_wanted("example.com/later", "latest", 7).await.unwrap());
    drop(store);
    assert!(!bench.open().note_wanted("example.com/later", "latest", 7).await.unwrap());
}

#[tokio::test]
async fn a_retracted_manifest_is_gone_for_good_and_leaves_room_for_the_right_one() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let wrong = with_zip("example.com/a@v1.0.0", &page);
    let mut right = wrong.clone();
    right.zip.as_mut().unwrap().blake3 = [9; 32];
    store.put(vec![page]).await.unwrap();
    store.accept(verified(&wrong)).await.unwrap();
    assert_eq!(store.accept(verified(&right)).await.unwrap(), Accepted::Superseded { held: wrong.id() });
    store.retract(wrong.id()).await.unwrap();
    assert!(store.manifest(&wrong.module).unwrap().is_none());
    assert_eq!((store.catalog_ids(), store.stats().manifests), (vec![], 0));
    // In one batch with what follows, and alone.
    let again = futures::join!(store.accept(verified(&wrong)), store.accept(verified(&right)));
    assert_eq!((again.0.unwrap(), again.1.unwrap()), (Accepted::Retracted, Accepted::New));
    let crashed = bench.crashed();
    std::fs::remove_dir_all(crashed.dir.path().join("index")).unwrap();
    for store in [store, crashed.open()] {
        assert_eq!(store.catalog_ids(), [right.id()]);
        assert_eq!(store.accept(verified(&wrong)).await.unwrap(), Accepted::Retracted);
    }
}

#[tokio::test]
async fn a_manifest_that_was_set_aside_is_as_if_never_offered() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let full = with_zip("example.com/a@v1.0.0", &page);
    let other = go_mod_only("example.com/b@v1.0.0");
    store.put(vec![page]).await.unwrap();
    store.accept(verified(&full)).await.unwrap();
    store.complete(full.id()).await.unwrap();
    store.accept(verified(&other)).await.unwrap();
    store.set_aside(vec![full.id(), blob(9, 9).id()]).await.unwrap();
    assert!(store.manifest(&full.module).unwrap().is_none());
    assert!(store.manifest_by_id(&full.id()).unwrap().is_none());
    assert_eq!((store.catalog_ids(), store.stats().complete), (vec![other.id()], 1));
    let crashed = bench.crashed();
    std::fs::remove_dir_all(crashed.dir.path().join("index")).unwrap();
    assert_eq!(crashed.open().catalog_ids(), [other.id()], "also for an index that is made anew");
    // In one batch with what follows, and after a restart.
    let again = futures::join!(store.set_aside(vec![other.id()]), store.accept(verified(&other)));
    assert_eq!((again.0.unwrap(), again.1.unwrap()), ((), Accepted::New));
    assert_eq!(store.accept(verified(&full)).await.unwrap(), Accepted::New);
    let mut both = [full.id(), other.id()];
    both.sort_unstable();
    let crashed = bench.crashed();
    std::fs::remove_dir_all(crashed.dir.path().join("index")).unwrap();
    for store in [store, crashed.open()] {
        assert_eq!(store.catalog_ids(), both);
        assert!(store.manifest(&full.module).unwrap().unwrap().complete, "what it names is still here");
    }
}

#[tokio::test]
async fn a_stamp_moves_with_every_change_of_its_module_or_fact() {
    let bench = Bench::new();
    let store = bench.open();
    let page = blob(1, 100);
    let (thin, full) = (go_mod_only("example.com/a@v1.0.0"), with_zip("example.com/a@v1.0.0", &page));
    let other = go_mod_only("example.com/b@v1.0.0");
    let stamps = || (store.stamp(&thin.module.path), store.stamp(&other.module.path), store.fact_stamp("key"));
    let mut before = stamps();
    let mut moved = || {
        let (now, then) = (stamps(), before);
        before = now;
        (now.0 != then.0, now.1 != then.1, now.2 != then.2)
    };
    store.put(vec![page]).await.unwrap();
    assert_eq!(moved(), (false, false, false));
    for manifest in [&thin, &full] {
        store.accept(verified(manifest)).await.unwrap();
        assert_eq!(moved(), (true, false, false), "accepted");
        store.accept(verified(manifest)).await.unwrap();
        assert_eq!(moved(), (false, false, false), "accepted again");
    }
    store.complete(full.id()).await.unwrap();
    assert_eq!(moved(), (true, false, false), "completed");
    store.set_aside(vec![full.id()]).await.unwrap();
    assert_eq!(moved(), (true, false, false), "set aside");
    store.accept(verified(&full)).await.unwrap();
    assert_eq!(moved(), (true, false, false), "accepted after that");
    store.retract(full.id()).await.unwrap();
    assert_eq!(moved(), (true, false, false), "retracted");
    store.accept(verified(&other)).await.unwrap();
    assert_eq!(moved(), (false, true, false));
    store.set_fact("key", 1, Bytes::new()).await.unwrap();
    assert_eq!(moved(), (false, false, true), "set");
    store.forget_fact("key").await.unwrap();
    assert_eq!(moved(), (false, false, true), "forgotten");
}
