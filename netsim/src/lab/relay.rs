//! `netsim relay`: passes TCP on over a line with delay, rate and cuts. The kernel of a test machine need not have netem.
//!
//! What comes in is read at the rate of the line, waits for the delay, and goes out in the same order. All connections share the
//! line, which has the rate in each direction. It delays what is in a stream, not packets: loss and reordering are what TCP hides anyway,
//! and a lost line is a cut.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};

use super::Failure;
use super::limits::{PIECE, RELAY_CONNECT, RELAY_CONNECTIONS, RELAY_PIECES, RELAY_QUEUE, RELAY_REST};
use super::units::{duration, rate};

/// What the line between two places is like.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Where connections come in.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where they go on to.
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// How long bytes are on the way, in one direction.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    delay: Duration,
    /// What the line carries in each direction [default: as much as goes].
    #[arg(long, value_parser = rate)]
    rate: Option<u64>,
    /// Cut all connections so often.
    #[arg(long, value_parser = duration)]
    cut_every: Option<Duration>,
}

/// Passes on until it is killed; it says `relay ready: ADDR:PORT` when it can.
///
/// # Errors
/// What kept it from listening.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.cut_every.is_some_and(|every| every.is_zero()) {
        return Err("--cut-every 0 would leave no connection".into());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .map_err(|error| format!("cannot listen at {}: {error}", args.listen))?;
        let mut out = std::io::stdout();
        writeln!(out, "relay ready: {}", listener.local_addr()?)?;
        out.flush()?;
        pass_on(listener, args).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Passes on what comes in at `listener`, for ever.
async fn pass_on(listener: TcpListener, args: &Args) {
    let there = Arc::new(Mutex::new(Line::new(args, Instant::now())));
    let back = Arc::new(Mutex::new(Line::new(args, Instant::now())));
    let room = Arc::new(Semaphore::new(RELAY_CONNECTIONS));
    let cuts = watch::Sender::new(());
    let accept = async {
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let Ok((near, _)) = listener.accept().await else {
                sleep(RELAY_REST).await;
                continue;
            };
            // A connection of now is cut by the next cut, not by those before it.
            let (there, back, mut cut) = (there.clone(), back.clone(), cuts.subscribe());
            let (to, delay) = (args.to, args.delay);
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    () = connection(near, to, delay, &there, &back) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    };
    let cutting = async {
        let Some(every) = args.cut_every else { return std::future::pending().await };
        loop {
            sleep(every).await;
            cuts.send_replace(());
        }
    };
    tokio::join!(accept, cutting);
}

async fn connection(near: TcpStream, to: SocketAddr, delay: Duration, there: &Mutex<Line>, back: &Mutex<Line>) {
    // The kernel has answered here at once; over the line that is a round trip.
    sleep(2 * delay).await;
    let Ok(Ok(far)) = timeout(RELAY_CONNECT, TcpStream::connect(to)).await else { return };
    // What is written is what has arrived: nothing is to wait for more.
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    // An end that breaks takes both directions with it; one that closes leaves the other open.
    let _ = tokio::try_join!(direction(near_read, far_write, there), direction(far_read, near_write, back));
}

/// One direction of one connection, until it is closed.
async fn direction(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    line: &Mutex<Line>,
) -> std::io::Result<()> {
    let (pieces, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(RELAY_PIECES);
    let reading = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok::<(), std::io::Error>(());
            }
            let slot = line.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), count);
            if pieces.send((slot.arrives, buffer[..count].to_vec())).await.is_err() {
                return Ok(());
            }
            sleep_until(slot.next_read.into()).await;
        }
    };
    let writing = async move {
        while let Some((arrives, bytes)) = on_the_way.recv().await {
            sleep_until(arrives.into()).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}

/// One direction of the line: when it is free, and how long bytes take.
#[derive(Debug)]
struct Line {
    rate: Option<u64>,
    delay: Duration,
    free: Instant,
}

/// When some bytes are through.
#[derive(Debug, PartialEq, Eq)]
struct Slot {
    arrives: Instant,
    /// Until then nothing more is read: the queue in front of the line is full.
    next_read: Instant,
}

impl Line {
    fn new(args: &Args, now: Instant) -> Self {
        Self { rate: args.rate, delay: args.delay, free: now }
    }

    /// Puts bytes onto the line, behind what is there.
    fn take(&mut self, now: Instant, bytes: usize) -> Slot {
        let takes = self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / rate.max(1))
        });
        self.free = self.free.max(now) + takes;
        let next_read = self.free.checked_sub(RELAY_QUEUE).unwrap_or(now).max(now);
        Slot { arrives: self.free + self.delay, next_read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(30);

    fn line(rate: Option<u64>, delay: u64, now: Instant) -> Line {
        Line { rate, delay: Duration::from_millis(delay), free: now }
    }

    #[test]
    fn bytes_follow_each_other_at_the_rate_and_arrive_after_the_delay() {
        let now = Instant::now();
        let millis = |count| now + Duration::from_millis(count);
        // 8 Mbit/s: 1,000 bytes are a millisecond.
        let mut line = line(Some(8_000_000), 50, now);
        assert_eq!(line.take(now, 10_000), Slot { arrives: millis(60), next_read: now });
        assert_eq!(line.take(now, 10_000), Slot { arrives: millis(70), next_read: now });
        // The queue of 100 ms is overfull by 20.
        assert_eq!(line.take(now, 100_000), Slot { arrives: millis(170), next_read: millis(20) });
        // A line that was free does not make up for it.
        assert_eq!(line.take(millis(500), 1_000), Slot { arrives: millis(551), next_read: millis(500) });
    }

    #[test]
    fn without_a_rate_there_is_only_the_delay() {
        let now = Instant::now();
        let mut line = line(None, 7, now);
        for _ in 0..3 {
            assert_eq!(line.take(now, 1 << 20), Slot { arrives: now + Duration::from_millis(7), next_read: now });
        }
    }

    /// A relay on loopback before a server that sends back what it gets.
    async fn before_an_echo(cut_every: Option<Duration>) -> (SocketAddr, tokio::task::JoinSet<()>) {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = relay.local_addr().unwrap();
        let to = echo.local_addr().unwrap();
        let args = Args { listen: at, to, delay: Duration::from_millis(2), rate: Some(200_000_000), cut_every };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = echo.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        tasks.spawn(async move { pass_on(relay, &args).await });
        (at, tasks)
    }

    #[tokio::test]
    async fn everything_goes_through_in_order_and_a_half_that_closes_leaves_the_other() {
        let (at, _tasks) = before_an_echo(None).await;
        let sent = crate::bench::fixture::noise(500_000, 3);
        let through = async {
            let (mut read, mut write) = TcpStream::connect(at).await.unwrap().into_split();
            let sending = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (_, read) = tokio::join!(sending, read.read_to_end(&mut got));
            read.unwrap();
            got
        };
        assert!(timeout(WATCHDOG, through).await.unwrap() == sent);
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_new_ones_come_through() {
        let (at, _tasks) = before_an_echo(Some(Duration::from_millis(300))).await;
        let cut = async {
            let mut first = TcpStream::connect(at).await.unwrap();
            first.write_all(b"x").await.unwrap();
            // Whether it was echoed before or not: in the end there is no more, though nobody has closed anything.
            while let Ok(1..) = first.read(&mut [0; 8]).await {}
            // One of these comes between two cuts, however slow the machine is.
            loop {
                let mut next = TcpStream::connect(at).await.unwrap();
                next.write_all(b"y").await.unwrap();
                if let Ok(1) = next.read(&mut [0; 8]).await {
                    return;
                }
            }
        };
        timeout(WATCHDOG, cut).await.unwrap();
    }
}
