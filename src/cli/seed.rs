//! `modswarm seed`: bring a whole build's closure into the site.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::client::Client;
use super::signals::Signals;
use super::{DataArg, Failure, bytes_for_people, print, print_json, seed_files, small_runtime, toolchains};
use crate::admin::{SeedEvent, SeedSummary};

/// How often progress is written to something that is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The longest event line that is read from the node.
const MAX_LINE: usize = 1 << 20;

/// What is said of toolchains on a node that proves nothing. The go command wants their proof even with GOSUMDB=off
/// (cmd/go/internal/modfetch, `useSumDB`).
const UNPROVEN_TOOLCHAINS: &str = "modswarm: this node runs with --sumdb off: the go command takes a toolchain only \
    with the checksum database's proof, so its users must reach that database themselves";

/// Arguments of `modswarm seed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm seed .                                the module or the workspace in this directory
  modswarm seed app/go.mod tools/go.sum          several; a go.sum alone says exactly what
  modswarm seed example.com/cmd/tool@latest      a module, and what it requires
  modswarm seed toolchain go1.26.1               Go itself, for this machine's platform
  modswarm seed toolchain go1.26.1 linux/amd64 windows/amd64 darwin/arm64

A build brings no toolchain, as only you know the platforms: where machines may have a Go that is
older than the `go` or `toolchain` line of a go.mod, seed that release, too.")]
pub(super) struct Args {
    /// go.mod, go.sum or go.work files, directories with one, or module@query; or `toolchain` first, then versions of
    /// Go and platforms.
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    node: DataArg,
    /// Print each event as a line of JSON, the summary last.
    ///
    /// Before the summary comes a line for each module version that is there now, with "Path", "Version", "Sum" and
    /// "GoModSum" as `go mod download -json` has them.
    #[arg(long)]
    json: bool,
}

/// Sends what is wanted to the running node and shows how it goes.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let request = match args.what.split_first() {
        Some((first, words)) if first == toolchains::WORD => toolchains::read(words)?,
        _ => seed_files::read(&args.what)?,
    };
    small_runtime()?.block_on(async {
        let (client, status) = Client::connect(args.node.data.clone()).await?;
        if !request.toolchains.is_empty() && status.sumdb.is_empty() {
            writeln!(std::io::stderr(), "{UNPROVEN_TOOLCHAINS}")?;
        }
        // Before the request goes out: from then on there is a run that a signal must not be thought to end.
        let mut signals = Signals::listen()?;
        let response = client.seed(&request).await?;
        let mut show = Show::new(args.json);
        tokio::select! {
            followed = follow(response, &mut show, &client) => followed?,
            () = signals.next() => {
                show.bar.finish_and_clear();
                return Err(left(&client));
            }
        }
        show.end(&client)
    })
}

/// Shows the node's events until there are no more.
async fn follow(response: reqwest::Response, show: &mut Show, client: &Client) -> Result<(), Failure> {
    let mut body = response.bytes_stream();
    let mut line = Vec::new();
    while let Some(part) = body.next().await {
        let Ok(part) = part else { return Ok(()) };
        for byte in part {
            match byte {
                b'\n' => show.event(&std::mem::take(&mut line))?,
                _ if line.len() < MAX_LINE => line.push(byte),
                _ => return Err(gone(client)),
            }
        }
    }
    Ok(())
}

/// Ctrl-C ends the looking on, not the run: what others of the site wait for is not stopped by one terminal.
fn left(client: &Client) -> Failure {
    let data = client.data().display();
    Failure::failed(format!(
        "the node goes on seeding: `modswarm status --data {data}` shows it, and the same command watches it again"
    ))
}

fn gone(client: &Client) -> Failure {
    let data = client.data().display();
    Failure::failed(format!(
        "the node with the data directory {data} stopped before it was done: start it and seed again, what it had is kept"
    ))
}

struct Show {
    json: bool,
    bar: ProgressBar,
    last_line: Option<Instant>,
    failed: Vec<(String, String)>,
    summary: Option<SeedSummary>,
}

impl Show {
    fn new(json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !json;
        let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {pos}/{len} {msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Self { json, bar, last_line: None, failed: Vec::new(), summary: None }
    }

    fn event(&mut self, line: &[u8]) -> Result<(), Failure> {
        let event: SeedEvent = serde_json::from_slice(line)
            .map_err(|error| Failure::failed(format!("the node said something that is not understood: {error}")))?;
        if self.json {
            print_json(&event)?;
        }
        match event {
            SeedEvent::Progress { phase, done, total, bytes } => self.progress(&phase, done, total, bytes)?,
            SeedEvent::Failed { module, reason } => {
                if !self.json {
                    self.bar.suspend(|| writeln!(std::io::stderr(), "failed: {module}: {reason}"))?;
                }
                self.failed.push((module, reason));
            }
            SeedEvent::Warning { module, reason } if !self.json => {
                self.bar.suspend(|| writeln!(std::io::stderr(), "warning: {module}: {reason}"))?;
            }
            // For scripts; people get the sums.
            SeedEvent::Warning { .. } | SeedEvent::Module { .. } => {}
            SeedEvent::Done(summary) => self.summary = Some(summary),
        }
        Ok(())
    }

    fn progress(&mut self, phase: &str, done: u64, total: u64, bytes: u64) -> Result<(), Failure> {
        self.bar.set_prefix(phase.to_owned());
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(bytes_for_people(bytes));
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.bar.is_hidden() && !self.json && due {
            self.last_line = Some(Instant::now());
            writeln!(std::io::stderr(), "{phase} {done}/{total} {}", bytes_for_people(bytes))?;
        }
        Ok(())
    }

    fn end(self, client: &Client) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let Some(summary) = self.summary else { return Err(gone(client)) };
        if !self.json {
            print(&for_people(&summary))?;
        }
        match summary.failed {
            0 => Ok(()),
            1 => Err(Failure::failed("1 module version could not be had (named above)")),
            many => Err(Failure::failed(format!("{many} module versions could not be had (named above)"))),
        }
    }
}

fn for_people(summary: &SeedSummary) -> String {
    format!(
        "{} module versions with zip, {} with go.mod only: {} fetched, {} already held, {} failed\n\
         {} more fetched as the latest of their module\n\
         {} of zips fetched, {} added to the store\n",
        summary.zips,
        summary.go_mods,
        summary.fetched,
        summary.held,
        summary.failed,
        summary.latest,
        bytes_for_people(summary.zip_bytes),
        bytes_for_people(summary.stored_bytes),
    )
}
