//! Announcements as fast as they go: garbage, lies, and names of what nobody has. The node refuses them, names who sent them,
//! and hears and serves the others meanwhile.

use bytes::Bytes;
use modswarm::domain::blob::BlobId;
use modswarm::domain::codec;
use modswarm::domain::sumdb::state::StateId;
use modswarm::swarm::SwarmError;

use crate::common::peer::{Announcement, TestPeer};
use crate::site::{Site, file};
use crate::victim::{Victim, honest_seed};

/// Enough to fill every queue on the way several times over.
const MESSAGES: u32 = 2000;

/// Announces `message(0)`, `message(1)` and so on, as fast as the liar's own line takes them.
async fn flood(liar: &TestPeer, message: impl Fn(u32) -> Bytes) {
    for number in 0..MESSAGES {
        while let Err(error) = liar.swarm.announce(message(number)) {
            assert!(matches!(error, SwarmError::Busy), "{error}");
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
}

/// While `message` comes at full speed, a seed brings all that is published, and a client gets it.
async fn is_heard_through(message: impl Fn(u32) -> Bytes) -> (Site, TestPeer, Victim) {
    let (site, liar) = (Site::start().await, TestPeer::start().await);
    let victim = Victim::meets(&site, &liar).await;
    // When this one comes through, they have found each other.
    liar.announce(&Announcement::Id(BlobId::of(b"the first"))).await;
    let honest = async {
        let seed = honest_seed(&site, &victim).await;
        for module in &site.modules {
            let got = victim.get(&file(module, ".zip")).await;
            assert_eq!((got.status, &got.body), (200, &module.zip), "{}", got.text());
        }
        seed
    };
    let (_seed, ()) = tokio::join!(honest, flood(&liar, message));
    let known = u64::try_from(site.modules.len()).unwrap();
    victim.node.wait_until(|status| status.store.versions == known).await;
    (site, liar, victim)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_kilobytes_of_garbage_at_full_speed_are_refused_by_name() {
    let garbage = |number: u32| {
        let mut bytes = vec![0; 4096];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        // Never the beginning of a kind that there is.
        bytes[0] |= 0x80;
        bytes.into()
    };
    let (site, liar, victim) = is_heard_through(garbage).await;
    victim.blames(&liar, "announcement refused").await;
    victim.says_only_the_truth(&site, &site.modules[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_of_garbage_at_full_speed_are_refused_and_their_sender_is_banned() {
    let garbage = |number: u32| codec::encode(&Announcement::Envelope(number.to_le_bytes().repeat(900))).into();
    let (site, liar, victim) = is_heard_through(garbage).await;
    victim.blames(&liar, "an envelope cannot be read").await;
    victim.bans(&liar).await;
    victim.says_only_the_truth(&site, &site.modules[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_manifests_and_states_that_nobody_has_bring_nothing_in_and_keep_nothing_out() {
    let names = |number: u32| {
        let id = BlobId::of(&number.to_le_bytes());
        let state = StateId { size: u64::from(number), root: id };
        codec::encode(&match number % 2 {
            0 => Announcement::Id(id),
            _ => Announcement::Sumdb { database: format!("sum.example+{number:08x}"), state },
        })
        .into()
    };
    let (site, _liar, victim) = is_heard_through(names).await;
    victim.says_only_the_truth(&site, &site.modules[0]).await;
}
