//! What can go wrong with an upstream: a miss, a failure and a lie are three different things.

use std::time::Duration;

/// Why an upstream did not give an answer although it might have one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No connection, or it broke before the answer began.
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    /// The answer did not begin, or stopped, for this long.
    #[error("it was silent for {0:?}")]
    Silent(Duration),
    /// 5xx, 429 or 408.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It asks to come back later than this node is willing to wait.
    #[error("it answered with status {status} and asks to come back in {} s", after.as_secs())]
    ComeBack {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asks for.
        after: Duration,
    },
    /// The body ended early.
    #[error("its answer broke off after {got} bytes")]
    Cut {
        /// Bytes that had come, of the whole file.
        got: u64,
    },
    /// The answer to a request for the rest of a file was not that rest.
    #[error("it did not continue the file at byte {at}")]
    Range {
        /// Where the file should have gone on.
        at: u64,
    },
}

/// Why nothing came from the upstream. No variant holds credentials.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A proven miss: each proxy that was to be asked answered 404 or 410.
    #[error("no upstream has {what}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the last proxy wrote with its 404, for the go command to show: at most 8 printable lines, perhaps empty.
        text: String,
    },
    /// The list is `off`: nothing was asked.
    #[error("the upstream is off, so nothing is fetched: give this node a list of proxies to change that")]
    Off,
    /// The proxy might have it, but did not give it. Never evidence that it does not exist.
    #[error("{upstream} did not give {what} in {attempts} attempts: {why}; look at the line to it, then ask again")]
    Failed {
        /// What was asked for.
        what: String,
        /// Which proxy, without credentials.
        upstream: String,
        /// How often it was asked, 1 or more.
        attempts: u32,
        /// The last reason.
        why: Why,
    },
    /// A status that asking again does not change: 401, 403 and the rest of 4xx.
    #[error(
        "{upstream} refuses {what} with status {status}{}: check the URL, the credentials and that proxy's policy",
        said(text)
    )]
    Refused {
        /// What was asked for.
        what: String,
        /// Which proxy, without credentials.
        upstream: String,
        /// The HTTP status.
        status: u16,
        /// What it wrote, cleaned as for [`UpstreamError::NotFound`].
        text: String,
    },
    /// An answer that is not what was asked for: a forgery, a broken server, or a portal in between.
    #[error("{upstream} did not answer with {what}: {why}; check what stands between this node and it")]
    BadAnswer {
        /// What was asked for.
        what: String,
        /// Which proxy, without credentials.
        upstream: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// An answer over its limit.
    #[error("{what} is over the limit of {limit} bytes at {upstream}: it cannot be mirrored")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// Which proxy, without credentials.
        upstream: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// This machine's disk, not the upstream.
    #[error("{what} cannot be kept in {dir} ({source}): make room there or mend it, then ask again")]
    Local {
        /// What was being fetched.
        what: String,
        /// The directory of the temporary file.
        dir: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The HTTP client cannot be built (no certificates of this machine can be read, for one).
    #[error("the upstream client cannot start: {0}; check this machine's CA certificates and proxy variables")]
    Client(String),
}

/// The first line of what a server wrote, for a message of one line; nothing where it wrote nothing.
fn said(text: &str) -> String {
    text.lines().next().map_or_else(String::new, |line| format!(" ({line:?})"))
}

/// Which request of which proxy an error is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// What is asked for, as a noun phrase.
    pub(super) what: &'a str,
    /// The proxy, without credentials.
    pub(super) upstream: &'a str,
}

impl About<'_> {
    pub(super) fn not_found(self, text: String) -> UpstreamError {
        UpstreamError::NotFound { what: self.what.into(), text }
    }

    pub(super) fn failed(self, attempts: u32, why: Why) -> UpstreamError {
        UpstreamError::Failed { what: self.what.into(), upstream: self.upstream.into(), attempts, why }
    }

    pub(super) fn refused(self, status: u16, text: String) -> UpstreamError {
        UpstreamError::Refused { what: self.what.into(), upstream: self.upstream.into(), status, text }
    }

    pub(super) fn bad(self, why: impl Into<String>) -> UpstreamError {
        UpstreamError::BadAnswer { what: self.what.into(), upstream: self.upstream.into(), why: why.into() }
    }

    pub(super) fn too_large(self, limit: u64) -> UpstreamError {
        UpstreamError::TooLarge { what: self.what.into(), upstream: self.upstream.into(), limit }
    }
}
