//! A real `modswarm up` on a machine of the lab.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use super::Failure;
use super::limits::{COMMAND, LOG_LINES, READY};
use super::net::{Host, Line};

/// What the ready line begins with.
const READY_LINE: &str = "modswarm ready: GOPROXY=";
/// Where nodes listen for peers, on every machine.
pub(super) const SWARM_PORT: u16 = 6638;
/// Where nodes listen for the go command, on every machine.
pub(super) const HTTP_PORT: u16 = 6637;

/// A machine and the node on it; the node is killed when this is dropped.
pub(super) struct Node {
    /// The machine.
    pub(super) host: Host,
    /// Its line.
    pub(super) line: Line,
    modswarm: PathBuf,
    data: PathBuf,
    log: PathBuf,
    child: Child,
    stdout: Option<ChildStdout>,
}

/// The part of `modswarm status --json` that the lab reads; a binary of another day may say more or less.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    peers: Vec<IgnoredAny>,
    /// What the store holds.
    pub(super) store: Store,
}

/// What the store holds.
#[derive(Debug, Deserialize)]
pub(super) struct Store {
    /// Module versions that the node knows.
    pub(super) versions: u64,
    /// Module versions that it holds with their zip.
    pub(super) zips: u64,
}

impl Status {
    /// Connected peers.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }
}

/// What a node is told beside its own place.
#[derive(Clone, Debug)]
pub(super) struct Role<'a> {
    /// The binary.
    pub(super) modswarm: &'a Path,
    /// Below it each node has a directory.
    pub(super) dir: &'a Path,
    /// The upstream, for a seed.
    pub(super) upstream: Option<String>,
    /// Whom to stay connected with; none: whoever answers on the LAN.
    pub(super) peers: Option<Vec<Line>>,
}

impl Node {
    /// Starts a node and does not wait for it.
    pub(super) fn start(host: Host, line: Line, role: &Role<'_>) -> Result<Self, Failure> {
        let place = role.dir.join(&host.name);
        let (data, log) = (place.join("data"), place.join("log"));
        fs::create_dir_all(&data)?;
        // A seed is reached over its line by the crowd that fetches without a swarm; the others by their own machine only.
        let http = if role.upstream.is_some() { line.address.to_string() } else { "127.0.0.1".into() };
        let mut command = host.command(role.modswarm);
        command.args(["up", "--sumdb", "off", "--replicas", "0", "--http", &format!("{http}:{HTTP_PORT}")]);
        command.args(["--swarm", &format!("/ip4/0.0.0.0/tcp/{SWARM_PORT}")]).arg("--data").arg(&data);
        if let Some(upstream) = &role.upstream {
            command.args(["--upstream", upstream]);
        }
        if let Some(peers) = &role.peers {
            command.arg("--no-mdns");
            for peer in peers {
                command.args(["--peer", &format!("/ip4/{}/tcp/{SWARM_PORT}", peer.address)]);
            }
        }
        command.env("HOME", &place).env("NO_PROXY", "*");
        command.stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn().map_err(|error| format!("cannot start a node: {error}"))?;
        let stdout = child.stdout.take();
        Ok(Self { host, line, modswarm: role.modswarm.into(), data, log, child, stdout })
    }

    /// Waits until it can serve.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        let Some(stdout) = self.stdout.take() else { return Ok(()) };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = tokio::time::timeout(READY, stdout.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(_))) || !line.starts_with(READY_LINE) {
            return Err(format!("the node {} did not get ready:\n{}", self.host.name, self.log()).into());
        }
        // What it says later is nobody's concern, but its pipe must not fill up.
        tokio::spawn(async move { stdout.into_inner().read_to_end(&mut Vec::new()).await });
        Ok(())
    }

    /// The GOPROXY of this node, for its own machine and, if it is a seed, for others.
    pub(super) fn goproxy(&self, over_the_line: bool) -> String {
        let host = if over_the_line { self.line.address.to_string() } else { "127.0.0.1".into() };
        format!("http://{host}:{HTTP_PORT}")
    }

    /// What it says of itself.
    pub(super) async fn status(&self) -> Result<Status, Failure> {
        let mut command = self.host.command(&self.modswarm);
        command.args(["status", "--json", "--data"]).arg(&self.data);
        let name = &self.host.name;
        let output = tokio::time::timeout(COMMAND, command.output())
            .await
            .map_err(|_| format!("`modswarm status` on {name} hangs:\n{}", self.log()))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`modswarm status` on {name} failed: {}\n{}", said.trim(), self.log()).into());
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("`modswarm status --json` has another form: {error}").into())
    }

    /// Ends it as a power cut would.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Machines with which it has a connection now, in either direction, as the kernel sees it: no question to the node.
    pub(super) fn neighbours(&self) -> Result<usize, Failure> {
        Ok(neighbours(&self.of_its_machine("tcp")?, SWARM_PORT))
    }

    /// Connections that its machine has tried to open since it is there.
    pub(super) fn dials(&self) -> Result<u64, Failure> {
        active_opens(&self.of_its_machine("snmp")?).ok_or_else(|| "/proc/net/snmp has another form".into())
    }

    fn of_its_machine(&self, table: &str) -> Result<String, Failure> {
        let pid = self.child.id().ok_or_else(|| format!("the node {} is over:\n{}", self.host.name, self.log()))?;
        fs::read_to_string(format!("/proc/{pid}/net/{table}"))
            .map_err(|_| format!("the node {} is over:\n{}", self.host.name, self.log()).into())
    }

    /// The last lines of what it has logged.
    fn log(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// Different remote addresses of the established connections in `/proc/net/tcp` of which one end has this port.
fn neighbours(table: &str, port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let port = format!("{port:04X}");
    let remote = |line: &str| -> Option<String> {
        let mut fields = line.split_whitespace().skip(1);
        let (_, local) = fields.next()?.split_once(':')?;
        let (address, remote) = fields.next()?.split_once(':')?;
        let counts = fields.next()? == ESTABLISHED && (local == port || remote == port);
        counts.then(|| address.to_owned())
    };
    table.lines().filter_map(remote).collect::<BTreeSet<String>>().len()
}

/// `ActiveOpens` of the two lines `Tcp:` in `/proc/net/snmp`.
fn active_opens(table: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let at = lines.next()?.split_whitespace().position(|name| name == "ActiveOpens")?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_counted_once_however_many_connections_there_are() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 00000000:19EE 00000000:0000 0A 00000000:00000000\n\
            1: 01014D0A:19EE 02014D0A:A001 01 00000000:00000000\n\
            2: 01014D0A:A002 02014D0A:19EE 01 00000000:00000000\n\
            3: 01014D0A:A003 03014D0A:19EE 01 00000000:00000000\n\
            4: 01014D0A:A004 04014D0A:19EE 02 00000000:00000000\n\
            5: 0100007F:19ED 0100007F:A005 01 00000000:00000000\n";
        assert_eq!(neighbours(table, SWARM_PORT), 2);
        assert_eq!(neighbours("", SWARM_PORT), 0);
    }

    #[test]
    fn dials_are_found_by_the_name_of_their_column() {
        let table = "Ip: Forwarding\nIp: 1\nTcp: RtoMin MaxConn ActiveOpens PassiveOpens\nTcp: 200 -1 17 4\n";
        assert_eq!(active_opens(table), Some(17));
        assert_eq!(active_opens("Tcp: RtoMin\nTcp: 200\n"), None);
        assert_eq!(active_opens(""), None);
    }
}
