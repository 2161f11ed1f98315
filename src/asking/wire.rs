//! Questions to a seed and its answers, as frames (see [`transfer::wire`](crate::transfer::wire) for what a frame is).
//!
//! ```text
//! asker:  question                                     | next question, when the answer is complete
//! seed:   Hello | Working, Working, … | Envelope + payload, … | Done, or Miss, Failed, Refused, Away
//! ```
//! One question at a time on a stream. Nothing in an answer is believed because a seed says it; `age_seconds` only
//! says how soon to ask again.

use std::fmt;
use std::io;
use std::time::Duration;

use bincode::{Decode, Encode};
use bytes::Bytes;
use futures::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::limits;
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::domain::request::Query;
use crate::transfer::limits as transfer;
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};

/// The protocol of the streams: who accepts it is a seed.
pub const SEED: &str = "/modswarm/seed/1";
/// The version in [`Reply::Hello`].
pub const VERSION: u8 = 1;

/// What is asked of a seed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Question {
    /// Have this module version, and answer its envelope.
    Obtain {
        /// Which.
        module: ModuleVersion,
        /// Whether with its zip; otherwise `.info` and go.mod are enough.
        zip: bool,
    },
    /// Ask the upstream for the newest version, have it, and answer its envelope (and that of the highest listed one).
    Newer {
        /// Of which module.
        path: ModulePath,
    },
    /// Ask the upstream what a branch, a commit or `v1` stands for, have that, and answer its envelope.
    Query {
        /// Of which module.
        path: ModulePath,
        /// What; never a canonical version of the module.
        query: String,
    },
}

impl Question {
    /// The module that it is about.
    #[must_use]
    pub fn path(&self) -> &ModulePath {
        match self {
            Self::Obtain { module, .. } => &module.path,
            Self::Newer { path } | Self::Query { path, .. } => path,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obtain { module, .. } => write!(f, "{module}"),
            Self::Newer { path } => write!(f, "{path}@latest"),
            Self::Query { path, query } => write!(f, "{path}@{query}"),
        }
    }
}

/// A question as it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
enum Asked {
    Obtain { path: String, version: String, zip: bool },
    Newer { path: String },
    Query { path: String, query: String },
}

/// What a seed sends.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Reply {
    /// The first frame of a stream: it was accepted (an opener cannot tell otherwise).
    Hello {
        /// [`VERSION`].
        version: u8,
    },
    /// The answer takes longer; somebody is at it.
    Working,
    /// An envelope; its bytes follow the header.
    Envelope {
        /// How many bytes follow.
        len: u32,
    },
    /// That was all.
    Done {
        /// How long ago the upstream said so; 0 for what does not change.
        age_seconds: u32,
    },
    /// The upstream does not have it.
    Miss {
        /// For people.
        reason: String,
    },
    /// It could not be found out now, or not be had.
    Failed {
        /// For people.
        reason: String,
    },
    /// The seed or its upstream does not give it out.
    Refused {
        /// For people.
        reason: String,
    },
    /// The seed cannot reach its upstream at all: for now it is none.
    Away {
        /// For people.
        reason: String,
    },
}

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// What was asked for.
    Done {
        /// Envelopes, one to [`limits::MAX_ENVELOPES`] of them. Nobody has checked them.
        envelopes: Vec<Bytes>,
        /// How long ago the upstream said that this is it.
        age: Duration,
    },
    /// The upstream does not have it.
    Miss(String),
    /// It could not be found out now, or not be had.
    Failed(String),
    /// The seed or its upstream does not give it out.
    Refused(String),
    /// The seed cannot reach its upstream at all: for now it is none.
    Away(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The stream.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Nothing came, not even that the seed is working.
    #[error("nothing came from it for {} s", .0.as_secs())]
    Silent(Duration),
}

/// Sends a question.
///
/// # Errors
/// The stream's own.
pub async fn write_question<W: AsyncWrite + Unpin>(writer: &mut FrameWriter<W>, question: &Question) -> io::Result<()> {
    let asked = match question {
        Question::Obtain { module, zip } => {
            Asked::Obtain { path: module.path.to_string(), version: module.version.to_string(), zip: *zip }
        }
        Question::Newer { path } => Asked::Newer { path: path.to_string() },
        Question::Query { path, query } => Asked::Query { path: path.to_string(), query: query.clone() },
    };
    writer.header(&asked).await?;
    writer.flush().await
}

/// The next question; `None` when the asker has closed the stream.
///
/// # Errors
/// [`FrameError`]; nothing can be read after it.
pub async fn read_question<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<Option<Question>, FrameError> {
    let asked: Option<Asked> = reader.next::<_, { limits::MAX_QUESTION }>().await?;
    let checked = asked.map(|asked| check(asked).ok_or(FrameError::Protocol("a question about no module")));
    checked.transpose()
}

fn check(asked: Asked) -> Option<Question> {
    let path_of = |text: &str| ModulePath::parse(text).ok();
    Some(match asked {
        Asked::Obtain { path, version, zip } => {
            let module = ModuleVersion::new(path_of(&path)?, Version::parse(&version).ok()?).ok()?;
            Question::Obtain { module, zip }
        }
        Asked::Newer { path } => Question::Newer { path: path_of(&path)? },
        Asked::Query { path, query } => {
            let path = path_of(&path)?;
            match Query::parse(&path, &query).ok()? {
                Query::Name(query) => Question::Query { path, query },
                Query::Version(_) => return None,
            }
        }
    })
}

/// Sends an answer. One that is too long for the protocol goes out as a failure.
///
/// # Errors
/// The stream's own.
pub async fn write_answer<W: AsyncWrite + Unpin>(writer: &mut FrameWriter<W>, answer: Answer) -> io::Result<()> {
    let reply = match answer {
        Answer::Done { envelopes, age } => {
            let fits = |bytes: &Bytes| bytes.len() <= transfer::MAX_PAYLOAD;
            if envelopes.is_empty() || envelopes.len() > limits::MAX_ENVELOPES || !envelopes.iter().all(fits) {
                Reply::Failed { reason: "the answer does not fit into the protocol".into() }
            } else {
                for envelope in &envelopes {
                    let len = u32::try_from(envelope.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
                    writer.header(&Reply::Envelope { len }).await?;
                    writer.payload(envelope).await?;
                }
                Reply::Done { age_seconds: u32::try_from(age.as_secs()).unwrap_or(u32::MAX) }
            }
        }
        Answer::Miss(reason) => Reply::Miss { reason: clean(&reason) },
        Answer::Failed(reason) => Reply::Failed { reason: clean(&reason) },
        Answer::Refused(reason) => Reply::Refused { reason: clean(&reason) },
        Answer::Away(reason) => Reply::Away { reason: clean(&reason) },
    };
    writer.header(&reply).await?;
    writer.flush().await
}

/// Reads a whole answer; something must come at least every `silence`.
///
/// # Errors
/// [`NoAnswer`]; nothing can be read after it.
pub async fn read_answer<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    silence: Duration,
) -> Result<Answer, NoAnswer> {
    let (mut envelopes, mut working, start) = (Vec::new(), 0, Instant::now());
    loop {
        let next = tokio::time::timeout(silence, reader.next::<Reply, { limits::MAX_REPLY }>()).await;
        let reply = next.map_err(|_| NoAnswer::Silent(silence))??;
        let reply = reply.ok_or_else(|| FrameError::Broken(io::ErrorKind::UnexpectedEof.into()))?;
        match reply {
            Reply::Hello { .. } => return Err(FrameError::Protocol("a second greeting").into()),
            Reply::Working => {
                working += 1;
                let due = start.elapsed().as_secs_f64() / limits::WORKING_EVERY.as_secs_f64();
                if f64::from(working) > 2.0 * due + f64::from(limits::WORKING_SLACK) {
                    return Err(FrameError::Protocol("a flood of words that it is working").into());
                }
            }
            Reply::Envelope { len } => {
                if envelopes.len() >= limits::MAX_ENVELOPES {
                    return Err(FrameError::Protocol("more envelopes than an answer has").into());
                }
                envelopes.push(reader.payload(len, transfer::MAX_PAYLOAD, |_| {}).await?);
            }
            Reply::Done { .. } if envelopes.is_empty() => {
                return Err(FrameError::Protocol("an answer without an envelope").into());
            }
            Reply::Done { age_seconds } => {
                return Ok(Answer::Done { envelopes, age: Duration::from_secs(age_seconds.into()) });
            }
            Reply::Miss { reason } => return Ok(Answer::Miss(clean(&reason))),
            Reply::Failed { reason } => return Ok(Answer::Failed(clean(&reason))),
            Reply::Refused { reason } => return Ok(Answer::Refused(clean(&reason))),
            Reply::Away { reason } => return Ok(Answer::Away(clean(&reason))),
        }
    }
}

/// A reason that fits into a frame and cannot play with a terminal or a log; its line breaks stay.
fn clean(reason: &str) -> String {
    let printable = |c: &char| *c == '\n' || !c.is_control();
    let mut clean: String = reason.chars().filter(printable).collect();
    while clean.len() > limits::MAX_REASON {
        clean.pop();
    }
    clean
}

#[cfg(test)]
mod tests;
