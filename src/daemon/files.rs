//! The small files of a data directory: identity, token, and where the node can be reached.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use libp2p::identity::Keypair;
use rand::RngCore as _;

use super::DaemonError;
use crate::admin::{NODE_FILE, NodeFile, TOKEN_FILE};

/// The node's secret key, mode 0600: whoever has it is this node.
const IDENTITY_FILE: &str = "identity.key";
/// Peers of earlier runs, as JSON; the swarm reads and writes it.
pub(super) const PEERS: &str = "peers.json";

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> DaemonError {
    let path = path.to_owned();
    move |source| DaemonError::File { path, source }
}

/// Makes the data directory.
pub(super) fn prepare(data: &Path) -> Result<(), DaemonError> {
    fs::create_dir_all(data).map_err(|source| DaemonError::Data { path: data.to_owned(), source })
}

/// The directory for temporary files, emptied of what a killed process left; only to be called by the process that holds the
/// store's lock.
pub(super) fn fresh_tmp(data: &Path) -> Result<PathBuf, DaemonError> {
    let tmp = data.join("tmp");
    match fs::remove_dir_all(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&tmp)(error)),
        _ => {}
    }
    fs::create_dir_all(&tmp).map_err(unusable(&tmp))?;
    Ok(tmp)
}

/// The node's identity, made at the first start.
pub(super) fn identity(data: &Path) -> Result<Keypair, DaemonError> {
    let path = data.join(IDENTITY_FILE);
    match fs::read(&path) {
        Ok(bytes) => Keypair::from_protobuf_encoding(&bytes).map_err(|_| DaemonError::Identity { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pair = Keypair::generate_ed25519();
            let bytes = pair.to_protobuf_encoding().map_err(|_| DaemonError::Identity { path: path.clone() })?;
            write_secret(&path, &bytes)?;
            Ok(pair)
        }
        Err(error) => Err(unusable(&path)(error)),
    }
}

/// A new token, left where only this user can read it.
pub(super) fn token(data: &Path) -> Result<String, DaemonError> {
    let mut raw = [0_u8; 32];
    rand::rng().fill_bytes(&mut raw);
    let token: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    write_secret(&data.join(TOKEN_FILE), token.as_bytes())?;
    Ok(token)
}

/// Says where the node can be reached.
pub(super) fn announce(data: &Path, node: &NodeFile) -> Result<(), DaemonError> {
    let path = data.join(NODE_FILE);
    let text = serde_json::to_string(node).map_err(|error| unusable(&path)(error.into()))?;
    replace(&path, text.as_bytes(), 0o644)
}

/// Takes [`announce`] back. A file that is already gone is as good.
pub(super) fn retract(data: &Path) {
    let _ = fs::remove_file(data.join(NODE_FILE));
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), DaemonError> {
    replace(path, bytes, 0o600)
}

/// Writes beside and renames, so that no reader and no power cut sees half a file.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DaemonError> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let write = || {
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(unusable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_is_secret() {
        let dir = tempfile::tempdir().unwrap();
        let first = identity(dir.path()).unwrap();
        assert_eq!(identity(dir.path()).unwrap().public(), first.public());
        token(dir.path()).unwrap();
        #[cfg(unix)]
        for name in [IDENTITY_FILE, TOKEN_FILE] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_broken_identity_is_an_error_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        fs::write(&path, b"nonsense").unwrap();
        let error = identity(dir.path()).unwrap_err().to_string();
        assert!(error.contains("identity.key holds no usable key"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"nonsense");
    }
}
