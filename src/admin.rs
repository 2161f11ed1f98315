//! The local admin API as data: what the running node and its commands say to each other.
//!
//! A node leaves two files in its data directory: [`NODE_FILE`] (where it listens) and [`TOKEN_FILE`] (readable by
//! its user only). Requests that change something carry the token in [`TOKEN_HEADER`]; a web page in the
//! user's browser cannot read the file and so cannot send them.

mod doctor;

use serde::{Deserialize, Serialize};

pub use doctor::{BeaconLine, Doctor, InterfaceLine, KnownLine, KnownState, RefusalLine};

/// Where the node says how to reach it, as JSON ([`NodeFile`]), inside the data directory.
pub const NODE_FILE: &str = "node.json";
/// Where the node leaves the token for state-changing calls, inside the data directory, mode 0600.
pub const TOKEN_FILE: &str = "token";
/// The header that carries the token.
pub const TOKEN_HEADER: &str = "modswarm-token";
/// `GET`: [`Status`]. No module path starts with `-`, so `/-/` never hides a module.
pub const STATUS_PATH: &str = "/-/status";
/// `GET`: [`Doctor`].
pub const DOCTOR_PATH: &str = "/-/doctor";
/// `POST` [`SeedRequest`], answered by lines of [`SeedEvent`].
pub const SEED_PATH: &str = "/-/seed";
/// `POST` a line with a [`PublishRequest`] and behind its newline the zip, answered by [`PublishAnswer`].
pub const PUBLISH_PATH: &str = "/-/publish";
/// The most bytes of the line before a published zip: a `.info` and a signed note, both of 64 KiB at most and escaped
/// as JSON strings.
pub const MAX_PUBLISH_LINE: usize = 1 << 20;
/// The most bytes of a request's body: go.sum files of large projects are some 200 KiB each.
pub const MAX_BODY: usize = 64 << 20;

/// What [`NODE_FILE`] holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeFile {
    /// Process id of the node.
    pub pid: u32,
    /// `http://host:port` without a trailing slash: what the paths of this API are below.
    pub http: String,
    /// The GOPROXY value for this node: `http`, and the path prefix where there is one.
    #[serde(default)]
    pub goproxy: String,
    /// The node's libp2p identity.
    pub peer_id: String,
}

/// How a node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Version of modswarm that runs.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the node could serve.
    pub uptime_seconds: u64,
    /// The GOPROXY value for this node.
    pub goproxy: String,
    /// The data directory.
    pub data: String,
    /// Identity in the swarm.
    pub peer_id: String,
    /// Multiaddresses it listens on.
    pub listen: Vec<String>,
    /// The upstream list without passwords; none for a node that has only peers.
    pub upstream: Option<String>,
    /// Connected peers.
    pub peers: Vec<PeerLine>,
    /// What the store holds.
    pub store: StoreLine,
    /// Fetches under way.
    pub fetching: usize,
    /// Checksum databases whose proofs this node demands and serves; none: it takes what is not proven.
    pub sumdb: Vec<SumdbLine>,
    /// The module prefixes that have publishers of their own in this site.
    pub publishers: Vec<String>,
}

/// How a checksum database stands at this node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SumdbLine {
    /// Its name, as it stands in URLs.
    pub name: String,
    /// Its key, `name+hash+key`, as GOSUMDB takes it.
    pub key: String,
    /// Whether the question `supported` is answered with yes now: every lookup can be answered here.
    pub supported: bool,
    /// Why it is not.
    pub why_not: Option<String>,
    /// The tree head under which all lookups are answered.
    pub head: Option<HeadLine>,
    /// Records that are proven and answered for: each is that of a module version of the catalog.
    pub records: u64,
    /// Records whose tiles have not come yet.
    pub waiting: u64,
    /// Seconds for which the first of them has waited.
    pub waiting_seconds: u64,
    /// Why the last attempt to get a tree head or tiles from upstream failed; gone when one succeeds.
    pub trouble: Option<String>,
    /// Two histories that the database has signed. There is never a good reason for one.
    pub forks: Vec<ForkLine>,
}

/// A pinned tree head.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeadLine {
    /// Which tree.
    #[serde(flatten)]
    pub tree: TreeLine,
    /// Seconds since 1970 at which this node pinned it. A tree head does not say when it was made.
    pub pinned_at: u64,
}

/// The tree of a checksum database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeLine {
    /// Its size in records.
    pub records: u64,
    /// Its hash, in base64.
    pub hash: String,
}

/// The evidence of a fork.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForkLine {
    /// Seconds since 1970 at which it was found.
    pub found_at: u64,
    /// The tree head of the shorter history, or of one of the two if they have one length. Either may be the one that
    /// is believed; `None` if the report cannot be read.
    pub older: Option<TreeLine>,
    /// The one that does not continue it.
    pub newer: Option<TreeLine>,
    /// Both signed heads and the proof, to be published.
    pub report: String,
}

/// One connected peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerLine {
    /// Its identity.
    pub id: String,
    /// The address of the connection.
    pub address: String,
    /// Seconds since it connected.
    pub connected_seconds: u64,
    /// Last measured round trip in microseconds.
    pub rtt_micros: Option<u64>,
    /// What it says it runs, such as `modswarm/0.1.0`.
    pub agent: Option<String>,
}

/// What the store holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreLine {
    /// Module versions in the catalog.
    pub versions: u64,
    /// Of these, held with their zip.
    pub zips: u64,
    /// Of these, known by their go.mod only.
    pub go_mods: u64,
    /// Blobs held.
    pub blobs: u64,
    /// Bytes of segments on disk.
    pub disk_bytes: u64,
}

/// What to bring into the site.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRequest {
    /// Builds whose whole closure is wanted.
    #[serde(default)]
    pub builds: Vec<Build>,
    /// Texts of go.sum files given alone: each line is wanted.
    #[serde(default)]
    pub sums: Vec<String>,
    /// `module@query` each.
    #[serde(default)]
    pub queries: Vec<String>,
    /// `go1.26.1.linux-amd64` each.
    #[serde(default)]
    pub toolchains: Vec<String>,
}

/// One main module, or the several of a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// For people: the directory or file it was read from.
    pub name: String,
    /// The main modules.
    pub mains: Vec<MainModule>,
    /// Text of the go.work file, for a workspace.
    #[serde(default)]
    pub work: Option<String>,
    /// go.work.sum, for a workspace.
    #[serde(default)]
    pub work_sum: Option<String>,
}

/// One main module's files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MainModule {
    /// Text of go.mod.
    pub go_mod: String,
    /// Text of go.sum, where there is one.
    #[serde(default)]
    pub go_sum: Option<String>,
    /// go.mod texts of local replacements, by the path as the `replace` line writes it.
    #[serde(default)]
    pub local: Vec<(String, String)>,
}

/// A module version to be published, without its zip.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// `path@version`.
    pub module: String,
    /// The `.info` answer, JSON.
    pub info: String,
    /// The signed note of the publication.
    pub note: String,
    /// The verifier key that belongs to the signature, for what the node says when it does not know it.
    pub key: String,
}

/// A module version that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// `path@version`.
    pub module: String,
    /// Whether the same content was published before; nothing was changed then.
    pub already: bool,
    /// `h1:` of the zip, as it stands in a go.sum.
    pub h1: String,
    /// `h1:` of the go.mod.
    pub go_mod_h1: String,
    /// Length of the zip in bytes.
    pub zip_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// What a seed run says while it goes on, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SeedEvent {
    /// How far it is. The totals grow while the module graph is being read.
    Progress {
        /// What is going on: `graph`, `go.mod`, `zip`.
        phase: String,
        /// Module versions done in this phase.
        done: u64,
        /// Module versions known to be wanted in this phase.
        total: u64,
        /// Bytes of zips that have been brought in so far.
        bytes: u64,
    },
    /// A module version could not be had. The run goes on.
    Failed {
        /// `path@version`.
        module: String,
        /// One sentence.
        reason: String,
    },
    /// Something that no build needs could not be had. The run goes on, and does not count as failed for it.
    Warning {
        /// A module path.
        module: String,
        /// One sentence.
        reason: String,
    },
    /// A module version of the plan that the node holds, each once, when all is fetched. The names are those of
    /// `go mod download -json`; the files that it names too (`Info`, `GoMod`, `Zip`, `Dir`) are in a module cache, and a node
    /// has none.
    #[serde(rename_all = "PascalCase")]
    Module {
        /// Module path.
        path: String,
        /// Canonical version.
        version: String,
        /// `h1:` of the zip; none for a version of which only the go.mod is needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sum: Option<String>,
        /// `h1:` of the go.mod.
        go_mod_sum: String,
    },
    /// The end.
    Done(SeedSummary),
}

/// The end of a seed run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSummary {
    /// Module versions wanted with their zip.
    pub zips: u64,
    /// Module versions wanted for their go.mod only.
    pub go_mods: u64,
    /// Of both, those that were fetched now.
    pub fetched: u64,
    /// Of both, those that the node already held.
    pub held: u64,
    /// Of both, those that could not be had.
    pub failed: u64,
    /// Beside both: latest versions of modules that were fetched now, for what they retract. Most for their go.mod only.
    #[serde(default)]
    pub latest: u64,
    /// Bytes of zips fetched.
    pub zip_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}
