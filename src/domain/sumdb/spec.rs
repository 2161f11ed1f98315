//! Which checksum database to believe: the syntax of GOSUMDB (cmd/go, `dbDial`).

use super::super::note::{KeyError, Verifier};

/// The database that the go command asks unless it is told otherwise.
pub const DEFAULT_DATABASE: &str = "sum.golang.org";

/// The key of [`DEFAULT_DATABASE`] (cmd/go, `knownGOSUMDB`).
const DEFAULT_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// Another address of [`DEFAULT_DATABASE`], which GOSUMDB takes as a name.
const ALIAS: &str = "sum.golang.google.cn";

/// A checksum database: its key, and where it is if that does not follow from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbSpec {
    verifier: Verifier,
    url: Option<String>,
}

/// A text that GOSUMDB does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Empty.
    #[error("no checksum database is named: write {DEFAULT_DATABASE}, name+hash+key, or name+hash+key and a URL")]
    Missing,
    /// `off`.
    #[error("the checksum database is switched off, and without it nothing public can be proven: name a database")]
    Off,
    /// More than two fields.
    #[error("a checksum database is a key and perhaps a URL, and {0:?} has more")]
    TooMany(String),
    /// Not a known name and not a key.
    #[error("{name:?} is not a known database, and not a key either: {source}")]
    Key {
        /// The first field.
        name: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The key's name is not a host, perhaps with a path.
    #[error("the name of a checksum database is host[/path], and {0:?} is not")]
    Name(String),
    /// Not a http or https URL.
    #[error("{0:?} is not the URL of a checksum database: it should start with https://")]
    Url(String),
}

impl SumdbSpec {
    /// Reads what GOSUMDB takes: `name` of a database whose key is known, `name+hash+key`, each perhaps followed by
    /// a URL.
    ///
    /// # Errors
    /// [`SpecError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let alias = format!("{DEFAULT_DATABASE} https://{ALIAS}");
        let text = if text.trim() == ALIAS { &alias } else { text };
        let mut fields = text.split_whitespace();
        let (name, url) = match (fields.next(), fields.next(), fields.next()) {
            (None, ..) => return Err(SpecError::Missing),
            (Some("off"), None, _) => return Err(SpecError::Off),
            (Some(name), url, None) => (name, url),
            _ => return Err(SpecError::TooMany(text.into())),
        };
        let key = if name == DEFAULT_DATABASE { DEFAULT_KEY } else { name };
        let verifier = Verifier::parse(key).map_err(|source| SpecError::Key { name: name.into(), source })?;
        if !is_database_name(verifier.name()) {
            return Err(SpecError::Name(verifier.name().into()));
        }
        let url = url.map(|url| check_url(url).ok_or_else(|| SpecError::Url(url.into()))).transpose()?;
        Ok(Self { verifier, url })
    }

    /// Name of the database, with which URLs on proxies are made: `sumdb/NAME/lookup/...`. It may have slashes in it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The key to check its signatures with.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Where it was said to be, without a slash at the end; then no proxy is asked. `None`: ask the proxy, or else
    /// `https://NAME`.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl Default for SumdbSpec {
    /// The database of the go command's default.
    fn default() -> Self {
        #[allow(clippy::expect_used, reason = "a constant of this module, which a test reads")]
        Self::parse(DEFAULT_DATABASE).expect("the default key is a key")
    }
}

/// `host[:port][/path]`, of characters that mean themselves in every URL and file system. The name goes into both.
fn is_database_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let host = parts.next().unwrap_or_default();
    let plain = |text: &str, more: &[char]| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.' || more.contains(&c))
            && text.chars().any(|c| c != '.')
    };
    plain(host, &[':']) && !host.starts_with(':') && parts.all(|part| plain(part, &['_', '~']))
}

fn check_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let plain = !host.is_empty() && !rest.contains(['?', '#', '@', '\\']) && rest.chars().all(|c| c.is_ascii_graphic());
    plain.then(|| url.trim_end_matches('/').to_owned())
}
