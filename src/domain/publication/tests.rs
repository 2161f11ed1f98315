use super::*;
use crate::domain::blob::BlobId;
use crate::domain::manifest::{GoMod, ZipRef};

const TEXT: &str = "\
modswarm publication
corp.example/lib v1.2.3 h1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
corp.example/lib v1.2.3/go.mod h1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=
zip 0303030303030303030303030303030303030303030303030303030303030303 70000
info 0404040404040404040404040404040404040404040404040404040404040404
";

fn sample() -> Publication {
    Publication {
        module: ModuleVersion::parse("corp.example/lib@v1.2.3").unwrap(),
        zip_h1: H1::from_bytes([1; 32]),
        go_mod_h1: H1::from_bytes([2; 32]),
        zip_blake3: [3; 32],
        zip_len: 70_000,
        info_blake3: [4; 32],
    }
}

fn manifest() -> Manifest {
    let go_mod = b"module corp.example/lib\n".to_vec();
    Manifest {
        module: ModuleVersion::parse("corp.example/lib@v1.2.3").unwrap(),
        info: br#"{"Version":"v1.2.3"}"#.to_vec(),
        go_mod_h1: H1::of_go_mod(&go_mod),
        go_mod: GoMod::Inline(go_mod),
        zip: Some(ZipRef {
            h1: H1::from_bytes([1; 32]),
            len: 70_000,
            blake3: [2; 32],
            pages: vec![BlobId::from_bytes([3; 32])],
        }),
    }
}

fn signer(secret: u8) -> Signer {
    Signer::from_secret("corp-team", [secret; 32]).unwrap()
}

#[test]
fn the_text_is_what_it_is_said_to_be() {
    assert_eq!(sample().to_string(), TEXT);
    assert_eq!(Publication::parse(TEXT), Ok(sample()));
}

#[test]
fn every_other_text_is_refused() {
    let refused = |text: &str| assert!(Publication::parse(text).is_err(), "{text:?}");
    // A digit more or less may make another publication; then it has that one's text.
    let never_this = |text: &str| {
        let other = Publication::parse(text);
        assert!(other.is_err() || other.is_ok_and(|other| other != sample() && other.to_string() == text), "{text:?}");
    };
    for at in 0..TEXT.len() {
        refused(&TEXT[..at]);
        never_this(&format!("{}{}", &TEXT[..at], &TEXT[at + 1..]));
        never_this(&format!("{}0{}", &TEXT[..at], &TEXT[at..]));
        for more in ["\n", " ", "+"] {
            refused(&format!("{}{more}{}", &TEXT[..at], &TEXT[at..]));
        }
    }
    refused(&format!("{TEXT}\n"));
    refused(&format!("{TEXT}more\n"));
    for (from, to) in [
        ("\n", "\r\n"),
        ("publication", "Publication"),
        ("corp.example/lib v1.2.3/go.mod", "corp.example/other v1.2.3/go.mod"),
        ("v1.2.3/go.mod", "v1.2.4/go.mod"),
        ("v1.2.3", "v1.2"),
        ("corp.example/lib", "corp.example//lib"),
        ("h1:AQ", "h2:AQ"),
        ("70000", "+70000"),
        ("70000", "070000"),
        ("70000", "524288001"),
        ("zip 03", "zip 0A"),
        ("info 04", "INFO 04"),
        ("info 0404", "info 04040404"),
    ] {
        assert!(TEXT.contains(from));
        refused(&TEXT.replace(from, to));
    }
}

#[test]
fn a_signed_publication_vouches_for_its_manifest() {
    let note = Publication::of(&manifest()).unwrap().sign(&signer(1)).unwrap();
    let keys = [signer(1).verifier().clone(), signer(2).verifier().clone()];
    assert_eq!(Publication::verify(&note, &manifest(), &keys), Ok(()));
    assert_eq!(Publication::open(&note, &keys), Ok(Publication::of(&manifest()).unwrap()));
    // Pages are not signed: the bytes that they make are.
    let mut cut_elsewhere = manifest();
    cut_elsewhere.zip = cut_elsewhere.zip.map(|zip| ZipRef { pages: vec![BlobId::of(b"")], ..zip });
    assert_eq!(Publication::verify(&note, &cut_elsewhere, &keys), Ok(()));
}

#[test]
fn a_publication_vouches_for_nothing_else() {
    let note = Publication::of(&manifest()).unwrap().sign(&signer(1)).unwrap();
    let keys = [signer(1).verifier().clone()];
    let refused = |change: fn(&mut Manifest), what: &str| {
        let mut other = manifest();
        change(&mut other);
        let error = Publication::verify(&note, &other, &keys).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the publication is of another {what}: it says ")), "{error}");
    };
    let zip = |manifest: &mut Manifest, change: fn(&mut ZipRef)| change(manifest.zip.as_mut().unwrap());
    refused(|it| it.module = ModuleVersion::parse("corp.example/lib@v1.2.4").unwrap(), "module version");
    refused(|it| it.module = ModuleVersion::parse("corp.example/lid@v1.2.3").unwrap(), "module version");
    refused(|it| it.info.push(b'\n'), ".info");
    refused(|it| it.info.clear(), ".info");
    refused(|it| it.go_mod_h1 = H1::from_bytes([7; 32]), "go.mod");
    let mut manifests = [manifest(), manifest(), manifest()];
    zip(&mut manifests[0], |zip| zip.h1 = H1::from_bytes([7; 32]));
    zip(&mut manifests[1], |zip| zip.blake3 = [7; 32]);
    zip(&mut manifests[2], |zip| zip.len += 1);
    for other in manifests {
        let error = Publication::verify(&note, &other, &keys).unwrap_err();
        assert!(matches!(error, PublicationError::Differs { what: "zip", .. }), "{error}");
    }
    let bare = Manifest { zip: None, ..manifest() };
    assert_eq!(Publication::of(&bare), None);
    let error = Publication::verify(&note, &bare, &keys).unwrap_err();
    assert!(matches!(error, PublicationError::NoZip { .. }), "{error}");
}

#[test]
fn only_keys_that_count_sign() {
    let note = Publication::of(&manifest()).unwrap().sign(&signer(1)).unwrap();
    let verify = |note: &[u8], key: &Signer| Publication::verify(note, &manifest(), &[key.verifier().clone()]);
    assert_eq!(verify(&note, &signer(2)), Err(NoteError::Unsigned.into()));
    assert_eq!(Publication::verify(&note, &manifest(), &[]), Err(NoteError::Unsigned.into()));
    // Each letter of the note counts.
    for at in 0..note.len() {
        let mut changed = note.clone();
        changed[at] ^= 1;
        assert!(verify(&changed, &signer(1)).is_err(), "byte {at} changed");
    }
    let text = Publication::of(&manifest()).unwrap().to_string().replace("70000", "70001");
    let (_, signature) = std::str::from_utf8(&note).unwrap().split_once("\n\n").unwrap();
    let forged = verify(format!("{text}\n{signature}").as_bytes(), &signer(1)).unwrap_err();
    assert!(matches!(forged, PublicationError::Note(NoteError::BadSignature { .. })), "{forged}");
    let another = signer(1).sign("go.sum database tree\n").unwrap();
    assert!(matches!(verify(another.as_bytes(), &signer(1)), Err(PublicationError::Text(_))));
    assert_eq!(verify(&vec![b'a'; MAX_PUBLICATION + 1], &signer(1)), Err(PublicationError::TooLong(16_385)));
}
