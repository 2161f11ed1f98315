//! The `modswarm` binary as a child process: commands that end, and nodes that run until they are told to stop.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use modswarm::admin::{NodeFile, Status};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::node::{WATCHDOG, node_file, status};

/// The flags of a node that meets nobody, asks nobody for proofs and fetches nothing by itself: loopback, free ports, no
/// multicast.
pub const ALONE: [&str; 9] =
    ["--http", "127.0.0.1:0", "--swarm", "/ip4/127.0.0.1/tcp/0", "--no-mdns", "--replicas", "0", "--sumdb", "off"];
/// What the ready line starts with.
pub const READY: &str = "modswarm ready: GOPROXY=";

/// `modswarm` with an environment of its own.
pub fn modswarm(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modswarm"));
    command.args(args).env_remove("MODSWARM_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Runs any command to its end.
pub async fn output(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(WATCHDOG, command.output()).await.expect("the command never ended");
    Ended::of(&output.unwrap())
}

/// Runs `modswarm` to its end.
pub async fn run(args: &[&str]) -> Ended {
    output(&mut modswarm(args)).await
}

/// Sends a signal, named as `kill` names it, to a process.
pub async fn signal(pid: u32, name: &str) {
    let ended = output(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// A running `modswarm up`; killed when it is dropped.
pub struct NodeProcess {
    /// What to set GOPROXY to.
    pub goproxy: String,
    data: PathBuf,
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl NodeProcess {
    /// Starts a node with this data directory and waits until it is ready.
    pub async fn start(data: &Path, more: &[&str]) -> Self {
        let alone = if more.contains(&"--sumdb") { &ALONE[..7] } else { &ALONE[..] };
        let args = [&["up", "--data", data.to_str().unwrap()], alone, more].concat();
        let mut child = modswarm(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (collected, stderr) = watch::channel(String::new());
        let reading = tokio::spawn(collect(child.stderr.take().unwrap(), collected));
        let mut line = String::new();
        tokio::time::timeout(WATCHDOG, stdout.read_line(&mut line)).await.expect("the node never got ready").unwrap();
        let goproxy = line.trim_end().strip_prefix(READY);
        let goproxy = goproxy.unwrap_or_else(|| panic!("not the ready line: {line:?}\n{}", *stderr.borrow())).into();
        Self { goproxy, data: data.into(), child, stdout, stderr, reading }
    }

    /// A seed with this upstream.
    pub async fn seed(data: &Path, upstream: &str) -> Self {
        Self::start(data, &["--upstream", upstream]).await
    }

    /// The `--data` argument of commands that talk to this node.
    pub fn data(&self) -> &str {
        self.data.to_str().unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Waits until it has logged this.
    pub async fn logged(&self, text: &str) {
        let mut stderr = self.stderr.clone();
        let seen = stderr.wait_for(|log| log.contains(text));
        let seen = tokio::time::timeout(WATCHDOG, seen).await.is_ok_and(|seen| seen.is_ok());
        assert!(seen, "never logged {text:?}:\n{}", self.log());
    }

    /// What it says of itself.
    pub async fn status(&self) -> Status {
        status(&self.node_file()).await
    }

    /// What `--peer` of another node takes.
    pub async fn peer_address(&self) -> String {
        self.status().await.listen.remove(0)
    }

    /// Waits until its status is as wanted.
    pub async fn wait_until(&self, wanted: impl Fn(&Status) -> bool) {
        let met = async {
            while !wanted(&self.status().await) {
                // There is no event to wait for from outside.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WATCHDOG, met).await.unwrap_or_else(|_| panic!("never got there:\n{}", self.log()));
    }

    /// Sends it a signal and waits for its end. `stdout` of the end is what came after the ready line.
    pub async fn end(self, name: &str) -> Ended {
        signal(self.pid(), name).await;
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        let all = async {
            self.stdout.read_to_string(&mut stdout).await.unwrap();
            self.reading.await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(WATCHDOG, all).await.expect("the node never ended");
        Ended { code: status.code(), stdout, stderr: self.stderr.borrow().clone() }
    }

    /// Where it says how to reach it.
    pub fn node_file(&self) -> NodeFile {
        node_file(&self.data)
    }
}

async fn collect(stderr: impl AsyncRead + Unpin, into: watch::Sender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        into.send_modify(|log| *log += &(line + "\n"));
    }
}
