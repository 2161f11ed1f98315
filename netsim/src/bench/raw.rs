//! The yardstick: one bare libp2p stream of the transport that the nodes use (TCP, Noise, Yamux), between two processes.

use std::time::{Duration, Instant};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, Swarm, noise, tcp, yamux};
use libp2p_stream::Behaviour;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::sample::processor_time;
use super::worker::{Running, ready};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/modswarm-bench/raw/1");
/// Bytes per read and per write: as the nodes write.
const PIECE: usize = 256 << 10;

fn swarm() -> Result<Swarm<Behaviour>, Failure> {
    let swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)));
    Ok(swarm.build())
}

/// The sending process: on each stream it reads a length and sends as many bytes.
///
/// # Errors
/// When it cannot listen.
pub(crate) async fn send(stop: CancellationToken) -> Result<(), Failure> {
    let mut swarm = swarm()?;
    let mut streams = swarm.behaviour().new_control().accept(PROTOCOL)?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    ready(&address)?;
    tokio::spawn(async move {
        while let Some((_, mut stream)) = streams.next().await {
            let mut len = [0; 8];
            stream.read_exact(&mut len).await?;
            let (mut left, piece) = (u64::from_le_bytes(len), vec![7; PIECE]);
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                stream.write_all(&piece[..part]).await?;
                left -= part as u64;
            }
            stream.close().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let drive = async { while swarm.next().await.is_some() {} };
    tokio::select! { () = drive => {}, () = stop.cancelled() => {} }
    Ok(())
}

/// What a bare stream took.
pub(crate) struct Taken {
    /// From asking on the open connection to the last byte.
    pub(crate) time: Duration,
    /// Processor time of both ends meanwhile.
    pub(crate) cpu: Duration,
}

/// Receives `bytes` over a new connection from a new process.
///
/// # Errors
/// What broke.
pub(crate) async fn receive(bytes: u64) -> Result<Taken, Failure> {
    let (worker, address): (Running, Multiaddr) = Running::start(&["raw".into()]).await?;
    let mut swarm = swarm()?;
    let mut control = swarm.behaviour().new_control();
    swarm.dial(address)?;
    let peer = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
            break peer_id;
        }
    };
    let drive = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    let cpu =
        || -> Result<Duration, Failure> { Ok(processor_time(worker.pid())? + processor_time(std::process::id())?) };
    let cpu_before = cpu()?;
    let (begin, mut got, mut piece) = (Instant::now(), 0, vec![0; PIECE]);
    stream.write_all(&bytes.to_le_bytes()).await?;
    while got < bytes {
        match stream.read(&mut piece).await? {
            0 => return Err("the bare stream ended early".into()),
            read => got += read as u64,
        }
    }
    let taken = Taken { time: begin.elapsed(), cpu: cpu()? - cpu_before };
    drive.abort();
    worker.stop().await?;
    Ok(taken)
}
