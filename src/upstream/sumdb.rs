//! The checksum database by way of the upstream proxies (golang.org/design/25530-sumdb).
//!
//! As the go command does it (cmd/go/internal/modfetch/sumdb.go): a proxy that answers `supported` is asked for
//! everything from then on; 404 or 410 there sends the question to the next proxy, and after the last one to the
//! database itself. Two differences: the decision is made anew every [`DECISION_KEPT`], because a node runs for months,
//! and a list that says `off` never leads to the database itself. What comes back is not verified here.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Upstream;
use super::error::UpstreamError;
use super::list::{Base, ProxyUrl};
use super::request::{Resource, Walk};

/// How long it is kept in mind by which way a database is reached.
pub const DECISION_KEPT: Duration = Duration::from_secs(60 * 60);
/// The most databases whose way is kept in mind; a site has one or two. More: all are forgotten and decided anew.
const MAX_DECISIONS: usize = 16;
/// The most bytes of a database's name and of a path in it.
const MAX_NAME: usize = 1024;

/// By which way each database is reached, and since when that is known.
pub(super) type Ways = Mutex<HashMap<String, (ProxyWay, Instant)>>;

/// How a database is reached.
#[derive(Clone, Debug)]
pub(super) struct ProxyWay {
    proxy: ProxyUrl,
    /// What stands before the path: `sumdb/NAME/` at a proxy, nothing at the database itself.
    prefix: String,
}

impl Upstream {
    /// GETs `path` (`latest`, `lookup/MODULE@VERSION`, `tile/...`) of the checksum database `name` (`host[/path]`), the
    /// module escaped as in a GOPROXY URL. At most [`super::MAX_SUMDB`] bytes unless the options say otherwise.
    ///
    /// The caller passes only names that its configuration knows: any other would be a request to any host.
    ///
    /// # Errors
    /// [`UpstreamError::NotFound`] for a 404 of the database, and for a name or path that no request can carry;
    /// [`UpstreamError::Off`] when the list says `off` before a way is found; else as for the other requests.
    pub async fn sumdb(&self, name: &str, path: &str) -> Result<Bytes, UpstreamError> {
        let what = format!("{path} of the checksum database {name}");
        if !is_name(name) || !is_path(path) {
            let text = "that is not a request that a checksum database answers".into();
            return Err(UpstreamError::NotFound { what, text });
        }
        let way = self.sumdb_way(name).await?;
        let resource = Resource { rel: format!("{}{path}", way.prefix), what };
        self.small_from(&way.proxy, &resource, self.http.options.max_sumdb).await
    }

    async fn sumdb_way(&self, name: &str) -> Result<ProxyWay, UpstreamError> {
        if let Some(proxy) = self.http.options.sumdb_urls.get(name) {
            return Ok(ProxyWay { proxy: proxy.clone(), prefix: String::new() });
        }
        // Held while it is decided: many lookups begin at once, and one question is enough for all of them.
        let mut ways = self.ways.lock().await;
        if let Some((way, since)) = ways.get(name)
            && since.elapsed() < DECISION_KEPT
        {
            return Ok(way.clone());
        }
        let way = self.find_way(name).await?;
        if ways.len() >= MAX_DECISIONS {
            ways.clear();
        }
        ways.insert(name.to_owned(), (way.clone(), Instant::now()));
        Ok(way)
    }

    async fn find_way(&self, name: &str) -> Result<ProxyWay, UpstreamError> {
        let prefix = format!("sumdb/{name}/");
        let what = format!("the checksum database {name}");
        let resource = Resource { rel: format!("{prefix}supported"), what: what.clone() };
        let list = &self.http.options.list;
        let mut walk = Walk::new(list);
        while let Some(entry) = walk.next() {
            match self.small_from(&entry.proxy, &resource, self.http.options.max_sumdb).await {
                Ok(_) => return Ok(ProxyWay { proxy: entry.proxy.clone(), prefix }),
                Err(error) => walk.failed(error)?,
            }
        }
        match walk.verdict() {
            UpstreamError::NotFound { .. } if list.says_off() => Err(UpstreamError::Off),
            UpstreamError::NotFound { .. } => {
                let proxy = ProxyUrl::parse(&format!("https://{name}"))
                    .map_err(|_| UpstreamError::NotFound { what, text: "that is not the name of a database".into() })?;
                Ok(ProxyWay { proxy, prefix: String::new() })
            }
            error => Err(error),
        }
    }
}

/// `host[/path]` and nothing that would change the meaning of a URL (`dbDial` in the go command: "no funny business").
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:/".contains(&byte);
    is_path(name)
        && name.bytes().all(plain)
        && ProxyUrl::parse(&format!("https://{name}")).is_ok_and(|url| matches!(url.base, Base::Http(_)))
}

/// Segments that are neither empty nor dots, printable, without what begins a query, a fragment or an escape.
fn is_path(path: &str) -> bool {
    let segment = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\<>\"`{|}^[]".contains(&byte);
        !matches!(part, "" | "." | "..") && part.bytes().all(plain)
    };
    path.len() <= MAX_NAME && path.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_and_perhaps_a_path() {
        for good in ["sum.example", "sum.example/sub/db", "127.0.0.1:8080", "sum.example:444"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "/x",
            "sum.example/",
            "a@b.example",
            "sum.example?x",
            "sum.example/../x",
            "https://x",
            "a b",
            "a.example:x",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(MAX_NAME + 1)));
    }

    #[test]
    fn a_path_stays_under_its_base() {
        for good in
            ["latest", "lookup/example.com/!azure/x@v1.0.0+incompatible", "tile/8/0/x001/234.p/5", "tile/8/data/0"]
        {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "",
            "/latest",
            "tile/../../x",
            "tile//x",
            "lookup/x?y",
            "lookup/%2e%2e/x",
            "lookup/a b",
            "lookup/\u{e9}",
            "a\nb",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
