//! How fast a crowd can get one thing from one machine, at best.
//!
//! With M slices, N nodes and a line of u bytes per second at each of them, the last node has the last slice after
//! `(M + floor(log2 N)) / M` times what the whole takes over one line: the seed sends M slices one after the other, and
//! the last of them doubles its holders with each step.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use modswarm::domain::blob::BlobId;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::recipe::{Layout, split};
use modswarm::engine::slices::cut;

use crate::bench::Failure;

/// The slices into which nodes cut this zip.
pub(super) fn slices(module: &str, zip: &Path) -> Result<u64, Failure> {
    let (module, zip) = (ModuleVersion::parse(module)?, fs::read(zip)?);
    let mut blobs = HashMap::new();
    let done = split(&module, &zip, &mut |id: BlobId, bytes: Vec<u8>| {
        blobs.insert(id, bytes);
        Ok::<(), Infallible>(())
    })?;
    let pages: Vec<Vec<u8>> = done.pages.iter().filter_map(|id| blobs.get(id).cloned()).collect();
    let layout = Layout::from_pages(&module, done.len, &pages)?;
    let mut seen = HashSet::new();
    let chunks = layout.chunks().filter(|(id, _)| seen.insert(*id));
    let lens: Vec<u32> = chunks.map(|(_, len)| u32::try_from(len).unwrap_or(u32::MAX)).collect();
    Ok(cut(&lens).len() as u64)
}

/// The bound, in seconds, for `nodes` nodes that get `total` bytes in so many slices over lines of `rate` bits per second.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn seconds(nodes: usize, slices: u64, total: u64, rate: f64) -> f64 {
    let steps = f64::from(nodes.max(1).ilog2());
    (1.0 + steps / slices.max(1) as f64) * (total as f64 * 8.0 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let content =
            super::super::content::Content::made_up(dir.path(), crate::bench::fixture::Variant::Noise, 5 << 20);
        let content = content.unwrap();
        // One large file: pieces of 1 MiB, each a slice, and a last one with what is left of it.
        assert_eq!(slices(&content.module, &content.tree.join(&content.zip)).unwrap(), content.bytes.div_ceil(1 << 20));
    }

    #[test]
    fn the_bound_is_the_line_time_and_a_step_for_each_doubling() {
        let total = 25 << 20;
        let line = f64::from(25 << 20) * 8.0 / 1e8;
        for (nodes, steps) in [(0, 0.0), (1, 0.0), (2, 1.0), (10, 3.0), (16, 4.0)] {
            let bound = seconds(nodes, 100, total, 1e8);
            assert!((bound - line * (1.0 + steps / 100.0)).abs() < 1e-9, "{nodes}: {bound}");
        }
    }
}
