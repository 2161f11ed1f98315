//! Peers remembered on disk: where a node that finds nobody on its LAN tries first after a restart.
//!
//! Hints and nothing more: an address that leads to somebody else leads to no connection. A file that cannot be read is set
//! aside, and the node runs without it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::limits;
use super::peers::PeerStatus;

/// The version of the file's form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    peers: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    addresses: Vec<String>,
    /// Seconds since 1970.
    seen: u64,
}

/// What is remembered of one peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Remembered {
    pub(super) addresses: Vec<Multiaddr>,
    /// Seconds since 1970 at which it was last connected.
    pub(super) seen: u64,
}

pub(super) type Memory = BTreeMap<PeerId, Remembered>;

/// Reads the file, at most [`limits::MAX_REMEMBERED`] peers of it. What cannot be read is set aside with a warning.
pub(super) fn load(path: &Path) -> Memory {
    match read(path) {
        Ok(memory) => memory,
        Err(err) if err.kind() == io::ErrorKind::NotFound => Memory::new(),
        Err(err) => {
            let aside = path.with_extension("broken");
            let moved = std::fs::rename(path, &aside).is_ok();
            tracing::warn!(
                file = %path.display(), %err, aside = moved.then(|| aside.display().to_string()),
                "the file of remembered peers cannot be read; this node starts without it"
            );
            Memory::new()
        }
    }
}

fn read(path: &Path) -> io::Result<Memory> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(limits::MAX_REMEMBERED_BYTES).read_to_string(&mut text)?;
    let file: File = serde_json::from_str(&text)?;
    if file.version != VERSION {
        return Err(io::Error::other(format!("it is of version {}", file.version)));
    }
    let parse = |line: Line| {
        let addresses = line.addresses.iter().take(limits::MAX_FOUND_ADDRESSES).filter_map(|text| text.parse().ok());
        Some((line.id.parse().ok()?, Remembered { addresses: addresses.collect(), seen: line.seen }))
    };
    let peers = file.peers.into_iter().take(limits::MAX_REMEMBERED).filter_map(parse);
    Ok(peers.filter(|(_, remembered): &(PeerId, Remembered)| !remembered.addresses.is_empty()).collect())
}

/// Writes the file as a whole, or not at all.
fn write(path: &Path, memory: &Memory) -> io::Result<()> {
    let line = |(id, remembered): (&PeerId, &Remembered)| Line {
        id: id.to_string(),
        addresses: remembered.addresses.iter().map(ToString::to_string).collect(),
        seen: remembered.seen,
    };
    let file = File { version: VERSION, peers: memory.iter().map(line).collect() };
    let temporary = path.with_extension("new");
    let mut out = std::fs::File::create(&temporary)?;
    out.write_all(&serde_json::to_vec_pretty(&file)?)?;
    out.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// Takes in who is connected; whether anything but times has changed.
fn take_in(memory: &mut Memory, peers: &[PeerStatus], now: u64) -> bool {
    let mut changed = false;
    for peer in peers.iter().filter(|peer| !peer.dial.is_empty()) {
        let known = memory.insert(peer.id, Remembered { addresses: peer.dial.clone(), seen: now });
        changed |= known.is_none_or(|known| known.addresses != peer.dial);
    }
    while memory.len() > limits::MAX_REMEMBERED {
        let Some(oldest) = memory.iter().min_by_key(|(_, known)| known.seen).map(|(peer, _)| *peer) else { break };
        memory.remove(&oldest);
    }
    changed
}

/// Keeps the file until `stop`, and writes it once more then: on change, and at most every [`limits::REMEMBER_EVERY`].
pub(super) async fn keep(
    path: PathBuf,
    mut memory: Memory,
    mut peers: watch::Receiver<Arc<[PeerStatus]>>,
    stop: CancellationToken,
) {
    let mut changed = false;
    let mut due = tokio::time::Instant::now() + limits::REMEMBER_FIRST;
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => true,
            now = peers.changed() => now.is_err(),
            () = tokio::time::sleep_until(due), if changed => false,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        changed |= take_in(&mut memory, &peers.borrow_and_update().clone(), now);
        if changed && (ended || tokio::time::Instant::now() >= due) {
            changed = false;
            due = tokio::time::Instant::now() + limits::REMEMBER_EVERY;
            let (file, snapshot) = (path.clone(), memory.clone());
            let written = tokio::task::spawn_blocking(move || write(&file, &snapshot)).await;
            if let Ok(Err(err)) = written {
                tracing::warn!(file = %path.display(), %err, "the peers of this run cannot be remembered");
            }
        }
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Via;

    fn status(id: PeerId, dial: &str) -> PeerStatus {
        PeerStatus {
            id,
            addresses: Vec::new(),
            connected_since: SystemTime::now(),
            via: Via::Incoming,
            rtt: None,
            agent: None,
            protocols: Arc::default(),
            dial: vec![dial.parse().unwrap()],
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_is_broken_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        assert_eq!(load(&path), Memory::new());
        let mut memory = Memory::new();
        let peer = PeerId::random();
        assert!(take_in(&mut memory, &[status(peer, "/ip4/192.0.2.1/tcp/1")], 7));
        assert!(!take_in(&mut memory, &[status(peer, "/ip4/192.0.2.1/tcp/1")], 9), "a time alone is no change");
        write(&path, &memory).unwrap();
        assert_eq!(load(&path), memory);
        for broken in ["", "{", "{\"version\":2,\"peers\":[]}", "\u{0}\u{1}"] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(load(&path), Memory::new());
            assert!(!path.exists());
            assert_eq!(std::fs::read_to_string(dir.path().join("peers.broken")).unwrap(), broken);
        }
        // A line that is none is left out, the others are used.
        let line = format!(r#"{{"id":"{peer}","addresses":["x","/ip4/192.0.2.1/tcp/1"],"seen":9}}"#);
        std::fs::write(&path, format!(r#"{{"version":1,"peers":[{{"id":"x","addresses":[],"seen":1}},{line}]}}"#))
            .unwrap();
        assert_eq!(load(&path), memory);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut memory = Memory::new();
        let first = PeerId::random();
        take_in(&mut memory, &[status(first, "/ip4/192.0.2.1/tcp/1")], 1);
        for _ in 0..limits::MAX_REMEMBERED {
            take_in(&mut memory, &[status(PeerId::random(), "/ip4/192.0.2.1/tcp/1")], 2);
        }
        assert!(memory.len() == limits::MAX_REMEMBERED && !memory.contains_key(&first));
    }
}
