//! The catalog: which manifests are held, the rule for two of one module version, and the ids in memory.
//!
//! One manifest per module version. A fuller one takes the place of one that says less *and nothing else*; where two
//! disagree on a hash, the first stays and the second is a conflict, for someone to look at. The rule is [`decide`].

use bincode::{Decode, Encode};
use bytes::Bytes;
use std::sync::Arc;

use crate::domain::blob::BlobId;
use crate::domain::digest::{self, Digests};
use crate::domain::dirhash::H1;
use crate::domain::manifest::{GoMod, Manifest, ManifestId};
use crate::domain::module::Version;

/// What became of a manifest that was offered to the catalog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The first of its module version.
    New,
    /// It says more than the one that was held and agrees with it otherwise: it took its place.
    Replaced {
        /// The one that was held.
        old: ManifestId,
    },
    /// This very manifest is held.
    Known,
    /// A manifest that agrees with it and says as much or more is held, and stays.
    Superseded {
        /// The one that is held.
        held: ManifestId,
    },
    /// It was retracted: what it names is known not to be what it claims.
    Retracted,
    /// A manifest with another hash of the go.mod or the zip is held, and stays.
    Conflict {
        /// The one that is held.
        held: ManifestId,
    },
}

/// A manifest of the catalog.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its id.
    pub id: ManifestId,
    /// What it says.
    pub manifest: Arc<Manifest>,
    /// The encoded envelope, as it was accepted.
    pub envelope: Bytes,
    /// Whether everything that it names is here and was verified. A manifest without a zip and with its go.mod in it
    /// is complete by itself.
    pub complete: bool,
}

/// One version of a module, as the index knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldVersion {
    /// The version.
    pub version: Version,
    /// Its manifest.
    pub id: ManifestId,
    /// See [`Held::complete`].
    pub complete: bool,
    /// Whether the manifest has a zip; without one only the go.mod (and perhaps the info) is known.
    pub has_zip: bool,
}

/// What the index keeps of a module version.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct Row {
    /// Of the record that it comes from: the highest wins.
    pub(super) seq: u64,
    pub(super) id: ManifestId,
    /// The record that holds the envelope.
    pub(super) record: BlobId,
    pub(super) go_mod_h1: H1,
    pub(super) zip_h1: Option<H1>,
    pub(super) has_info: bool,
    pub(super) complete: bool,
}

impl Row {
    pub(super) fn of(seq: u64, id: ManifestId, record: BlobId, manifest: &Manifest) -> Self {
        Self {
            seq,
            id,
            record,
            go_mod_h1: manifest.go_mod_h1,
            zip_h1: manifest.zip.as_ref().map(|zip| zip.h1),
            has_info: !manifest.info.is_empty(),
            complete: manifest.zip.is_none() && matches!(manifest.go_mod, GoMod::Inline(_)),
        }
    }

    fn holds_zip(&self) -> bool {
        self.complete && self.zip_h1.is_some()
    }
}

/// What to do with `offered` where `held` is held.
pub(super) fn decide(held: Option<&Row>, offered: &Row) -> Accepted {
    let Some(held) = held else { return Accepted::New };
    if held.id == offered.id {
        return Accepted::Known;
    }
    let zips_differ = held.zip_h1.zip(offered.zip_h1).is_some_and(|(held, offered)| held != offered);
    if held.go_mod_h1 != offered.go_mod_h1 || zips_differ {
        return Accepted::Conflict { held: held.id };
    }
    let fullness = |row: &Row| (row.zip_h1.is_some(), row.has_info);
    if fullness(offered) > fullness(held) {
        return Accepted::Replaced { old: held.id };
    }
    Accepted::Superseded { held: held.id }
}

/// The ids of all manifests, in 256 sorted buckets, with their [`digest`]s.
///
/// 32 bytes of memory per manifest.
#[derive(Debug)]
pub(super) struct Ids {
    buckets: Vec<Vec<ManifestId>>,
    digests: Box<Digests>,
    pub(super) counts: Counts,
}

/// How many manifests there are of which sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) manifests: u64,
    pub(super) with_zip: u64,
    pub(super) complete: u64,
    pub(super) held_zips: u64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); 256], digests: Box::new([0; 256]), counts: Counts::default() }
    }
}

impl Ids {
    /// Takes in a row; a row that is there already only changes the counts that it should.
    pub(super) fn insert(&mut self, row: &Row) {
        let ids = &mut self.buckets[usize::from(digest::bucket(&row.id))];
        if let Err(at) = ids.binary_search(&row.id) {
            ids.insert(at, row.id);
            digest::add(&mut self.digests, &row.id);
            self.counts.manifests += 1;
            self.counts.with_zip += u64::from(row.zip_h1.is_some());
            self.counts.complete += u64::from(row.complete);
            self.counts.held_zips += u64::from(row.holds_zip());
        }
    }

    pub(super) fn remove(&mut self, row: &Row) {
        let ids = &mut self.buckets[usize::from(digest::bucket(&row.id))];
        if let Ok(at) = ids.binary_search(&row.id) {
            ids.remove(at);
            digest::remove(&mut self.digests, &row.id);
            self.counts.manifests -= 1;
            self.counts.with_zip -= u64::from(row.zip_h1.is_some());
            self.counts.complete -= u64::from(row.complete);
            self.counts.held_zips -= u64::from(row.holds_zip());
        }
    }

    pub(super) fn digests(&self) -> Digests {
        *self.digests
    }

    pub(super) fn bucket(&self, first: u8) -> Vec<ManifestId> {
        self.buckets[usize::from(first)].clone()
    }

    pub(super) fn all(&self) -> Vec<ManifestId> {
        self.buckets.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u8, go_mod: u8, zip: Option<u8>, has_info: bool) -> Row {
        let h1 = |byte| H1::from_bytes([byte; 32]);
        let id = BlobId::from_bytes([id; 32]);
        Row { seq: 1, id, record: id, go_mod_h1: h1(go_mod), zip_h1: zip.map(h1), has_info, complete: false }
    }

    #[test]
    fn the_first_stays_unless_the_second_only_says_more() {
        let held = row(1, 1, None, true);
        let id = held.id;
        assert_eq!(decide(None, &held), Accepted::New);
        assert_eq!(decide(Some(&held), &held), Accepted::Known);
        assert_eq!(decide(Some(&held), &row(2, 1, Some(5), false)), Accepted::Replaced { old: id });
        assert_eq!(decide(Some(&held), &row(2, 1, None, false)), Accepted::Superseded { held: id });
        assert_eq!(decide(Some(&held), &row(2, 1, None, true)), Accepted::Superseded { held: id });
        assert_eq!(decide(Some(&held), &row(2, 9, Some(5), true)), Accepted::Conflict { held: id });
        let full = row(3, 1, Some(5), false);
        assert_eq!(decide(Some(&full), &row(2, 1, Some(6), true)), Accepted::Conflict { held: full.id });
        assert_eq!(decide(Some(&full), &row(2, 1, Some(5), true)), Accepted::Replaced { old: full.id });
        assert_eq!(decide(Some(&full), &row(2, 1, None, true)), Accepted::Superseded { held: full.id });
    }

    #[test]
    fn digests_depend_on_the_set_and_not_on_its_history() {
        let rows: Vec<Row> = (0..200).map(|n| row(n, 1, (n % 2 == 0).then_some(n), false)).collect();
        let (mut there, mut back) = (Ids::default(), Ids::default());
        rows.iter().for_each(|row| there.insert(row));
        rows.iter().rev().for_each(|row| back.insert(row));
        back.insert(&rows[3]);
        assert_eq!((there.digests(), there.all()), (back.digests(), back.all()));
        assert_eq!(there.counts, Counts { manifests: 200, with_zip: 100, complete: 0, held_zips: 0 });
        back.remove(&rows[7]);
        let differ = (0..256).filter(|at| there.digests()[*at] != back.digests()[*at]).collect::<Vec<_>>();
        assert_eq!((differ, back.bucket(7), there.bucket(7)), (vec![7], vec![], vec![rows[7].id]));
        rows.iter().for_each(|row| back.remove(row));
        assert_eq!((back.digests(), back.counts), (Ids::default().digests(), Counts::default()));
    }
}
