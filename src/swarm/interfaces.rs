//! The machine's network interfaces: which of them lead to a LAN, and which addresses can be reached from here.
//!
//! Multi-homed machines, VPNs and docker bridges are the normal case. What an interface is for is told by its name and its
//! address; where that is wrong, the cost is a beacon that nobody hears, or a static peer that has to be named.

use std::net::{IpAddr, Ipv4Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// What an interface is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// A LAN, as far as one can tell.
    Ordinary,
    /// An address that the machine gave itself, since nobody else did (169.254.0.0/16).
    LinkLocal,
    /// This machine only; other nodes on it are found there.
    Loopback,
    /// A tunnel. Others may be behind it, over somebody's line.
    Vpn,
    /// A bridge to containers or virtual machines on this machine.
    Container,
}

/// One interface with its IPv4 addresses, and its IPv6 ones for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub class: Class,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Beginnings of the names of interfaces to containers and virtual machines.
const CONTAINER: &[&str] = &[
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "cni",
    "flannel",
    "cali",
    "podman",
    "lxcbr",
    "lxdbr",
    "vboxnet",
    "vmnet",
    "vEthernet",
    "bridge1",
];
/// Beginnings of the names of tunnels.
const VPN: &[&str] =
    &["tun", "tap", "wg", "ppp", "tailscale", "zt", "utun", "ipsec", "nordlynx", "proton", "gre", "sit", "l2tp", "vti"];

impl Interface {
    /// The network's broadcast address for each IPv4 address that has one, beside that address.
    pub(super) fn broadcasts(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> {
        self.addresses.iter().filter_map(|(ip, prefix)| match ip {
            IpAddr::V4(ip) if *prefix < 31 => Some((*ip, Ipv4Addr::from(u32::from(*ip) | (u32::MAX >> *prefix)))),
            _ => None,
        })
    }

    /// Whether an address is in one of its networks.
    pub(super) fn reaches(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|(own, prefix)| match (own, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                u32::from(*own) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                u128::from(*own) & mask == u128::from(ip) & mask
            }
            _ => false,
        })
    }
}

/// What an interface of this name with these addresses is for.
pub(super) fn classify(name: &str, addresses: &[(IpAddr, u8)]) -> Class {
    let is = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
    let v4 = || addresses.iter().filter_map(|(ip, _)| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
    // 100.64.0.0/10: what overlay networks and carriers give out, never a LAN.
    let shared = |ip: &&Ipv4Addr| ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    if !addresses.is_empty() && addresses.iter().all(|(ip, _)| ip.is_loopback()) {
        Class::Loopback
    } else if is(CONTAINER) {
        Class::Container
    } else if is(VPN) || v4().next().is_some_and(|ip| shared(&ip)) {
        Class::Vpn
    } else if v4().next().is_some() && v4().all(Ipv4Addr::is_link_local) {
        Class::LinkLocal
    } else {
        Class::Ordinary
    }
}

/// The interfaces that are up, as of now, in the order of their names.
pub(super) fn list() -> std::io::Result<Vec<Interface>> {
    let mut all: Vec<Interface> = Vec::new();
    for found in if_addrs::get_if_addrs()? {
        let prefix = match &found.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        let address = (found.ip(), prefix);
        match all.iter_mut().find(|known| known.name == found.name) {
            Some(known) => known.addresses.push(address),
            None => all.push(Interface { name: found.name, class: Class::Ordinary, addresses: vec![address] }),
        }
    }
    for interface in &mut all {
        interface.addresses.sort_unstable();
        interface.class = classify(&interface.name, &interface.addresses);
    }
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Why no beacon goes out on an interface of this class; `None` when one does.
pub(super) fn unused(class: Class, all: &[Interface]) -> Option<&'static str> {
    let there = |wanted: Class| all.iter().any(|other| other.class == wanted && other.broadcasts().next().is_some());
    match class {
        Class::Ordinary | Class::Loopback => None,
        Class::LinkLocal => there(Class::Ordinary).then_some("there is an ordinary network"),
        Class::Vpn => (there(Class::Ordinary) || there(Class::LinkLocal))
            .then_some("a VPN is used only when there is no other network"),
        Class::Container => Some("a bridge to containers or virtual machines of this machine"),
    }
}

/// The order in which addresses of a peer are tried: those in an own network first, ordinary ones before others; what no
/// interface reaches directly comes last but one, and what would stay in this machine's own bridges last.
pub(super) fn rank(address: &Multiaddr, all: &[Interface]) -> u8 {
    let Some(ip) = ip_of(address) else { return 3 };
    match all.iter().filter(|interface| interface.reaches(ip)).map(|interface| interface.class).min() {
        Some(Class::Ordinary | Class::Loopback) => 0,
        Some(Class::LinkLocal) => 1,
        Some(Class::Vpn) => 2,
        None => 3,
        Some(Class::Container) => 4,
    }
}

/// The IP address at the front of an address.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// The TCP port behind it.
pub(super) fn port_of(address: &Multiaddr) -> Option<u16> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    }
}

/// Whether an address is of the kind that is used inside a site: private, link-local, overlay or loopback.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[(&str, u8)]) -> Interface {
        let addresses: Vec<_> = addresses.iter().map(|(ip, prefix)| (ip.parse().unwrap(), *prefix)).collect();
        Interface { name: name.into(), class: classify(name, &addresses), addresses }
    }

    #[test]
    fn names_and_addresses_tell_what_an_interface_is_for() {
        for (name, ip, class) in [
            ("lo", "127.0.0.1", Class::Loopback),
            ("lo0", "::1", Class::Loopback),
            ("eth0", "192.168.1.7", Class::Ordinary),
            ("wlp3s0", "10.1.2.3", Class::Ordinary),
            ("br0", "10.1.2.3", Class::Ordinary),
            ("eno1", "2001:db8::1", Class::Ordinary),
            ("docker0", "172.17.0.1", Class::Container),
            ("br-3f2a9c1d0e4b", "172.18.0.1", Class::Container),
            ("virbr0", "192.168.122.1", Class::Container),
            ("veth12ab", "169.254.3.4", Class::Container),
            ("tun0", "10.8.0.2", Class::Vpn),
            ("wg-office", "10.9.0.2", Class::Vpn),
            ("tailscale0", "100.101.102.103", Class::Vpn),
            ("enx00", "100.64.0.1", Class::Vpn),
            ("eth1", "169.254.10.20", Class::LinkLocal),
        ] {
            assert_eq!(interface(name, &[(ip, 24)]).class, class, "{name} {ip}");
        }
    }

    #[test]
    fn a_vpn_is_used_when_there_is_nothing_else_and_a_docker_bridge_never() {
        let (eth, tun) = (interface("eth0", &[("192.168.1.7", 24)]), interface("tun0", &[("10.8.0.2", 24)]));
        let docker = interface("docker0", &[("172.17.0.1", 16)]);
        let both = [eth.clone(), tun.clone(), docker.clone()];
        assert_eq!(unused(eth.class, &both), None);
        assert!(unused(tun.class, &both).is_some() && unused(docker.class, &both).is_some());
        let road = [tun, docker];
        assert_eq!(unused(Class::Vpn, &road), None);
        assert!(unused(Class::Container, &road).is_some());
    }

    #[test]
    fn broadcast_addresses_follow_from_the_network() {
        let of =
            |ip: &str, prefix| interface("eth0", &[(ip, prefix)]).broadcasts().map(|(_, to)| to.to_string()).next();
        assert_eq!(of("192.168.1.7", 24).as_deref(), Some("192.168.1.255"));
        assert_eq!(of("10.1.2.3", 8).as_deref(), Some("10.255.255.255"));
        assert_eq!(of("10.1.2.3", 0).as_deref(), Some("255.255.255.255"));
        assert_eq!(of("10.1.2.3", 31), None);
        assert_eq!(of("10.1.2.3", 32), None);
        assert_eq!(of("fe80::1", 64), None);
    }

    #[test]
    fn addresses_of_an_own_network_are_tried_first_and_own_bridges_last() {
        let all = [
            interface("eth0", &[("192.168.1.7", 24), ("fd00::7", 64)]),
            interface("docker0", &[("172.17.0.1", 16)]),
            interface("tun0", &[("10.8.0.2", 24)]),
        ];
        let mut addresses: Vec<Multiaddr> = [
            "/ip4/172.17.0.9/tcp/1",
            "/ip4/203.0.113.9/tcp/1",
            "/ip4/10.8.0.9/tcp/1",
            "/ip6/fd00::9/tcp/1",
            "/ip4/192.168.1.9/tcp/1",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        addresses.sort_by_key(|address| rank(address, &all));
        let ranks: Vec<u8> = addresses.iter().map(|address| rank(address, &all)).collect();
        assert_eq!(ranks, [0, 0, 2, 3, 4]);
        assert_eq!(addresses[4].to_string(), "/ip4/172.17.0.9/tcp/1");
    }

    #[test]
    fn this_machine_has_a_loopback_interface() {
        assert!(list().unwrap().iter().any(|interface| interface.class == Class::Loopback));
    }
}
