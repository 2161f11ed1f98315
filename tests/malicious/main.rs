//! What bad input and malicious nodes can do to a site: nothing.
//!
//! Each test gives a node something that is not what it claims to be, by an entrance that it really has: an upstream, a peer
//! that speaks the real protocols (streams, gossip), a checksum database. Not one byte of it may reach a client, the answer
//! says what is wrong, and the log names the peer.
//!
//! Where each kind of bad input is shown to be refused (or, where the checksum database has proven it, to pass):
//!
//! | input | in the pure functions | from an upstream | from a peer |
//! |---|---|---|---|
//! | a flipped bit in a note | `domain::note`: every byte | `sumdb::client` | `manifests`: the head of a proof |
//! | ... in a record | `domain::sumdb`: every byte of a proof | `sumdb::client` | `manifests` |
//! | ... in a tile | `domain::tlog`: all tiles of three levels | `sumdb_node::proofs` | `states`, `sumdb_node::offers` |
//! | ... in a proof of inclusion or consistency | `domain::tlog`: every hash | `sumdb::client` | `manifests` |
//! | ... in a zip | `domain::zip`, `dirhash` | `zips` | `zips`; in a blob `swarm::hostile` |
//! | a forked log | `sumdb::client` | `sumdb::client` | `states`, `sumdb_node::travel` |
//! | an old head after a newer one | `sumdb::server` | `sumdb::client` | `states`, `sumdb_node::travel` |
//! | a valid record of another module | `domain::sumdb`, `domain::trust` | `sumdb_node::proofs` | `manifests` |
//! | a proof for a different go.mod | `domain::sumdb`, `domain::trust` | `sumdb_node::proofs` | `manifests` |
//! | a zip whose `h1:` cannot be computed | `zips` | `zips` | `zips` |
//! | a zip whose `h1:` differs | `domain::trust` | `sumdb_node::proofs` | `manifests`, `liars` |
//! | one byte too many, packed | `zips` | `zips`, `upstream_zip` | `zips` (the manifest) |
//! | one byte too many, unpacked (zip, go.mod, LICENSE) | `zips` | `zips` | `zips` |
//! | a bomb | `zips`, `domain::zip` | `zips` | `zips` |
//! | overlapping entries | `zips`, `domain::zip` | `zips` | `zips` |
//! | a local header that disagrees | `zips`, `domain::zip` | `zips` | `zips` |
//! | two files of one name | `zips` | `zips` | `zips` |
//! | odd, but proven | | `odd` | `odd` |
//! | 5xx, a cut body, silence | | `upstream`, `upstream_zip`; `faults`: through a node | |
//! | a version that does not exist | | `sumdb_node::proofs` | `manifests` |
//! | more than can be read | | | `floods`, `swarm::floods`, `swarm::gossip` |
//! | bytes that are no format of ours | `fuzz_corpus` | | `floods`, `swarm::gossip` |
//!
//! Names are modules of this binary, of the other test binaries (`sumdb::client` is `tests/sumdb/client.rs`) or, with `domain::`,
//! unit tests. The public test vectors of golang.org/x/mod are in `x_mod` and, where they need what is not public, in the
//! unit tests of `domain::note`, `domain::tlog` and `domain::dirhash`.
//!
//! Tests with the real go command also run with the old one that `MODSWARM_OLD_GO` names (see `common/go_clients.rs`).

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/go_clients.rs"]
mod go_clients;
#[path = "../common/site.rs"]
mod site;
#[path = "../common/state.rs"]
mod state;
#[path = "../common/sumdb.rs"]
mod sumdb;

mod archive;
mod faults;
mod floods;
mod manifests;
mod odd;
mod states;
mod victim;
mod zips;
