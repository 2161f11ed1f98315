//! Configuration in two steps: raw (as typed or as in the file), then checked, with units.
//!
//! A flag wins over the file, the file over the default. The file is TOML with the long flags' names as keys
//! (`_` for `-`); an unknown key is an error, since a typo in a key that nobody reads is the worst kind of default.

mod site_file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::pattern::PrefixPatterns;
pub use site_file::{SITE_FILE, SiteFile};

use crate::domain::sumdb::DEFAULT_DATABASE;

/// Where the GOPROXY endpoint listens unless told otherwise.
pub const DEFAULT_HTTP: &str = "127.0.0.1:6637";
/// Where the swarm listens unless told otherwise.
pub const DEFAULT_SWARM: &str = "/ip4/0.0.0.0/tcp/6638";
/// How old a mutable answer may be unless told otherwise.
pub const DEFAULT_FRESH: Duration = Duration::from_secs(60);
/// How many nodes of a site hold each version unless told otherwise: one may break while another is switched off.
pub const DEFAULT_REPLICAS: u16 = 3;
/// The most bytes of a path prefix: it goes before each path of a client, and those are bounded too.
pub const MAX_PREFIX: usize = 256;
/// The word for `--upstream` that stands for what `go env GOPROXY` says on this machine.
pub const GO_ENV: &str = "go-env";
/// The word for `--upstream` and `--sumdb` that stands for none.
pub const OFF: &str = "off";

/// A configuration that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the {what} {} cannot be read: {source}", path.display())]
    Read {
        /// `configuration file` or `site file`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the known keys.
    #[error("the {what} {} is not usable: line {line}: {message}", path.display())]
    Parse {
        /// `configuration file` or `site file`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// Why.
        message: String,
    },
    /// A value is not of its kind.
    #[error("{option} {value:?} is not usable: {reason}")]
    Value {
        /// Which option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        reason: String,
    },
    /// There is no home directory to put data under.
    #[error("no data directory is known for this user: name one with --data DIR")]
    NoDataDir,
}

/// How `up` was told to run, as typed or as read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Data directory.
    pub data: Option<PathBuf>,
    /// `host:port` of the GOPROXY endpoint.
    pub http: Option<String>,
    /// Path prefix of the GOPROXY endpoint.
    pub http_prefix: Option<String>,
    /// Multiaddresses to listen on.
    #[serde(default)]
    pub swarm: Vec<String>,
    /// Multiaddresses of peers to stay connected with.
    #[serde(default)]
    pub peer: Vec<String>,
    /// A GOPROXY list, or `go-env`.
    pub upstream: Option<String>,
    /// How old a mutable answer may be, `60s`.
    pub fresh: Option<String>,
    /// How many nodes of the site are to hold each version.
    pub replicas: Option<u16>,
    /// No discovery by multicast.
    pub no_mdns: Option<bool>,
    /// Name of the office.
    pub office: Option<String>,
    /// Checksum databases, in GOSUMDB's syntax, or `off`.
    #[serde(default)]
    pub sumdb: Vec<String>,
    /// The site file.
    pub site: Option<PathBuf>,
    /// Patterns of private modules, in GOPRIVATE's syntax.
    pub private: Option<String>,
}

/// How `up` runs: checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data directory.
    pub data: PathBuf,
    /// Where the GOPROXY endpoint listens; port 0 takes a free one.
    pub http: SocketAddr,
    /// What stands before each GOPROXY path, as `/mod`; empty, or a slash before each plain segment and none at the end.
    pub http_prefix: String,
    /// Multiaddresses to listen on, as text (the swarm parses them).
    pub swarm: Vec<String>,
    /// Multiaddresses of peers to stay connected with.
    pub peers: Vec<String>,
    /// Where to fetch from what the site does not have.
    pub upstream: Option<UpstreamChoice>,
    /// How old a mutable answer may be.
    pub fresh: Duration,
    /// How many nodes of the site are to hold each version; this one brings its share. None for 0.
    pub replicas: usize,
    /// Whether to find peers by multicast DNS.
    pub mdns: bool,
    /// Name of the office, if it was given.
    pub office: Option<String>,
    /// Checksum databases whose proofs this node demands and serves, in GOSUMDB's syntax; with none it takes what is not
    /// proven.
    pub sumdb: Vec<String>,
    /// What the nodes of the site have agreed on.
    pub site: SiteFile,
    /// Modules that no upstream and no checksum database is asked for, besides those of the site's publishers.
    pub private: PrefixPatterns,
}

/// Where a seed fetches.
#[derive(Clone, PartialEq, Eq)]
pub enum UpstreamChoice {
    /// What `go env GOPROXY` says on this machine.
    GoEnv,
    /// A GOPROXY list.
    List(String),
}

impl std::fmt::Debug for UpstreamChoice {
    /// A list may carry a password, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GoEnv => "GoEnv",
            Self::List(_) => "List(..)",
        })
    }
}

impl Raw {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Parse`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Ok(read_toml("configuration file", path)?.0)
    }

    /// `self`, and what `self` leaves open from `file`.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        let list = |ours: Vec<String>, theirs| if ours.is_empty() { theirs } else { ours };
        Self {
            data: self.data.or(file.data),
            http: self.http.or(file.http),
            http_prefix: self.http_prefix.or(file.http_prefix),
            swarm: list(self.swarm, file.swarm),
            peer: list(self.peer, file.peer),
            upstream: self.upstream.or(file.upstream),
            fresh: self.fresh.or(file.fresh),
            replicas: self.replicas.or(file.replicas),
            no_mdns: self.no_mdns.or(file.no_mdns),
            office: self.office.or(file.office),
            sumdb: list(self.sumdb, file.sumdb),
            site: self.site.or(file.site),
            private: self.private.or(file.private),
        }
    }

    /// Checks every value and fills in the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the option, and [`ConfigError::NoDataDir`].
    pub fn check(self) -> Result<Config, ConfigError> {
        let http = self.http.unwrap_or_else(|| DEFAULT_HTTP.into());
        let swarm = if self.swarm.is_empty() { vec![DEFAULT_SWARM.into()] } else { self.swarm };
        if let Some(office) = &self.office {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if office.is_empty() || office.len() > 64 || !office.bytes().all(plain) {
                let reason = "an office's name has 1 to 64 letters, digits, '-', '_' and '.'";
                return Err(bad("--office", office, reason));
            }
        }
        let data = data_dir(self.data)?;
        let private = self.private.unwrap_or_default();
        Ok(Config {
            site: SiteFile::find(self.site, &data)?,
            private: private.parse().map_err(|why| bad("--private", &private, format!("{why}")))?,
            data,
            http: http
                .parse()
                .map_err(|_| bad("--http", &http, "write an IP address and a port, as in 127.0.0.1:6637"))?,
            http_prefix: self.http_prefix.map_or(Ok(String::new()), prefix)?,
            swarm,
            peers: self.peer,
            upstream: match self.upstream.as_deref() {
                None | Some(OFF) => None,
                Some(GO_ENV) => Some(UpstreamChoice::GoEnv),
                Some(list) => Some(UpstreamChoice::List(list.into())),
            },
            fresh: self.fresh.map_or(Ok(DEFAULT_FRESH), |text| duration("--fresh", &text))?,
            replicas: self.replicas.unwrap_or(DEFAULT_REPLICAS).into(),
            mdns: !self.no_mdns.unwrap_or(false),
            office: self.office,
            sumdb: databases(self.sumdb)?,
        })
    }
}

/// Reads a TOML file; gives its text, too, for places in it.
fn read_toml<T: DeserializeOwned>(what: &'static str, path: &Path) -> Result<(T, String), ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Read { what, path: path.to_owned(), source })?;
    // Only the message: the whole error quotes the line, and the line may hold a proxy's password.
    let read = toml::from_str(&text).map_err(|error: toml::de::Error| ConfigError::Parse {
        what,
        path: path.to_owned(),
        line: line_at(&text, error.span().map_or(0, |span| span.start)),
        message: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
    })?;
    Ok((read, text))
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The data directory that was named, or else the user's own.
///
/// # Errors
/// [`ConfigError::NoDataDir`] when none was named and the user has no home.
pub fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let own = || directories::ProjectDirs::from("", "", "modswarm").map(|dirs| dirs.data_dir().to_owned());
    let dir = named.or_else(own).ok_or(ConfigError::NoDataDir)?;
    // Logs and messages are read from other directories.
    Ok(std::path::absolute(&dir).unwrap_or(dir))
}

/// The databases that were named, or else the go command's own. `off` is a word of its own and not one of several: who
/// writes it next to a database has not decided.
fn databases(named: Vec<String>) -> Result<Vec<String>, ConfigError> {
    match named.as_slice() {
        [] => Ok(vec![DEFAULT_DATABASE.into()]),
        [only] if only.trim() == OFF => Ok(Vec::new()),
        several if several.iter().any(|name| name.trim() == OFF) => {
            Err(bad("--sumdb", OFF, "leave it out to have what the other databases prove, or give it alone"))
        }
        _ => Ok(named),
    }
}

fn bad(option: &'static str, value: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { option, value: value.into(), reason: reason.into() }
}

/// Checks a path prefix. Its segments need no escaping in a URL, so a request's path either starts with it or does not.
fn prefix(text: String) -> Result<String, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    let segments = text.strip_prefix('/').map(|below| below.split('/').collect::<Vec<_>>()).unwrap_or_default();
    if segments.is_empty() || !segments.iter().all(|text| segment(text)) || text.len() > MAX_PREFIX {
        let reason = "write a path as in /mod or /go/mod: letters, digits, '-', '.', '_' and '~', no slash at the end";
        return Err(bad("--http-prefix", &text, reason));
    }
    if segments.first() == Some(&"-") {
        return Err(bad("--http-prefix", &text, "the node's own API is under /-, so choose another name"));
    }
    Ok(text)
}

/// Parses `500ms`, `60s`, `5m`, `2h`, `1d`; the unit is needed, since nobody remembers a default one.
fn duration(option: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let fail = || bad(option, text, "write a whole number and a unit, as in 60s, 5m or 2h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fail())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(fail()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("--fresh", "60s").unwrap(), Duration::from_secs(60));
        assert_eq!(duration("--fresh", "2h").unwrap(), Duration::from_secs(7200));
        for text in ["", "60", "s", "-1s", "1 s", "1w", "99999999999999999999d", "18446744073709551615d"] {
            let error = duration("--fresh", text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("--fresh {text:?} is not usable: write a whole number and a unit, as in 60s, 5m or 2h")
            );
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("modswarm.toml");
        std::fs::write(
            &path,
            "http = '127.0.0.1:1'\nfresh = '5m'\nno_mdns = true\npeer = ['/ip4/10.0.0.1/tcp/6638']\n",
        )
        .unwrap();
        let flags = Raw { http: Some("127.0.0.1:2".into()), data: Some("d".into()), ..Raw::default() };
        let config = flags.or(Raw::read(&path).unwrap()).check().unwrap();
        assert_eq!(config.http.port(), 2);
        assert_eq!(config.fresh, Duration::from_secs(300));
        assert_eq!(config.swarm, [DEFAULT_SWARM]);
        assert_eq!(config.peers, ["/ip4/10.0.0.1/tcp/6638"]);
        assert!(!config.mdns);
    }

    #[test]
    fn the_site_file_and_private_patterns_are_read_with_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (path, site) = (dir.path().join("modswarm.toml"), dir.path().join("ours.toml"));
        std::fs::write(&site, "").unwrap();
        std::fs::write(&path, format!("site = '{}'\nprivate = '*.corp.example'\n", site.display())).unwrap();
        let raw = || Raw { data: Some(dir.path().into()), ..Raw::default() };
        let config = raw().or(Raw::read(&path).unwrap()).check().unwrap();
        assert_eq!(config.site.path, site);
        assert_eq!(config.private.covers("git.corp.example/x"), Some("*.corp.example"));
        let without = raw().check().unwrap();
        assert!(without.private.is_empty() && without.site.path == dir.path().join(SITE_FILE));
        let error = Raw { private: Some("a.example,[".into()), ..raw() }.check().unwrap_err().to_string();
        assert!(
            error.starts_with("--private \"a.example,[\" is not usable: the pattern \"[\" is malformed"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("modswarm.toml");
        std::fs::write(&path, "fresh = '1m'\nhtpp = '127.0.0.1:1'\n").unwrap();
        let error = Raw::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: unknown field `htpp`"), "{error}");
        let error = Raw::read(&dir.path().join("nowhere.toml")).unwrap_err().to_string();
        assert!(error.contains("nowhere.toml cannot be read"), "{error}");
    }

    #[test]
    fn passwords_in_an_upstream_are_not_shown() {
        let config = Raw {
            data: Some("d".into()),
            upstream: Some("https://user:secret@proxy.example".into()),
            ..Raw::default()
        };
        let shown = format!("{:?}", config.check().unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("modswarm.toml");
        for text in ["upstream = 'https://user:secret@proxy.example' x\n", "upstream = 'https://user:secret@\n"] {
            std::fs::write(&path, text).unwrap();
            let error = Raw::read(&path).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn proofs_are_demanded_unless_that_is_switched_off() {
        let checked = |names: &[&str]| {
            let sumdb = names.iter().map(ToString::to_string).collect();
            Raw { data: Some("d".into()), sumdb, ..Raw::default() }.check().map(|config| config.sumdb)
        };
        assert_eq!(checked(&[]).unwrap(), [DEFAULT_DATABASE]);
        assert_eq!(checked(&["off"]).unwrap(), [""; 0]);
        assert_eq!(checked(&["a.example+key"]).unwrap(), ["a.example+key"]);
        let both = checked(&["a.example+key", "off"]).unwrap_err().to_string();
        assert!(both.starts_with("--sumdb \"off\" is not usable: leave it out"), "{both}");
    }

    #[test]
    fn fact_05_a_prefix_is_a_clean_path_beside_the_nodes_own() {
        let check =
            |text: &str| Raw { data: Some("d".into()), http_prefix: Some(text.into()), ..Raw::default() }.check();
        for good in ["/mod", "/go/mod", "/a.b-c_d~e/1", "/-x", "/x/-"] {
            assert_eq!(check(good).unwrap().http_prefix, good);
        }
        for bad in
            ["", "/", "mod", "/mod/", "//mod", "/a//b", "/.", "/a/..", "/a b", "/a%20b", "/a!b", "/\u{e9}", "/a?b"]
        {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--http-prefix {bad:?}")) && error.contains("/go/mod"), "{error}");
        }
        assert!(check(&format!("/{}", "a".repeat(MAX_PREFIX))).is_err());
        for own in ["/-", "/-/status"] {
            assert!(check(own).unwrap_err().to_string().contains("the node's own API"));
        }
        assert_eq!(Raw { data: Some("d".into()), ..Raw::default() }.check().unwrap().http_prefix, "");
    }

    #[test]
    fn offices_have_plain_names() {
        let raw = |name: &str| Raw { data: Some("d".into()), office: Some(name.into()), ..Raw::default() };
        assert_eq!(raw("berlin-2").check().unwrap().office.as_deref(), Some("berlin-2"));
        assert!(raw("a b").check().is_err());
        assert!(raw("").check().is_err());
    }
}
