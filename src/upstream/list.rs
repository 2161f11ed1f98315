//! The list of upstream proxies, in the syntax of `GOPROXY`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;

/// The most proxies of one list. The go command has no limit; a list of more is a mistake, and each costs a round of
/// retries before a failure is told.
pub const MAX_PROXIES: usize = 16;

/// What to write instead of `direct`.
const NO_DIRECT: &str = "modswarm fetches only from module proxies, because what comes from a version control host has no zip \
                         to prove; name a proxy that fetches from such hosts, or leave `direct` out";

/// A text that is no list of proxies, and why. Holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProxyList {
    /// No entry at all (`""`, `","`).
    #[error("the upstream list has no entries: write one or more proxy URLs, or `off` to fetch from nowhere")]
    Empty,
    /// `direct` where only proxies can be.
    #[error("the upstream list says `direct`: {NO_DIRECT}")]
    Direct,
    /// An entry that is not the URL of a proxy.
    #[error("the upstream list's entry {entry:?} is not a proxy URL: {reason}")]
    Url {
        /// The entry, without any user name or password.
        entry: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// More than [`MAX_PROXIES`].
    #[error("the upstream list has over {MAX_PROXIES} proxies: leave the last ones out")]
    TooMany,
}

/// When the next proxy of the list is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FallBack {
    /// Written `,`: after 404 and 410 only.
    OnNotFound,
    /// Written `|`: after any error.
    OnError,
}

/// Where a proxy's files are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// Behind HTTP, perhaps with credentials in the URL.
    Http(Url),
    /// In a directory (`file://`).
    Tree(PathBuf),
}

/// One proxy. Its `Display` and `Debug` leave user name and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    pub(super) base: Base,
    shown: String,
}

/// An entry of the list: a proxy and when the one after it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) proxy: ProxyUrl,
    pub(super) fall_back: FallBack,
}

/// Proxies in the order in which they are asked (the syntax and the meaning of `GOPROXY`,
/// cmd/go/internal/modfetch/proxy.go).
///
/// After `,` the next proxy is asked only when this one answered 404 or 410; after `|` after any error. `off` ends the
/// list. `http://`, `https://` and `file://` are accepted, a name without a scheme means https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyList {
    entries: Vec<Entry>,
    off: bool,
}

/// What [`ProxyList::from_go_env`] made of `go env GOPROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromGoEnv {
    /// The proxies.
    pub list: ProxyList,
    /// Whether a `direct` (and all after it, as the go command does) was left out: worth a line in the log.
    pub dropped_direct: bool,
}

impl ProxyList {
    /// Parses a list that was written for modswarm: `direct` is an error.
    ///
    /// # Errors
    /// [`BadProxyList`] says which entry breaks which rule.
    pub fn parse(text: &str) -> Result<Self, BadProxyList> {
        let parsed = Self::parse_any(text)?;
        if parsed.dropped_direct { Err(BadProxyList::Direct) } else { Ok(parsed.list) }
    }

    /// Parses what `go env GOPROXY` says, which mostly ends in `direct`; that is left out and told.
    ///
    /// # Errors
    /// [`BadProxyList::Direct`] when nothing but `direct` is there; else as for [`ProxyList::parse`].
    pub fn from_go_env(text: &str) -> Result<FromGoEnv, BadProxyList> {
        let parsed = Self::parse_any(text)?;
        if parsed.dropped_direct && parsed.list.entries.is_empty() { Err(BadProxyList::Direct) } else { Ok(parsed) }
    }

    /// The list that fetches from nowhere, written `off`.
    #[must_use]
    pub fn off() -> Self {
        Self { entries: Vec::new(), off: true }
    }

    /// Whether nothing may be fetched: `off` comes before any proxy.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.entries.is_empty()
    }

    /// The proxies in order, without their separators.
    pub fn proxies(&self) -> impl Iterator<Item = &ProxyUrl> {
        self.entries.iter().map(|entry| &entry.proxy)
    }

    /// Those that are asked in the clear over a network: who sits on the line sees which modules are asked for and
    /// any credentials. What is fetched is proven all the same. Worth a warning at the start.
    pub fn plain_http(&self) -> impl Iterator<Item = &ProxyUrl> {
        self.proxies().filter(|proxy| proxy.is_plain_http())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the word `off` stands in the list, after some proxies perhaps.
    pub(super) fn says_off(&self) -> bool {
        self.off
    }

    fn parse_any(text: &str) -> Result<FromGoEnv, BadProxyList> {
        let mut list = Self { entries: Vec::new(), off: false };
        let mut dropped_direct = false;
        for part in text.split_inclusive([',', '|']) {
            let fall_back = if part.ends_with('|') { FallBack::OnError } else { FallBack::OnNotFound };
            match part.trim_end_matches([',', '|']).trim() {
                "" => {}
                "off" => {
                    list.off = true;
                    break;
                }
                "direct" => {
                    dropped_direct = true;
                    break;
                }
                _ if list.entries.len() == MAX_PROXIES => return Err(BadProxyList::TooMany),
                entry => list.entries.push(Entry { proxy: ProxyUrl::parse(entry)?, fall_back }),
            }
        }
        if list.entries.is_empty() && !list.off && !dropped_direct {
            return Err(BadProxyList::Empty);
        }
        Ok(FromGoEnv { list, dropped_direct })
    }
}

impl ProxyUrl {
    /// Parses one proxy's URL; without a scheme it means https.
    ///
    /// # Errors
    /// [`BadProxyList::Url`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadProxyList> {
        let bad = |reason: &str| BadProxyList::Url { entry: redact(text), reason: reason.into() };
        // As the go command does: a single word is reserved for the likes of `off`.
        let named = text.contains(['.', ':', '/']) && !text.contains(":/") && !Path::new(text).is_absolute();
        let whole = if named { format!("https://{text}") } else { text.to_owned() };
        let url = Url::parse(&whole).map_err(|error| bad(&error.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("a proxy URL has no query and no fragment; credentials go before the host"));
        }
        let mut clean = url.clone();
        // These fail for `file://`, which has no user name to remove.
        let _ = clean.set_username("");
        let _ = clean.set_password(None);
        let shown = clean.as_str().trim_end_matches('/').to_owned();
        match url.scheme() {
            "http" | "https" => Ok(Self { base: Base::Http(url), shown }),
            "file" if url.host_str().is_none() => {
                let path = url.to_file_path().map_err(|()| bad("a file URL names an absolute path of this machine"))?;
                Ok(Self { base: Base::Tree(path), shown })
            }
            "file" => Err(bad("a file URL has no host: write file:///path")),
            _ => Err(bad("the scheme must be https, http or file")),
        }
    }

    fn is_plain_http(&self) -> bool {
        matches!(&self.base, Base::Http(url) if url.scheme() == "http" && !is_loopback(url))
    }
}

/// Whether a URL names this machine by a loopback address or `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or(host == "localhost" || host.ends_with(".localhost"), |ip| ip.is_loopback())
}

/// An entry that may not be a URL at all, without what could be credentials: all before the last `@` but the scheme,
/// and what follows the host where that is no port (a password with a comma in it is cut into two entries).
fn redact(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.bytes().all(|byte| byte.is_ascii_digit()) => format!("{scheme}{host}:..."),
        _ => format!("{scheme}{rest}"),
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({})", self.shown)
    }
}

impl fmt::Display for ProxyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let last = index + 1 == self.entries.len() && !self.off;
            let separator = match entry.fall_back {
                _ if last => "",
                FallBack::OnNotFound => ",",
                FallBack::OnError => "|",
            };
            write!(f, "{}{separator}", entry.proxy)?;
        }
        f.write_str(if self.off { "off" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        ProxyList::parse(text).unwrap().to_string()
    }

    #[test]
    fn separators_spaces_and_missing_schemes_are_read_as_the_go_command_reads_them() {
        assert_eq!(
            shown(" https://a.example/x/ ,, b.example|http://127.0.0.1:3000"),
            "https://a.example/x,https://b.example|http://127.0.0.1:3000"
        );
        let list = ProxyList::parse("a.example|b.example,c.example").unwrap();
        let when: Vec<_> = list.entries().iter().map(|entry| entry.fall_back).collect();
        assert_eq!(when, [FallBack::OnError, FallBack::OnNotFound, FallBack::OnNotFound]);
    }

    #[test]
    fn off_ends_the_list() {
        assert!(ProxyList::parse("off").unwrap().is_off());
        assert!(ProxyList::parse("off,https://a.example").unwrap().is_off());
        assert_eq!(ProxyList::off().to_string(), "off");
        let list = ProxyList::parse("https://a.example,off,not a url").unwrap();
        assert_eq!((list.is_off(), list.says_off(), list.proxies().count()), (false, true, 1));
        assert_eq!(list.to_string(), "https://a.example,off");
    }

    #[test]
    fn direct_is_refused_with_what_to_write_instead_and_dropped_from_go_env() {
        let error = ProxyList::parse("https://a.example,direct").unwrap_err();
        assert_eq!(error, BadProxyList::Direct);
        assert!(error.to_string().contains("leave `direct` out"), "{error}");
        let parsed = ProxyList::from_go_env("https://a.example,direct").unwrap();
        assert_eq!((parsed.list.to_string().as_str(), parsed.dropped_direct), ("https://a.example", true));
        assert!(!ProxyList::from_go_env("https://a.example|b.example").unwrap().dropped_direct);
        assert_eq!(ProxyList::from_go_env("direct"), Err(BadProxyList::Direct));
        assert!(ProxyList::from_go_env("off").unwrap().list.is_off());
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_a_reason() {
        for (text, reason) in [
            ("ftp://a.example", "https, http or file"),
            ("https://a.example/?x=1", "no query"),
            ("https://a.example/#x", "no query"),
            ("file://a.example/x", "no host"),
            ("word", "relative URL without a base"),
            ("https://", "empty host"),
        ] {
            let error = ProxyList::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for text in ["", ",", " | "] {
            assert_eq!(ProxyList::parse(text), Err(BadProxyList::Empty));
        }
        assert_eq!(ProxyList::parse(&"a.example,".repeat(MAX_PROXIES + 1)), Err(BadProxyList::TooMany));
        assert!(ProxyList::parse(&"a.example,".repeat(MAX_PROXIES)).is_ok());
    }

    #[test]
    fn credentials_are_never_shown() {
        let list = ProxyList::parse("https://anna:s3cret@a.example/x|https://s3cret@b.example").unwrap();
        assert_eq!(list.to_string(), "https://a.example/x|https://b.example");
        assert!(!format!("{list:?}").contains("s3cret"));
        for text in [
            "https://anna:s3cret@",
            "anna:s3cret@a.example?x",
            "https://anna:s3cret,",
            "https://a:s3cret@b.example:99999",
            "ftp://s3cret@x.example",
        ] {
            let error = ProxyList::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn plain_http_is_told_for_other_machines_only() {
        let list = ProxyList::parse(
            "http://127.0.0.1:1,http://localhost,http://[::1]:9,http://a.localhost,https://b.example,http://c.example",
        )
        .unwrap();
        assert_eq!(list.plain_http().map(ToString::to_string).collect::<Vec<_>>(), ["http://c.example"]);
    }
}
