//! Holding a catalog to the rule of the node that it is opened by.
//!
//! The door checks each manifest once, when it comes in; nothing checks again when it is served or passed on. That is
//! right as long as the rule stays the same. So the rule by which the catalog was filled is noted in the store, and at
//! the start of a node with another rule every manifest that would not be let in today is *set aside*: it is not
//! in the catalog any more, neither served nor listed nor announced, until it comes in again with what the rule wants:
//! from a peer whose rule has let it in, from upstream, or from its publisher.
//! Its blobs stay, so fetching it again costs its proof and little more. A start without a change costs one look.

use bytes::Bytes;

use super::unix_now;
use crate::domain::manifest::ManifestId;
use crate::domain::trust::Trust;
use crate::store::{Store, StoreError};
use crate::verified::VerifiedManifest;

/// The fact that holds the rule's fingerprint.
const RULE: &str = "trust";
/// Manifests that are read and checked at a time: a signature each, so some 100 ms.
const PAGE: usize = 1024;

/// Sets aside what `trust` would not let in. Returns how many manifests that were.
///
/// To be called before anything is served or taken.
///
/// # Errors
/// [`StoreError`] when the catalog cannot be read or written.
pub async fn admit(store: &Store, trust: &Trust) -> Result<usize, StoreError> {
    let rule = trust.fingerprint();
    let noted = store.run(|store| store.fact(RULE)).await?;
    if noted.is_some_and(|fact| fact.value == rule.as_bytes()) {
        return Ok(0);
    }
    let mut aside = 0;
    // Also where no proof is wanted: what is published is taken only by who knows its publisher.
    for page in store.catalog_ids().chunks(PAGE) {
        let refused = refused(store, page.to_vec(), trust).await?;
        aside += refused.len();
        if !refused.is_empty() {
            store.set_aside(refused).await?;
        }
    }
    store.set_fact(RULE, unix_now(), Bytes::from(rule)).await?;
    Ok(aside)
}

async fn refused(store: &Store, ids: Vec<ManifestId>, trust: &Trust) -> Result<Vec<ManifestId>, StoreError> {
    let trust = trust.clone();
    store
        .run(move |store| {
            let mut refused = Vec::new();
            for id in ids {
                let Some(envelope) = store.manifest_by_id(&id)? else { continue };
                if let Err(why) = VerifiedManifest::check(envelope, &trust) {
                    tracing::debug!(manifest = %id, %why, "set aside");
                    refused.push(id);
                }
            }
            Ok(refused)
        })
        .await
}
