//! modswarm: a content-addressed peer-to-peer mirror network for Go modules.
//!
//! Every workstation of a site runs one node. Nodes find each other, gossip which module versions exist, and exchange the pieces of module
//! zips by hash. Each node is a GOPROXY for its own machine; one node with an upstream seeds the site.
//!
//! # Promises
//!
//! 1. *Drop-in.* A `go` command that works against the upstream works against a node, byte for byte.
//! 2. *Nothing unproven enters.* Peers, upstreams and disks are untrusted for bytes: what is stored has gone through [`verified`]. A module
//!    version enters only with a checksum database's proof of its hashes, unless the node was started with `--sumdb off`.
//!    What the site's policy covers enters only with its publisher's signature, on every node.
//! 3. *What goes in comes out bit for bit.* A zip leaves every node with the bytes with which it was seeded.
//! 4. *A hit is local.* What the node holds is served without a network round trip.
//! 5. *Pull the plug at any moment.* Nothing acknowledged is lost.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | **module version** | `path@version`, canonical ([`domain::module::ModuleVersion`]) |
//! | **blob** | bytes named by their BLAKE3 hash ([`domain::blob::BlobId`]), at most 1 MiB. All content is blobs |
//! | **chunk** | a blob with one zip entry's compressed data, or a 1 MiB piece of a larger entry |
//! | **recipe** | how to rebuild a zip bit for bit, in *pages*, which are blobs too ([`domain::recipe`]) |
//! | **manifest** | all that is known of one module version, named by its own BLAKE3 ([`domain::manifest`]) |
//! | **catalog** | the set of manifests a node accepts; lists and "latest" are computed from it, never asked of a peer |
//! | **proof** | record, inclusion path and signed tree head of a checksum database, or a publication: enough to check a manifest alone |
//! | **publication** | what a publisher's key has signed of a module version that no database covers ([`domain::publication`]) |
//! | **policy** | which keys publish what is under which module prefix, from the site file ([`domain::site`]) |
//! | **state** | what a node can answer of a checksum database: the pinned head, and which blob is which tile |
//! | **seed** | a node that has an upstream |
//! | **verified** | bytes that passed their check; only [`verified`] makes them, and the store takes nothing else |
//!
//! # The way of a request
//!
//! ```text
//!  go ── GET /m/@v/v1.2.3.zip ──> proxy ──> mirror ── held? ──> store ──> the answer, read from the store
//!                                             │ no
//!                                             ├─ peers      (transfer: fetch blobs from several at once)
//!                                             ├─ a seed     (asking: "obtain this for the site"; on other nodes)
//!                                             └─ upstream   (if this node is a seed)
//!                                                      └──> verified ──> store
//! ```
//! A miss fills the store, and then the answer is read from the store. Small answers that were read before are in memory, each under
//! a stamp of what it follows from; the store moves the stamp of a module with each change of the catalog. One fetch per version
//! however many ask. *Miss*, *failure* and *forgery* stay three different things from the socket to the status line.
//!
//! # Seeds and freshness
//!
//! * *A seed serves its site* ([`asking`]). What no peer has, a node without an upstream asks a seed for, and the seed
//!   its upstream: once for all who ask, within a budget, and a miss is believed as long as a list is. Who is a seed is
//!   known from its introduction: with none connected a miss is told at once and noted as wanted. A seed that cannot
//!   reach its upstream counts as none, but for modules that the site knows: builds probe the parents of module paths, and a
//!   line that is down should not stop those of a whole site.
//! * *A seed is believed nothing.* It answers with envelopes, which go through the door into the catalog; lists and
//!   `@latest` are computed from that. It may withhold what is new, or take a branch for another proven version of the
//!   module.
//! * *Nobody waits for what is known* ([`mirror`]). A list, `@latest` or branch that is older than `--fresh` is given
//!   with its `Age` while it is refreshed behind it; only a node with an upstream waits for that, for two seconds.
//!
//! # Replicas
//!
//! What one node brings in, a few others fetch by themselves (`--replicas`, three unless told otherwise), each its share by rendezvous
//! hashing ([`sync::Replicas`]): a site does not depend on the machine that happened to ask first, and the seed can be switched
//! off when the catalog has come to rest.
//!
//! # A crowd
//!
//! * *The one who sends decides* ([`engine::spread`]): whoever has room on its line offers the rarest slice to the neighbour that
//!   has least of it; that one takes or declines. A slice is half a MiB to 4 MiB of a recipe's chunks ([`engine::slices`]), stored
//!   before it is passed on. The first holder sends each slice once before it repeats any.
//! * *What is small is asked for*, in one round trip; so is what no neighbour offers any more ([`transfer`]).
//! * *The engine has no clock and no socket*: [`spread`] drives it with libp2p, `netsim run` with virtual time, the same code.
//!
//! # Neighbours and the catalog
//!
//! * *8 to 12 neighbours*, chosen at random among those that mDNS, beacons, memory and neighbours name ([`engine::neighbours`],
//!   [`engine::beacon`]); what none of them holds is sought through the site, and a holder connects ([`engine::seek`]).
//! * *Catalogs are compared at each connect and every few minutes* by coded symbols ([`engine::reconcile`]): what differs is paid
//!   for, and not what is held. What gossip forgets is found there, a month later too.
//! * *Nobody floods a site*: announcements are counted for each neighbour before anything is done for them ([`sync`]).
//!
//! # The checksum database
//!
//! The go command's own unless `--sumdb` says otherwise, the same on all nodes of a site: a node that wants proofs counts a manifest without
//! one as a fault of its sender.
//!
//! * *A seed proves before it publishes* ([`mirror::databases`]): the record is there before the first byte of the zip is stored.
//! * *Every node checks alone*, at the one door, by one rule ([`domain::trust`]). A catalog that was filled by another rule is held to the
//!   new one at the start: what would not be let in is set aside until it comes in again.
//! * *Every node answers* `/sumdb/NAME/` under one pinned head. Seeds pin it, collect exactly the tiles that clients will ask for, and
//!   announce the result, a *state*; other nodes check a state like the answers of an upstream, up to the signed head, and then hand it on.
//!   The head never moves back. Two histories are kept as evidence and followed by nobody.
//! * *A record comes with its manifest, its tiles a moment later.* Until then it waits, and so does a lookup of it, for a bounded time;
//!   `supported` speaks of the records whose tiles are here. Taking it back for each new module would stop every build of the
//!   site, since the go command goes straight to the internet then.
//!
//! # Private modules
//!
//! * *A prefix of the policy has one source*: the publications of its keys ([`domain::trust`]). A checksum database's record does not
//!   count under it, since anybody can have a private name recorded in public.
//! * *Nobody outside hears of them*, nor of what `--private` matches: one function stands before every question to an
//!   upstream or a database (`Mirror::may_ask_outside`). What one of them has said before is not used any more.
//! * *Policies reach nodes one after the other*, so a node does not hold against a peer what only another policy lets in
//!   ([`domain::trust::TrustError::is_fault`]). It neither takes it nor passes it on.
//! * *A published version stays as it is* ([`mirror::Publishing`]). A key that is taken out of the policy takes along what only it
//!   has signed, at the next start; publishing the same content with another key brings it back.
//!
//! # Closed sites
//!
//! * *A site file with a key closes the site* ([`domain::membership`]). Its members show a certificate between Noise and
//!   Yamux, before any protocol is spoken ([`swarm`]); open nodes and members of other sites are refused there, and learn
//!   nothing.
//! * *Nobody types and no secret is online*: a ticket in the site file lets a machine sign its own certificate, and renew it.
//!   What the ticket says travels with the certificate, so one order ends all that came with it.
//! * *Orders are a state* with a serial, signed by the site's key: who is revoked, what is blocked. Every node checks, keeps
//!   and passes on the newest ([`sync::SiteOrders`]); a connection whose peer is revoked carries not one byte more.
//! * *A blocked version is hidden, not deleted* ([`mirror::Blocks`]): refused to clients, in no list, told to no peer, until it
//!   is unblocked. It is never a miss, which would send a go command elsewhere for it.
//!
//! # Layers
//!
//! Arrows point down only; `tests/layers.rs` holds the rules.
//!
//! | module | job |
//! |---|---|
//! | [`cli`] | one file per command |
//! | [`daemon`] | the composition root: builds everything in order, stops it in reverse |
//! | [`proxy`] | GOPROXY and admin API over HTTP; one table from outcome to status |
//! | [`sync`] | the catalog's way through the site: announcements, comparison of catalogs |
//! | [`mirror`] | the one path from a request to verified bytes; single flight; seeding |
//! | [`asking`] | questions to a seed: obtain this for the site, is there anything newer |
//! | [`spread`] | drives [`engine::spread`]: many nodes want the same, and each byte crosses each line once |
//! | [`transfer`] | frames on long-lived streams between peers; serves from the store only |
//! | [`engine`] | state machines without any I/O: who sends what to whom; driven by the daemon and by `netsim` |
//! | [`swarm`] | owns the libp2p Swarm: `select` waits, `apply` never does |
//! | [`upstream`] | the GOPROXY client: retry, limits, resume |
//! | [`sumdb`] | the checksum database: a client that believes nothing unproven, and what a node would answer itself |
//! | [`store`] | segments (the truth) and sled (a database over them that can be thrown away) |
//! | [`verified`] | the one door |
//! | [`domain`] | what a Go module version is: pure, no I/O, no clock, no randomness |
//! | [`config`], [`admin`] | checked configuration; the local API as data |
//! | [`publish_dir`] | reads a directory that is to be published; the rules are in [`domain::publish`] |
//!
//! # Where this differs from the first design, and why
//!
//! * *The proof is not part of a manifest's name.* A manifest is named by its content alone and the proof travels beside it
//!   ([`domain::manifest::Envelope`]). Two seeds that fetch the same version a week apart hold proofs against different tree heads; with the
//!   proof inside, they would gossip two manifests for one version for ever.
//! * *The index of the open segment is in memory*, not in sled: it is bounded by the segment's size and rebuilt by one scan of record
//!   headers at the start, where sled would cost a database write per blob and had to be emptied again when the segment is sealed.
//! * *Catalogs are compared by rateless coded symbols*, not by ranges in the order of time. Of 100,000 versions known to both sides 10
//!   scattered ones that are missing cost 0.9 kB and one round, where ranges (`negentropy`) take 14 kB and two; 500 cost 25 kB against
//!   473 kB, 5,000 cost 0.24 MB against 2.5 MB. Ranges are better only for what is new on both sides' clocks, and a version's time
//!   is that of its commit, not of its arrival (`netsim bench catchup`). The price is processor time: 0.1 s at each end.
//! * *The sender picks, not the receiver.* Receivers that ask for the rarest piece ask the same neighbours for it at the same moment; with
//!   offers no line is asked for more than it carries, and the first holder sends hardly more than one copy.
//! * *Lower peer ids do not dial first*: with a bounded number of neighbours the last in the order would be dialled by all. Both ends
//!   compute the same coin.
//! * *Membership is proven inside the connection's upgrade*, between Noise and Yamux, so that there is nothing to reach for a stranger.
//! * *Pings are a minute and more apart* (70 s), since ten neighbours at 15 s cost 330 B/s in each direction all day.
//! * *What an upgrade costs* is 12.4 % of the new zip, recipe (0.44 %) and manifest included, over the last two upgrades of 19 modules
//!   (`netsim bench upgrades`, 327 MB of zips; FastCDC at 64 KiB: 65 %). The median upgrade costs 9.6 %; generated code that
//!   is generated anew (a third of all bytes sent was one SQLite release) costs what it costs.
//! * *`.info` bytes are part of the manifest* up to 64 KiB, and so is a go.mod up to 64 KiB; a longer go.mod is a list of blobs.

pub mod admin;
pub mod asking;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod engine;
pub mod mirror;
pub mod proxy;
pub mod publish_dir;
pub mod spread;
pub mod store;
pub mod sumdb;
pub mod swarm;
pub mod sync;
pub mod transfer;
pub mod upstream;
pub mod verified;
