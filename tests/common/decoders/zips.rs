//! Zips, and the recipes that they are rebuilt from.

#![allow(clippy::ptr_arg, reason = "a slice has no size, and cannot be a `dyn ReadAt`")]

use std::collections::HashMap;
use std::io::{Cursor, Write as _};

use bytes::Bytes;
use modswarm::domain::blob::{BlobId, MAX_BLOB};
use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::publish::{check_zip, module_of_zip};
use modswarm::domain::recipe::{Layout, MAX_FRAMING, Span, join, split};
use modswarm::domain::zip::{Archive, check_module_zip, read_file};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Source;

/// Bytes that one file is unpacked to at most here; the bound that is tested is the caller's.
const UNPACKED: u64 = 1 << 20;

pub(super) fn module() -> ModuleVersion {
    super::manifests::module()
}

pub(super) fn run(data: &[u8]) {
    let mut source = Source(data);
    match source.byte() % 4 {
        0 => any_bytes(&source.0.to_vec()),
        1 => any_bytes(&written(source)),
        2 => pages(source),
        _ => changed_pages(source),
    }
}

/// What goes in comes out bit for bit, zip or not; what is read of it keeps to what it says.
fn any_bytes(zip: &Vec<u8>) {
    let (blobs, recipe) = taken_apart(zip);
    let layout = Layout::from_pages(&module(), recipe.1, &recipe.0).expect("its own recipe");
    assert_eq!(joined(&layout, &blobs), *zip);
    assert!(layout.chunks().all(|(id, len)| blobs[&id].len() == len && len <= MAX_BLOB));

    let checked = check_module_zip(&module(), zip);
    let h1 = H1::of_zip(zip);
    if let Ok(facts) = checked {
        assert_eq!((Some(facts.h1), facts.len), (h1.ok(), zip.len() as u64));
    }
    // One without any file is about any module.
    if let (Ok(_), Ok(said)) = (check_zip(&module(), zip), module_of_zip(zip)) {
        assert_eq!(said, module());
    }
    let Ok(archive) = Archive::read(zip) else { return };
    let mut left = 4 * UNPACKED;
    for entry in archive.entries() {
        if let Ok(content) = read_file(zip, entry, UNPACKED.min(left)) {
            assert_eq!(content.len() as u64, entry.unpacked);
            left -= entry.unpacked;
        }
    }
}

type Recipe = (Vec<Vec<u8>>, u64);

pub(super) fn taken_apart(zip: &Vec<u8>) -> (HashMap<BlobId, Bytes>, Recipe) {
    let mut blobs = HashMap::new();
    let mut emit = |id: BlobId, bytes: Vec<u8>| {
        assert!(BlobId::of(&bytes) == id && bytes.len() <= MAX_BLOB);
        blobs.insert(id, Bytes::from(bytes));
        Ok::<_, ()>(())
    };
    let split = split(&module(), zip, &mut emit).expect("any bytes can be taken apart");
    assert_eq!((split.len, split.blake3), (zip.len() as u64, *blake3::hash(zip).as_bytes()));
    let pages = split.pages.iter().map(|id| blobs[id].to_vec()).collect();
    (blobs, (pages, split.len))
}

fn joined(layout: &Layout, blobs: &HashMap<BlobId, Bytes>) -> Vec<u8> {
    let mut out = Vec::new();
    let get = |id: &BlobId| Ok::<_, ()>(blobs[id].clone());
    join(layout, get, |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })
    .expect("all chunks are there");
    out
}

/// A zip as writers write it, and then as disks and liars leave it.
pub(super) fn written(mut source: Source<'_>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let files = source.byte() % 6;
    for number in 0..files {
        let (shape, fill, len) = (source.byte(), source.byte(), usize::from(source.u16()));
        let prefix = if shape & 1 == 0 { module().zip_prefix() } else { String::new() };
        let end = [".go", "/", "/go.mod", "/LICENSE", "/../x", "/\u{e9}.txt", "/vendor/a.go", "/.git/x"];
        let name = format!("{prefix}f{number}{}", end[usize::from(shape >> 1) % end.len()]);
        let method = if shape & 128 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method).large_file(shape & 64 != 0);
        if writer.start_file(name, options).is_ok() {
            let mut content = source.take(usize::from(fill)).to_vec();
            content.resize(content.len() + len % 3000, fill);
            writer.write_all(&content).expect("into memory");
        }
    }
    let mut zip = writer.finish().map(Cursor::into_inner).unwrap_or_default();
    let (from, changes) = (zip.len(), source.byte() % 8);
    for _ in 0..changes {
        // Mostly near the end, where the directory is.
        let back = usize::from(source.u16()) % from.max(1);
        if let Some(byte) = from.checked_sub(back + 1).and_then(|at| zip.get_mut(at)) {
            *byte = source.byte();
        }
    }
    zip.extend_from_slice(source.take(64));
    zip
}

/// Pages of a recipe that a liar has written: `length`, then so many pages with their lengths before them.
fn pages(mut source: Source<'_>) {
    let len = source.u64() % (1 << 30);
    let count = source.byte() % 8;
    let pages: Vec<&[u8]> = (0..count)
        .map(|at| {
            let len = usize::from(source.u16());
            if at + 1 == count { source.0 } else { source.take(len) }
        })
        .collect();
    laid_out(len, &pages);
}

/// Pages that were true, with some bytes changed.
fn changed_pages(mut source: Source<'_>) {
    let (split, changes) = (source.byte(), source.byte() % 6);
    let changes: Vec<(usize, u8)> = (0..changes).map(|_| (usize::from(source.u16()), source.byte())).collect();
    let (_, (mut pages, len)) = taken_apart(&written(source));
    let off = i64::from(split as i8) / 64;
    for (at, to) in changes {
        let which = at % pages.len().max(1);
        if let Some(page) = pages.get_mut(which).filter(|page| !page.is_empty()) {
            let at = (at / 2) % page.len();
            page[at] = to;
        }
    }
    laid_out(len.saturating_add_signed(off), &pages);
}

/// A recipe that is taken has the length that it was said to have, and no range of it runs out of it.
fn laid_out<P: AsRef<[u8]>>(len: u64, pages: &[P]) {
    let Ok(layout) = Layout::from_pages(&module(), len, pages) else { return };
    assert_eq!(layout.len(), len);
    let size = |span: Span<'_>| match span {
        Span::Literal(bytes) => bytes.len() as u64,
        Span::Chunk { take, .. } => {
            assert!(take <= MAX_BLOB);
            take as u64
        }
    };
    assert_eq!(layout.spans(0..len).map(size).sum::<u64>(), len);
    let literals = layout.spans(0..len).filter(|span| matches!(span, Span::Literal(_))).map(size).sum::<u64>();
    assert!(literals <= MAX_FRAMING as u64);
    for (start, end) in [(0, 1), (len / 3, len / 2), (len.saturating_sub(1), u64::MAX), (len, len + 1)] {
        let want = end.min(len).saturating_sub(start);
        assert_eq!(layout.spans(start..end).map(size).sum::<u64>(), want, "{start}..{end} of {len}");
    }
}
