//! `h1:` hashes, the names under which the go command and its checksum database know content.
//!
//! The hash of a zip is over what Go's `archive/zip` finds in it (see [`super::zip`]), name by name; the framing of the
//! zip, the order of its files and how they are packed do not count. So two different zips may have the same `h1:`, and a
//! zip that is to come out bit for bit needs a hash over its bytes as well. Inflating takes nearly all of the time,
//! which is why [`H1::of_zip_with`] spreads it over threads; memory is flat in either case. Files are read in the order in
//! which they lie in the zip, whatever their names are: a zip that is still coming is hashed as it comes, and nothing
//! that lies in a zip can make its reader jump about.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::blob::ReadAt;
use super::zip::{Archive, Inflater, ZipError};

/// A hash of kind `h1:` (golang.org/x/mod/sumdb/dirhash, `Hash1`): SHA-256 over the sorted lines `hex(sha256(file))  name\n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct H1([u8; 32]);

impl H1 {
    /// A hash from its 32 raw bytes.
    #[must_use]
    pub const fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The hash of a go.mod file, which is hashed as a tree of one file with the name `go.mod`.
    #[must_use]
    pub fn of_go_mod(bytes: &[u8]) -> Self {
        Self::of_lines([("go.mod", Sha256::digest(bytes).into())])
    }

    /// The hash of a module zip (golang.org/x/mod/sumdb/dirhash, `HashZip`): every byte of it is read and checked.
    ///
    /// Where a name comes twice there are two lines, and both have the hash of the last such file, as in Go.
    ///
    /// # Errors
    /// [`ZipError`] when it is not a zip, damaged, over a limit, or a name holds a line break.
    pub fn of_zip(zip: &dyn ReadAt) -> Result<Self, ZipError> {
        Self::of_archive(zip, &Archive::read(zip)?)
    }

    /// As [`H1::of_zip`], with files inflated on up to `threads` threads (1.9 times as fast on two cores).
    ///
    /// # Errors
    /// As [`H1::of_zip`].
    pub fn of_zip_with(threads: NonZero<usize>, zip: &(dyn ReadAt + Sync)) -> Result<Self, ZipError> {
        Self::of_archive_with(threads, zip, &Archive::read(zip)?)
    }

    /// As [`H1::of_zip_with`], where the directory is already read.
    ///
    /// # Errors
    /// As [`H1::of_zip`].
    pub fn of_archive_with(
        threads: NonZero<usize>,
        zip: &(dyn ReadAt + Sync),
        archive: &Archive,
    ) -> Result<Self, ZipError> {
        let lines = Lines::of(archive)?;
        let next = AtomicUsize::new(0);
        let work = || lines.hash(zip, archive, || next.fetch_add(1, Ordering::Relaxed));
        let parts: Vec<Vec<Hashed>> = std::thread::scope(|scope| {
            let workers = threads.get().clamp(1, lines.sorted.len().max(1));
            let workers: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let others =
                workers.into_iter().map(|worker| worker.join().unwrap_or_else(|it| std::panic::resume_unwind(it)));
            others.chain([mine]).collect::<Result<_, _>>()
        })?;
        Ok(lines.sum(archive, parts.into_iter().flatten()))
    }

    /// As [`H1::of_zip`], where the directory is already read.
    ///
    /// # Errors
    /// As [`H1::of_zip`].
    pub fn of_archive(zip: &dyn ReadAt, archive: &Archive) -> Result<Self, ZipError> {
        let lines = Lines::of(archive)?;
        let mut next = 0..lines.sorted.len();
        let hashed = lines.hash(zip, archive, || next.next().unwrap_or(usize::MAX))?;
        Ok(lines.sum(archive, hashed))
    }

    /// The hash over files that are already hashed; `files` are (name, SHA-256) **sorted by name**, as bytes.
    pub fn of_lines<N: AsRef<[u8]>>(files: impl IntoIterator<Item = (N, [u8; 32])>) -> Self {
        let mut sum = Sha256::new();
        for (name, hash) in files {
            sum.update(hex(hash));
            sum.update(b"  ");
            sum.update(name.as_ref());
            sum.update(b"\n");
        }
        Self(sum.finalize().into())
    }
}

/// A hash as 64 lower-case digits.
fn hex(hash: [u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[usize::from(hash[at / 2] >> (4 * (1 - at % 2)) & 15)])
}

/// The distinct names of a zip.
struct Lines {
    /// In the order of the names.
    sorted: Vec<Line>,
    /// Indices of `sorted`, in the order in which the files lie in the zip.
    by_place: Vec<usize>,
}

struct Line {
    /// The last entry with this name.
    entry: usize,
    /// How many have it.
    times: usize,
}

/// Which line, and the SHA-256 of its file.
type Hashed = (usize, [u8; 32]);

impl Lines {
    fn of(archive: &Archive) -> Result<Self, ZipError> {
        let entries = archive.entries();
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| (&entries[a].name, a).cmp(&(&entries[b].name, b)));
        let mut lines: Vec<Line> = Vec::with_capacity(order.len());
        for entry in order {
            let name = &entries[entry].name;
            if name.contains(&b'\n') {
                return Err(ZipError::line_break(name));
            }
            match lines.last_mut().filter(|line| entries[line.entry].name == *name) {
                Some(line) => *line = Line { entry, times: line.times + 1 },
                None => lines.push(Line { entry, times: 1 }),
            }
        }
        let mut by_place: Vec<usize> = (0..lines.len()).collect();
        by_place.sort_by_key(|index| entries[lines[*index].entry].header_offset);
        Ok(Self { sorted: lines, by_place })
    }

    /// Hashes the lines at those places that `next` hands out, until it gives one that there is not.
    fn hash(
        &self,
        zip: &dyn ReadAt,
        archive: &Archive,
        mut next: impl FnMut() -> usize,
    ) -> Result<Vec<Hashed>, ZipError> {
        let mut inflater = Inflater::new();
        let mut hashed = Vec::new();
        loop {
            let Some(&index) = self.by_place.get(next()) else { return Ok(hashed) };
            let line = &self.sorted[index];
            let mut sum = Sha256::new();
            inflater.each(zip, &archive.entries()[line.entry], &mut |bytes| sum.update(bytes))?;
            hashed.push((index, sum.finalize().into()));
        }
    }

    fn sum(&self, archive: &Archive, hashed: impl IntoIterator<Item = Hashed>) -> H1 {
        let mut hashes = vec![[0; 32]; self.sorted.len()];
        for (index, hash) in hashed {
            hashes[index] = hash;
        }
        let lines = self.sorted.iter().zip(hashes);
        H1::of_lines(
            lines.flat_map(|(line, hash)| std::iter::repeat_n((&archive.entries()[line.entry].name, hash), line.times)),
        )
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text is not `h1:` and 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written h1: and then 32 bytes in base64")]
pub struct BadH1;

impl FromStr for H1 {
    type Err = BadH1;

    fn from_str(text: &str) -> Result<Self, BadH1> {
        let raw = text.strip_prefix("h1:").and_then(|text| STANDARD.decode(text).ok());
        raw.and_then(|raw| raw.try_into().ok()).map(Self).ok_or(BadH1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::zip::tests::{files, seekable, streamed};

    fn hash(files: &[(&str, &str)]) -> H1 {
        H1::of_lines(files.iter().map(|(name, content)| (name, Sha256::digest(content).into())))
    }

    #[test]
    fn a_hash_survives_its_text() {
        // The go.sum line of rsc.io/quote v1.5.2/go.mod, as in the tests of the go command.
        let text = "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=";
        let hash = H1::of_go_mod(b"module \"rsc.io/quote\"\n\nrequire \"rsc.io/sampler\" v1.3.0\n");
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for bad in ["", "h1:", "h2:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=", "h1:LzX7"] {
            assert_eq!(bad.parse::<H1>(), Err(BadH1), "{bad}");
        }
    }

    #[test]
    fn a_zip_hashes_as_its_files_sorted_by_name() {
        // The files of TestHashZip in golang.org/x/mod/sumdb/dirhash.
        let zip = streamed(&[("def", b"data for def".to_vec()), ("abc", b"data for abc".to_vec())]);
        assert_eq!(H1::of_zip(&zip).unwrap(), hash(&[("abc", "data for abc"), ("def", "data for def")]));
    }

    #[test]
    fn how_files_are_packed_does_not_count() {
        let want = H1::of_zip(&streamed(&files())).unwrap();
        let stored = seekable(zip::CompressionMethod::Stored, &files());
        for threads in 1..5 {
            assert_eq!(H1::of_zip_with(NonZero::new(threads).unwrap(), &stored).unwrap(), want);
        }
    }

    #[test]
    fn of_two_files_with_one_name_the_last_counts_twice() {
        let mut zip = streamed(&[("a", b"first".to_vec()), ("b", b"second".to_vec())]);
        let at = zip.windows(4).rposition(|it| it == b"PK\x01\x02").unwrap();
        assert_eq!(std::mem::replace(&mut zip[at + 46], b'a'), b'b');
        assert_eq!(H1::of_zip(&zip).unwrap(), hash(&[("a", "second"), ("a", "second")]));
    }

    #[test]
    fn a_line_break_in_a_name_is_refused() {
        let error = H1::of_zip(&streamed(&[("a\nb", vec![])])).unwrap_err();
        assert_eq!(error.to_string(), r#"the file name "a\nb" holds a line break, which an h1: hash cannot express"#);
    }

    #[test]
    fn damage_is_found_on_any_number_of_threads() {
        let mut zip = seekable(zip::CompressionMethod::Stored, &files());
        let at = zip.windows(6).rposition(|it| it == b"module").unwrap();
        zip[at] ^= 1;
        for threads in [1, 4] {
            let error = H1::of_zip_with(NonZero::new(threads).unwrap(), &zip).unwrap_err();
            assert!(matches!(error, ZipError::Checksum { .. }), "{error}");
        }
    }
}
