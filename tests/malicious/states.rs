//! Tree heads and tiles that lie, from a peer, to a node that answers for the checksum database.

use bincode::Encode;
use futures::{StreamExt as _, stream};
use modswarm::domain::blob::BlobId;
use modswarm::domain::codec;
use modswarm::domain::note::Signer;
use modswarm::domain::sumdb::state::{STATE_FORMAT, State, StateId};
use tempfile::TempDir;

use crate::common::node::{NodeOptions, TestNode};
use crate::common::peer::{Announcement, TestPeer};
use crate::common::{FixtureModule, copy_dir, escape};
use crate::site::{Site, file, record};
use crate::state::{Draft, FULL_TILE};
use crate::sumdb::{FixtureDb, NAME};
use crate::victim::Victim;

/// Nodes that are attacked at a time.
const AT_ONCE: usize = 4;

/// The data of a node that holds all that is published, and answers for it.
async fn held(site: &Site) -> TempDir {
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    for module in &site.modules {
        assert_eq!(seed.get(&file(module, ".zip")).await.status, 200);
    }
    // What another node answers with came out of the state that the seed has kept.
    let other = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&site.key())).await;
    other.wait_for(1, 3).await;
    for module in &site.modules {
        assert_eq!(other.get(&format!("/sumdb/{NAME}/{}", lookup(module))).await.status, 200);
    }
    seed.stop().await
}

fn lookup(module: &FixtureModule) -> String {
    format!("lookup/{}@{}", escape(&module.path), escape(&module.version))
}

/// A node with a copy of that data, to which `liar` is connected.
async fn attacked(data: &TempDir, site: &Site, liar: &TestPeer) -> Victim {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(data.path(), copy.path());
    // It meets nobody but the liar: not the honest ones of its last run either, who would put right what the liar does.
    let _ = std::fs::remove_file(copy.path().join("peers.json"));
    Victim::with_data(copy, site, liar).await
}

/// Asserts that all lookups are answered, under the true head, to clients that have seen nothing.
async fn answers_as_before(victim: &Victim, site: &Site) {
    for module in &site.modules {
        let question = lookup(module);
        let got = victim.get(&format!("/sumdb/{NAME}/{question}")).await;
        let truth = site.db.read().unwrap().answer(&question).unwrap();
        let right = (got.status, got.body.as_ref()) == (200, truth.as_slice());
        assert!(right, "{question}: {}\n{}", got.text(), victim.node.log());
    }
    victim.says_only_the_truth(site, &site.modules[0]).await;
    assert_ne!(victim.go_gets(site, &site.modules[0]).await, Some(false));
}

/// Lets `liar` say that it has this state; gives its name.
fn offer(liar: &TestPeer, site: &Site, draft: Draft) -> StateId {
    let state = draft.write(|bytes| liar.hold(bytes));
    liar.offer_state(&database(site), state);
    state
}

fn database(site: &Site) -> String {
    site.db.read().unwrap().verifier().id().to_string()
}

async fn gossip(liar: &TestPeer, site: &Site, state: StateId) {
    liar.announce(&Announcement::Sumdb { database: database(site), state }).await;
}

/// The log of `site` with some more records.
fn grown(site: &Site, more: u64) -> FixtureDb {
    let mut db = FixtureDb::with_records(300);
    site.modules.iter().for_each(|module| _ = record(&mut db, module));
    (0..300 + more).for_each(|n| _ = db.add_filler(10_000 + n));
    assert_eq!(db.head_at(site.db.read().unwrap().size()), site.db.read().unwrap().head(), "it continues the true one");
    db
}

fn stranger() -> FixtureDb {
    FixtureDb::signed_by(Signer::from_secret(NAME, [9; 32]).unwrap())
}

const REFUSED: &str = "the state of the peer was refused";

#[tokio::test(flavor = "multi_thread")]
async fn forged_heads_and_tiles_change_no_answer_of_a_node_that_has_the_true_ones() {
    let site = Site::start().await;
    let data = held(&site).await;
    // The log has grown, so what is at its edge is news to the node.
    let lies = Draft::lies(&grown(&site, 300), &stranger());
    let attack = async |(_, draft): (&'static str, Draft)| {
        let liar = TestPeer::start().await;
        let state = offer(&liar, &site, draft);
        let victim = attacked(&data, &site, &liar).await;
        victim.blames(&liar, REFUSED).await;
        // Once may be a mistake.
        gossip(&liar, &site, state).await;
        victim.bans(&liar).await;
        answers_as_before(&victim, &site).await;
    };
    // That tile is known, so nobody asks for the forged one.
    let lies = lies.into_iter().filter(|(what, _)| *what != FULL_TILE);
    stream::iter(lies).map(attack).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_no_head_yet_takes_none_that_is_forged() {
    let site = Site::start().await;
    let lies = Draft::lies(&site.db.read().unwrap(), &stranger());
    let attack = async |(what, draft): (&'static str, Draft)| {
        let liar = TestPeer::start().await;
        let state = offer(&liar, &site, draft);
        let victim = Victim::meets(&site, &liar).await;
        victim.blames(&liar, REFUSED).await;
        gossip(&liar, &site, state).await;
        victim.bans(&liar).await;
        let got = victim.get(&format!("/sumdb/{NAME}/latest")).await;
        assert_eq!(got.status, 404, "{what}: {}", got.text());
        victim.says_only_the_truth(&site, &site.modules[0]).await;
    };
    stream::iter(lies).map(attack).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// A page of a state, as nodes encode it.
#[derive(Encode)]
struct Page {
    format: u8,
    level: u8,
    stretch: u64,
    tiles: Vec<(u16, u16, BlobId)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_names_what_is_no_tile_of_hashes_is_refused() {
    let site = Site::start().await;
    let data = held(&site).await;
    // Data tiles have the level -1 in the go command, which is 255 here; none of them travels.
    for (level, stretch, width) in [(255, 0, 256), (8, 0, 1), (0, u64::MAX, 1), (0, 0, 0), (0, 0, 257)] {
        let liar = TestPeer::start().await;
        let tile = liar.hold(b"example.com/evil v1.0.0 h1:...\n".to_vec());
        let page = Page { format: STATE_FORMAT, level, stretch, tiles: vec![(0, width, tile)] };
        let pages = vec![liar.hold(codec::encode(&page))];
        let (head, size) = { (site.db.read().unwrap().note(), site.db.read().unwrap().size()) };
        let root = State { database: database(&site), head, old_sizes: vec![], pages };
        let state = StateId { size, root: liar.hold(root.encode()) };
        liar.offer_state(&database(&site), state);
        let victim = attacked(&data, &site, &liar).await;
        victim.blames(&liar, "a page names a tile that no tree has").await;
        gossip(&liar, &site, state).await;
        victim.bans(&liar).await;
        victim.says_only_the_truth(&site, &site.modules[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_signed_by_the_database_itself_is_refused_without_a_ban() {
    let site = Site::start().await;
    let data = held(&site).await;
    let size = site.db.read().unwrap().size();
    let attack = async |forked: u64| {
        let mut fork = FixtureDb::new(NAME);
        record(&mut fork, &site.modules[0]);
        (1..forked).for_each(|n| _ = fork.add_filler(50_000 + n));
        let liar = TestPeer::start().await;
        offer(&liar, &site, Draft::of(&fork));
        let victim = attacked(&data, &site, &liar).await;
        victim.blames(&liar, "it is of another history").await;
        answers_as_before(&victim, &site).await;
        let peers = victim.node.status().await.peers;
        assert_eq!(peers.len(), 1, "who shows the other side of a fork may be honest");
    };
    stream::iter([size - 100, size, size + 300]).map(attack).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_head_changes_no_answer() {
    let site = Site::start().await;
    let data = held(&site).await;
    let mut older = FixtureDb::with_records(300);
    site.modules.iter().for_each(|module| _ = record(&mut older, module));
    assert_eq!(older.head(), site.db.read().unwrap().head_at(older.size()), "the true one continues it");
    let liar = TestPeer::start().await;
    let state = offer(&liar, &site, Draft::of(&older));
    let victim = attacked(&data, &site, &liar).await;
    liar.was_asked_for(state.root).await;
    // States are looked at one after the other: when the next one is refused, the older one is done with.
    let nonsense = Draft { head: b"nonsense".to_vec(), ..Draft::of(&older) };
    gossip(&liar, &site, nonsense.write(|bytes| liar.hold(bytes))).await;
    victim.blames(&liar, REFUSED).await;
    answers_as_before(&victim, &site).await;
}
