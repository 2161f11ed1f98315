//! Taking in what neighbours say: one stream of messages each, read no faster than a crowd speaks.

use futures::AsyncReadExt as _;
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::driver::Input;
use super::{Network, limits, wire};
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};
use crate::transfer::{AlreadyServing, Fetcher, StreamLimits, accept_all};

/// Accepts streams until `stop`, once it is awaited.
pub(super) fn accept(
    network: &Network,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<>, AlreadyServing> {
    let mut control = network.control.clone();
    let incoming = control.accept(StreamProtocol::new(wire::SPREAD)).map_err(|_| AlreadyServing)?;
    let fetcher = network.fetcher.clone();
    let limits = StreamLimits { per_peer: limits::STREAMS_PER_PEER, all: limits::STREAMS };
    let session = move |peer, stream| session(peer, stream, inputs.clone(), fetcher.clone());
    Ok(accept_all(incoming, limits, stop, session))
}

async fn session(peer: PeerId, stream: Stream, inputs: mpsc::Sender<Input>, fetcher: Fetcher) {
    if let Err(error) = listen(peer, stream, &inputs).await {
        if error.is_fault() {
            fetcher.blame(peer, &error);
        }
        tracing::debug!(%peer, %error, "a neighbour's stream of spreading messages ended");
    }
}

async fn listen(peer: PeerId, stream: Stream, inputs: &mpsc::Sender<Input>) -> Result<(), FrameError> {
    let (reader, writer) = stream.split();
    let mut reader = FrameReader::new(reader);
    // Held to the end: to drop it would close the stream.
    let mut writer = FrameWriter::new(writer, limits::WRITE);
    wire::greet(&mut writer).await?;
    let (mut since, mut count) = (Instant::now(), 0);
    while let Some(message) = wire::read(&mut reader).await? {
        if inputs.send(Input::Said(peer, message)).await.is_err() {
            break;
        }
        count += 1;
        if count >= limits::PACED {
            tokio::time::sleep_until(since + limits::PACE).await;
            (since, count) = (Instant::now(), 0);
        }
    }
    Ok(())
}
