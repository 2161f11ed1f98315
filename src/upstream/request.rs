//! What is asked of a proxy, and in which order the proxies of a list are asked. Pure.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::domain::module::{ModulePath, ModuleVersion};

use super::error::UpstreamError;
use super::list::{Entry, FallBack, ProxyList};

/// The most bytes of a version query (a branch name, mostly).
const MAX_QUERY: usize = 255;

/// One file of a proxy.
pub(super) struct Resource {
    /// Its path under the proxy's URL: segments that are neither empty nor dots.
    pub(super) rel: String,
    /// How a message calls it.
    pub(super) what: String,
}

impl Resource {
    pub(super) fn new(path: &ModulePath, rest: &str, what: String) -> Self {
        Self { rel: format!("{}/{rest}", path.escaped()), what }
    }

    pub(super) fn of(module: &ModuleVersion, extension: &str, what: &str) -> Self {
        let rest = format!("@v/{}.{extension}", module.version.escaped());
        Self::new(&module.path, &rest, format!("the {what} of {module}"))
    }

    pub(super) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        // Fails for URLs that cannot be a base (`data:`), which no list holds.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.rel.split('/'));
        }
        url
    }

    /// The file in a tree; a segment that would leave it is dropped, as [`Url`] does for one of dots.
    pub(super) fn file(&self, root: &Path) -> PathBuf {
        let mut file = root.to_owned();
        file.extend(
            self.rel.split('/').filter(|part| !matches!(*part, "" | "." | "..") && !part.contains(['\\', ':'])),
        );
        file
    }
}

/// Whether a version query can stand in a request: what `EscapeVersion` of golang.org/x/mod/module lets pass, ASCII only.
pub(super) fn is_query(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte);
    !text.is_empty() && text.len() <= MAX_QUERY && text.bytes().all(plain) && !text.bytes().all(|byte| byte == b'.')
}

/// The way through a list: which proxy is next, and what to say when none is left (`TryProxies` of the go command).
pub(super) struct Walk<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: FallBack,
    /// The error to tell: a failure outranks every miss, a later one an earlier one of its kind.
    worst: Option<UpstreamError>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(list: &'a ProxyList) -> Self {
        Self { rest: list.entries().iter(), current: FallBack::OnNotFound, worst: None }
    }

    pub(super) fn next(&mut self) -> Option<&'a Entry> {
        let entry = self.rest.next()?;
        self.current = entry.fall_back;
        Some(entry)
    }

    /// Takes note of an error; gives it back when no other proxy may be asked after it.
    pub(super) fn failed(&mut self, error: UpstreamError) -> Result<(), UpstreamError> {
        let miss = matches!(error, UpstreamError::NotFound { .. });
        let stops = !miss && self.current == FallBack::OnNotFound || matches!(error, UpstreamError::Local { .. });
        if stops {
            return Err(error);
        }
        if !miss || matches!(self.worst, None | Some(UpstreamError::NotFound { .. })) {
            self.worst = Some(error);
        }
        Ok(())
    }

    /// What to say when the list is at its end; with nobody asked, that it is off.
    pub(super) fn verdict(self) -> UpstreamError {
        self.worst.unwrap_or(UpstreamError::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_joined_and_escaped() {
        let module = ModuleVersion::parse("example.com/Azure/x@v1.0.0-RC.1+incompatible").unwrap();
        let resource = Resource::of(&module, "zip", "zip");
        let want = "example.com/!azure/x/@v/v1.0.0-!r!c.1+incompatible.zip";
        for base in ["https://u:p@proxy.example/mod", "https://u:p@proxy.example/mod/"] {
            let url = resource.url(&Url::parse(base).unwrap());
            assert_eq!(url.as_str(), format!("https://u:p@proxy.example/mod/{want}"));
        }
        assert_eq!(resource.file(Path::new("/tree")), Path::new("/tree").join(want));
    }

    #[test]
    fn a_path_never_leaves_the_tree() {
        let resource = Resource { rel: "../../etc/..//./C:/passwd".into(), what: String::new() };
        assert_eq!(resource.file(Path::new("/tree")), Path::new("/tree/etc/passwd"));
    }

    #[test]
    fn queries_that_no_request_can_carry_are_known() {
        for good in ["main", "v1", "v1.2.3", "0f3a9c", "release-branch.go1.20", "V2"] {
            assert!(is_query(good), "{good}");
        }
        for bad in ["", "feature/x", "..", "a b", "a?b", "a#b", "a%2fb", "a!b", "\u{e9}", "a\\b", &"x".repeat(256)] {
            assert!(!is_query(bad), "{bad}");
        }
    }

    #[test]
    fn a_failure_outranks_a_miss_in_either_order() {
        let list = ProxyList::parse("https://a.example|https://b.example").unwrap();
        let miss = || UpstreamError::NotFound { what: "x".into(), text: String::new() };
        let failure =
            || UpstreamError::Refused { what: "x".into(), upstream: "a".into(), status: 403, text: String::new() };
        for errors in [[miss(), failure()], [failure(), miss()]] {
            let mut walk = Walk::new(&list);
            let mut last = None;
            for error in errors {
                walk.next().unwrap();
                last = walk.failed(error).err();
            }
            let told = last.unwrap_or_else(|| walk.verdict());
            assert!(matches!(told, UpstreamError::Refused { .. }), "{told}");
        }
    }
}
