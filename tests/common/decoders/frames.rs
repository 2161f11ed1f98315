//! Frames and messages of the network.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bincode::{Decode, Encode};
use futures::io::AsyncRead;
use modswarm::asking::wire as asking;
use modswarm::domain::codec;
use modswarm::domain::manifest::ManifestId;
use modswarm::domain::membership::{Certificate, Greeting, Orders, SiteId, TicketSecret};
use modswarm::domain::note::Verifier;
use modswarm::domain::sumdb::state::StateId;
use modswarm::engine::beacon::Packet;
use modswarm::engine::reconcile::{Reconcile, Salt, unpack};
use modswarm::engine::spread::{Held, Message, limits::MAX_SLICES};
use modswarm::spread::wire as spreading;
use modswarm::swarm::limits::MAX_ANNOUNCEMENT;
use modswarm::transfer::limits::{MAX_IDS, MAX_NAME, MAX_PAYLOAD, MAX_SKETCH, MAX_VERSIONS_PAGE};
use modswarm::transfer::wire::{FrameReader, FrameWriter, Reply, Request, SketchPage, VersionsPage};

use super::Source;

/// Longer than any test: all bytes are there at once, so nothing is ever waited for.
const NEVER: Duration = Duration::from_secs(3600);

pub(super) fn run(data: &[u8]) {
    let mut source = Source(data);
    let (choice, piece) = (source.byte(), usize::from(source.byte()));
    // Headers and payloads take another way through the reader when they do not come whole.
    let stream = Dribble { left: source.0, piece: if piece == 0 { usize::MAX } else { piece } };
    let bytes = source.0;
    match choice % 12 {
        0 => wait(requests(stream)),
        1 => wait(replies(stream, false)),
        2 => wait(replies(stream, true)),
        3 => wait(questions(stream)),
        4 => wait(answers(stream)),
        5 => spread(bytes),
        6 => sketch(bytes),
        7 => drop(codec::decode::<VersionsPage, MAX_VERSIONS_PAGE>(bytes)),
        8 => announcement(bytes),
        9 => membership(bytes),
        10 => wait(spreading_messages(stream)),
        _ => beacon(bytes),
    }
}

/// A page of symbols, told to one who has a few keys and believes nothing.
fn sketch(bytes: &[u8]) {
    let Ok(SketchPage::Symbols { salt, total, symbols }) = codec::decode::<_, MAX_SKETCH>(bytes) else { return };
    let salt = Salt::new(&[1; 16], &salt);
    let ours = (0..40_u8).map(|n| salt.key(&ManifestId::of(&[n]))).collect();
    let mut reconcile = Reconcile::new(&salt, ours);
    let most = 64;
    if let Some(symbols) = unpack(0, total, &symbols, most) {
        assert!(symbols.len() <= most as usize);
        // Whatever it says: it does not panic, and it ends.
        let _ = reconcile.answer(total, &symbols);
    }
}

/// What is said of membership; nothing of it is signed by the key of [`site`] unless the seeds are whole.
fn membership(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::decode(bytes) {
        assert_eq!(Greeting::decode(&greeting.encode()).ok(), Some(greeting));
    }
    let site = site();
    let _ = (Certificate::open(bytes, &site), Orders::open(bytes, &site));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (TicketSecret::parse(text, &site), Certificate::parse(text, &site));
    }
}

/// The key of a closed site.
fn site() -> Verifier {
    modswarm::domain::note::Signer::from_secret("site", [5; 32]).unwrap().verifier().clone()
}

/// The site that greetings in the seeds are of.
pub(super) fn site_id() -> SiteId {
    SiteId::of(&site())
}

async fn spreading_messages(stream: Dribble<'_>) {
    let mut reader = FrameReader::new(stream);
    while let Ok(Some(message)) = spreading::read(&mut reader).await {
        assert!(spreading::keeps_bounds(&message));
    }
}

fn beacon(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes) {
        assert_eq!(Packet::parse(&packet.encode()).ok(), Some(packet));
    }
}

/// Requests that were read, written again, are the bytes that they were read from.
async fn requests(stream: Dribble<'_>) {
    let all = stream.left;
    let (mut reader, mut again) = (FrameReader::new(stream), Vec::new());
    let mut writer = FrameWriter::new(&mut again, NEVER);
    while let Ok(Some(request)) = reader.request().await {
        match &request {
            Request::Want { ids, .. } => assert!((1..=MAX_IDS).contains(&ids.len())),
            Request::Envelopes { ids, .. } => assert!((1..=MAX_IDS).contains(&ids.len())),
            Request::Lookup { path, version, .. } => assert!(path.len().max(version.len()) <= MAX_NAME),
            Request::Versions { path: name, .. } | Request::Sumdb { database: name, .. } => {
                assert!(name.len() <= MAX_NAME);
            }
            Request::EnvelopesByKey { keys, .. } => assert!((1..=MAX_IDS).contains(&keys.len())),
            Request::Cancel { .. } | Request::Sketch { .. } | Request::Orders { .. } => {}
        }
        writer.header(&request).await.unwrap();
    }
    writer.flush().await.unwrap();
    drop(writer);
    assert!(all.starts_with(&again));
}

/// The same for replies; a payload counts up to what is allowed and is there whole, or passed over.
async fn replies(stream: Dribble<'_>, skip: bool) {
    let all = stream.left;
    let (mut reader, mut again) = (FrameReader::new(stream), Vec::new());
    let mut writer = FrameWriter::new(&mut again, NEVER);
    while let Ok(Some(reply)) = reader.reply().await {
        match reply {
            Reply::Piece { len, .. } if skip => {
                if reader.skip(len, MAX_PAYLOAD).await.is_err() {
                    break;
                }
                // What was skipped is not known, so nothing is compared from here on.
                continue;
            }
            Reply::Piece { request, index, len } => {
                let mut progress = 0;
                let Ok(payload) = reader.payload(len, MAX_PAYLOAD, |more| progress += more).await else { break };
                assert!(payload.len() == len as usize && progress == u64::from(len) && payload.len() <= MAX_PAYLOAD);
                writer.piece(request, index, &payload).await.unwrap();
            }
            other => writer.header(&other).await.unwrap(),
        }
    }
    writer.flush().await.unwrap();
    drop(writer);
    assert!(skip || all.starts_with(&again));
}

/// A question that was taken is sent on as it came.
async fn questions(stream: Dribble<'_>) {
    let all = stream.left;
    let (mut reader, mut again) = (FrameReader::new(stream), Vec::new());
    let mut writer = FrameWriter::new(&mut again, NEVER);
    while let Ok(Some(question)) = asking::read_question(&mut reader).await {
        assert!(!question.path().as_str().is_empty() && !question.to_string().is_empty());
        asking::write_question(&mut writer, &question).await.unwrap();
    }
    drop(writer);
    assert!(all.starts_with(&again));
}

/// An answer that was read can be sent, and is read as the same.
async fn answers(stream: Dribble<'_>) {
    let mut reader = FrameReader::new(stream);
    while let Ok(answer) = asking::read_answer(&mut reader, NEVER).await {
        let mut sent = Vec::new();
        let mut writer = FrameWriter::new(&mut sent, NEVER);
        asking::write_answer(&mut writer, answer.clone()).await.unwrap();
        drop(writer);
        let mut again = FrameReader::new(sent.as_slice());
        assert_eq!(asking::read_answer(&mut again, NEVER).await.unwrap(), answer);
    }
}

/// Bytes of a message about an item: a bit for each of [`MAX_SLICES`], with room for the rest.
const MAX_SPREAD: usize = 1 << 10;

fn spread(bytes: &[u8]) {
    let Ok(message) = codec::decode::<Message, MAX_SPREAD>(bytes) else { return };
    let Message::Have { item, held: Held::Some(bits), .. } = message else { return };
    if !bits.is_for(item.slices) || item.slices > MAX_SLICES {
        return;
    }
    let set = (0..item.slices).filter(|slice| bits.has(*slice)).count();
    assert!(set == bits.count() as usize && (item.slices..item.slices + 16).all(|slice| !bits.has(slice)));
}

/// A gossip message, spelled as `sync` does; a golden test there pins it, and that of the encoding here.
#[derive(Encode, Decode)]
pub(super) enum Announcement {
    Envelope(Vec<u8>),
    Id(ManifestId),
    Sumdb { database: String, state: StateId },
    Orders { serial: u64, id: ManifestId },
    Changed { sum: [u8; 16] },
    Seek { id: ManifestId, seeker: Vec<u8>, addresses: Vec<Vec<u8>>, nonce: u64 },
    Answer { id: ManifestId, seeker: Vec<u8>, holder: Vec<u8>, nonce: u64 },
}

fn announcement(bytes: &[u8]) {
    match codec::decode::<Announcement, MAX_ANNOUNCEMENT>(bytes) {
        Ok(Announcement::Envelope(envelope)) => super::manifests::envelope(&envelope),
        Ok(Announcement::Sumdb { state, .. }) => assert_eq!(StateId::decode(&state.encode()), Ok(state)),
        Ok(_) | Err(_) => {}
    }
}

/// Bytes that come a few at a time.
struct Dribble<'a> {
    left: &'a [u8],
    piece: usize,
}

impl AsyncRead for Dribble<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let len = buf.len().min(self.piece).min(self.left.len());
        let (now, later) = self.left.split_at(len);
        buf[..len].copy_from_slice(now);
        self.left = later;
        Poll::Ready(Ok(len))
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
}

/// Runs `work`, which waits for nothing.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(work))
}
