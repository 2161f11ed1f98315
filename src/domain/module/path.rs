//! `CheckPath`, `SplitPathVersion`, `EscapePath` and `UnescapePath` of golang.org/x/mod/module.

use std::fmt;
use std::sync::Arc;

use super::BadModule;

const WHAT: &str = "module path";
const GOPKG_IN: &str = "gopkg.in/";

/// File names that Windows keeps for devices, whatever the extension and the case.
const WINDOWS_DEVICES: [&str; 22] = [
    "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9", "LPT1", "LPT2",
    "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

/// A module path that passes `CheckPath` of golang.org/x/mod/module.
///
/// Cloning shares the text. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ModulePath(Arc<str>);

impl ModulePath {
    /// Parses and checks.
    ///
    /// # Errors
    /// [`BadModule`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        check_path(text).map_err(|reason| BadModule::new(WHAT, text, reason))?;
        Ok(Self(text.into()))
    }

    /// Parses the spelling of URLs and of the module cache, where `!x` stands for `X`.
    ///
    /// # Errors
    /// [`BadModule`] for a raw upper-case letter, a `!` that no lower-case letter follows, and all that
    /// [`ModulePath::parse`] refuses.
    pub fn from_escaped(escaped: &str) -> Result<Self, BadModule> {
        let text = unescape(escaped).map_err(|reason| BadModule::new(WHAT, escaped, reason))?;
        Self::parse(&text)
    }

    /// As written in go.mod (not escaped).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling of URLs and of the module cache.
    #[must_use]
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }

    /// The path's major-version suffix: `/v2`, gopkg.in's `.v2` or `.v2-unstable`, or nothing.
    #[must_use]
    pub fn major_suffix(&self) -> &str {
        split_version(&self.0).map_or("", |(_, suffix)| suffix)
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it is empty".into());
    }
    if path.starts_with('-') {
        return Err("it starts with a dash".into());
    }
    for element in path.split('/') {
        check_element(element, module_path_char)?;
        if element.starts_with('.') {
            return Err(format!("the element {element:?} starts with a dot"));
        }
        check_no_short_name(element)?;
    }
    let first = path.split('/').next().unwrap_or(path);
    if !first.contains('.') {
        return Err(format!("its first element {first:?} has no dot, so it is no host name"));
    }
    if let Some(bad) = first.chars().find(|c| !matches!(c, '-' | '.' | '0'..='9' | 'a'..='z')) {
        return Err(format!("its first element, a host name, has {bad:?} in it"));
    }
    split_version(path).map(|_| ())
}

fn module_path_char(c: char) -> bool {
    matches!(c, '-' | '.' | '_' | '~' | '0'..='9' | 'A'..='Z' | 'a'..='z')
}

/// The rules of `checkElem` of golang.org/x/mod/module that hold for path elements and for file names alike;
/// `allowed` says which characters this kind may have.
pub(crate) fn check_element(element: &str, allowed: fn(char) -> bool) -> Result<(), String> {
    if element.is_empty() {
        return Err("it has an empty element".into());
    }
    if element.ends_with('.') {
        return Err(format!("the element {element:?} ends with a dot"));
    }
    if let Some(bad) = element.chars().find(|&c| !allowed(c)) {
        return Err(format!("{bad:?} is not allowed in it"));
    }
    let stem = stem(element);
    if WINDOWS_DEVICES.iter().any(|device| device.eq_ignore_ascii_case(stem)) {
        return Err(format!("Windows keeps the name {stem:?} for a device"));
    }
    Ok(())
}

/// `~` and digits at the end of the stem: what Windows makes of long names, so two paths could be one.
fn check_no_short_name(element: &str) -> Result<(), String> {
    match stem(element).rsplit_once('~') {
        Some((_, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("the element {element:?} ends like a Windows short name"))
        }
        _ => Ok(()),
    }
}

fn stem(element: &str) -> &str {
    element.split('.').next().unwrap_or(element)
}

/// `SplitPathVersion`: what stands before the major-version suffix, and the suffix with its `/` or `.`.
fn split_version(path: &str) -> Result<(&str, &str), String> {
    if path.starts_with(GOPKG_IN) {
        return split_gopkg_in(path);
    }
    let stem = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let Some(prefix) = stem.strip_suffix("/v").filter(|_| stem.len() < path.len()) else {
        return Ok((path, ""));
    };
    let (prefix, suffix) = path.split_at(prefix.len());
    let number = &suffix["/v".len()..];
    if number.contains('.') || number.starts_with('0') || number == "1" {
        return Err(format!("a last element like {suffix:?} has to be /v2 or higher, without dots or leading zeros"));
    }
    Ok((prefix, suffix))
}

fn split_gopkg_in(path: &str) -> Result<(&str, &str), String> {
    let stable = path.strip_suffix("-unstable").unwrap_or(path);
    let stem = stable.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.strip_suffix(".v").map(|prefix| path.split_at(prefix.len())) {
        Some((prefix, suffix)) if suffix == ".v0" || !(suffix == ".v" || suffix.starts_with(".v0")) => {
            Ok((prefix, suffix))
        }
        _ => Err("a path on gopkg.in has to end with .vN".into()),
    }
}

/// `escapeString` of golang.org/x/mod/module: each upper-case letter becomes `!` and its lower-case letter.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// `unescapeString` of golang.org/x/mod/module: the only text that [`escape`] turns into `escaped`.
pub(crate) fn unescape(escaped: &str) -> Result<String, String> {
    let mut text = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        match c {
            '!' => match chars.next() {
                Some(next) if next.is_ascii_lowercase() => text.push(next.to_ascii_uppercase()),
                _ => return Err("after each ! there has to be a lower-case letter".into()),
            },
            'A'..='Z' => {
                return Err(format!("the upper-case letter {c} has to be escaped as !{}", c.to_ascii_lowercase()));
            }
            _ if c.is_ascii() => text.push(c),
            _ => return Err(format!("{c:?} is not ASCII")),
        }
    }
    Ok(text)
}
