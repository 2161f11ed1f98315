//! A network of one's own: a namespace with a bridge for each switch, one for each machine, and lines of a given rate
//! between them.
//!
//! A line is a pair of virtual interfaces with a token bucket (TBF) at each end, so both directions have the rate, a short
//! queue and no delay. There is no default route and no IPv6, and the congestion control is CUBIC whatever this machine has
//! chosen for itself: what is measured should be what an office sees. Everything is removed when [`Net`] is dropped.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::Failure;
use super::exec::run;
use super::leftovers::{prefix, remove_spaces};
use super::limits::{BURST, LEAST_BURST, QUEUE};

/// Set in each namespace. No IPv6: its router solicitations and listener reports are no work of a node.
const NO_IPV6: &str = "for of in all default; do echo 1 > /proc/sys/net/ipv6/conf/$of/disable_ipv6; done";

/// The network of one run.
pub(super) struct Net {
    prefix: String,
    switches: u8,
}

/// A switch: machines that are plugged into it are on one LAN.
pub(super) struct Switch {
    space: String,
    number: u8,
    ports: u8,
}

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// For people: `seed`, `n01`.
    pub(super) name: String,
    space: String,
    interfaces: u8,
}

/// A line between a machine and a switch.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The machine's address on this line.
    pub(super) address: Ipv4Addr,
    space: String,
    interface: String,
    switch_space: String,
    port: String,
}

impl Net {
    /// A network without anything in it.
    pub(super) fn new() -> Self {
        Self { prefix: prefix(std::process::id()), switches: 0 }
    }

    /// A switch. The addresses on it are 10.77.NUMBER.0/24.
    pub(super) fn switch(&mut self) -> Result<Switch, Failure> {
        self.switches = self.switches.checked_add(1).ok_or("too many switches")?;
        let number = self.switches;
        let space = format!("{}sw{number}", self.prefix);
        run("ip", &["netns", "add", &space])?;
        run("ip", &["netns", "exec", &space, "sh", "-c", NO_IPV6])?;
        // A plain switch: it floods multicast, and a port forwards at once.
        run("ip", &["-n", &space, "link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"])?;
        run("ip", &["-n", &space, "link", "set", "br0", "up"])?;
        Ok(Switch { space, number, ports: 0 })
    }

    /// A machine that is plugged in nowhere.
    pub(super) fn host(&mut self, name: &str) -> Result<Host, Failure> {
        let space = format!("{}{name}", self.prefix);
        run("ip", &["netns", "add", &space])?;
        run("ip", &["netns", "exec", &space, "sh", "-c", NO_IPV6])?;
        run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
        Ok(Host { name: name.into(), space, interfaces: 0 })
    }

    /// Plugs a machine into a switch with a line of so many bits per second in each direction.
    pub(super) fn plug(&mut self, host: &mut Host, switch: &mut Switch, rate: u64) -> Result<Line, Failure> {
        switch.ports = switch.ports.checked_add(1).filter(|port| *port < 255).ok_or("too many machines at a switch")?;
        let (interface, port) = (format!("eth{}", host.interfaces), format!("p{}", switch.ports));
        host.interfaces += 1;
        let address = Ipv4Addr::new(10, 77, switch.number, switch.ports);
        let net = format!("{address}/24");
        let (machine, at_switch) = (host.space.as_str(), switch.space.as_str());
        let veth = ["link", "add", &interface, "type", "veth", "peer", "name", &port, "netns", at_switch];
        run("ip", &[&["-n", machine], &veth[..]].concat())?;
        run("ip", &["-n", machine, "addr", "add", &net, "brd", "+", "dev", &interface])?;
        limit(machine, &interface, rate)?;
        limit(at_switch, &port, rate)?;
        run("ip", &["-n", at_switch, "link", "set", &port, "master", "br0", "up"])?;
        run("ip", &["-n", machine, "link", "set", &interface, "up"])?;
        // By the route and not by the sysctl: in a namespace that takes only what the host allows to everybody.
        let (lan, source) = (format!("10.77.{}.0/24", switch.number), address.to_string());
        let route = ["route", "replace", &lan, "dev", &interface, "proto", "kernel", "scope", "link", "src", &source];
        run("ip", &[&["-n", machine], &route[..], &["congctl", "cubic"]].concat())?;
        Ok(Line { address, space: host.space.clone(), interface, switch_space: switch.space.clone(), port })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Err(error) = remove_spaces(&self.prefix) {
            eprintln!("netsim: something of the network is left, the next run removes it: {error}");
        }
    }
}

impl Host {
    /// A command that will run on this machine: killed when it is dropped, and with an environment of its own.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        // `ip` becomes the program, so the child's process id is the program's.
        command.args(["netns", "exec", &self.space]).arg(program);
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "GOROOT"));
        command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        command
    }
}

impl Line {
    /// Bytes that the machine has sent.
    pub(super) fn sent(&self) -> Result<u64, Failure> {
        carried(&self.space)?.get(&self.interface).copied().ok_or_else(|| "the kernel does not count a line".into())
    }

    /// Bytes that the machines at the other ends of these lines have been sent, in their order. One command for each switch.
    pub(super) fn received(lines: &[&Self]) -> Result<Vec<u64>, Failure> {
        let mut switches = BTreeMap::new();
        let of_line = |line: &&Self| -> Result<u64, Failure> {
            let ports = match switches.entry(line.switch_space.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(carried(&line.switch_space)?),
            };
            ports.get(&line.port).copied().ok_or_else(|| "the kernel does not count a line".into())
        };
        lines.iter().map(of_line).collect()
    }
}

/// Puts a token bucket in front of an interface.
fn limit(space: &str, interface: &str, rate: u64) -> Result<(), Failure> {
    // Both are far below a second.
    let in_time = |time: Duration| rate / 8 * u64::from(time.subsec_millis()) / 1000;
    let burst = in_time(BURST).max(LEAST_BURST);
    let queue = in_time(QUEUE) + burst;
    let (rate, burst, queue) = (format!("{rate}bit"), burst.to_string(), queue.to_string());
    let bucket = ["dev", interface, "root", "tbf", "rate", &rate, "burst", &burst, "limit", &queue];
    run("tc", &[&["-n", space, "qdisc", "add"], &bucket[..]].concat()).map(drop)
}

/// Bytes that have left through each limited interface of a namespace. The kernel counts them as they are on a wire: each packet with
/// its headers, also where one large buffer is handed on inside the machine.
fn carried(space: &str) -> Result<BTreeMap<String, u64>, Failure> {
    parse_carried(&run("tc", &["-n", space, "-s", "-j", "qdisc", "show"])?)
}

fn parse_carried(json: &str) -> Result<BTreeMap<String, u64>, Failure> {
    #[derive(Deserialize)]
    struct Qdisc {
        kind: String,
        dev: String,
        #[serde(default)]
        bytes: u64,
    }
    let all: Vec<Qdisc> =
        serde_json::from_str(json).map_err(|error| format!("`tc -s -j` has another form: {error}"))?;
    Ok(all.into_iter().filter(|qdisc| qdisc.kind == "tbf").map(|qdisc| (qdisc.dev, qdisc.bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limited_interfaces_are_counted() {
        let json = r#"[{"kind":"noqueue","handle":"0:","dev":"lo","root":true,"options":{}},
            {"kind":"tbf","handle":"8001:","dev":"eth0","root":true,"refcnt":2,
             "options":{"rate":12500000,"burst":125000,"limit":625000},"bytes":1234,"packets":7,"drops":1,
             "overlimits":0,"requeues":0,"backlog":0,"qlen":0}]"#;
        assert_eq!(parse_carried(json).unwrap(), BTreeMap::from([("eth0".into(), 1234)]));
        assert!(parse_carried("qdisc tbf 8001:").is_err());
    }
}
