//! The stream of messages: a greeting from the one who accepts it, then messages from the one who opened it.
//!
//! Frames are those of [`crate::transfer::wire`]: the length (u32, little endian) and the encoded message.

use bincode::{Decode, Encode};
use futures::{AsyncRead, AsyncWrite};

use super::limits;
use crate::engine::spread::limits::MAX_SLICES;
use crate::engine::spread::{Held, Message};
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};

/// The protocol.
pub const SPREAD: &str = "/modswarm/spread/1";
/// The version in [`Greeting`].
pub const VERSION: u8 = 1;

/// The first and only frame of the one who accepts a stream: an opener cannot tell otherwise that it was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Greeting {
    /// [`VERSION`].
    pub version: u8,
}

/// Reads the greeting.
///
/// # Errors
/// Why there is none, for people.
pub async fn greeted<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<(), String> {
    match reader.next::<Greeting, { limits::MAX_MESSAGE }>().await {
        Ok(Some(Greeting { version: VERSION })) => Ok(()),
        Ok(Some(Greeting { version })) => Err(format!("it speaks version {version} of the spreading protocol")),
        Ok(None) => Err("it accepts no stream now".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes the greeting.
///
/// # Errors
/// The stream's.
pub async fn greet<W: AsyncWrite + Unpin>(writer: &mut FrameWriter<W>) -> Result<(), FrameError> {
    writer.header(&Greeting { version: VERSION }).await?;
    Ok(writer.flush().await?)
}

/// The next message; `None` when the other end has closed the stream between two.
///
/// # Errors
/// [`FrameError`]; nothing can be read after it.
pub async fn read<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<Option<Message>, FrameError> {
    let message = reader.next::<Message, { limits::MAX_MESSAGE }>().await?;
    if message.as_ref().is_some_and(|message| !keeps_bounds(message)) {
        return Err(FrameError::Protocol("a message names a slice or a number of slices that cannot be"));
    }
    Ok(message)
}

/// Whether a message is one that a node can mean.
#[must_use]
pub fn keeps_bounds(message: &Message) -> bool {
    let slices = message.item().slices;
    let sane = match message {
        Message::Have { held: Held::Some(held), .. } => held.is_for(slices),
        Message::Have { held: Held::All, .. } | Message::Ready { .. } | Message::Leave { .. } => true,
        Message::Got { slice, .. }
        | Message::Coming { slice, .. }
        | Message::Offer { slice, .. }
        | Message::Accept { slice, .. }
        | Message::Decline { slice, .. } => *slice < slices,
    };
    sane && (1..=MAX_SLICES).contains(&slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;
    use crate::domain::codec;
    use crate::engine::spread::{Bitfield, Item, Part, Why};

    fn item(slices: u32) -> Item {
        Item { manifest: BlobId::of(b"m"), part: Part::Chunks, slices }
    }

    #[test]
    fn what_no_node_can_mean_is_refused() {
        let have =
            |slices, bits| Message::Have { item: item(slices), held: Held::Some(Bitfield::all(bits)), wants: true };
        let cases = [
            (have(9, 9), true),
            (have(9, 17), false),
            (have(9, 8), false),
            (have(0, 0), false),
            (have(MAX_SLICES, MAX_SLICES), true),
            (have(MAX_SLICES + 1, MAX_SLICES + 1), false),
            (Message::Got { item: item(9), slice: 8 }, true),
            (Message::Got { item: item(9), slice: 9 }, false),
            (Message::Offer { item: item(9), slice: u32::MAX }, false),
            (Message::Decline { item: item(1), slice: 0, why: Why::Busy }, true),
            (Message::Leave { item: item(0) }, false),
        ];
        for (message, fine) in cases {
            assert_eq!(keeps_bounds(&message), fine, "{message:?}");
        }
    }

    #[test]
    fn the_longest_message_fits() {
        let held = Held::Some(Bitfield::all(MAX_SLICES));
        let longest = Message::Have { item: item(MAX_SLICES), held, wants: true };
        assert!(codec::encode(&longest).len() <= limits::MAX_MESSAGE);
    }

    #[tokio::test]
    async fn messages_come_as_they_were_sent_and_half_of_one_is_an_error() {
        let messages = [
            Message::Have { item: item(9), held: Held::All, wants: false },
            Message::Accept { item: item(9), slice: 3 },
        ];
        let mut writer = FrameWriter::new(Vec::new(), limits::WRITE);
        let mut bytes = Vec::new();
        for message in &messages {
            let encoded = codec::encode(message);
            bytes.extend(u32::try_from(encoded.len()).unwrap().to_le_bytes());
            bytes.extend(encoded);
            writer.header(message).await.unwrap();
        }
        let mut reader = FrameReader::new(&bytes[..]);
        for message in &messages {
            assert_eq!(read(&mut reader).await.unwrap().as_ref(), Some(message));
        }
        assert!(read(&mut reader).await.unwrap().is_none());
        let mut reader = FrameReader::new(&bytes[..bytes.len() - 1]);
        assert!(read(&mut reader).await.is_ok());
        assert!(matches!(read(&mut reader).await, Err(FrameError::Broken(_))));
        let long = u32::try_from(limits::MAX_MESSAGE + 1).unwrap().to_le_bytes();
        let error = read(&mut FrameReader::new(&long[..])).await.unwrap_err();
        assert!(error.is_fault() && matches!(error, FrameError::HeaderTooLong { .. }), "{error}");
    }
}
