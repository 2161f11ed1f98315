use futures::io::Cursor;

use super::*;

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(work)
}

fn reader(bytes: &[u8]) -> FrameReader<Cursor<Vec<u8>>> {
    FrameReader::new(Cursor::new(bytes.to_vec()))
}

fn frame(header: &impl Encode) -> Vec<u8> {
    let header = codec::encode(header);
    let mut frame = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(header);
    frame
}

fn want(count: usize) -> Request {
    Request::Want { request: u64::MAX, ids: (0..count).map(|n| BlobId::of(&n.to_le_bytes())).collect() }
}

#[test]
fn what_is_written_is_read_and_a_close_between_frames_is_an_end() {
    let mut out = Vec::new();
    let requests =
        [want(limits::MAX_IDS), Request::Cancel { request: 3 }, Request::Sumdb { request: 4, database: "d".into() }];
    block(async {
        let mut writer = FrameWriter::new(&mut out, limits::WRITE);
        for request in &requests {
            writer.header(request).await.unwrap();
        }
        writer.flush().await.unwrap();
        let mut reader = reader(&out);
        for request in &requests {
            assert_eq!(reader.request().await.unwrap().as_ref(), Some(request));
        }
        assert_eq!(reader.request().await.unwrap(), None);
    });
}

#[test]
fn a_payload_of_any_length_comes_back_and_is_counted() {
    for len in [0, 1, limits::READ_BUFFER, limits::READ_PIECE + 1, 1 << 20] {
        let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut out = Vec::new();
        block(async {
            let mut writer = FrameWriter::new(&mut out, limits::WRITE);
            writer.piece(9, 2, &payload).await.unwrap();
            writer.header(&Reply::Missing { request: 9, index: 3 }).await.unwrap();
            writer.flush().await.unwrap();
            let mut reader = reader(&out);
            let Some(Reply::Piece { request: 9, index: 2, len }) = reader.reply().await.unwrap() else { panic!() };
            let mut counted = 0;
            let bytes = reader.payload(len, 1 << 20, |bytes| counted += bytes).await.unwrap();
            assert_eq!((&bytes[..], counted), (&payload[..], payload.len() as u64));
            assert_eq!(reader.reply().await.unwrap(), Some(Reply::Missing { request: 9, index: 3 }));
        });
    }
}

#[test]
fn a_lying_length_is_refused_before_memory_is_taken() {
    for len in [u32::MAX, u32::try_from(limits::MAX_REQUEST).unwrap() + 1] {
        let text = block(reader(&len.to_le_bytes()).request()).unwrap_err();
        assert!(text.is_fault());
        assert_eq!(text.to_string(), format!("a frame header of {len} bytes is over the limit of 16384"));
    }
    let err = block(reader(&65_u32.to_le_bytes()).reply()).unwrap_err();
    assert!(matches!(err, FrameError::HeaderTooLong { len: 65, limit: 64 }));
    let err = block(reader(b"").payload(u32::MAX, 100, |_| {})).unwrap_err();
    assert_eq!(err.to_string(), "a payload of 4294967295 bytes came where at most 100 were asked for");
    assert!(block(reader(b"").skip(101, 100)).unwrap_err().is_fault());
    // 253: a count of eight bytes follows, 2^63 ids of it claimed.
    let mut header = vec![0, 7, 253];
    header.extend_from_slice(&(1_u64 << 63).to_le_bytes());
    let mut bytes = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(header);
    assert!(matches!(block(reader(&bytes).request()), Err(FrameError::Codec(CodecError::Malformed))));
}

#[test]
fn a_cut_anywhere_is_a_broken_stream_and_no_fault_of_the_peer() {
    let whole = frame(&want(3));
    for cut in 1..whole.len() {
        let err = block(reader(&whole[..cut]).request()).unwrap_err();
        assert!(matches!(err, FrameError::Broken(_)) && !err.is_fault(), "cut at {cut}: {err}");
    }
    assert!(matches!(block(reader(b"abc").payload(4, 100, |_| {})), Err(FrameError::Broken(_))));
    assert!(matches!(block(reader(b"abc").skip(4, 100)), Err(FrameError::Broken(_))));
}

#[test]
fn other_bytes_are_no_frame() {
    let whole = frame(&want(3));
    let mut accepted = 0;
    for at in 4..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            match block(reader(&flipped).request()) {
                Ok(Some(request)) => {
                    accepted += 1;
                    assert_ne!(request, want(3));
                }
                Ok(None) => panic!("a frame cannot vanish"),
                Err(err) => assert!(err.is_fault()),
            }
        }
    }
    // The ids and the number may be any bytes; the kind and the count may not.
    assert!(accepted < 8 * (whole.len() - 4));
}

#[test]
fn a_request_for_nothing_or_for_too_much_is_refused() {
    let long = "x".repeat(limits::MAX_NAME + 1);
    let refused = [
        want(0),
        want(limits::MAX_IDS + 1),
        Request::Envelopes { request: 1, ids: vec![], budget: 1 },
        Request::EnvelopesByKey { request: 1, nonce: [0; 16], keys: vec![], budget: 1 },
        Request::EnvelopesByKey { request: 1, nonce: [0; 16], keys: vec![[0; 8]; limits::MAX_IDS + 1], budget: 1 },
        Request::Lookup { request: 1, path: long.clone(), version: "v1.0.0".into() },
        Request::Versions { request: 1, path: long, skip: 0 },
    ];
    for request in refused {
        let err = block(reader(&frame(&request)).request()).unwrap_err();
        assert_eq!(err.to_string(), "a frame breaks the protocol: a request names nothing or too much");
    }
}

#[test]
fn a_reader_that_does_not_read_is_given_up() {
    let (near, _far) = tokio::io::duplex(16);
    let near = tokio_util::compat::TokioAsyncReadCompatExt::compat(near);
    let mut writer = FrameWriter::new(near, Duration::from_millis(10));
    let err = block(async { writer.piece(1, 0, &vec![0; 2 * limits::WRITE_BUFFER + 1]).await }).unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::TimedOut);
}
