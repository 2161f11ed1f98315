//! Zips of our own making, then damaged.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::domain::dirhash::H1;
use crate::domain::module::ModuleVersion;

pub(crate) const PREFIX: &str = "m.example/a@v1.0.0/";

pub(crate) fn module() -> ModuleVersion {
    ModuleVersion::parse("m.example/a@v1.0.0").unwrap()
}

/// A zip as Go writes it: deflated, in a stream, with data descriptors.
pub(crate) fn streamed<N: AsRef<str>>(files: &[(N, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new_stream(Vec::new());
    for (name, content) in files {
        zip.start_file(name.as_ref(), SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A zip with lengths in the local headers.
pub(crate) fn seekable<N: AsRef<str>>(method: zip::CompressionMethod, files: &[(N, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(name.as_ref(), SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Some files under [`PREFIX`].
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let file = |name: &str, content: &[u8]| (format!("{PREFIX}{name}"), content.to_vec());
    vec![file("LICENSE", b""), file("a.go", &b"package a\n".repeat(9000)), file("go.mod", b"module m.example/a\n")]
}

/// Where `what` stands in `zip`, the last time.
fn last(zip: &[u8], what: &[u8]) -> usize {
    zip.windows(what.len()).rposition(|it| it == what).unwrap()
}

fn put(zip: &mut [u8], at: usize, bytes: &[u8]) {
    zip[at..at + bytes.len()].copy_from_slice(bytes);
}

fn refused(zip: &dyn ReadAt) -> String {
    check_module_zip(&module(), zip).unwrap_err().to_string()
}

#[test]
fn what_was_packed_comes_out_again() {
    for zip in [
        streamed(&files()),
        seekable(zip::CompressionMethod::Stored, &files()),
        seekable(zip::CompressionMethod::Deflated, &files()),
    ] {
        let archive = Archive::read(&zip).unwrap();
        assert_eq!(archive.entries().len(), 3);
        assert_eq!(archive.unpacked(), 90_019);
        for (entry, (name, content)) in archive.entries().iter().zip(files()) {
            assert_eq!(entry.name, name.as_bytes());
            assert_eq!(read_file(&zip, entry, 1 << 20).unwrap(), content);
        }
        let facts = check_module_zip(&module(), &zip).unwrap();
        assert_eq!((facts.files, facts.unpacked, facts.len), (3, 90_019, zip.len() as u64));
        assert_eq!(facts.h1, H1::of_zip(&zip).unwrap());
    }
}

#[test]
fn a_zip_behind_other_bytes_is_read_with_go_s_base_offset() {
    let mut zip = b"#!/bin/sh\n".to_vec();
    zip.extend(streamed(&files()));
    let archive = Archive::read(&zip).unwrap();
    assert_eq!(archive.entries()[0].header_offset, 10);
    assert_eq!(H1::of_zip(&zip).unwrap(), H1::of_zip(&streamed(&files())).unwrap());
}

#[test]
fn a_comment_may_hide_the_end_record_from_the_first_kilobyte() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a", SimpleFileOptions::default()).unwrap();
    zip.set_comment("x".repeat(5000)).unwrap();
    let mut zip = zip.finish().unwrap().into_inner();
    assert_eq!(Archive::read(&zip).unwrap().entries().len(), 1);
    zip.truncate(zip.len() - 1);
    let error = Archive::read(&zip).unwrap_err().to_string();
    assert_eq!(error, "the bytes are not a zip: it has no end record, so it is something else or cut off");
}

#[test]
fn more_files_than_sixteen_bits_count_are_read_through_the_zip64_record() {
    let files: Vec<_> = (0..65_600).map(|n| (format!("{PREFIX}{n}"), Vec::new())).collect();
    let zip = seekable(zip::CompressionMethod::Stored, &files);
    assert_eq!(Archive::read(&zip).unwrap().entries().len(), 65_600);
    let mut lying = zip;
    let record = last(&lying, b"PK\x06\x06");
    put(&mut lying, record + 48, &(1_u64 << 63).to_le_bytes());
    assert!(Archive::read(&lying).unwrap_err().to_string().contains("its directory lies outside of it"));
}

#[test]
fn other_bytes_are_not_a_zip() {
    for bytes in [vec![], b"PK".to_vec(), b"PK\x05\x06".to_vec(), vec![0; 70_000]] {
        assert!(matches!(Archive::read(&bytes), Err(ZipError::NotAZip(_))));
    }
    let mut zip = streamed(&files());
    let end = last(&zip, b"PK\x05\x06");
    put(&mut zip, end + 10, &[4, 0]);
    assert!(refused(&zip).contains("it does not have as many files as it says"));
}

#[test]
fn a_bomb_is_stopped_at_its_declared_size() {
    let mut zip = streamed(&[(format!("{PREFIX}a"), vec![0; 10 << 20])]);
    let record = last(&zip, b"PK\x01\x02");
    put(&mut zip, record + 24, &1000_u32.to_le_bytes());
    let archive = Archive::read(&zip).unwrap();
    let mut seen = 0;
    let result = Inflater::new().each(&zip, &archive.entries()[0], &mut |bytes| seen += bytes.len());
    assert_eq!(seen, 0, "the first buffer goes over the declared size already");
    assert_eq!(
        result.unwrap_err().to_string(),
        r#""m.example/a@v1.0.0/a" unpacks to more than the 1000 bytes that it declares, as a zip bomb does"#
    );
}

#[test]
fn data_that_claims_to_go_past_the_end_is_read_as_go_does() {
    let mut zip = seekable(zip::CompressionMethod::Deflated, &files()[1..2]);
    let want = H1::of_zip(&zip).unwrap();
    let record = last(&zip, b"PK\x01\x02");
    put(&mut zip, record + 20, &(1_u32 << 30).to_le_bytes());
    assert_eq!(H1::of_zip(&zip).unwrap(), want, "the deflate stream ends where it should");
    assert!(refused(&zip).ends_with("disagrees with the directory on its length"));
}

#[test]
fn limits_hold_on_what_is_declared() {
    let mut zip = streamed(&files());
    let record = last(&zip, b"PK\x01\x02");
    put(&mut zip, record + 24, &(17_u32 << 20).to_le_bytes());
    let error = r#""m.example/a@v1.0.0/go.mod" has 17825792 bytes, more than the 16777216 that are allowed"#;
    assert_eq!(refused(&zip), error);
    put(&mut zip, record + 24, &(501_u32 << 20).to_le_bytes());
    assert!(refused(&zip).starts_with("the unpacked zip has "));
    put(&mut zip, record + 24, &20_u32.to_le_bytes());
    assert_eq!(refused(&zip), r#""m.example/a@v1.0.0/go.mod" unpacks to 19 bytes, but declares 20"#);
}

/// A zip behind so many zeros that it has a length of one's choice. The zeros take no memory.
struct Behind {
    zip: Vec<u8>,
    len: u64,
}

impl ReadAt for Behind {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let zeros = self.len - self.zip.len() as u64;
        for (at, byte) in (offset..).zip(buf) {
            let place = at.checked_sub(zeros).and_then(|at| usize::try_from(at).ok());
            *byte = place.map_or(0, |at| self.zip[at]);
        }
        Ok(())
    }
}

#[test]
fn fact_17_sizes_are_accepted_up_to_the_limit_and_refused_one_byte_above() {
    // Packed.
    let most = Behind { zip: streamed(&files()), len: MAX_ZIP };
    assert_eq!(check_module_zip(&module(), &most).unwrap().len, MAX_ZIP);
    let over = Behind { len: MAX_ZIP + 1, ..most };
    assert_eq!(refused(&over), "the zip has 524288001 bytes, more than the 524288000 that are allowed");
    // Unpacked, by what is declared: the whole is counted before anything is unpacked.
    let mut zip = streamed(&[(format!("{PREFIX}a.bin"), b"abc".to_vec()), (format!("{PREFIX}b.bin"), vec![])]);
    let record = zip.windows(4).position(|it| it == b"PK\x01\x02").unwrap();
    for (more, fits) in [(0_u32, true), (1, false)] {
        put(&mut zip, record + 24, &(500_u32 << 20).to_le_bytes());
        let second = last(&zip, b"PK\x01\x02");
        put(&mut zip, second + 24, &more.to_le_bytes());
        assert_eq!(Archive::read(&zip).is_ok(), fits, "{more}");
    }
    // go.mod and LICENSE, which the go command reads whole.
    for name in ["go.mod", "LICENSE"] {
        let zip = |len: usize| streamed(&[(format!("{PREFIX}{name}"), vec![b'\n'; len])]);
        assert_eq!(check_module_zip(&module(), &zip(16 << 20)).unwrap().unpacked, 16 << 20, "{name}");
        let error = format!("\"{PREFIX}{name}\" has 16777217 bytes, more than the 16777216 that are allowed");
        assert_eq!(refused(&zip((16 << 20) + 1)), error);
        // Only at the root.
        let below = streamed(&[(format!("{PREFIX}sub/{name}"), vec![b'\n'; (16 << 20) + 1])]);
        assert!(check_module_zip(&module(), &below).is_ok(), "{name}");
    }
}

#[test]
fn names_are_not_judged() {
    for name in ["m.example/a@v1.0.1/go.mod", "m.example/a@v1.0.0.txt", "/etc/passwd", ""] {
        let zip = streamed(&[(name, b"text\n".to_vec())]);
        assert_eq!(check_module_zip(&module(), &zip).unwrap().h1, H1::of_zip(&zip).unwrap(), "{name}");
    }
}

#[test]
fn two_stories_about_one_file_are_refused() {
    let zip = seekable(zip::CompressionMethod::Stored, &files());
    let local = zip.windows(4).position(|it| it == b"PK\x03\x04").unwrap();
    for (at, what) in [(30, "name"), (8, "method"), (6, "flags"), (14, "checksum"), (18, "length")] {
        let mut zip = zip.clone();
        zip[local + at] ^= 1;
        let error = refused(&zip);
        assert!(error.ends_with(&format!("disagrees with the directory on its {what}")), "{error}");
    }
}

#[test]
fn files_that_share_bytes_are_refused() {
    let name = |n: u8| format!("{PREFIX}{n}");
    let mut zip = seekable(zip::CompressionMethod::Stored, &[(name(1), vec![7; 9]), (name(1) + "x", vec![])]);
    // The second record becomes the first one again.
    let first = last(&zip[..last(&zip, b"PK\x01\x02")], b"PK\x01\x02");
    let second = last(&zip, b"PK\x01\x02");
    let record = zip[first..first + 46].to_vec();
    put(&mut zip, second + 10, &record[10..28]);
    put(&mut zip, second + 42, &record[42..46]);
    zip.remove(second + 46 + name(1).len());
    zip[second + 28] -= 1;
    let end = last(&zip, b"PK\x05\x06");
    zip[end + 12] -= 1;
    assert_eq!(Archive::read(&zip).unwrap().entries().len(), 2);
    let error = r#""m.example/a@v1.0.0/1" overlaps "m.example/a@v1.0.0/1" in the zip, as in a zip bomb"#;
    assert_eq!(refused(&zip), error);
}

#[test]
fn an_unknown_method_is_named() {
    let mut zip = seekable(zip::CompressionMethod::Stored, &files());
    for at in [zip.windows(4).position(|it| it == b"PK\x03\x04").unwrap() + 8, {
        let first = zip.windows(4).position(|it| it == b"PK\x01\x02").unwrap();
        first + 10
    }] {
        zip[at] = 12;
    }
    let error = r#""m.example/a@v1.0.0/LICENSE" is packed with method 12, which Go does not read"#;
    assert_eq!(refused(&zip), error);
}

#[test]
fn a_hostile_name_is_short_and_printable_in_messages() {
    let shown = error::show(&[b"\x1b[2J\n".as_slice(), &[b'a'; 60_000]].concat());
    assert!(shown.len() < 200 && !shown.contains(['\n', '\x1b']), "{shown}");
}

#[test]
fn a_failing_medium_is_not_a_bad_zip() {
    struct Broken(Vec<u8>);
    impl ReadAt for Broken {
        fn len(&self) -> u64 {
            ReadAt::len(&self.0)
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let error = check_module_zip(&module(), &Broken(streamed(&files()))).unwrap_err();
    assert!(matches!(error, ZipError::Read(_)));
    assert_eq!(error.to_string(), "the zip cannot be read: the disk is gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_is_noticed_or_harmless(at: prop::sample::Index, bit in 0..8_u32, stored: bool) {
        let method = if stored { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        let zip = seekable(method, &files());
        let mut flipped = zip.clone();
        flipped[at.index(zip.len())] ^= 1 << bit;
        if let Ok(facts) = check_module_zip(&module(), &flipped) {
            // Times, attributes and versions are no content.
            prop_assert_eq!(facts.h1, H1::of_zip(&zip).unwrap());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), with_end: bool) {
        if with_end {
            bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
            bytes.extend([0xff; 8]);
            bytes.extend([0, 0]);
        }
        let _ = check_module_zip(&module(), &bytes);
    }

    #[test]
    fn a_zip_that_is_cut_off_is_refused(at: prop::sample::Index) {
        let mut zip = streamed(&files());
        zip.truncate(at.index(zip.len()));
        prop_assert!(check_module_zip(&module(), &zip).is_err());
    }
}
