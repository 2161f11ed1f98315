//! The GOPROXY request grammar: from a URL path to a question that the catalog can answer.
//!
//! ```text
//! /<module>/@v/list           the tagged versions
//! /<module>/@latest           the version to use where none is named
//! /<module>/@v/<version>.info what a version or a query (branch, commit, v1, v1.2) stands for
//! /<module>/@v/<version>.mod  its go.mod
//! /<module>/@v/<version>.zip  its zip
//! /sumdb/<name>/...           the checksum database, passed on
//! ```
//!
//! (golang.org/ref/mod#goproxy-protocol.) The path arrives undecoded: it is percent-decoded as a whole, as HTTP wants,
//! and then module and version are unescaped separately, each by its own rules. Clients send `%21x` where the
//! specification writes `!x`; both are one request.
//!
//! All that is no request is [`NotARequest`], and its only use is a 404: the go command *probes*, for instance the
//! parents of a module path, and any other status would stop its search. What comes out has been checked in full, so it
//! can name a file or a peer's key without another look.
//!
//! Non-goals: methods, headers, query strings, the path prefix that a proxy may be mounted under.

use super::module::{BadModule, ModulePath, ModuleVersion, Version, check_element, unescape};

/// The most bytes of an undecoded URL path. The longest path that the go command's own tests and the checksum
/// database know is under 300; file systems end at 4096.
pub const MAX_RAW_PATH: usize = 4096;

const SUMDB: &str = "sumdb/";

/// Words that stand for a version on the go command's own command line, and that a proxy must not answer as `.info`.
const NOT_QUERIES: [&str; 3] = ["latest", "upgrade", "patch"];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The tagged versions of a module.
    List(ModulePath),
    /// The version of a module to use where none is named.
    Latest(ModulePath),
    /// Which version a text stands for, and when it was made.
    Info {
        /// Of which module.
        path: ModulePath,
        /// Which of its versions.
        query: Query,
    },
    /// A go.mod file.
    GoMod(ModuleVersion),
    /// A module zip.
    Zip(ModuleVersion),
    /// Something of a checksum database: what follows `/sumdb/`, decoded. A database's name may have slashes, so only
    /// who knows the names can divide it: [`split_sumdb`].
    Sumdb(String),
}

/// The version part of an `.info` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A canonical version that belongs to the path: the answer names the same version and never changes.
    Version(Version),
    /// A branch, a commit, `v1`, `v1.2`, or the `v2.0.0` of a module whose path has no `/v2` (its answer is
    /// `v2.0.0+incompatible`): the answer may change. Printable ASCII without `/`, safe as a file name.
    Name(String),
}

/// A question to a checksum database (golang.org/design/25530-sumdb, "Proxying a Checksum Database").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SumdbRequest {
    /// Whether this proxy answers for the database at all.
    Supported,
    /// The latest signed tree head.
    Latest,
    /// The record of a module version.
    Lookup(ModuleVersion),
    /// A tile: the whole path from `tile/` on, still to be parsed.
    Tile(String),
}

/// A URL path that asks for nothing a proxy has, and why. Meant to become a 404 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not found: {reason}")]
pub struct NotARequest {
    /// Printable, on one line, a few hundred bytes at most.
    pub reason: String,
}

impl NotARequest {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<BadModule> for NotARequest {
    fn from(error: BadModule) -> Self {
        Self::new(error.to_string())
    }
}

/// Reads an undecoded URL path, which starts with `/` and has no query string.
///
/// # Errors
/// [`NotARequest`] says which rule the path breaks.
pub fn parse(raw_path: &str) -> Result<Request, NotARequest> {
    if raw_path.len() > MAX_RAW_PATH {
        return Err(NotARequest::new(format!("the path has more than {MAX_RAW_PATH} bytes")));
    }
    let decoded = percent_decode(raw_path)?;
    let path = decoded.strip_prefix('/').ok_or_else(|| NotARequest::new("the path does not start with a slash"))?;
    if path.split('/').any(|element| matches!(element, "" | "." | "..")) {
        return Err(NotARequest::new("the path has an element that is empty, . or .."));
    }
    if let Some(rest) = path.strip_prefix(SUMDB) {
        return Ok(Request::Sumdb(rest.into()));
    }
    if let Some(module) = path.strip_suffix("/@latest") {
        return Ok(Request::Latest(module_path(module)?));
    }
    match path.split_once("/@v/") {
        Some((module, "list")) => Ok(Request::List(module_path(module)?)),
        Some((module, file)) => parse_file(module, file),
        None => Err(NotARequest::new("a path has /@v/ or /@latest after the module")),
    }
}

/// Divides what follows `/sumdb/` into one of the `known` database names and the question. With names of which one is the
/// start of the other, the longer one counts.
///
/// `None` where the name is not known or the question is none: both are a 404.
#[must_use]
pub fn split_sumdb<'a>(remainder: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, SumdbRequest)> {
    let named = known.into_iter().filter_map(|name| Some((name, remainder.strip_prefix(name)?.strip_prefix('/')?)));
    let (name, question) = named.max_by_key(|(name, _)| name.len())?;
    let request = match question {
        "supported" => SumdbRequest::Supported,
        "latest" => SumdbRequest::Latest,
        _ if question.starts_with("tile/") => SumdbRequest::Tile(question.into()),
        _ => {
            let (path, version) = question.strip_prefix("lookup/")?.split_once('@')?;
            let (path, version) = (ModulePath::from_escaped(path).ok()?, Version::from_escaped(version).ok()?);
            SumdbRequest::Lookup(ModuleVersion::new(path, version).ok()?)
        }
    };
    Some((name, request))
}

fn parse_file(module: &str, file: &str) -> Result<Request, NotARequest> {
    let path = module_path(module)?;
    let Some((version, extension)) = file.rsplit_once('.') else {
        return Err(NotARequest::new("after /@v/ there is list or a version with .info, .mod or .zip"));
    };
    match extension {
        "info" => Ok(Request::Info { query: query(&path, version)?, path }),
        "mod" => Ok(Request::GoMod(module_version(path, version)?)),
        "zip" => Ok(Request::Zip(module_version(path, version)?)),
        _ => Err(NotARequest::new(format!("there are .info, .mod and .zip, and no {:?}", shown(extension)))),
    }
}

fn module_path(escaped: &str) -> Result<ModulePath, NotARequest> {
    Ok(ModulePath::from_escaped(escaped)?)
}

fn module_version(path: ModulePath, escaped: &str) -> Result<ModuleVersion, NotARequest> {
    Ok(ModuleVersion::new(path, Version::from_escaped(escaped)?)?)
}

fn query(path: &ModulePath, escaped: &str) -> Result<Query, NotARequest> {
    let refuse = |reason: String| NotARequest::new(format!("{:?} is no version query: {reason}", shown(escaped)));
    Query::parse(path, &unescape(escaped).map_err(refuse)?)
}

impl Query {
    /// Reads a query about a module as it is written plainly, not escaped.
    ///
    /// # Errors
    /// [`NotARequest`] for what no proxy resolves.
    pub fn parse(path: &ModulePath, name: &str) -> Result<Self, NotARequest> {
        let refuse = |reason: String| NotARequest::new(format!("{:?} is no version query: {reason}", shown(name)));
        check_element(name, query_char).map_err(refuse)?;
        if NOT_QUERIES.contains(&name) {
            return Err(refuse("it is the go command's word, which a proxy does not resolve".into()));
        }
        match Version::parse(name) {
            Ok(version) => match ModuleVersion::new(path.clone(), version.clone()) {
                Ok(_) => Ok(Self::Version(version)),
                // A path that names its major version has none of another. One that does not may have been asked for
                // `v2.0.0` without the `+incompatible`.
                Err(_) if path.major_suffix().is_empty() => Ok(Self::Name(name.into())),
                Err(why) => Err(why.into()),
            },
            Err(_) => Ok(Self::Name(name.into())),
        }
    }
}

/// The ASCII part of `fileNameOK` of golang.org/x/mod/module; unescaping leaves no other and no `!`.
fn query_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#$%&()+,-.=@[]^_{}~ ".contains(c)
}

fn percent_decode(raw: &str) -> Result<String, NotARequest> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let byte = rest.split_first_chunk().and_then(|(&[high, low], tail)| {
            rest = tail;
            Some(hex_digit(high)? << 4 | hex_digit(low)?)
        });
        decoded.push(byte.ok_or_else(|| NotARequest::new("a % is not followed by two hexadecimal digits"))?);
    }
    String::from_utf8(decoded).map_err(|_| NotARequest::new("the decoded path is not UTF-8"))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The first characters of a hostile text.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
