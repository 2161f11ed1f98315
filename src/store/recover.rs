//! Opening the segments of a directory, whatever state the last run left them in.
//!
//! A sealed segment costs its trailer. One without a footer that can be believed is read from its start: the torn tail
//! of a batch that was never acknowledged is cut, damaged places are reported and left where they are, and the segment
//! is sealed, so that nothing is ever appended behind damage. Only an undamaged last segment is appended to again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::footer::{Footer, FooterError};
use super::limits::SEGMENT_RECORDS;
use super::record::StoreKey;
use super::scan::{Scan, scan};
use super::segment::{FORMAT, SEGMENT_HEADER, Segment, SegmentHead, entries_of, number_of, read_head};
use super::segments::Segments;

/// The segment that the next batch goes to.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) segment: Arc<Segment>,
    /// Where its last durable record ends.
    pub(super) end: u64,
    /// The number of its last batch.
    pub(super) batch: u32,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Segments,
    pub(super) open: Option<OpenSegment>,
    pub(super) key: StoreKey,
    pub(super) next_number: u32,
    /// The highest sequence number of any record.
    pub(super) max_seq: u64,
    /// Places that could not be read.
    pub(super) gaps: usize,
}

struct Candidate {
    number: u32,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: u64,
    head: SegmentHead,
}

/// Opens all segments in `dir`.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, segment_bytes: u64) -> Result<Recovered, StoreError> {
    let candidates = candidates(disk, dir)?;
    let next_number = candidates.last().map_or(1, |last| last.number.saturating_add(1));
    let known = candidates.iter().find_map(|candidate| match candidate.head {
        SegmentHead::Good(key) => Some(key),
        _ => None,
    });
    let mut found = Recovered {
        segments: Segments::default(),
        open: None,
        key: known.unwrap_or_else(StoreKey::random),
        next_number,
        max_seq: 0,
        gaps: 0,
    };
    let last = candidates.last().map(|last| last.number);
    for candidate in candidates {
        let key = match (candidate.head, known) {
            (SegmentHead::Good(key), _) => key,
            (SegmentHead::Newer(format), _) => {
                return Err(StoreError::NewerFormat { path: candidate.path, format, known: FORMAT });
            }
            // Both copies of the header are gone, but its records say what they are.
            (SegmentHead::Bad, Some(key)) if candidate.len > SEGMENT_HEADER => {
                tracing::warn!(segment = %candidate.path.display(), "a segment's header is damaged; its records are read without it");
                key
            }
            (SegmentHead::Bad, _) => {
                set_aside(disk, dir, &candidate)?;
                continue;
            }
        };
        let may_append = last == Some(candidate.number) && matches!(candidate.head, SegmentHead::Good(_));
        found.take(candidate, key, may_append.then_some(segment_bytes))?;
    }
    Ok(found)
}

fn candidates(disk: &dyn Disk, dir: &Path) -> Result<Vec<Candidate>, StoreError> {
    let paths = disk.list(dir).map_err(|error| StoreError::io("list", dir, error))?;
    let mut numbered: Vec<(u32, PathBuf)> =
        paths.into_iter().filter_map(|path| number_of(&path).map(|number| (number, path))).collect();
    numbered.sort();
    let mut candidates = Vec::with_capacity(numbered.len());
    for (number, path) in numbered {
        let failed = |error| StoreError::io("open", &path, error);
        let file = disk.open(&path, false).map_err(failed)?;
        let (len, head) = (file.len().map_err(failed)?, read_head(&*file).map_err(failed)?);
        candidates.push(Candidate { number, path, file, len, head });
    }
    Ok(candidates)
}

/// A file in which nothing can be told from noise: empty after a crash while it was made, or lost.
fn set_aside(disk: &dyn Disk, dir: &Path, candidate: &Candidate) -> Result<(), StoreError> {
    let path = &candidate.path;
    if candidate.len <= SEGMENT_HEADER {
        tracing::debug!(segment = %path.display(), "a segment without records was removed");
        disk.remove(path).map_err(|error| StoreError::io("remove", path, error))?;
    } else {
        let mut aside = path.clone().into_os_string();
        aside.push(".bad");
        tracing::warn!(segment = %path.display(), len = candidate.len, "a segment cannot be read and was set aside");
        disk.rename(path, Path::new(&aside)).map_err(|error| StoreError::io("set aside", path, error))?;
    }
    disk.sync_dir(dir).map_err(|error| StoreError::io("sync", dir, error))
}

impl Recovered {
    /// Opens one segment; `append` is the size up to which it may be appended to, if it may.
    fn take(&mut self, candidate: Candidate, key: StoreKey, append: Option<u64>) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("read", &candidate.path, error);
        match Footer::open(&*candidate.file, candidate.len, &key, self.segments.bloom_fits()) {
            Ok(footer) => {
                self.max_seq = self.max_seq.max(footer.tally.max_seq);
                let Candidate { number, path, file, .. } = candidate;
                self.segments.add(Arc::new(Segment::sealed(number, path, file, key, footer)));
                return Ok(());
            }
            Err(FooterError::Io(error)) => return Err(failed(error)),
            Err(FooterError::Damaged) => {}
        }
        let scan = scan(&*candidate.file, candidate.len, &key).map_err(failed)?;
        self.report(&candidate, &scan);
        if candidate.len > scan.end {
            candidate.file.set_len(scan.end).map_err(failed)?;
        }
        // What was read may still be in the page cache only; from here on it counts as durable.
        candidate.file.sync().map_err(failed)?;
        let batch = scan.records.last().map_or(0, |(_, header)| header.batch);
        let entries = entries_of(&scan.records);
        self.max_seq = self.max_seq.max(entries.tally.max_seq);
        let Candidate { number, path, file, .. } = candidate;
        let segment = Arc::new(Segment::in_memory(number, path, file, key, entries));
        let room = append.is_some_and(|limit| scan.end < limit) && scan.records.len() < SEGMENT_RECORDS;
        if room && scan.gaps.is_empty() && batch < u32::MAX {
            self.open = Some(OpenSegment { segment: Arc::clone(&segment), end: scan.end, batch });
        } else if let Err(error) = segment.seal(scan.end, self.segments.bloom_fits()) {
            tracing::warn!(%error, "a segment could not be sealed; its index stays in memory");
        }
        self.segments.add(segment);
        Ok(())
    }

    fn report(&mut self, candidate: &Candidate, scan: &Scan) {
        let segment = candidate.path.display();
        for gap in &scan.gaps {
            tracing::warn!(%segment, offset = gap.offset, len = gap.len, "a place in a segment is damaged; the records behind it are kept");
        }
        self.gaps += scan.gaps.len();
        let tail = candidate.len.saturating_sub(scan.end);
        if tail > 0 {
            tracing::warn!(%segment, offset = scan.end, len = tail, "the end of a segment was not written whole and was cut off");
        }
    }
}
