use super::super::codec;
use super::super::note::Signer;
use super::super::tlog::HashLog;
use super::*;

const NAME: &str = "sum.example/db";

fn module(text: &str) -> ModuleVersion {
    ModuleVersion::parse(text).unwrap()
}

fn h1(byte: u8) -> H1 {
    H1::from_bytes([byte; 32])
}

fn signer() -> Signer {
    Signer::from_secret(NAME, [7; 32]).unwrap()
}

fn keys() -> Vec<Verifier> {
    vec![signer().verifier().clone()]
}

/// A log with a record for each of `v1.0.0` to `v1.20.0`, and the proof for one of them.
struct Fixture {
    module: ModuleVersion,
    proof: SumdbProof,
    others: Vec<SumdbProof>,
}

fn fixture() -> Fixture {
    let mut log = HashLog::default();
    let module = |n: u8| module(&format!("example.com/mod@v1.{n}.0"));
    let records: Vec<Record> =
        (0..21).map(|n| Record::new(u64::from(n), module(n), Some(h1(n)), h1(n + 100))).collect();
    records.iter().for_each(|record| _ = log.push(&record.text));
    let head = signer().sign(&log.head().format()).unwrap().into_bytes();
    let proof = |record: &Record| SumdbProof {
        database: NAME.into(),
        index: record.id,
        record: record.text.clone(),
        path: tlog::prove_record(log.size(), record.id, &log).unwrap(),
        head: head.clone(),
    };
    Fixture { module: module(5), proof: proof(&records[5]), others: records.iter().map(proof).collect() }
}

impl Fixture {
    fn verify(&self, proof: &SumdbProof) -> Result<(), ProofError> {
        proof.verify(&self.module, Some(h1(5)), h1(105), &keys())
    }
}

#[test]
fn a_record_is_read_as_the_database_writes_it() {
    // As the lookup of rsc.io/quote@v1.5.2 is answered by the go command's default database.
    let text = b"rsc.io/quote v1.5.2 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=\n\
        rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n";
    let quote = module("rsc.io/quote@v1.5.2");
    let record = Record::parse(942, text, &quote).unwrap();
    assert_eq!(record.zip_h1.unwrap().to_string(), "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=");
    assert_eq!(record.go_mod_h1.to_string(), "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=");
    assert_eq!(Record::new(942, quote.clone(), record.zip_h1, record.go_mod_h1), record);
    let go_mod_only = Record::new(1, quote.clone(), None, record.go_mod_h1);
    assert_eq!(Record::parse(1, &go_mod_only.text, &quote), Ok(go_mod_only));
    let body = Lookup::format(&record, b"head").unwrap();
    assert_eq!(body, [b"942\n", text.as_slice(), b"\nhead"].concat());
    assert_eq!(Lookup::parse(&body, &quote), Ok(Lookup { record, head: b"head".to_vec() }));
}

#[test]
fn fact_31_a_record_with_any_other_line_is_refused() {
    let quote = module("rsc.io/quote@v1.5.2");
    let zip = format!("rsc.io/quote v1.5.2 {}\n", h1(1));
    let go_mod = format!("rsc.io/quote v1.5.2/go.mod {}\n", h1(2));
    for text in [
        String::new(),
        "\n".into(),
        zip.clone(),
        format!("{go_mod}{zip}"),
        format!("{zip}{zip}{go_mod}"),
        format!("{zip}{go_mod}{go_mod}"),
        format!("{zip}{go_mod}\n"),
        format!("{zip}{}", go_mod.trim_end()),
        format!("{zip}{go_mod}").replace("v1.5.2", "v1.5.3"),
        format!("{zip}{go_mod}").replace("rsc.io/quote", "rsc.io/QUOTE"),
        format!("{zip}{}", go_mod.replace("v1.5.2", "v1.5.3")),
        format!("{}{go_mod}", zip.replace("rsc.io/quote", "rsc.io/quote/v2")),
        format!("{zip}{go_mod}").replace("h1:", "h2:"),
        format!("{zip}{go_mod}").replace(" h1:", "  h1:"),
        format!("{zip}{go_mod}").replace('=', "= "),
        format!("{zip}{go_mod}").replace('\n', "\r\n"),
    ] {
        let error = Record::parse(1, text.as_bytes(), &quote).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record that came for rsc.io/quote@v1.5.2 does not have exactly the lines of rsc.io/quote@v1.5.2: \
             refuse its sender",
            "{text}"
        );
    }
    let long = Record::parse(1, &[b'a'; MAX_RECORD + 1], &quote);
    assert_eq!(long, Err(RecordError::TooLong { module: quote.to_string(), len: MAX_RECORD + 1 }));
    let long = Lookup::parse(&vec![b'a'; MAX_LOOKUP + 1], &quote);
    assert_eq!(long, Err(RecordError::TooLong { module: quote.to_string(), len: MAX_LOOKUP + 1 }));
    assert!(matches!(Lookup::parse(b"not found", &quote), Err(RecordError::Text { .. })));
}

#[test]
fn a_whole_proof_holds_and_survives_its_encoding() {
    let fixture = fixture();
    assert_eq!(fixture.verify(&fixture.proof), Ok(()));
    assert_eq!(fixture.proof.verify(&fixture.module, None, h1(105), &keys()), Ok(()));
    assert_eq!(fixture.proof.head(&keys()).unwrap().tree().size, 21);
    let bytes = codec::encode(&fixture.proof);
    assert_eq!(codec::decode::<SumdbProof, { 64 << 10 }>(&bytes), Ok(fixture.proof));
}

#[test]
fn no_byte_of_a_proof_can_be_changed() {
    let fixture = fixture();
    let bytes = codec::encode(&fixture.proof);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(proof) = codec::decode::<SumdbProof, { 64 << 10 }>(&flipped) {
            assert!(fixture.verify(&proof).is_err(), "byte {at} of {}", bytes.len());
        }
    }
}

#[test]
fn a_path_of_another_length_and_hostile_places_fail() {
    let Fixture { proof, module, .. } = fixture();
    let mut forgeries = Vec::new();
    for index in [0, 6, 20, 21, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX] {
        forgeries.push(SumdbProof { index, ..proof.clone() });
    }
    forgeries.push(SumdbProof { path: Vec::new(), ..proof.clone() });
    forgeries.push(SumdbProof { path: proof.path[1..].to_vec(), ..proof.clone() });
    forgeries.push(SumdbProof { path: [&proof.path[..], &proof.path[..1]].concat(), ..proof.clone() });
    for size in ["9223372036854775807", "4611686018427387904", "5"] {
        let text = format!("go.sum database tree\n{size}\n{}\n", Hash::of_nothing());
        forgeries.push(SumdbProof { head: signer().sign(&text).unwrap().into_bytes(), ..proof.clone() });
    }
    for forged in forgeries {
        let error = forged.verify(&module, Some(h1(5)), h1(105), &keys()).unwrap_err();
        assert!(matches!(error, ProofError::NotInLog { .. }), "{error}");
    }
}

#[test]
fn the_valid_record_of_another_module_proves_nothing() {
    let fixture = fixture();
    for (n, other) in fixture.others.iter().enumerate().filter(|(n, _)| *n != 5) {
        let error = fixture.verify(other).unwrap_err();
        assert!(matches!(error, ProofError::Record(RecordError::NotOf { .. })), "{n}: {error}");
    }
}

#[test]
fn other_bytes_than_the_recorded_are_named_with_both_hashes() {
    let Fixture { proof, module, .. } = fixture();
    let error = proof.verify(&module, Some(h1(6)), h1(105), &keys()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the zip of example.com/mod@v1.5.0 hashes to {}, but sum.example/db has recorded {}: do not use these bytes",
            h1(6),
            h1(5)
        )
    );
    let error = proof.verify(&module, Some(h1(5)), h1(5), &keys()).unwrap_err();
    assert!(error.to_string().starts_with("the go.mod of example.com/mod@v1.5.0 hashes to"), "{error}");
    let error = proof.verify(&module, None, h1(5), &keys()).unwrap_err();
    assert!(matches!(error, ProofError::Mismatch(mismatch) if mismatch.what == "go.mod"));
}

#[test]
fn a_zip_is_not_proven_by_a_record_without_one() {
    let toolchain = module("golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64");
    let record = Record::new(0, toolchain.clone(), None, h1(1));
    let mut log = HashLog::default();
    log.push(&record.text);
    let head = signer().sign(&log.head().format()).unwrap().into_bytes();
    let proof = SumdbProof { database: NAME.into(), index: 0, record: record.text, path: Vec::new(), head };
    assert_eq!(proof.verify(&toolchain, None, h1(1), &keys()), Ok(()));
    let error = proof.verify(&toolchain, Some(h1(2)), h1(1), &keys()).unwrap_err();
    assert!(matches!(error, ProofError::NoZip { .. }), "{error}");
    assert!(is_always_verified(&toolchain.path));
    assert!(!is_always_verified(&module("golang.org/toolchains@v1.0.0").path));
}

#[test]
fn only_the_databases_own_key_speaks_for_it() {
    let Fixture { proof, module, .. } = fixture();
    let verify = |proof: &SumdbProof, keys: &[Verifier]| proof.verify(&module, Some(h1(5)), h1(105), keys).unwrap_err();
    let other = Signer::from_secret("other.example", [8; 32]).unwrap();
    let unknown = verify(&proof, &[other.verifier().clone()]);
    assert_eq!(
        unknown.to_string(),
        "no key of the checksum database sum.example/db is trusted here: add it to the configuration or ignore what it \
         says"
    );
    // Another trusted database signs the same head: it must not pass for one of this database.
    let text = proof.head(&keys()).unwrap().tree().format();
    let forged = SumdbProof { head: other.sign(&text).unwrap().into_bytes(), ..proof.clone() };
    let error = verify(&forged, &[keys(), vec![other.verifier().clone()]].concat());
    assert_eq!(
        error.to_string(),
        "the tree head of sum.example/db is not to be trusted: no known key has signed the note"
    );
    let same_name = Signer::from_secret(NAME, [8; 32]).unwrap();
    assert!(matches!(verify(&proof, &[same_name.verifier().clone()]), ProofError::Head(HeadError::Note { .. })));
    let not_a_head = SumdbProof { head: signer().sign("hello\n").unwrap().into_bytes(), ..proof.clone() };
    assert!(matches!(verify(&not_a_head, &keys()), ProofError::Head(HeadError::Text { .. })));
    let long = SumdbProof { head: vec![b'a'; MAX_HEAD + 1], ..proof };
    assert!(matches!(verify(&long, &keys()), ProofError::Head(HeadError::TooLong { .. })));
}

#[test]
fn gosumdb_is_read_as_the_go_command_reads_it() {
    let default = SumdbSpec::default();
    assert_eq!((default.name(), default.url()), ("sum.golang.org", None));
    assert_eq!(default.verifier().id().hash, 0x033d_e0ae);
    assert_eq!(SumdbSpec::parse(&default.verifier().to_string()), Ok(default.clone()));
    let mirrored = SumdbSpec::parse("sum.golang.org https://proxy.example/sumdb/").unwrap();
    assert_eq!((mirrored.name(), mirrored.url()), ("sum.golang.org", Some("https://proxy.example/sumdb")));
    let alias = SumdbSpec::parse("sum.golang.google.cn").unwrap();
    assert_eq!((alias.verifier(), alias.url()), (default.verifier(), Some("https://sum.golang.google.cn")));
    let own = SumdbSpec::parse(&format!("  {}\thttp://127.0.0.1:8080/x ", keys()[0])).unwrap();
    assert_eq!((own.name(), own.url()), (NAME, Some("http://127.0.0.1:8080/x")));
}

#[test]
fn what_gosumdb_does_not_take_is_refused_with_a_reason() {
    let message = |text: &str| SumdbSpec::parse(text).unwrap_err().to_string();
    assert!(message(" ").starts_with("no checksum database is named"));
    assert!(message("off").starts_with("the checksum database is switched off"));
    assert!(message("sum.golang.org https://a.example b").ends_with("has more"));
    assert!(message("sum.example").starts_with("\"sum.example\" is not a known database, and not a key either"));
    for url in ["ftp://a.example", "https://", "a.example", "https://a.example/?q", "https://u@a.example", "https:///x"]
    {
        assert!(message(&format!("sum.golang.org {url}")).contains("is not the URL of a checksum database"), "{url}");
    }
    for name in ["sum.example/", "sum.example/../x", "/x", "sum.example//x", "..", "a?b", "a#b", "u@a", "a%2fb", "a\\b"]
    {
        let key = Signer::from_secret(name, [7; 32]).unwrap().verifier().to_string();
        assert!(message(&key).starts_with("the name of a checksum database is host[/path]"), "{name}");
    }
}
