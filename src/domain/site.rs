//! What a site has agreed on: which keys publish which modules.
//!
//! All nodes of a site are meant to have the same, written in a *site file*. It changes what a node takes, so it is
//! part of its rule ([`Trust`](super::trust::Trust)); how the file is written is for [`config`](crate::config) to say.

use std::collections::BTreeMap;
use std::fmt;

use super::membership::TicketSecret;
use super::module::{BadModule, ModulePath};
use super::note::Verifier;
use super::sumdb::{TOOLCHAIN, is_always_verified};

/// What a site file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Who publishes what.
    pub publishers: Publishers,
    /// Who belongs to it; whoever is near, if it is open.
    pub closed: Option<ClosedSite>,
}

/// A site that only members belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedSite {
    /// The site's key: what members are told by.
    pub key: Verifier,
    /// With which a machine makes itself a member.
    pub ticket: Option<TicketSecret>,
}

/// The module prefixes of a site, and the keys that sign for each.
///
/// A prefix covers the module of that path and all below it, by whole path elements: `corp.example/team` covers
/// `corp.example/team/lib` and not `corp.example/teams`. Of several that cover a module only the longest counts, so
/// that a part of a namespace can be given to other keys altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publishers {
    by_prefix: BTreeMap<String, Vec<Verifier>>,
}

/// A line of a policy that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a path, or not the beginning of one.
    #[error("{prefix:?} is not a module prefix: {reason}")]
    Prefix {
        /// The text.
        prefix: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// It covers a module that always needs a checksum database.
    #[error(
        "{0:?} covers {TOOLCHAIN}, which is run as a program and is always checked against the checksum database: \
         name a longer prefix"
    )]
    Toolchain(String),
    /// There is no key for it.
    #[error("{0:?} has no key, so nothing under it could ever be published: name a key or remove the line")]
    NoKey(String),
    /// Two keys that a signature cannot tell apart.
    #[error("{prefix:?} has two keys that are both called {key}: make one of them anew")]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// Name and hash of both.
        key: String,
    },
    /// The same prefix again.
    #[error("{0:?} is there twice")]
    Twice(String),
}

impl Publishers {
    /// Lets `keys` publish what is under `prefix`. The same key twice counts once.
    ///
    /// # Errors
    /// [`PolicyError`]; nothing is changed then.
    pub fn add(&mut self, prefix: &str, mut keys: Vec<Verifier>) -> Result<(), PolicyError> {
        let owned = || prefix.to_owned();
        // A prefix is what a module can be under: "/v1" or "gopkg.in" alone are judged with what follows.
        if let Err(BadModule { reason, .. }) = ModulePath::parse(&format!("{prefix}/m")) {
            return Err(PolicyError::Prefix { prefix: owned(), reason });
        }
        let toolchain = ModulePath::parse(TOOLCHAIN);
        if toolchain.is_ok_and(|path| is_always_verified(&path) && covers(prefix, path.as_str())) {
            return Err(PolicyError::Toolchain(owned()));
        }
        if keys.is_empty() {
            return Err(PolicyError::NoKey(owned()));
        }
        if self.by_prefix.contains_key(prefix) {
            return Err(PolicyError::Twice(owned()));
        }
        keys.sort_by_key(ToString::to_string);
        keys.dedup();
        if let Some(twins) = keys.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
            return Err(PolicyError::Ambiguous { prefix: owned(), key: twins[0].id().to_string() });
        }
        self.by_prefix.insert(owned(), keys);
        Ok(())
    }

    /// The longest prefix that covers a module, and the keys that sign for it.
    #[must_use]
    pub fn of(&self, path: &ModulePath) -> Option<(&str, &[Verifier])> {
        let mut prefix = path.as_str();
        loop {
            if let Some((prefix, keys)) = self.by_prefix.get_key_value(prefix) {
                return Some((prefix, keys));
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }

    /// Whether nobody publishes anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// Each prefix and its keys, in the order of bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Verifier])> {
        self.by_prefix.iter().map(|(prefix, keys)| (prefix.as_str(), keys.as_slice()))
    }
}

impl fmt::Display for Publishers {
    /// As a site file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[publishers]")?;
        self.iter().try_for_each(|(prefix, keys)| writeln!(f, "{}", policy_line(prefix, keys)))
    }
}

/// The line of a site file that lets `keys` publish what is under `prefix`.
#[must_use]
pub fn policy_line<K: ToString>(prefix: &str, keys: &[K]) -> String {
    // Neither paths nor keys have a quote or a backslash in them.
    let keys: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.to_string())).collect();
    format!("\"{prefix}\" = [{}]", keys.join(", "))
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::note::Signer;

    fn key(name: &str, secret: u8) -> Verifier {
        Signer::from_secret(name, [secret; 32]).unwrap().verifier().clone()
    }

    fn policy(lines: &[(&str, &Verifier)]) -> Publishers {
        let mut publishers = Publishers::default();
        for (prefix, key) in lines {
            publishers.add(prefix, vec![(*key).clone()]).unwrap();
        }
        publishers
    }

    #[test]
    fn the_longest_prefix_of_whole_elements_counts() {
        let (corp, team) = (key("corp", 1), key("team", 2));
        let publishers = policy(&[("corp.example", &corp), ("corp.example/team", &team)]);
        for (path, prefix) in [
            ("corp.example", Some("corp.example")),
            ("corp.example/lib", Some("corp.example")),
            ("corp.example/teams", Some("corp.example")),
            ("corp.example/Team/x", Some("corp.example")),
            ("corp.example/team", Some("corp.example/team")),
            ("corp.example/team/a/v2", Some("corp.example/team")),
            ("corp.example.org/team", None),
            ("www.corp.example/team", None),
            ("example.com", None),
        ] {
            let found = publishers.of(&ModulePath::parse(path).unwrap());
            assert_eq!(found.map(|(prefix, _)| prefix), prefix, "{path}");
        }
        let (_, keys) = publishers.of(&ModulePath::parse("corp.example/team/x").unwrap()).unwrap();
        assert_eq!(keys, [team], "the keys of the shorter prefix do not count");
        assert!(Publishers::default().of(&ModulePath::parse("corp.example").unwrap()).is_none());
    }

    #[test]
    fn what_cannot_be_a_line_is_refused_with_the_reason() {
        let mut publishers = policy(&[("corp.example", &key("corp", 1))]);
        let before = publishers.clone();
        for (prefix, keys, words) in [
            ("corp.example/", vec![key("a", 1)], "is not a module prefix: it has an empty element"),
            ("corp", vec![key("a", 1)], "has no dot"),
            ("", vec![key("a", 1)], "empty element"),
            ("corp.example/*", vec![key("a", 1)], "'*' is not allowed in it"),
            // No policy takes a toolchain from the database (CVE-2026-94447).
            ("golang.org", vec![key("a", 1)], "covers golang.org/toolchain"),
            ("golang.org/toolchain", vec![key("a", 1)], "covers golang.org/toolchain"),
            ("corp.example/x", vec![], "\"corp.example/x\" has no key"),
            ("corp.example", vec![key("a", 1)], "is there twice"),
        ] {
            let error = publishers.add(prefix, keys).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(publishers, before);
        publishers.add("golang.org/x", vec![key("a", 1), key("b", 1), key("a", 1)]).unwrap();
        let x = ModulePath::parse("golang.org/x/mod").unwrap();
        assert_eq!(publishers.of(&x).unwrap().1.len(), 2, "one key twice is one key");
    }

    #[test]
    fn a_policy_is_shown_as_it_is_written() {
        let (a, b) = (key("a", 1), key("b", 2));
        let mut publishers = policy(&[("corp.example/z", &b)]);
        publishers.add("corp.example/a", vec![b.clone(), a.clone()]).unwrap();
        let text = format!("[publishers]\n\"corp.example/a\" = [\"{a}\", \"{b}\"]\n\"corp.example/z\" = [\"{b}\"]\n");
        assert_eq!(publishers.to_string(), text);
    }
}
