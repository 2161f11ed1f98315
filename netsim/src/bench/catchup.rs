//! `netsim bench catchup`: what it costs two nodes to find out which manifests one of them lacks, beside negentropy.
//!
//! Two nodes on loopback hold the same manifests but for some, and the one that lacks them catches up: with the real
//! frames, over a real connection. Negentropy does the same in memory, without frames and headers, and with an order of
//! all manifests that both sides agree on, which nodes of a site do not have. *Finding* is what it takes to know what is
//! missing and to ask for it; the envelopes themselves come on top. Processor time is that of both sides together.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::identity::Keypair;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, ManifestId, Proof, ZipRef};
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::sumdb::SumdbProof;
use modswarm::domain::tlog::Hash;
use modswarm::swarm::{self, SwarmConfig, SwarmHandle};
use modswarm::transfer::{self, Fetcher, MemoryHeld, ServeLimits, SyncReport, Traffic};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sample::processor_time;
use super::{Failure, runtime};

/// What is promised: ten missing manifests are found for so many bytes, in so many round trips.
const LIMIT_OF_TEN: (u64, usize) = (4096, 4);
/// What is promised: with thousands missing, all bytes are at most so many per cent of the envelopes' own.
const LIMIT_PERCENT: u64 = 130;
/// From so many on that counts.
const MANY: usize = 5000;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many manifests the full node has.
    #[arg(long, default_value_t = 100_000)]
    versions: usize,
    /// How many of them the other one lacks, at random places; may be given several times.
    #[arg(long, default_values_t = [0, 10, 500, 5000])]
    missing: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One difference.
#[derive(Serialize)]
struct Line {
    missing: usize,
    newest: bool,
    rounds: usize,
    finding_bytes: u64,
    envelope_bytes: u64,
    cpu_ms: u128,
    negentropy_rounds: usize,
    negentropy_bytes: u64,
    negentropy_cpu_ms: u128,
}

/// Measures and prints. The exit code is 1 when a promise is not kept.
///
/// # Errors
/// What kept it from measuring.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let lines = runtime()?.block_on(measure(args))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &lines)?;
        writeln!(out)?;
    } else {
        print(&mut out, args.versions, &lines)?;
    }
    Ok(if lines.iter().all(Line::keeps) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args) -> Result<Vec<Line>, Failure> {
    let (full, envelopes) = (Side::start(&[]).await?, catalog(args.versions)?);
    let all: Vec<usize> = (0..envelopes.len()).collect();
    full.hold(&envelopes, &all);
    let mut lines = Vec::new();
    for missing in &args.missing {
        let newest = [false, true].into_iter().filter(|newest| !newest || *missing == 10);
        for newest in newest {
            let kept = without(args.versions, *missing, newest);
            let other = Side::start(&full.addresses()).await?;
            other.hold(&envelopes, &kept);
            other.swarm.connected().wait_for(|peers| !peers.is_empty()).await?;
            let (report, cpu) = other.catch_up(&full).await?;
            if report.envelopes != *missing {
                return Err(format!("{} envelopes came of {missing} that were missing", report.envelopes).into());
            }
            let negentropy = negentropy(&envelopes, &kept, *missing)?;
            lines.push(Line {
                missing: *missing,
                newest,
                rounds: report.rounds,
                finding_bytes: report.finding_bytes,
                envelope_bytes: report.envelope_bytes,
                cpu_ms: cpu.as_millis(),
                negentropy_rounds: negentropy.0,
                negentropy_bytes: negentropy.1,
                negentropy_cpu_ms: negentropy.2.as_millis(),
            });
        }
    }
    Ok(lines)
}

impl Line {
    fn keeps(&self) -> bool {
        match self.missing {
            10 => self.finding_bytes <= LIMIT_OF_TEN.0 && self.rounds <= LIMIT_OF_TEN.1,
            many if many >= MANY => {
                (self.finding_bytes + self.envelope_bytes) * 100 <= self.envelope_bytes * LIMIT_PERCENT
            }
            _ => true,
        }
    }
}

/// Envelopes as a real site has them: a zip of a few pages, and a proof against a log of 30 million records.
fn catalog(count: usize) -> Result<Vec<(ManifestId, ModuleVersion, Bytes)>, Failure> {
    let mut random = StdRng::seed_from_u64(1);
    let one = |n: usize| {
        let module = ModuleVersion::parse(&format!("example.com/organisation/module{}@v1.{}.0", n / 20, n % 20))?;
        let go_mod = format!("module {}\n\ngo 1.24\n\nrequire example.com/other v1.2.3\n", module.path).into_bytes();
        let info = format!("{{\"Version\":\"{}\",\"Time\":\"2025-01-02T03:04:05Z\"}}", module.version).into_bytes();
        let zip = ZipRef {
            h1: H1::from_bytes(random.random()),
            len: 100_000,
            blake3: random.random(),
            pages: vec![ManifestId::from_bytes(random.random())],
        };
        let proof = SumdbProof {
            database: "sum.example".into(),
            index: 30_000_000,
            record: vec![b'r'; 200],
            path: (0..25).map(|_| Hash::from_bytes(random.random())).collect(),
            head: vec![b'h'; 180],
        };
        let go_mod_h1 = H1::of_go_mod(&go_mod);
        let manifest = Manifest { module, info, go_mod_h1, go_mod: GoMod::Inline(go_mod), zip: Some(zip) };
        let envelope = Envelope { manifest: manifest.encode(), proof: Proof::Sumdb(proof) };
        Ok((manifest.id(), manifest.module, envelope.encode().into()))
    };
    (0..count).map(one).collect()
}

/// All places but `missing` of them: the last ones, or any.
fn without(count: usize, missing: usize, newest: bool) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    if newest {
        places.truncate(count - missing);
    } else {
        let mut random = StdRng::seed_from_u64(missing as u64);
        for _ in 0..missing {
            places.swap_remove(random.random_range(0..places.len()));
        }
    }
    places
}

/// One node: its network and what it holds, without anything else.
struct Side {
    swarm: SwarmHandle,
    fetcher: Fetcher,
    held: Arc<MemoryHeld>,
    _stop: DropGuard,
}

impl Side {
    async fn start(peers: &[libp2p::Multiaddr]) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        let config = SwarmConfig {
            identity: Keypair::generate_ed25519(),
            listen,
            peers: peers.to_vec(),
            mdns: false,
            beacon: None,
            remember: None,
        };
        let (swarm, mut news, _) = swarm::start(config, stop.clone()).await?;
        tokio::spawn(async move { while news.recv().await.is_some() {} });
        let (held, traffic) = (Arc::new(MemoryHeld::new()), Traffic::new());
        let fetcher = Fetcher::new(swarm.stream_control(), swarm.connected(), swarm.bans(), traffic.clone());
        transfer::serve(swarm.stream_control(), held.clone(), ServeLimits::default(), traffic, stop.clone())?;
        Ok(Self { swarm, fetcher, held, _stop: stop.drop_guard() })
    }

    fn addresses(&self) -> Vec<libp2p::Multiaddr> {
        self.swarm.listen_addrs().to_vec()
    }

    fn hold(&self, envelopes: &[(ManifestId, ModuleVersion, Bytes)], places: &[usize]) {
        for place in places {
            let (id, module, bytes) = &envelopes[*place];
            self.held.insert_envelope(*id, module, bytes.clone());
        }
    }

    async fn catch_up(&self, from: &Self) -> Result<(SyncReport, Duration), Failure> {
        let before = processor_time(std::process::id())?;
        let (sink, mut envelopes) = mpsc::channel(256);
        let peer = from.swarm.local_peer_id();
        let sync = self.fetcher.catalog_sync(peer, self.held.clone(), Arc::default(), sink);
        let drain = async { while envelopes.recv().await.is_some() {} };
        let (report, ()) = tokio::join!(sync, drain);
        Ok((report?, processor_time(std::process::id())? - before))
    }
}

/// Round trips, bytes of finding out in both directions, and processor time.
fn negentropy(
    envelopes: &[(ManifestId, ModuleVersion, Bytes)],
    kept: &[usize],
    missing: usize,
) -> Result<(usize, u64, Duration), Failure> {
    let before = processor_time(std::process::id())?;
    let storage = |places: &mut dyn Iterator<Item = usize>| {
        let mut storage = NegentropyStorageVector::new();
        for place in places {
            storage.insert(place as u64, Id::from_byte_array(*envelopes[place].0.as_bytes()))?;
        }
        storage.seal()?;
        Ok::<_, Failure>(storage)
    };
    let mut server = Negentropy::owned(storage(&mut (0..envelopes.len()))?, 0)?;
    let mut client = Negentropy::owned(storage(&mut kept.iter().copied())?, 0)?;
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let (mut rounds, mut bytes) = (0, 0);
    let mut question = Some(client.initiate()?);
    while let Some(now) = question {
        let answer = server.reconcile(&now)?;
        bytes += (now.len() + answer.len()) as u64;
        rounds += 1;
        question = client.reconcile_with_ids(&answer, &mut have, &mut need)?;
    }
    if need.len() != missing {
        return Err(format!("negentropy has found {} of {missing}", need.len()).into());
    }
    // What is missing has to be asked for by its id.
    bytes += 32 * missing as u64;
    Ok((rounds, bytes, processor_time(std::process::id())? - before))
}

fn print(out: &mut impl Write, versions: usize, lines: &[Line]) -> std::io::Result<()> {
    writeln!(out, "{versions} versions; bytes of both directions, processor time of both sides\n")?;
    writeln!(
        out,
        "{:>8} {:>9} | {:>6} {:>10} {:>12} {:>7} {:>7} | {:>6} {:>10} {:>7}",
        "missing", "", "rounds", "finding", "envelopes", "total", "cpu ms", "negen.", "finding", "cpu ms"
    )?;
    for line in lines {
        let total = (line.finding_bytes + line.envelope_bytes) * 100 / line.envelope_bytes.max(1);
        let total = if line.missing == 0 { String::new() } else { format!("{total} %") };
        writeln!(
            out,
            "{:>8} {:>9} | {:>6} {:>10} {:>12} {:>7} {:>7} | {:>6} {:>10} {:>7}  {}",
            line.missing,
            if line.newest { "newest" } else { "scattered" },
            line.rounds,
            line.finding_bytes,
            line.envelope_bytes,
            total,
            line.cpu_ms,
            line.negentropy_rounds,
            line.negentropy_bytes,
            line.negentropy_cpu_ms,
            if line.keeps() { "" } else { "OVER THE LIMIT" }
        )?;
    }
    Ok(())
}
