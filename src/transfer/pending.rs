//! What is outstanding on one stream, and whether a reply belongs to it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::limits;
use super::wire::{FrameError, Reply, Request};
use crate::domain::blob::BlobId;
use crate::domain::manifest::{Envelope, ManifestId};
use crate::engine::reconcile::{Key, Salt};
use crate::verified::{Forged, VerifiedBlob};

/// What may come back for a question.
pub(super) enum Expect {
    /// Blobs, each with the length that it has at most.
    Blobs(Vec<(BlobId, u32)>),
    /// Envelopes of these manifests, together about so many bytes.
    Envelopes(Vec<ManifestId>, u32),
    /// Envelopes of manifests with these keys under this salt, together about so many bytes.
    Keyed(Arc<Salt>, Vec<Key>, u32),
    /// One piece of at most so many bytes.
    One(usize),
}

/// What came back for one of the things that were asked for.
#[derive(Debug)]
pub(super) enum Got {
    /// A blob, checked.
    Blob(VerifiedBlob),
    /// An envelope whose manifest has the id that was asked for, or the piece of a question with one.
    Bytes(Bytes),
    /// The peer does not have it.
    Missing,
    /// The peer could not read it.
    Failed,
    /// This and all after it were left out.
    Later,
    /// Wrong bytes; the peer has been judged.
    Forged(Arc<str>),
    /// The whole question came to nothing.
    Broken(Arc<str>),
}

/// One answer, as it goes to the one who asked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) peer: PeerId,
    pub(super) request: u64,
    pub(super) index: u32,
    pub(super) got: Got,
}

/// A question for a stream. `answers` must have room for one message for each thing that is asked for: the reader of
/// a stream serves many who ask, and never waits for one of them.
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) expect: Expect,
    pub(super) answers: mpsc::Sender<Answer>,
}

/// How to check a payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Check {
    Blob(BlobId),
    Envelope(ManifestId),
    Keyed(Arc<Salt>, Key),
    Nothing,
}

/// What to do with a payload that is announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Payload {
    /// Read it (at most so many bytes) and check it.
    Take(usize, Check),
    /// Read past it: nobody wants it any more.
    Skip,
    /// Read past it: it has another length than the blob that was asked for.
    WrongLength(u32),
}

struct Entry {
    expect: Expect,
    answered: Vec<bool>,
    left: usize,
    answers: mpsc::Sender<Answer>,
}

/// The outstanding questions of one stream.
pub(super) struct Pending {
    peer: PeerId,
    live: HashMap<u64, Entry>,
    /// Answers that may still come for questions that were cancelled.
    strays: usize,
}

impl Expect {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Blobs(ids) => ids.len(),
            Self::Envelopes(ids, _) => ids.len(),
            Self::Keyed(_, keys, _) => keys.len(),
            Self::One(_) => 1,
        }
    }
}

impl Pending {
    pub(super) fn new(peer: PeerId) -> Self {
        Self { peer, live: HashMap::new(), strays: 0 }
    }

    /// A question is about to be written.
    pub(super) fn insert(&mut self, question: Question) {
        let left = question.expect.count();
        let entry = Entry { answered: vec![false; left], left, expect: question.expect, answers: question.answers };
        self.live.insert(question.request.number(), entry);
    }

    /// Nobody waits for the answers any more. Whether anything was outstanding.
    pub(super) fn cancel(&mut self, request: u64) -> bool {
        let entry = self.live.remove(&request);
        self.strays += entry.as_ref().map_or(0, |entry| entry.left);
        entry.is_some()
    }

    /// A payload is announced.
    ///
    /// # Errors
    /// [`FrameError::Protocol`] when it answers nothing that was asked, or something for the second time;
    /// [`FrameError::PayloadTooLong`] when it is longer than anything that was asked for.
    pub(super) fn payload(&mut self, request: u64, index: u32, len: u32) -> Result<Payload, FrameError> {
        let Some(entry) = self.entry(request, index)? else { return Ok(Payload::Skip) };
        let at = index as usize;
        match &mut entry.expect {
            Expect::Blobs(ids) => match ids.get(at) {
                Some((id, most)) if len <= *most => Ok(Payload::Take(len as usize, Check::Blob(*id))),
                Some((_, wanted)) => Ok(Payload::WrongLength(*wanted)),
                None => Err(FrameError::Protocol("an answer to more than was asked")),
            },
            Expect::Envelopes(ids, budget) => {
                let limit = within(budget, len)?;
                let id = ids.get(at).ok_or(FrameError::Protocol("an answer to more than was asked"))?;
                Ok(Payload::Take(limit, Check::Envelope(*id)))
            }
            Expect::Keyed(salt, keys, budget) => {
                let limit = within(budget, len)?;
                let key = keys.get(at).ok_or(FrameError::Protocol("an answer to more than was asked"))?;
                Ok(Payload::Take(limit, Check::Keyed(Arc::clone(salt), *key)))
            }
            Expect::One(limit) => Ok(Payload::Take(*limit, Check::Nothing)),
        }
    }

    /// Passes an answer on. What it is for has been found with [`Self::payload`], or is checked here.
    ///
    /// # Errors
    /// As [`Self::payload`].
    pub(super) fn answer(&mut self, request: u64, index: u32, got: Got) -> Result<(), FrameError> {
        let peer = self.peer;
        let Some(entry) = self.entry(request, index)? else {
            self.strays -= 1;
            return Ok(());
        };
        match got {
            // A server that always leaves everything out would keep the asker busy for ever.
            Got::Later if index == 0 || !matches!(entry.expect, Expect::Envelopes(..) | Expect::Keyed(..)) => {
                return Err(FrameError::Protocol("an answer is put off that may not be"));
            }
            Got::Later => entry.left = 0,
            _ => {
                entry.answered[index as usize] = true;
                entry.left -= 1;
            }
        }
        let over = entry.left == 0;
        let gone = entry.answers.try_send(Answer { peer, request, index, got }).is_err();
        if over {
            self.live.remove(&request);
        } else if gone {
            self.cancel(request);
        }
        Ok(())
    }

    /// The stream is gone: tells all who wait.
    pub(super) fn broken(&mut self, why: &str) {
        let why: Arc<str> = why.into();
        for (request, entry) in self.live.drain() {
            let answer = Answer { peer: self.peer, request, index: 0, got: Got::Broken(Arc::clone(&why)) };
            // Whoever does not listen any more does not mind.
            let _ = entry.answers.try_send(answer);
        }
        self.strays = 0;
    }

    /// The open question that an answer is for; `None` for one that was cancelled.
    fn entry(&mut self, request: u64, index: u32) -> Result<Option<&mut Entry>, FrameError> {
        let Some(entry) = self.live.get_mut(&request) else {
            return if self.strays > 0 {
                Ok(None)
            } else {
                Err(FrameError::Protocol("an answer to nothing that was asked"))
            };
        };
        match entry.answered.get(index as usize) {
            Some(false) => Ok(Some(entry)),
            Some(true) => Err(FrameError::Protocol("an answer that came before")),
            None => Err(FrameError::Protocol("an answer to more than was asked")),
        }
    }
}

/// How long an envelope may be, which is taken off the budget. The last one may go over it by its own length; the one after
/// that may not.
fn within(budget: &mut u32, len: u32) -> Result<usize, FrameError> {
    let limit = if *budget == 0 { 0 } else { limits::MAX_PAYLOAD };
    if len as usize > limit {
        return Err(FrameError::PayloadTooLong { len, limit });
    }
    *budget = budget.saturating_sub(len);
    Ok(limit)
}

/// Checks a payload that has come whole.
pub(super) fn check(bytes: Bytes, check: Check) -> Result<Got, Forged> {
    match check {
        Check::Nothing => Ok(Got::Bytes(bytes)),
        Check::Blob(id) => VerifiedBlob::check(id, bytes).map(Got::Blob),
        Check::Envelope(wanted) => {
            let got = BlobId::of(&Envelope::decode(&bytes)?.manifest);
            if got == wanted { Ok(Got::Bytes(bytes)) } else { Err(Forged::OtherManifest { wanted, got }) }
        }
        Check::Keyed(salt, wanted) => {
            let got = BlobId::of(&Envelope::decode(&bytes)?.manifest);
            if salt.key(&got) == wanted { Ok(Got::Bytes(bytes)) } else { Err(Forged::OtherKey { got }) }
        }
    }
}

/// The answer that a reply without a payload is.
pub(super) fn bare(reply: Reply) -> Option<(u64, u32, Got)> {
    match reply {
        Reply::Missing { request, index } => Some((request, index, Got::Missing)),
        Reply::Failed { request, index } => Some((request, index, Got::Failed)),
        Reply::Later { request, index } => Some((request, index, Got::Later)),
        Reply::Piece { .. } | Reply::Hello { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(expect: Expect) -> (Pending, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(8);
        let mut pending = Pending::new(PeerId::random());
        pending.insert(Question { request: Request::Sumdb { request: 7, database: String::new() }, expect, answers });
        (pending, receiver)
    }

    fn two_blobs() -> Expect {
        Expect::Blobs(vec![(BlobId::of(b"one"), 3), (BlobId::of(b"three"), 5)])
    }

    #[test]
    fn only_what_was_asked_for_is_taken_and_only_once() {
        let (mut pending, mut answers) = ask(two_blobs());
        let what = |err: FrameError| (err.is_fault(), err.to_string());
        let nothing = what(pending.payload(8, 0, 3).unwrap_err());
        assert_eq!(nothing, (true, "a frame breaks the protocol: an answer to nothing that was asked".into()));
        let more = what(pending.payload(7, 2, 3).unwrap_err());
        assert_eq!(more, (true, "a frame breaks the protocol: an answer to more than was asked".into()));
        assert_eq!(pending.payload(7, 1, 5).unwrap(), Payload::Take(5, Check::Blob(BlobId::of(b"three"))));
        assert_eq!(pending.payload(7, 1, u32::MAX).unwrap(), Payload::WrongLength(5));
        pending.answer(7, 1, Got::Missing).unwrap();
        let twice = what(pending.answer(7, 1, Got::Missing).unwrap_err());
        assert_eq!(twice, (true, "a frame breaks the protocol: an answer that came before".into()));
        pending.answer(7, 0, Got::Failed).unwrap();
        assert!(pending.answer(7, 0, Got::Failed).is_err(), "the question is over");
        assert!(matches!(answers.try_recv().unwrap(), Answer { index: 1, got: Got::Missing, .. }));
        assert!(matches!(answers.try_recv().unwrap(), Answer { index: 0, got: Got::Failed, .. }));
    }

    #[test]
    fn after_a_cancel_as_many_answers_are_forgiven_as_were_outstanding() {
        let (mut pending, _answers) = ask(two_blobs());
        pending.answer(7, 0, Got::Missing).unwrap();
        assert!(pending.cancel(7));
        assert!(!pending.cancel(7));
        assert_eq!(pending.payload(7, 1, 5).unwrap(), Payload::Skip);
        pending.answer(7, 1, Got::Missing).unwrap();
        assert!(pending.answer(7, 1, Got::Missing).is_err());
    }

    #[test]
    fn a_receiver_that_is_gone_is_a_cancel_and_holds_up_nobody() {
        let (mut pending, answers) = ask(two_blobs());
        drop(answers);
        pending.answer(7, 0, Got::Missing).unwrap();
        assert_eq!(pending.payload(7, 1, 5).unwrap(), Payload::Skip);
    }

    #[test]
    fn an_envelope_beyond_the_budget_is_a_fault_and_so_is_putting_off_everything() {
        let ids = vec![BlobId::of(b"1"), BlobId::of(b"2"), BlobId::of(b"3")];
        let (mut pending, _answers) = ask(Expect::Envelopes(ids, 10));
        assert!(pending.answer(7, 0, Got::Later).is_err());
        assert!(pending.payload(7, 0, 10).is_ok());
        pending.answer(7, 0, Got::Missing).unwrap();
        assert!(matches!(pending.payload(7, 1, 1), Err(FrameError::PayloadTooLong { len: 1, limit: 0 })));
        pending.answer(7, 1, Got::Later).unwrap();
        assert!(pending.live.is_empty());
        let (mut pending, _answers) = ask(two_blobs());
        assert!(pending.answer(7, 1, Got::Later).is_err(), "blobs cannot be put off");
    }

    #[test]
    fn who_waits_on_a_broken_stream_is_told() {
        let (mut pending, mut answers) = ask(two_blobs());
        pending.broken("gone");
        assert!(matches!(answers.try_recv().unwrap().got, Got::Broken(why) if &*why == "gone"));
    }

    #[test]
    fn an_envelope_of_another_manifest_is_forged() {
        use crate::domain::manifest::Proof;
        let envelope = |text: &[u8]| Bytes::from(Envelope { manifest: text.into(), proof: Proof::None }.encode());
        assert!(check(envelope(b"a"), Check::Envelope(BlobId::of(b"a"))).is_ok());
        assert!(matches!(check(envelope(b"b"), Check::Envelope(BlobId::of(b"a"))), Err(Forged::OtherManifest { .. })));
        let salt = Arc::new(Salt::new(&[1; 16], &[2; 16]));
        let key = salt.key(&BlobId::of(b"a"));
        assert!(check(envelope(b"a"), Check::Keyed(Arc::clone(&salt), key)).is_ok());
        assert!(matches!(check(envelope(b"b"), Check::Keyed(salt, key)), Err(Forged::OtherKey { .. })));
        assert!(matches!(check(Bytes::from("x"), Check::Envelope(BlobId::of(b"a"))), Err(Forged::Envelope(_))));
    }
}
