use futures::io::Cursor;

use super::*;
use crate::domain::codec;

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(work)
}

fn reader(bytes: &[u8]) -> FrameReader<Cursor<Vec<u8>>> {
    FrameReader::new(Cursor::new(bytes.to_vec()))
}

fn path() -> ModulePath {
    ModulePath::parse("example.com/m").unwrap()
}

fn questions() -> Vec<Question> {
    let module = ModuleVersion::parse("example.com/m@v1.2.3").unwrap();
    vec![
        Question::Obtain { module: module.clone(), zip: true },
        Question::Obtain { module, zip: false },
        Question::Newer { path: path() },
        Question::Query { path: path(), query: "main".into() },
    ]
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Done {
            envelopes: vec![Bytes::from_static(b"one"), Bytes::from_static(b"")],
            age: Duration::from_secs(300),
        },
        Answer::Miss("no such module".into()),
        Answer::Failed("the line is down".into()),
        Answer::Refused("private".into()),
    ]
}

fn written(answer: Answer) -> Vec<u8> {
    let mut out = Vec::new();
    block(async { write_answer(&mut FrameWriter::new(&mut out, transfer::WRITE), answer).await.unwrap() });
    out
}

fn asked(question: &Question) -> Vec<u8> {
    let mut out = Vec::new();
    block(async { write_question(&mut FrameWriter::new(&mut out, transfer::WRITE), question).await.unwrap() });
    out
}

fn answer_of(bytes: &[u8]) -> Result<Answer, NoAnswer> {
    block(read_answer(&mut reader(bytes), Duration::from_secs(60)))
}

fn frame(header: &impl Encode) -> Vec<u8> {
    let header = codec::encode(header);
    let mut frame = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(header);
    frame
}

fn fault(bytes: &[u8]) -> String {
    match answer_of(bytes) {
        Err(NoAnswer::Frame(err)) if err.is_fault() => err.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_encoding_stays_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/seed-v1.bin");
    let mut all = frame(&Reply::Hello { version: VERSION });
    questions().iter().for_each(|question| all.extend(asked(question)));
    all.extend(frame(&Reply::Working));
    answers().into_iter().for_each(|answer| all.extend(written(answer)));
    if std::env::var_os("MODSWARM_BLESS").is_some() {
        std::fs::write(path, &all).unwrap();
    }
    assert!(std::fs::read(path).unwrap() == all, "the encoding has changed: seeds of another version cannot be asked");
}

#[test]
fn what_is_asked_and_answered_arrives() {
    let all: Vec<u8> = questions().iter().flat_map(asked).collect();
    block(async {
        let mut reader = reader(&all);
        for question in questions() {
            assert_eq!(read_question(&mut reader).await.unwrap(), Some(question));
        }
        assert_eq!(read_question(&mut reader).await.unwrap(), None);
    });
    for answer in answers() {
        let mut bytes = frame(&Reply::Working).repeat(3);
        bytes.extend(written(answer.clone()));
        assert_eq!(answer_of(&bytes).unwrap(), answer);
    }
}

#[test]
fn a_question_about_no_module_is_refused() {
    let text = |text: &str| text.to_owned();
    let refused = [
        Asked::Newer { path: text("../etc") },
        Asked::Newer { path: text("") },
        Asked::Obtain { path: text("example.com/m"), version: text("main"), zip: true },
        Asked::Obtain { path: text("example.com/m"), version: text("v2.0.0"), zip: true },
        Asked::Query { path: text("example.com/m"), query: text("v1.0.0") },
        Asked::Query { path: text("example.com/m"), query: text("latest") },
        Asked::Query { path: text("example.com/m"), query: text("a/../b") },
    ];
    for asked in refused {
        let err = block(read_question(&mut reader(&frame(&asked)))).unwrap_err();
        assert!(err.is_fault() && err.to_string().contains("about no module"), "{asked:?}: {err}");
    }
}

#[test]
fn a_lying_length_is_refused_before_memory_is_taken() {
    let long = u32::try_from(limits::MAX_QUESTION).unwrap() + 1;
    let err = block(read_question(&mut reader(&long.to_le_bytes()))).unwrap_err();
    assert!(matches!(err, FrameError::HeaderTooLong { .. }));
    assert!(fault(&u32::MAX.to_le_bytes()).contains("over the limit"));
    for len in [u32::MAX, u32::try_from(transfer::MAX_PAYLOAD).unwrap() + 1] {
        assert!(fault(&frame(&Reply::Envelope { len })).contains("payload"));
    }
    // A reason whose length says 2^63: 253 announces a count of eight bytes.
    let mut header = vec![4, 253];
    header.extend_from_slice(&(1_u64 << 63).to_le_bytes());
    let mut bytes = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(header);
    assert!(fault(&bytes).contains("cannot be read"));
}

#[test]
fn an_answer_with_too_much_or_too_little_is_a_fault() {
    let envelope = [frame(&Reply::Envelope { len: 3 }), b"abc".to_vec()].concat();
    let done = frame(&Reply::Done { age_seconds: 0 });
    assert!(fault(&done).contains("without an envelope"));
    assert!(fault(&[envelope.repeat(limits::MAX_ENVELOPES + 1), done.clone()].concat()).contains("more envelopes"));
    let most = [envelope.repeat(limits::MAX_ENVELOPES), done].concat();
    assert!(
        matches!(answer_of(&most).unwrap(), Answer::Done { envelopes, .. } if envelopes.len() == limits::MAX_ENVELOPES)
    );
    assert!(fault(&frame(&Reply::Hello { version: VERSION })).contains("second greeting"));
    assert!(fault(&frame(&Reply::Working).repeat(10_000)).contains("flood"));
    let too_many = Answer::Done { envelopes: vec![Bytes::new(); limits::MAX_ENVELOPES + 1], age: Duration::ZERO };
    assert!(matches!(answer_of(&written(too_many)).unwrap(), Answer::Failed(_)));
}

#[test]
fn a_cut_anywhere_is_a_broken_stream_and_no_fault_of_the_seed() {
    let whole = written(answers().remove(0));
    for cut in 0..whole.len() {
        match answer_of(&whole[..cut]) {
            Err(NoAnswer::Frame(err @ FrameError::Broken(_))) => assert!(!err.is_fault()),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_reason_is_cut_and_cleaned_by_both_ends() {
    let long = format!("\u{1b}[2J{}", "ä".repeat(limits::MAX_REASON));
    let hostile = frame(&Reply::Miss { reason: "\u{7}bell\nline".into() });
    assert_eq!(answer_of(&hostile).unwrap(), Answer::Miss("bell\nline".into()));
    let Answer::Failed(reason) = answer_of(&written(Answer::Failed(long))).unwrap() else { panic!() };
    assert!(reason.starts_with("[2Jä") && reason.len() <= limits::MAX_REASON);
}

#[tokio::test]
async fn a_seed_that_works_is_not_silent_and_one_that_says_nothing_is() {
    let (near, far) = tokio::io::duplex(1 << 10);
    let near = tokio_util::compat::TokioAsyncReadCompatExt::compat(near);
    let far = tokio_util::compat::TokioAsyncReadCompatExt::compat(far);
    let silence = Duration::from_millis(1500);
    let seed = tokio::spawn(async move {
        let mut writer = FrameWriter::new(far, transfer::WRITE);
        // Together longer than the silence that is allowed.
        for _ in 0..12 {
            tokio::time::sleep(silence / 10).await;
            writer.header(&Reply::Working).await.unwrap();
            writer.flush().await.unwrap();
        }
        write_answer(&mut writer, Answer::Miss("at last".into())).await.unwrap();
        writer
    });
    let mut reader = FrameReader::new(near);
    assert_eq!(read_answer(&mut reader, silence).await.unwrap(), Answer::Miss("at last".into()));
    let _still_open = seed.await.unwrap();
    assert!(matches!(read_answer(&mut reader, Duration::from_millis(10)).await, Err(NoAnswer::Silent(_))));
}
