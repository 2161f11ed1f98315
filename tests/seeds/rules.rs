//! The rules of asking, with short waits and small budgets: silence, floods, streams that break, seeds that come and
//! go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, StreamProtocol};
use modswarm::asking::budget::{Allowance, Rate};
use modswarm::asking::wire::{Reply, SEED, VERSION};
use modswarm::asking::{Answer, AskError, AskRules, Asker, Question, ServeRules, limits};
use modswarm::domain::codec;
use modswarm::domain::module::{ModulePath, ModuleVersion};
use modswarm::transfer::{Fetcher, StreamLimits, Traffic};

use super::answer_with;
use super::common::node::WATCHDOG;
use super::common::peer::TestPeer;

/// Somebody who asks, and a judge of his.
struct Bench {
    seed: TestPeer,
    judge: Fetcher,
    asker: Asker,
    _asking: TestPeer,
}

impl Bench {
    async fn new(seed: TestPeer, rules: AskRules) -> Self {
        let asking = TestPeer::start_with(&[&seed.address]).await;
        let swarm = &asking.swarm;
        let judge = Fetcher::new(swarm.stream_control(), swarm.connected(), swarm.bans(), Traffic::new());
        let asker = Asker::new(swarm, judge.clone(), rules);
        let bench = Self { asker, judge, _asking: asking, seed };
        let mut peers = bench._asking.swarm.peer_changes();
        let known = peers.wait_for(|peers| peers.iter().any(|peer| !peer.protocols.is_empty()));
        tokio::time::timeout(WATCHDOG, known).await.expect("the seed never introduced itself").unwrap();
        bench
    }

    fn id(&self) -> PeerId {
        self.seed.swarm.local_peer_id()
    }

    async fn ask(&self, question: &Question) -> Result<Answer, AskError> {
        tokio::time::timeout(WATCHDOG, self.asker.ask(self.id(), question)).await.expect("asking hangs")
    }
}

fn question(n: usize) -> Question {
    Question::Obtain { module: ModuleVersion::parse(&format!("example.com/m@v1.0.{n}")).unwrap(), zip: true }
}

fn newer() -> Question {
    Question::Newer { path: ModulePath::parse("example.com/m").unwrap() }
}

fn miss() -> Option<Answer> {
    Some(Answer::Miss("no".into()))
}

/// A seed that says the same on every stream, after the greeting, and then either closes it or waits until the asker
/// does.
fn raw(peer: &TestPeer, bytes: Vec<u8>, close: bool) {
    let mut incoming = peer.swarm.stream_control().accept(StreamProtocol::new(SEED)).unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            let bytes = [frame(&Reply::Hello { version: VERSION }), bytes.clone()].concat();
            tokio::spawn(async move {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
                while !close && stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
                let _ = stream.close().await;
            });
        }
    });
}

fn frame(reply: &Reply) -> Vec<u8> {
    let header = codec::encode(reply);
    [&u32::try_from(header.len()).unwrap().to_le_bytes()[..], &header].concat()
}

#[tokio::test]
async fn only_who_accepts_the_protocol_is_a_seed() {
    let bench = Bench::new(TestPeer::start().await, AskRules::default()).await;
    assert_eq!(bench.asker.seeds_for(newer().path()).await, []);
    // A peer that gets an upstream later says so by itself.
    answer_with(&bench.seed, ServeRules::default(), |_| miss());
    // The introduction is sent again when the connection is next used.
    let _ = bench.ask(&newer()).await;
    let mut peers = bench._asking.swarm.peer_changes();
    let seeds = peers.wait_for(|peers| peers.iter().any(|peer| peer.protocols.iter().any(|name| name == SEED)));
    tokio::time::timeout(WATCHDOG, seeds).await.expect("the seed never said that it is one").unwrap();
    assert_eq!(bench.asker.seeds_for(newer().path()).await, [bench.id()]);
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_and_one_that_says_it_works_is_not() {
    let rules = AskRules { silence: Duration::from_secs(1), longest: Duration::from_secs(3) };
    let silent = TestPeer::start().await;
    answer_with(&silent, ServeRules { working_every: WATCHDOG, ..ServeRules::default() }, |_| None);
    let bench = Bench::new(silent, rules).await;
    let err = bench.ask(&newer()).await.unwrap_err();
    assert!(matches!(err, AskError::Silent { .. }) && err.to_string().contains("nothing came"), "{err}");

    let working = TestPeer::start().await;
    answer_with(&working, ServeRules { working_every: Duration::from_millis(200), ..ServeRules::default() }, |_| None);
    let bench = Bench::new(working, rules).await;
    let err = bench.ask(&newer()).await.unwrap_err();
    assert!(err.to_string().contains("not done within 3 s"), "but not for ever: {err}");
    assert!(!bench.judge.is_banned(&bench.id()), "slowness is no lie");
}

#[tokio::test]
async fn what_breaks_the_protocol_is_a_fault_and_twice_is_a_ban() {
    let envelope = [frame(&Reply::Envelope { len: 3 }), b"abc".to_vec()].concat();
    let floods = [
        frame(&Reply::Working).repeat(100_000),
        envelope.repeat(1000),
        frame(&Reply::Envelope { len: u32::MAX }),
        u32::MAX.to_le_bytes().to_vec(),
        vec![2, 0, 0, 0, 255, 255],
        frame(&Reply::Done { age_seconds: 0 }),
    ];
    for flood in floods {
        let peer = TestPeer::start().await;
        raw(&peer, flood, false);
        let bench = Bench::new(peer, AskRules::default()).await;
        for banned in [false, true] {
            let err = bench.ask(&newer()).await.unwrap_err();
            assert!(matches!(err, AskError::Fault { .. }), "{err}");
            assert_eq!(bench.judge.is_banned(&bench.id()), banned);
        }
        assert_eq!(bench.asker.seeds_for(newer().path()).await, [], "a liar is no seed");
    }
}

#[tokio::test]
async fn a_stream_that_broke_while_nothing_was_asked_is_opened_again() {
    let peer = TestPeer::start().await;
    raw(&peer, frame(&Reply::Miss { reason: "no".into() }), true);
    let bench = Bench::new(peer, AskRules::default()).await;
    for _ in 0..3 {
        assert_eq!(bench.ask(&newer()).await.unwrap(), Answer::Miss("no".into()));
    }
}

#[tokio::test]
async fn one_that_asks_for_too_much_is_told_so_and_the_source_is_spared() {
    let rate = Rate { burst: 20, per_second: 0 };
    let rules = ServeRules { allowance: Allowance { peer: rate, all: rate }, ..ServeRules::default() };
    let (seed, sought) = (TestPeer::start().await, Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sought);
    answer_with(&seed, rules, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        miss()
    });
    let bench = Bench::new(seed, AskRules::default()).await;
    let (mut missed, mut busy) = (0, 0);
    for n in 0..100 {
        match bench.ask(&question(n)).await.unwrap() {
            Answer::Miss(_) => missed += 1,
            Answer::Failed(reason) => {
                assert!(reason.contains("try again later"), "{reason}");
                busy += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((missed, busy, sought.load(Ordering::SeqCst)), (20, 80, 20));
}

#[tokio::test]
async fn questions_take_turns_and_each_has_its_answer() {
    let seed = TestPeer::start().await;
    let say = |question: &Question| Some(Answer::Miss(question.to_string()));
    // Fewer streams than an asker would like: the rest is refused, and opened again when there is room.
    let streams = StreamLimits { per_peer: limits::QUESTIONS, all: limits::QUESTIONS };
    answer_with(&seed, ServeRules { streams, seeks: 2, ..ServeRules::default() }, say);
    let bench = Bench::new(seed, AskRules::default()).await;
    let questions: Vec<Question> = (0..200).map(question).collect();
    let answers = futures::future::join_all(questions.iter().map(|question| bench.ask(question))).await;
    let mut wrong = 0;
    for (question, answer) in questions.iter().zip(answers) {
        match answer {
            Ok(answer) => assert_eq!(answer, Answer::Miss(question.to_string())),
            Err(err) => {
                wrong += 1;
                eprintln!("{err}");
            }
        }
    }
    assert_eq!(wrong, 0);
}
