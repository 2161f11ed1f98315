//! Layouts: made from a recipe's pages in the store, and shared while they are in use. That of a zip of many files takes some
//! 10 MB, and whoever downloads that zip needs the same one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::intake::Intake;
use super::source::SourceError;
use crate::domain::manifest::{ManifestId, ZipRef};
use crate::domain::module::ModuleVersion;
use crate::domain::recipe::Layout;
use crate::store::{Store, StoreError};

/// Why there is no layout.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    /// The pages are not there or make no sense. When the store has them all, their author is at fault.
    #[error("{0}")]
    Unusable(String),
    /// This node's disk.
    #[error(transparent)]
    Local(SourceError),
}

/// The layout of a zip whose pages are in the store.
pub(super) async fn load(module: &ModuleVersion, zip: &ZipRef, intake: &Intake) -> Result<Layout, LayoutError> {
    let (module, zip) = (module.clone(), zip.clone());
    let made = intake.blocking(move |store| read(store, &module, &zip));
    made.await.map_err(LayoutError::Local)?.map_err(LayoutError::Unusable)
}

/// The same, blocking; or why the pages are not usable.
///
/// # Errors
/// This node's disk.
pub(super) fn read(store: &Store, module: &ModuleVersion, zip: &ZipRef) -> Result<Result<Layout, String>, StoreError> {
    let found = store.get_many(&zip.pages)?;
    let Some(found) = found.into_iter().collect::<Option<Vec<Bytes>>>() else {
        return Ok(Err(format!("a page of the recipe of {module} is missing")));
    };
    let layout = Layout::from_pages(module, zip.len, &found);
    Ok(layout.map_err(|why| format!("the recipe of {module} is not usable: {why}")))
}

/// Layouts that may be made at the same time: making one takes twice its memory for a moment.
const AT_ONCE: usize = 4;

/// The layouts that somebody holds now. It keeps none alive by itself.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    table: Mutex<HashMap<ManifestId, Weak<Layout>>>,
    /// Held while a layout is made, so that no two make the same; which one is for the manifest's id to say.
    making: [tokio::sync::Mutex<()>; AT_ONCE],
}

impl Layouts {
    /// The layout of a manifest's zip: the one that somebody has, or a new one.
    pub(super) async fn get<E>(
        &self,
        id: &ManifestId,
        make: impl Future<Output = Result<Layout, E>>,
    ) -> Result<Arc<Layout>, E> {
        if let Some(layout) = self.shared(id) {
            return Ok(layout);
        }
        let _making = self.making[usize::from(id.as_bytes()[0]) % AT_ONCE].lock().await;
        if let Some(layout) = self.shared(id) {
            return Ok(layout);
        }
        let layout = Arc::new(make.await?);
        let mut table = self.lock();
        table.retain(|_, layout| layout.strong_count() > 0);
        table.insert(*id, Arc::downgrade(&layout));
        Ok(layout)
    }

    fn shared(&self, id: &ManifestId) -> Option<Arc<Layout>> {
        self.lock().get(id)?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ManifestId, Weak<Layout>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;
    use crate::domain::module::ModuleVersion;
    use crate::domain::recipe::split;

    fn layout(zip: &[u8]) -> Layout {
        let module = ModuleVersion::parse("example.com/m@v1.0.0").unwrap();
        let mut blobs = HashMap::new();
        let mut emit = |id, bytes| -> Result<(), std::convert::Infallible> {
            blobs.insert(id, bytes);
            Ok(())
        };
        let split = split(&module, &zip.to_vec(), &mut emit).unwrap();
        let pages: Vec<&Vec<u8>> = split.pages.iter().map(|page| &blobs[page]).collect();
        Layout::from_pages(&module, split.len, &pages).unwrap()
    }

    #[tokio::test]
    async fn a_layout_is_made_once_while_it_is_used_and_not_kept_longer() {
        let (layouts, id) = (Layouts::default(), BlobId::of(b"manifest"));
        let make = async || Ok::<_, String>(layout(b"no zip"));
        let never = async || Err("made again".to_owned());
        // Both ask at the same time, and one of them makes it.
        let (first, second) = tokio::join!(layouts.get(&id, make()), layouts.get(&id, never()));
        let first = first.unwrap();
        assert!(Arc::ptr_eq(&first, &second.unwrap()));
        drop(first);
        assert_eq!(layouts.get(&id, never()).await.unwrap_err(), "made again");
        let _other = layouts.get(&BlobId::of(b"other"), make()).await.unwrap();
        assert_eq!(layouts.lock().len(), 1, "what nobody uses is forgotten");
    }
}
