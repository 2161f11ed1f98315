//! Keys, texts and signatures are those of golang.org/x/mod/sumdb/note, `note_test.go`.

use super::*;

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_SIGNED: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_SIGNED: &str =
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> Verifier {
    Verifier::parse(text).unwrap()
}

fn names(note: &Note) -> Vec<&str> {
    note.signed_by.iter().map(|key| key.name.as_str()).collect()
}

#[test]
fn a_key_survives_its_text_and_no_piece_or_change_of_it_is_a_key() {
    assert_eq!(key(PETER).to_string(), PETER);
    assert_eq!(key(PETER).id().to_string(), "PeterNeumann+c74f20a3");
    for start in 0..PETER.len() {
        for end in start..=PETER.len() {
            assert_eq!(Verifier::parse(&PETER[start..end]).is_ok(), (start, end) == (0, PETER.len()));
        }
        let mut changed = PETER.as_bytes().to_vec();
        changed[start] += 1;
        assert!(Verifier::parse(std::str::from_utf8(&changed).unwrap()).is_err(), "letter {start} changed");
    }
}

#[test]
fn keys_of_another_length_or_algorithm_are_refused_even_with_their_right_hash() {
    let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert!(matches!(Verifier::parse(long), Err(KeyError::Malformed)));
    let other = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let error = Verifier::parse(other).unwrap_err();
    assert_eq!(error.to_string(), "the key of PeterNeumann is of algorithm 101, and only 1 (Ed25519) is known");
}

#[test]
fn a_key_for_which_anybody_can_sign_is_refused() {
    let weak = {
        let mut point = [0_u8; 32];
        point[0] = 1; // the neutral element: every signature of the form (R, s) with R = sB fits
        tagged(&point)
    };
    let text = format!("{}+{}", KeyId::of("weak", &weak), STANDARD.encode(weak));
    assert_eq!(Verifier::parse(&text), Err(KeyError::Unusable { name: "weak".into() }));
}

#[test]
fn a_signer_key_is_read_whole_or_not_at_all() {
    let signer = Signer::parse(PETER_SECRET).unwrap();
    assert_eq!(signer.verifier(), &key(PETER));
    assert_eq!(signer.secret_key(), PETER_SECRET);
    assert_eq!(format!("{signer:?}"), "Signer(PeterNeumann+c74f20a3)");
    for at in 0..PETER_SECRET.len() {
        assert!(Signer::parse(&PETER_SECRET[..at]).is_err(), "cut at {at}");
        let mut changed = PETER_SECRET.as_bytes().to_vec();
        changed[at] += 1;
        assert!(Signer::parse(std::str::from_utf8(&changed).unwrap()).is_err(), "letter {at} changed");
    }
}

#[test]
fn signing_gives_the_bytes_that_the_go_package_gives() {
    let signer = Signer::parse(PETER_SECRET).unwrap();
    assert_eq!(signer.sign(TEXT).unwrap(), format!("{TEXT}\n{PETER_SIGNED}"));
    assert!(matches!(signer.sign("abc"), Err(NoteError::Malformed(_))));
    assert!(matches!(signer.sign("a\tb\n"), Err(NoteError::Malformed(_))));
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        assert_eq!(Signer::from_secret(name, [1; 32]).unwrap_err(), KeyError::Malformed, "{name:?}");
    }
}

#[test]
fn known_signatures_count_and_unknown_ones_are_passed_over() {
    let both = format!("{TEXT}\n{PETER_SIGNED}{ENOCH_SIGNED}");
    let note = open(both.as_bytes(), &[key(PETER)]).unwrap();
    assert_eq!((note.text.as_str(), names(&note)), (TEXT, vec!["PeterNeumann"]));
    let note = open(both.as_bytes(), &[key(ENOCH), key(PETER)]).unwrap();
    assert_eq!(names(&note), ["PeterNeumann", "EnochRoot"]);
    let error = open(both.as_bytes(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "no known key has signed the note");
    let twice = format!("{TEXT}\n{PETER_SIGNED}{PETER_SIGNED}{ENOCH_SIGNED}{ENOCH_SIGNED}");
    assert_eq!(names(&open(twice.as_bytes(), &[key(PETER)]).unwrap()), ["PeterNeumann"]);
}

#[test]
fn a_text_may_have_blank_lines_and_signature_lines_of_its_own() {
    let signer = Signer::from_secret("sum.example/path", [3; 32]).unwrap();
    let text = format!("one\n\n{PETER_SIGNED}\ntwo\n");
    let signed = signer.sign(&text).unwrap();
    assert_eq!(open(signed.as_bytes(), &[signer.verifier().clone()]).unwrap().text, text);
}

#[test]
fn a_wrong_signature_of_a_known_key_spoils_the_note() {
    let (head, tail) = PETER_SIGNED.split_at(60);
    let bad = format!("{TEXT}\n{ENOCH_SIGNED}{head}ABCD{tail}");
    let error = open(bad.as_bytes(), &[key(PETER), key(ENOCH)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the signature of PeterNeumann+c74f20a3 does not fit the note: the note was changed or forged"
    );
    assert!(open(bad.as_bytes(), &[key(ENOCH)]).is_ok());
}

#[test]
fn a_key_that_is_listed_twice_is_an_error_only_where_it_matters() {
    let keys = [key(ENOCH), key(PETER), key(ENOCH)];
    let error = open(format!("{TEXT}\n{ENOCH_SIGNED}").as_bytes(), &keys).unwrap_err();
    assert_eq!(error.to_string(), "two of the trusted keys are called EnochRoot+af0cfe78: remove one of them");
    assert!(open(format!("{TEXT}\n{PETER_SIGNED}").as_bytes(), &keys).is_ok());
}

#[test]
fn what_is_not_a_note_is_refused() {
    let cut = PETER_SIGNED.trim_end();
    let bad_name = PETER_SIGNED.replace("PeterNeumann", "Bad Name");
    let bad: [Vec<u8>; 10] = [
        Vec::new(),
        TEXT.into(),
        format!("{TEXT}\n").into(),
        format!("{TEXT}\n\n").into(),
        format!("{TEXT}\n{cut}").into(),
        format!("\u{1}{TEXT}\n{PETER_SIGNED}").into(),
        [b"\xff".as_slice(), format!("{TEXT}\n{PETER_SIGNED}").as_bytes()].concat(),
        format!("{TEXT}\n{bad_name}").into(),
        format!("{TEXT}\n{PETER_SIGNED}Unexpected line.\n").into(),
        format!("{TEXT}\n— PeterNeumann x08gow==\n").into(),
    ];
    for message in bad {
        let error = open(&message, &[key(PETER)]).unwrap_err();
        assert!(matches!(error, NoteError::Malformed(_)), "{error} for {:?}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn too_many_signatures_and_too_many_bytes_are_refused() {
    let full = format!("{TEXT}\n{}", PETER_SIGNED.repeat(MAX_SIGNATURES));
    assert!(open(full.as_bytes(), &[key(PETER)]).is_ok());
    let over = format!("{TEXT}\n{}", ENOCH_SIGNED.repeat(MAX_SIGNATURES + 1));
    assert_eq!(open(over.as_bytes(), &[key(PETER)]), Err(NoteError::Malformed("it has over 100 signatures")));
    let long = format!("{}\n\n{PETER_SIGNED}", "a".repeat(MAX_NOTE));
    assert_eq!(open(long.as_bytes(), &[key(PETER)]), Err(NoteError::Malformed("it is over 1 MB")));
}

#[test]
fn no_bit_of_a_note_can_be_flipped() {
    let message = format!("{TEXT}\n{PETER_SIGNED}");
    for at in 0..message.len() {
        let mut flipped = message.as_bytes().to_vec();
        flipped[at] ^= 1 << (at % 7);
        assert!(open(&flipped, &[key(PETER)]).is_err(), "bit {} of byte {at}", at % 7);
    }
}
