//! Zips of many kinds split and joined; pages that lie.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::{Cursor, Write as _};

use bytes::Bytes;
use proptest::prelude::*;
use zip::CompressionMethod;
use zip::write::{FileOptions, SimpleFileOptions, ZipWriter};

use super::page::{Data, EndRecord, File, Page};
use super::*;
use crate::domain::blob::BlobId;
use crate::domain::module::ModuleVersion;
use crate::domain::zip::tests::{PREFIX, files, module, seekable, streamed};

/// A split zip with its blobs.
struct Kept {
    split: Split,
    blobs: HashMap<BlobId, Vec<u8>>,
}

impl Kept {
    #[allow(clippy::ptr_arg, reason = "an unsized slice is no `dyn ReadAt`")]
    fn of(module: &ModuleVersion, zip: &Vec<u8>) -> Self {
        let mut blobs = HashMap::new();
        let split = split(module, zip, &mut |id, bytes| {
            assert_eq!(id, BlobId::of(&bytes));
            assert!(bytes.len() <= MAX_BLOB);
            assert!(blobs.insert(id, bytes).is_none(), "no blob comes twice");
            Ok::<_, Infallible>(())
        })
        .unwrap();
        assert_eq!((split.len, split.blake3), (zip.len() as u64, *blake3::hash(zip).as_bytes()));
        let pages: HashSet<BlobId> = split.pages.iter().copied().collect();
        let (pages, chunks): (Vec<_>, Vec<_>) = blobs.iter().partition(|(id, _)| pages.contains(id));
        let len = |blobs: &[(&BlobId, &Vec<u8>)]| blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        assert_eq!((split.chunks, split.chunk_bytes, split.page_bytes), (chunks.len(), len(&chunks), len(&pages)));
        Self { split, blobs }
    }

    fn pages(&self) -> Vec<Vec<u8>> {
        self.split.pages.iter().map(|id| self.blobs[id].clone()).collect()
    }

    fn layout(&self, module: &ModuleVersion) -> Layout {
        Layout::from_pages(module, self.split.len, &self.pages()).unwrap()
    }

    fn join(&self, module: &ModuleVersion) -> Vec<u8> {
        let mut zip = Vec::new();
        let out = |bytes: &[u8]| {
            zip.extend_from_slice(bytes);
            Ok(())
        };
        join(&self.layout(module), |id| Ok::<_, Infallible>(Bytes::from(self.blobs[id].clone())), out).unwrap();
        zip
    }
}

fn round_trip(zip: &Vec<u8>) -> Kept {
    let kept = Kept::of(&module(), zip);
    assert!(kept.join(&module()) == *zip, "the zip does not come out bit for bit");
    kept
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A module with `count` files under `prefix`, of which `edited` has another content.
fn release(prefix: &str, count: usize, edited: usize) -> Vec<(String, Vec<u8>)> {
    let content = |n: usize| noise(300 + usize::from(n == edited), u8::try_from(n % 251).unwrap());
    let content = |n: usize| [n.to_le_bytes().to_vec(), content(n)].concat();
    (0..count).map(|n| (format!("{prefix}dir{:02}/file{n:04}.go", n / 20), content(n))).collect()
}

#[test]
fn zips_of_every_plain_writer_are_split_by_file() {
    let with_comment = {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let mut options: FileOptions<'_, zip::write::ExtendedFileOptions> = FileOptions::default();
        options = options.unix_permissions(0o755).large_file(false);
        options.add_extra_data(0x7777, vec![1, 2, 3].into_boxed_slice(), false).unwrap();
        zip.start_file(format!("{PREFIX}a"), options).unwrap();
        zip.write_all(b"a").unwrap();
        zip.add_directory(format!("{PREFIX}dir/"), SimpleFileOptions::default()).unwrap();
        zip.set_comment("of no use").unwrap();
        zip.finish().unwrap().into_inner()
    };
    let big = vec![(format!("{PREFIX}big"), noise((2 << 20) + 5, 1))];
    for (name, zip) in [
        ("streamed", streamed(&files())),
        ("stored", seekable(CompressionMethod::Stored, &files())),
        ("deflated", seekable(CompressionMethod::Deflated, &files())),
        ("comment and extra fields", with_comment),
        ("big", seekable(CompressionMethod::Stored, &big)),
    ] {
        assert!(round_trip(&zip).split.by_file, "{name}");
    }
}

#[test]
fn odd_zips_are_split_into_plain_pieces() {
    let go = streamed(&files());
    let other = seekable(CompressionMethod::Stored, &[("m.example/a@v1.0.1/x", vec![1; 100])]);
    let gap = [b"junk".as_slice(), &go].concat();
    let tail = [&go, b"junk".as_slice()].concat();
    for zip in [vec![], vec![0; 3 << 20], other, gap, tail, streamed::<&str>(&[]), go[..go.len() - 1].to_vec()] {
        let kept = round_trip(&zip);
        assert!(!kept.split.by_file);
        assert_eq!(kept.split.pages.len(), 1);
    }
}

#[test]
fn a_zip_with_a_zip64_end_record_is_split_by_file() {
    let files: Vec<_> = (0..65_600).map(|n| (format!("{PREFIX}{n}"), Vec::new())).collect();
    let mut zip = seekable(CompressionMethod::Stored, &files);
    // Go says "see the zip64 record" for directory length and offset, too.
    let end = zip.len() - 22;
    zip[end + 12..end + 20].fill(0xff);
    let kept = round_trip(&zip);
    assert!(kept.split.by_file);
    assert!((1000..MAX_PAGES).contains(&kept.split.pages.len()), "{} pages", kept.split.pages.len());
}

#[test]
fn an_upgrade_sends_what_changed() {
    let next = ModuleVersion::parse("m.example/a@v1.1.0").unwrap();
    let old = Kept::of(&module(), &streamed(&release(PREFIX, 400, usize::MAX)));
    let mut edited = release("m.example/a@v1.1.0/", 400, 123);
    edited.remove(300);
    let new = Kept::of(&next, &streamed(&edited));
    let sent: Vec<_> = new.blobs.keys().filter(|id| !old.blobs.contains_key(id)).collect();
    let pages = sent.iter().filter(|id| new.split.pages.contains(id)).count();
    assert_eq!(sent.len() - pages, 1, "one file was edited");
    assert!(pages <= 2, "{pages} pages were touched by one edit and one removal");
    assert!(new.split.pages.len() > 10);
}

#[test]
fn a_file_that_comes_twice_is_one_blob_and_two_places() {
    let content = noise(1000, 7);
    let zip = seekable(
        CompressionMethod::Stored,
        &[(format!("{PREFIX}a"), content.clone()), (format!("{PREFIX}b"), content)],
    );
    let kept = round_trip(&zip);
    let layout = kept.layout(&module());
    assert_eq!(kept.split.chunks, 1);
    let chunks: Vec<_> = layout.chunks().collect();
    assert_eq!(chunks.len(), 2);
    assert_eq!((chunks[0], chunks[0].1), (chunks[1], 1000));
}

#[test]
fn recipe_pages_keep_their_encoding() {
    let golden = |name: &str, bytes: &[u8]| {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("MODSWARM_BLESS").is_some() {
            std::fs::write(&path, bytes).unwrap();
        }
        let message = "the encoding of recipe pages has changed: old stores and peers would not understand it";
        assert!(std::fs::read(&path).unwrap() == bytes, "{path}: {message}");
    };
    let shape = page::Shape {
        made_by: 20,
        needs: 20,
        flags: 8,
        method: 8,
        time: 0,
        date: 0,
        internal: 0,
        external: 0x81a4_0000,
        local_extra: vec![1],
        extra: vec![2, 3],
        comment: vec![],
        sums: page::Sums::Signed,
    };
    let file = |name: &str, data| File {
        name: name.into(),
        shape: shape.clone().into(),
        crc: 0x0403_0201,
        unpacked: 70_000,
        data,
    };
    let chunks = Data::Chunks { packed: (1 << 20) + 1, ids: vec![BlobId::of(b"a"), BlobId::of(b"b")] };
    let files = vec![file("dir/a.go", chunks), file("dir/b.go", Data::Inline(b"tiny".to_vec()))];
    let end = Some(EndRecord { wide: Some((45, 45)), comment: b"end".to_vec() });
    let page = Page::Files { files, end };
    assert_eq!(Page::decode(0, &page.encode()), Ok(page.clone()));
    golden("recipe-files-v1.bin", &page.encode());
    golden("recipe-plain-v1.bin", &Page::Plain(vec![BlobId::of(b"a")]).encode());
}

#[test]
fn pages_that_lie_are_refused() {
    let kept = Kept::of(&module(), &streamed(&release(PREFIX, 100, 0)));
    let (pages, len) = (kept.pages(), kept.split.len);
    let refused = |len, pages: &[Vec<u8>]| Layout::from_pages(&module(), len, pages).unwrap_err().to_string();
    let more = refused(len + 1, &pages);
    assert_eq!(more, format!("the recipe gives a zip of {len} bytes where the manifest says {}", len + 1));
    assert!(refused(len - 1, &pages).starts_with("the recipe gives a zip of "));
    assert_eq!(refused(u64::MAX, &pages), "the recipe is refused: its zip is over 500 MiB");
    assert_eq!(refused(len, &[]), "the recipe is refused: it has no pages, or more than a manifest may list");
    assert!(refused(len, &vec![vec![]; MAX_PAGES + 1]).contains("more than a manifest may list"));
    let last = pages.len() - 1;
    let cut =
        format!("page {} of the recipe is refused: the end record has to be in the last one, and only there", last - 1);
    assert_eq!(refused(len, &pages[..last]), cut);
    assert_eq!(refused(len, &[vec![9]]), "recipe format 9 is not known here (this version reads 1)");
    assert_eq!(refused(len, &[vec![]]), "page 0 of the recipe cannot be read: bytes are cut off or of another kind");
    let long = refused(len, &[[1].repeat(MAX_PAGE + 1)]);
    assert_eq!(long, "page 0 of the recipe cannot be read: 65537 bytes are more than the 65536 that are allowed here");
    let plain = Page::Plain(vec![BlobId::of(b"")]).encode();
    assert!(
        refused(3 << 20, std::slice::from_ref(&plain)).ends_with("more or fewer chunks than the zip's length takes")
    );
    assert!(refused(len, &[plain.clone(), plain]).ends_with("a plain one has to be the only one"));
}

#[test]
fn a_page_has_one_encoding() {
    let zip = streamed(&release(PREFIX, 3, 0));
    let page = Kept::of(&module(), &zip).pages().remove(0);
    let Page::Files { files, end } = Page::decode(0, &page).unwrap() else { panic!("split by file") };
    let refused = |change: &dyn Fn(&mut Vec<File>)| {
        let mut files = files.clone();
        change(&mut files);
        let bytes = Page::Files { files, end: end.clone() }.encode();
        Page::decode(0, &bytes).unwrap_err().to_string()
    };
    let data = |data: Data| move |files: &mut Vec<File>| files[0].data = data.clone();
    let inline = refused(&data(Data::Inline(vec![0; MAX_INLINE + 1])));
    assert_eq!(inline, "page 0 of the recipe is refused: a file's inline data is too long");
    let chunk = |packed, count| Data::Chunks { packed, ids: vec![BlobId::of(b""); count] };
    assert!(refused(&data(chunk(1, 1))).ends_with("a file is a chunk where it should be inline"));
    assert!(refused(&data(chunk(u32::MAX, 1))).ends_with("more or fewer chunks than its length takes"));
    assert!(refused(&|files: &mut Vec<File>| files.clear()).ends_with("it holds no files, or more than a page may"));
    for flip in 0..page.len() {
        let mut other = page.clone();
        other[flip] ^= 0x40;
        if let Ok(decoded) = Page::decode(0, &other) {
            assert_eq!(decoded.encode(), other, "byte {flip}");
        }
    }
}

#[test]
fn names_that_unfold_to_gigabytes_are_stopped() {
    let zip = streamed(&release(PREFIX, 1, 0));
    let Page::Files { files, end } = Page::decode(0, &Kept::of(&module(), &zip).pages()[0]).unwrap() else {
        panic!("split by file")
    };
    let name = |n: usize| [vec![b'a'; 40_000], n.to_string().into_bytes()].concat();
    let files: Vec<File> = (0..250).map(|n| File { name: name(n), ..files[0].clone() }).collect();
    let page = Page::Files { files: files.clone(), end: None }.encode();
    let mut pages = vec![page; 30];
    pages.push(Page::Files { files, end }.encode());
    let error = Layout::from_pages(&module(), 400 << 20, &pages).unwrap_err().to_string();
    assert_eq!(error, "the recipe is refused: it has more headers and names than a zip may have here");
}

#[test]
fn a_chunk_of_another_length_is_noticed() {
    let kept = Kept::of(&module(), &streamed(&release(PREFIX, 1, 0)));
    let error =
        join(&kept.layout(&module()), |_| Ok::<_, Infallible>(Bytes::from_static(b"?")), |_| Ok(())).unwrap_err();
    assert!(error.to_string().ends_with(&format!("has 1 bytes where the recipe says {}", kept.split.chunk_bytes)));
}

#[test]
fn what_the_sink_says_comes_back() {
    let error = split(&module(), &streamed(&files()), &mut |_, _| Err("the disk is full")).unwrap_err();
    assert!(matches!(error, SplitError::Emit("the disk is full")));
}

fn module_files() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (0..9000_usize, any::<u8>()).prop_map(|(len, seed)| noise(len, seed)),
    ];
    prop::collection::btree_map("[a-c]{1,3}/[a-z]{1,6}", content, 0..40)
        .prop_map(|files| files.into_iter().map(|(name, content)| (format!("{PREFIX}{name}"), content)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_come_out_again(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        round_trip(&bytes);
    }

    #[test]
    fn any_zip_comes_out_again_whole_or_damaged(
        files in module_files(), kind in 0..3_u8, cut: prop::sample::Index, flip: prop::sample::Index, bit in 0..8_u32
    ) {
        let zip = match kind {
            0 => streamed(&files),
            1 => seekable(CompressionMethod::Stored, &files),
            _ => seekable(CompressionMethod::Deflated, &files),
        };
        prop_assert_eq!(round_trip(&zip).split.by_file, !files.is_empty());
        round_trip(&zip[..cut.index(zip.len())].to_vec());
        let mut flipped = zip.clone();
        flipped[flip.index(zip.len())] ^= 1 << bit;
        round_trip(&flipped);
    }

    #[test]
    fn any_range_is_the_slice(files in module_files(), a: prop::sample::Index, b: prop::sample::Index) {
        let zip = streamed(&files);
        let kept = Kept::of(&module(), &zip);
        let (a, b) = (a.index(zip.len() + 1), b.index(zip.len() + 1));
        let range = a.min(b)..a.max(b);
        let mut got = Vec::new();
        for span in kept.layout(&module()).spans(range.start as u64..range.end as u64) {
            match span {
                Span::Literal(bytes) => got.extend_from_slice(bytes),
                Span::Chunk { id, skip, take } => got.extend_from_slice(&kept.blobs[&id][skip..skip + take]),
            }
        }
        prop_assert_eq!(got, &zip[range]);
    }

    #[test]
    fn any_page_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        bytes.insert(0, FORMAT);
        let _ = Layout::from_pages(&module(), 1000, &[bytes]);
        let kept = Kept::of(&module(), &streamed(&release(PREFIX, 5, 0)));
        let mut pages = kept.pages();
        for (at, byte) in flips {
            let page = at.index(pages.len());
            let at = at.index(pages[page].len());
            pages[page][at] = byte;
        }
        if let Ok(layout) = Layout::from_pages(&module(), kept.split.len, &pages) {
            let spans = layout.spans(0..u64::MAX);
            let total: usize = spans.map(|span| match span { Span::Literal(bytes) => bytes.len(), Span::Chunk { take, .. } => take }).sum();
            prop_assert_eq!(total as u64, kept.split.len);
        }
    }
}
