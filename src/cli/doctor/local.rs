//! What can be seen of this machine without the node.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Finding;
use super::rules::{fine, note, past_the_node, variable, wrong};
use crate::admin::Status;
use crate::cli::{bytes_for_people, env};

/// Less free space than this is worth a word, in bytes: a few large modules.
const LITTLE_SPACE: u64 = 2 << 30;
/// With less than this the next zip may not fit: 500 MiB are the most that one may have.
const NO_SPACE: u64 = 512 << 20;
/// How long a connection to a port of this very machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The width of a page that no terminal shows.
const WIDTH: usize = 80;
/// The fewest columns of a page: an address and a command have to fit.
const NARROWEST: usize = 60;
/// The most columns of a page: longer lines are hard to read.
const WIDEST: usize = 120;

/// The terminal's width in columns.
pub(super) fn width() -> usize {
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let columns = 0;
    if columns == 0 { WIDTH } else { columns.clamp(NARROWEST, WIDEST) }
}

/// Whether the data directory can be written, and what room there is.
pub(super) fn data_dir(data: &Path) -> Vec<Finding> {
    let shown = data.display();
    if !data.exists() {
        return vec![note(format!("The data directory {shown} does not exist yet; `modswarm up` makes it."))];
    }
    let mut findings = Vec::new();
    findings.push(match tempfile::tempfile_in(data) {
        Ok(_) => fine(format!("The data directory {shown} can be written.")),
        Err(error) => wrong(format!(
            "The data directory {shown} cannot be written ({error}): give it to the user who runs the node."
        )),
    });
    if let Some(free) = free(data) {
        let text = bytes_for_people(free);
        findings.push(match free {
            free if free < NO_SPACE => {
                wrong(format!("Only {text} are free where {shown} is: make room, or modules cannot be stored."))
            }
            free if free < LITTLE_SPACE => {
                note(format!("{text} are free where {shown} is: that is little for a store."))
            }
            _ => fine(format!("{text} are free there.")),
        });
    }
    findings
}

/// Free bytes of the file system of a directory, for this user.
#[cfg(unix)]
fn free(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

/// Whether the swarm's port takes connections, from this machine at least.
pub(super) async fn swarm_port(status: &Status) -> Vec<Finding> {
    let outside = |address: &&String| !address.starts_with("/ip4/127.") && !address.starts_with("/ip6/::1/");
    let address = status.listen.iter().find(outside).or(status.listen.first());
    let Some(address) = address else {
        return vec![note("The node listens for no peers: it only dials.")];
    };
    if status.listen.iter().all(|address| !outside(&address)) {
        return vec![wrong(format!(
            "The node listens for peers on {address} only, where no other machine reaches it: start it without --swarm, or with \
             an address of the LAN."
        ))];
    }
    let mut parts = address.split('/').skip(2).step_by(2);
    let (Some(host), Some(port)) = (parts.next(), parts.next().and_then(|port| port.parse().ok())) else {
        return Vec::new();
    };
    vec![match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => fine(format!("Peers can connect to {address}, as far as this machine can tell.")),
        Ok(Err(error)) => {
            wrong(format!("{address} takes no connection ({error}): let TCP port {port} through the firewall."))
        }
        Err(_) => wrong(format!("{address} does not answer: let TCP port {port} through the firewall.")),
    }]
}

/// What the go command of this shell does, if there is one.
pub(super) fn go(status: &Status) -> Vec<Finding> {
    let output = Command::new("go").args(["env", "-json"]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return vec![note("There is no go command in this shell's PATH, so it was not looked at.")];
    };
    let Ok(is) = serde_json::from_slice::<BTreeMap<String, String>>(&output.stdout) else {
        return vec![note("What `go env -json` says cannot be read, so it was not looked at.")];
    };
    let of = |name: &str| is.get(name).map_or("", String::as_str);
    let databases: Vec<String> = status.sumdb.iter().map(|database| database.key.clone()).collect();
    let wanted = env::variables(status.goproxy.clone(), &databases, &status.publishers);
    let mut findings: Vec<Finding> =
        wanted.iter().filter_map(|(name, wanted)| variable(name, wanted, of(name))).collect();
    if findings.is_empty() {
        findings.push(fine("The go command of this shell uses this node."));
    }
    findings.extend(past_the_node(of("GOFLAGS"), of("GONOPROXY")));
    findings
}
