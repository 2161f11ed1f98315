//! Which modules are nobody's business outside of the site: what a pattern of private modules or a publisher's prefix
//! covers.
//!
//! A path in a question is a secret given away, and an answer to it may come from whoever has registered the name in
//! public. So there is one place that says whether a source outside of the site may be asked, and all that asks one
//! goes by it: fetches, lists, "latest", queries, seed runs (GOPROXY.md, fact 33). What such a source has said of a
//! module before it became private is not used any more either.

use super::Mirror;
use super::source::SourceError;
use crate::domain::module::ModulePath;

impl Mirror {
    /// Whether an upstream or a checksum database may hear of a module.
    ///
    /// # Errors
    /// [`SourceError::Miss`] with the reason if not: this site has what it has, and there is nobody else to ask.
    pub(super) fn may_ask_outside(&self, path: &ModulePath) -> Result<(), SourceError> {
        let miss = |why: String| Err(SourceError::Miss(format!("{path} is not in this site, and {why}")));
        if let Some((prefix, _)) = self.intake().trust().publishers().of(path) {
            return miss(format!(
                "what is under {prefix} is not asked for elsewhere: publish it with `modswarm publish`"
            ));
        }
        match self.inner.private.covers(path.as_str()) {
            Some(pattern) => miss(format!("it is private (--private has {pattern}), so nobody else is asked for it")),
            None => Ok(()),
        }
    }
}
