//! The beacon's packet: a fixed form, at most [`MAX_PACKET`] bytes.
//!
//! ```text
//! magic "MODSWARM" 8 | version 1 | flags 1 | site 8 | nonce 8 | ports 1 + 2 each | peer 1 + its bytes
//! ```
//! Numbers are big-endian. A later version may append; what follows the peer is passed over.

/// Bytes of the longest packet that is read or sent.
pub const MAX_PACKET: usize = 128;
/// Bytes of a peer's id; an Ed25519 one has 38.
pub const MAX_PEER: usize = 64;
/// Ports of a node; IPv4 and IPv6 may differ.
pub const MAX_PORTS: usize = 4;

const MAGIC: &[u8; 8] = b"MODSWARM";
const VERSION: u8 = 1;
const SEEKING: u8 = 1;

/// What a node shouts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Whether it wants more neighbours than it has.
    pub seeking: bool,
    /// Tag of its site; zeros for an open one.
    pub site: [u8; 8],
    /// Random, of its run: two instances with one id are a copied data directory.
    pub nonce: [u8; 8],
    /// TCP ports on which it listens, 1 to [`MAX_PORTS`], at the address that the packet comes from.
    pub ports: Vec<u16>,
    /// Its id, 1 to [`MAX_PEER`] bytes.
    pub peer: Vec<u8>,
}

/// Why bytes are no beacon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPacket {
    /// Somebody else uses this port.
    #[error("it is no beacon of this project")]
    Foreign,
    /// A version that this program does not know.
    #[error("it is a beacon of version {0}")]
    Version(u8),
    /// It ends early, is too long, or says nothing.
    #[error("it is malformed")]
    Malformed,
}

impl Packet {
    /// The packet as it is sent. Ports and id beyond their bounds are cut: a caller has none such.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let ports = &self.ports[..self.ports.len().min(MAX_PORTS)];
        let peer = &self.peer[..self.peer.len().min(MAX_PEER)];
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, if self.seeking { SEEKING } else { 0 }]);
        bytes.extend(self.site);
        bytes.extend(self.nonce);
        bytes.push(u8::try_from(ports.len()).unwrap_or_default());
        ports.iter().for_each(|port| bytes.extend(port.to_be_bytes()));
        bytes.push(u8::try_from(peer.len()).unwrap_or_default());
        bytes.extend(peer);
        bytes
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPacket> {
        if bytes.len() > MAX_PACKET {
            return Err(if bytes.starts_with(MAGIC) { BadPacket::Malformed } else { BadPacket::Foreign });
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(BadPacket::Foreign)?;
        let (&[version, flags], rest) = rest.split_first_chunk().ok_or(BadPacket::Malformed)?;
        if version != VERSION {
            return Err(BadPacket::Version(version));
        }
        let (site, rest) = rest.split_first_chunk().ok_or(BadPacket::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(BadPacket::Malformed)?;
        let (ports, rest) = counted(rest, 2, MAX_PORTS)?;
        let (peer, _) = counted(rest, 1, MAX_PEER)?;
        let ports: Vec<u16> = ports.chunks_exact(2).map(|port| u16::from_be_bytes([port[0], port[1]])).collect();
        if ports.contains(&0) {
            return Err(BadPacket::Malformed);
        }
        Ok(Self { seeking: flags & SEEKING != 0, site: *site, nonce: *nonce, ports, peer: peer.to_vec() })
    }
}

/// A count, 1 to `most`, and as many things of `size` bytes; and what follows.
fn counted(bytes: &[u8], size: usize, most: usize) -> Result<(&[u8], &[u8]), BadPacket> {
    let (&count, rest) = bytes.split_first().ok_or(BadPacket::Malformed)?;
    let count = usize::from(count);
    if count == 0 || count > most {
        return Err(BadPacket::Malformed);
    }
    rest.split_at_checked(count * size).ok_or(BadPacket::Malformed)
}
