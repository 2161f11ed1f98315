//! The site file: what all nodes of a site have agreed on, in TOML.
//!
//! ```toml
//! [site]
//! key = "corp+1a2b3c4d+AX..."
//! ticket = "modswarm-ticket-..."
//!
//! [publishers]
//! "corp.example/team" = ["corp-team+1a2b3c4d+AX..."]
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `site.key` | verifier key of a closed site, as `modswarm site init` prints it. Without it the site is open: whoever is near and of an open site, too, is let in |
//! | `site.ticket` | lets a machine that has this file make itself a member (`modswarm site ticket`): with it the file is a secret of the site |
//! | `publishers` | module prefix, by whole path elements -> verifier keys (`name+hash+key`, as `modswarm site key` prints them). What is under a prefix is taken only with the signature of one of its keys; the longest prefix counts |
//!
//! A node reads it when it starts.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, line_at, read_toml};
use crate::domain::membership::TicketSecret;
use crate::domain::note::Verifier;
use crate::domain::site::{ClosedSite, Publishers, Site};

/// The site file's name in the data directory, where it is looked for unless told otherwise.
pub const SITE_FILE: &str = "site.toml";

/// A site file, and what it says. One that is not there says nothing.
#[derive(Debug, Clone, Default)]
pub struct SiteFile {
    /// Where it is, or where it would be.
    pub path: PathBuf,
    /// What it says.
    pub site: Site,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    publishers: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    site: Option<RawSite>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    key: Spanned<String>,
    ticket: Option<Spanned<String>>,
}

impl SiteFile {
    /// The file that was named, or else the one in the data directory if there is one.
    ///
    /// # Errors
    /// As [`SiteFile::read`].
    pub fn find(named: Option<PathBuf>, data: &Path) -> Result<Self, ConfigError> {
        let Some(named) = named else {
            return match Self::read(data.join(SITE_FILE)) {
                Err(ConfigError::Read { path, source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    Ok(Self { path, site: Site::default() })
                }
                // One that cannot be read is a policy that would not be kept.
                read => read,
            };
        };
        Self::read(named)
    }

    /// Reads a site file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], and [`ConfigError::Parse`] with the line of the first mistake.
    pub fn read(path: PathBuf) -> Result<Self, ConfigError> {
        let (raw, text) = read_toml::<Raw>("site file", &path)?;
        let mut publishers = Publishers::default();
        let mistake = |at: usize, message: String| ConfigError::Parse {
            what: "site file",
            path: path.clone(),
            line: line_at(&text, at),
            message,
        };
        for (prefix, keys) in &raw.publishers {
            let key = |key: &Spanned<String>| {
                Verifier::parse(key.get_ref())
                    .map_err(|why| mistake(key.span().start, format!("{:?} is not a key: {why}", key.get_ref())))
            };
            let keys = keys.iter().map(key).collect::<Result<_, _>>()?;
            let added = publishers.add(prefix.get_ref(), keys);
            added.map_err(|why| mistake(prefix.span().start, why.to_string()))?;
        }
        let closed = raw.site.map(|RawSite { key, ticket }| {
            let text = key.get_ref();
            let at = key.span().start;
            let key = Verifier::parse(text).map_err(|why| mistake(at, format!("{text:?} is not a key: {why}")))?;
            let ticket = ticket.map(|ticket| {
                // The ticket is a secret, so it is not shown.
                TicketSecret::parse(ticket.get_ref(), &key)
                    .map_err(|why| mistake(ticket.span().start, format!("the ticket is not usable: {why}")))
            });
            Ok(ClosedSite { key, ticket: ticket.transpose()? })
        });
        let closed = closed.transpose()?;
        Ok(Self { path, site: Site { publishers, closed } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::module::ModulePath;
    use crate::domain::note::Signer;

    fn key(name: &str) -> Verifier {
        Signer::from_secret(name, [7; 32]).unwrap().verifier().clone()
    }

    fn read(text: &str) -> Result<SiteFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        std::fs::write(&path, text).unwrap();
        SiteFile::read(path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_site_file_says_who_publishes_what() {
        let (team, ci) = (key("team"), key("ci"));
        let text = format!("# ours\n[publishers]\n\"corp.example/team\" = [\n  \"{team}\",\n  \"{ci}\",\n]\n");
        let site = read(&text).unwrap().site;
        let lib = ModulePath::parse("corp.example/team/lib").unwrap();
        assert_eq!(site.publishers.of(&lib), Some(("corp.example/team", &[ci, team][..])));
        assert_eq!(read("").unwrap().site, Site::default());
        assert_eq!(read(&site.publishers.to_string()).unwrap().site, site, "what is shown can be read");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let team = key("team");
        for (text, line, words) in [
            ("[publisher]\n".to_owned(), 1, "unknown field `publisher`, expected `publishers`"),
            ("\n[publishers]\n\"corp.example\" = \"key\"\n".into(), 3, "expected a sequence"),
            ("[publishers]\n\"corp.example\" = [\n".into(), 2, ""),
            (
                format!("[publishers]\n\"corp.example\" = [\n  \"{team}\",\n  \"team+1+x\"]\n"),
                4,
                "\"team+1+x\" is not a key",
            ),
            (
                format!("[publishers]\n\"a.example\" = [\"{team}\"]\n\"corp\" = [\"{team}\"]\n"),
                3,
                "\"corp\" is not a module prefix",
            ),
            (format!("[publishers]\n\"golang.org\" = [\"{team}\"]\n"), 2, "covers golang.org/toolchain"),
            ("[publishers]\n\"corp.example\" = []\n".into(), 2, "has no key"),
            (format!("[publishers]\n\"c.example\" = [\"{team}\"]\n\"c.example\" = [\"{team}\"]\n"), 3, "duplicate key"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(&format!("site.toml is not usable: line {line}: ")), "{error}");
            assert!(error.starts_with("the site file ") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn only_a_file_that_was_named_has_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let found = SiteFile::find(None, dir.path()).unwrap();
        assert_eq!((found.path, found.site), (dir.path().join("site.toml"), Site::default()));
        let error = SiteFile::find(Some(dir.path().join("other.toml")), dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("the site file ") && error.contains("other.toml cannot be read"), "{error}");
        std::fs::write(dir.path().join("site.toml"), format!("[publishers]\n'c.example' = ['{}']\n", key("c")))
            .unwrap();
        assert!(!SiteFile::find(None, dir.path()).unwrap().site.publishers.is_empty());
    }
}
