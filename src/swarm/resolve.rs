//! Listen and dial addresses: names to numbers, and whether a port is free.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::error::SwarmError;
use super::limits;

/// Checks that `address` can be dialled: an IP address or a DNS name, then TCP, then perhaps a peer id.
pub(super) fn check_peer(address: &Multiaddr) -> Result<(), SwarmError> {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let host = |part: &Protocol<'_>| matches!(part, Protocol::Ip4(_) | Protocol::Ip6(_)) || dns_name(part).is_some();
    match parts.as_slice() {
        [first, Protocol::Tcp(port)] | [first, Protocol::Tcp(port), Protocol::P2p(_)] if host(first) && *port != 0 => {
            Ok(())
        }
        _ => Err(SwarmError::PeerAddress { address: address.clone() }),
    }
}

/// Checks that nobody listens on `address` yet.
///
/// The TCP transport sets `SO_REUSEPORT` on its listeners, so a second node of the same user would *share* the port and
/// take every other connection away from the first; a bind without that option tells.
pub(super) fn check_listen(address: &Multiaddr) -> Result<(), SwarmError> {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let socket = match parts.as_slice() {
        [Protocol::Ip4(ip), Protocol::Tcp(port)] => SocketAddr::new(IpAddr::V4(*ip), *port),
        [Protocol::Ip6(ip), Protocol::Tcp(port)] => SocketAddr::new(IpAddr::V6(*ip), *port),
        _ => return Err(SwarmError::ListenAddress { address: address.clone() }),
    };
    TcpListener::bind(socket).map(drop).map_err(|reason| listen_error(address, reason))
}

/// An error of the system in words.
pub(super) fn listen_error(address: &Multiaddr, reason: io::Error) -> SwarmError {
    let address = address.clone();
    match reason.kind() {
        io::ErrorKind::AddrInUse => SwarmError::PortInUse { address },
        _ => SwarmError::Listen { address, reason },
    }
}

fn dns_name(part: &Protocol<'_>) -> Option<String> {
    match part {
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => Some(name.to_string()),
        _ => None,
    }
}

/// Whether [`resolve`] has something to do.
pub(super) fn is_name(address: &Multiaddr) -> bool {
    address.iter().next().is_some_and(|part| dns_name(&part).is_some())
}

/// `address` with its name replaced by each of the numbers it stands for, at most [`limits::MAX_RESOLVED`].
///
/// Through the system's resolver, as every other program of the machine: split-horizon DNS and `/etc/hosts` hold.
///
/// # Errors
/// What the resolver says, or `TimedOut`.
pub(super) async fn resolve(address: &Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let mut parts = address.iter();
    let Some((first, name)) = parts.next().and_then(|part| dns_name(&part).map(|name| (part, name))) else {
        return Ok(vec![address.clone()]);
    };
    let rest: Vec<Protocol<'_>> = parts.collect();
    let found = tokio::time::timeout(limits::LOOKUP, tokio::net::lookup_host((name, 0))).await??;
    let wanted = found.map(|socket| socket.ip()).filter(|ip| match first {
        Protocol::Dns4(_) => ip.is_ipv4(),
        Protocol::Dns6(_) => ip.is_ipv6(),
        _ => true,
    });
    let with = |ip: IpAddr| rest.iter().fold(Multiaddr::from(ip), |address, part| address.with(part.clone()));
    Ok(wanted.take(limits::MAX_RESOLVED).map(with).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_name_becomes_the_numbers_of_its_family() {
        let address = parse("/dns4/localhost/tcp/6638");
        assert!(is_name(&address));
        assert_eq!(resolve(&address).await.unwrap(), [parse("/ip4/127.0.0.1/tcp/6638")]);
        let number = parse("/ip4/192.0.2.1/tcp/1");
        assert!(!is_name(&number));
        assert_eq!(resolve(&number).await.unwrap(), [number]);
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_the_form_that_can() {
        let peer = libp2p::PeerId::random();
        for good in ["/ip4/192.0.2.1/tcp/1", "/ip6/::1/tcp/1", "/dns4/a.example/tcp/1", "/dns/a.example/tcp/1"] {
            assert!(check_peer(&parse(good)).is_ok());
            assert!(check_peer(&parse(&format!("{good}/p2p/{peer}"))).is_ok());
        }
        for bad in ["/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1/tcp/0", "/ip4/192.0.2.1", "/tcp/1"] {
            let text = check_peer(&parse(bad)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("cannot dial peer {bad}: write it as /ip4/ADDRESS/tcp/PORT")), "{text}");
        }
    }

    #[test]
    fn a_port_in_use_is_seen_although_the_transport_would_share_it() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = parse(&format!("/ip4/127.0.0.1/tcp/{}", other.local_addr().unwrap().port()));
        let text = check_listen(&address).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot listen on {address}: the port is in use")), "{text}");
        drop(other);
        assert!(check_listen(&address).is_ok());
    }
}
