//! What a bare TCP stream gets between two machines of the lab: this program again on each of them.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Failure;
use super::limits::{COMMAND, PIECE, PROBE};
use super::net::{Host, Line};
use super::units::megabits;

const PORT: u16 = 7000;
const LISTENING: &str = "listening";

/// An end of the bare stream.
#[derive(Subcommand)]
pub(crate) enum Probe {
    /// Takes one stream and says how much came in which time.
    Sink,
    /// Sends as much as goes for a while.
    Source {
        /// Where the sink is.
        to: Ipv4Addr,
    },
}

#[derive(Serialize, Deserialize)]
struct Taken {
    bytes: u64,
    micros: u64,
}

impl Probe {
    /// Runs to the end of the stream.
    ///
    /// # Errors
    /// What the network said.
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match self {
                Self::Sink => sink().await,
                Self::Source { to } => source((*to, PORT).into()).await,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn sink() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    say(LISTENING)?;
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = vec![0; PIECE];
    // The time runs from the first piece on, which is not counted.
    stream.read_exact(&mut buffer).await?;
    let (begin, mut bytes) = (Instant::now(), 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => bytes += count as u64,
        }
    }
    let taken = Taken { bytes, micros: u64::try_from(begin.elapsed().as_micros())? };
    say(&serde_json::to_string(&taken)?)
}

async fn source(to: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(to).await?;
    let (begin, piece) = (Instant::now(), vec![0x5a; PIECE]);
    while begin.elapsed() < PROBE {
        stream.write_all(&piece).await?;
    }
    Ok(stream.shutdown().await?)
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Megabits of payload per second from one machine to another.
pub(super) async fn between(from: &Host, to: &Host, line: &Line) -> Result<f64, Failure> {
    let probe = async {
        let mut sink = this_program(to)?.arg("sink").stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(sink.stdout.take().ok_or("a probe has no output")?).lines();
        if lines.next_line().await?.as_deref() != Some(LISTENING) {
            return Err("the probe did not start".into());
        }
        let sent = this_program(from)?.arg("source").arg(line.address.to_string()).status().await?;
        let taken = lines.next_line().await?.filter(|_| sent.success()).ok_or("the probe's stream broke off")?;
        sink.wait().await?;
        let taken: Taken = serde_json::from_str(&taken)?;
        Ok(megabits(taken.bytes, Duration::from_micros(taken.micros)))
    };
    tokio::time::timeout(COMMAND, probe).await.map_err(|_| "the probe hangs: do the lines work?")?
}

fn this_program(host: &Host) -> Result<tokio::process::Command, Failure> {
    let mut command = host.command(std::env::current_exe()?);
    command.arg("lab-probe");
    Ok(command)
}
