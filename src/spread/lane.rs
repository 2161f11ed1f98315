//! The stream of messages to one neighbour: opened with the first message, gone with the first failure.

use std::sync::Arc;

use futures::AsyncReadExt as _;
use futures::io::WriteHalf;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{mpsc, watch};

use super::driver::Input;
use super::{limits, wire};
use crate::engine::spread::Message;
use crate::transfer::Opening;
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};

/// What the task behind a lane needs.
pub(super) struct LaneTask {
    pub(super) peer: PeerId,
    /// Which of this node's lanes it is: news of one that was replaced is old.
    pub(super) number: u64,
    pub(super) control: Control,
    pub(super) connected: watch::Receiver<Arc<[PeerId]>>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl LaneTask {
    /// Writes what comes until `messages` is closed. If it breaks before, the driver is told.
    pub(super) async fn run(self, mut messages: mpsc::Receiver<Message>) {
        let Err(why) = self.write(&mut messages).await else { return };
        tracing::debug!(peer = %self.peer, %why, "a stream of spreading messages ended");
        // Without a driver there is nobody to tell.
        let _ = self.inputs.send(Input::Broken { peer: self.peer, lane: self.number }).await;
    }

    async fn write(&self, messages: &mut mpsc::Receiver<Message>) -> Result<(), String> {
        let gate = tokio::sync::Mutex::new(());
        let opening = Opening { peer: self.peer, connected: &self.connected, gate: &gate };
        let mut writer = opening.open(|| self.open()).await?;
        self.write_all(&mut writer, messages).await.map_err(|error| error.to_string())
    }

    async fn open(&self) -> Result<FrameWriter<WriteHalf<Stream>>, String> {
        let mut control = self.control.clone();
        let opened = control.open_stream(self.peer, StreamProtocol::new(wire::SPREAD)).await;
        let (reader, writer) = opened.map_err(|error| error.to_string())?.split();
        wire::greeted(&mut FrameReader::new(reader)).await?;
        Ok(FrameWriter::new(writer, limits::WRITE))
    }

    async fn write_all(
        &self,
        writer: &mut FrameWriter<WriteHalf<Stream>>,
        messages: &mut mpsc::Receiver<Message>,
    ) -> Result<(), FrameError> {
        while let Some(message) = messages.recv().await {
            writer.header(&message).await?;
            while let Ok(message) = messages.try_recv() {
                writer.header(&message).await?;
            }
            writer.flush().await?;
        }
        Ok(())
    }
}
