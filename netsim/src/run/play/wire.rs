//! What a message costs on the wire: the models of what libp2p puts round it.

/// Payload of a TCP segment on Ethernet, with timestamps.
const SEGMENT: u64 = 1448;
/// IPv4 and TCP headers of a segment, with timestamps. Ethernet's own 18 bytes are not counted.
const TCP_IP: u64 = 52;
/// Length and tag of a noise frame.
const NOISE: u64 = 2 + 16;
/// The header of a yamux frame.
const YAMUX: u64 = 12;
/// What gossipsub adds to a message that it signs: author 40, number 10, topic 24, signature 66, lengths.
const GOSSIP: u64 = 150;
/// A gossipsub control message with one id of 32 bytes and the topic.
const CONTROL: u64 = 72;

/// Bytes of one message on a stream that stands.
pub(super) fn message(payload: u64) -> u64 {
    let inside = payload + YAMUX + NOISE;
    inside + inside.div_ceil(SEGMENT) * TCP_IP
}

/// Bytes of a gossiped message.
pub(super) fn gossip(payload: u64) -> u64 {
    message(payload + GOSSIP)
}

/// Bytes of "I have that message" or "I want it".
pub(super) fn control() -> u64 {
    message(CONTROL)
}

/// An acknowledgement without anything else.
pub(super) const ACK: u64 = TCP_IP;

/// Headers of a UDP packet.
pub(super) const UDP_IP: u64 = 28;
