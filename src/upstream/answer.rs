//! What an upstream's small answers must look like before anyone reads them. Pure.

use bytes::Bytes;

use crate::domain::info;
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// An `.info` or `@latest` answer whose fields were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The answer byte for byte: fields that are not known here (`Origin`) are in it.
    pub bytes: Bytes,
    /// `Version`: canonical, and one that the module path can have.
    pub version: Version,
    /// `Time`: RFC 3339, or empty where the answer has none.
    pub time: String,
}

impl Info {
    /// Checks an `.info` answer to `query` (`None`: `@latest`) that was kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &ModulePath, query: Option<&str>, bytes: Bytes) -> Result<Self, String> {
        info(path, query, bytes)
    }
}

/// Checks an `.info` answer to `query` (`None`: `@latest`). The error says what is wrong with it.
pub(super) fn info(path: &ModulePath, query: Option<&str>, bytes: Bytes) -> Result<Info, String> {
    if looks_like_html(&bytes) {
        return Err("it is an HTML page instead of JSON".into());
    }
    let fields = info::parse(&bytes).map_err(|why| why.to_string())?;
    let version = canonical(path, &fields.version)
        .ok_or_else(|| format!("its Version {:?} is not a canonical version of this module", clip(&fields.version)))?;
    // cmd/go/internal/modfetch, proxyRepo.Stat: a canonical query has one right answer.
    if let Some(query) = query.filter(|query| *query != version.as_str() && canonical(path, query).is_some()) {
        return Err(format!("it is about {version} where {query} was asked for"));
    }
    Ok(Info { bytes, version, time: fields.time.unwrap_or_default() })
}

/// Checks an `@v/list` answer: the canonical versions of this module in the order in which they came. Other lines are
/// passed over, as the go command does; what follows a version on its line (a time, at some proxies) too.
pub(super) fn list(path: &ModulePath, bytes: &[u8]) -> Result<Vec<Version>, String> {
    if looks_like_html(bytes) {
        return Err("it is an HTML page instead of a list".into());
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    Ok(lines.filter_map(|line| canonical(path, line.split_whitespace().next()?)).collect())
}

/// Whether a body is a web page: a portal, a login form, an error with status 200. No go.mod, list or JSON answer
/// begins with `<`.
pub(super) fn looks_like_html(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'<')
}

/// What a server wrote with an error, cleaned so that it can be shown: at most 8 lines of at most 80 bytes on average
/// (what the go command shows, cmd/go/internal/web), no control characters, no empty line at the start or the end.
pub(super) fn error_text(bytes: &[u8]) -> String {
    const LINES: usize = 8;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINES * 81)]);
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<_> = text.trim().lines().take(LINES).map(clean).collect();
    lines.join("\n")
}

/// The version, when it is canonical and one that this path can have.
fn canonical(path: &ModulePath, text: &str) -> Option<Version> {
    let version = Version::parse(text).ok()?;
    ModuleVersion::new(path.clone(), version).ok().map(|module| module.version)
}

/// The start of a text from outside, for an error.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ModulePath {
        ModulePath::parse(text).unwrap()
    }

    fn list_of(module: &str, text: &str) -> Vec<String> {
        list(&path(module), text.as_bytes()).unwrap().iter().map(ToString::to_string).collect()
    }

    fn info_of(query: &str, json: &str) -> Result<Info, String> {
        info(&path("example.com/m"), Some(query), Bytes::copy_from_slice(json.as_bytes()))
    }

    #[test]
    fn a_list_keeps_canonical_versions_of_this_module_in_their_order() {
        let text = "v1.2.0\nv1.0.0 2019-05-01T00:00:00Z\r\n\nmaster\nv1\nv1.2\nv01.2.3\nv1.2.3+meta\n1.2.3\nv1.2.3-rc.1\n\
                    v1.2.3-\nv1.2.3-01\nv1.2.3-a..b\nv2.0.0\nv2.0.0+incompatible\n../v1.0.0\nv1.0.0/../x";
        assert_eq!(list_of("example.com/m", text), ["v1.2.0", "v1.0.0", "v1.2.3-rc.1", "v2.0.0+incompatible"]);
        assert_eq!(list_of("example.com/m/v2", "v1.0.0\nv2.1.0\nv3.0.0"), ["v2.1.0"]);
        assert_eq!(list_of("gopkg.in/yaml.v2", "v1.0.0\nv2.1.0\nv3.0.0"), ["v2.1.0"]);
        assert!(list_of("example.com/m", "").is_empty());
    }

    #[test]
    fn lines_that_are_not_text_are_passed_over() {
        let versions = list(&path("example.com/m"), b"v1.0.0\n\xff\xfe\nv1.1.0").unwrap();
        assert_eq!(versions.len(), 2);
    }

    #[test]
    fn an_info_keeps_its_bytes_and_gives_version_and_time() {
        let json = r#"{ "Version":"v1.2.3","Time":"2019-05-01T00:00:00Z","Origin":{"VCS":"git","x":[1,2]} }"#;
        let info = info_of("main", json).unwrap();
        assert_eq!(info.bytes, json.as_bytes());
        assert_eq!((info.version.as_str(), info.time.as_str()), ("v1.2.3", "2019-05-01T00:00:00Z"));
        assert_eq!(info_of("v1.2.3", r#"{"Version":"v1.2.3"}"#).unwrap().time, "");
    }

    #[test]
    fn an_info_that_lies_is_refused_with_a_reason() {
        for (query, json, reason) in [
            ("v1.2.3", "<!DOCTYPE html><title>log in</title>", "HTML page instead of JSON"),
            ("v1.2.3", " \n<html>", "HTML page instead of JSON"),
            ("v1.2.3", r#"{"Version":"v1.2.4"}"#, "about v1.2.4 where v1.2.3 was asked for"),
            ("main", r#"{"Version":"v1.2"}"#, "\"v1.2\" is not a canonical version"),
            ("main", r#"{"Version":"v2.0.0"}"#, "not a canonical version of this module"),
            ("main", r#"{"Version":"../../etc"}"#, "not a canonical version"),
            ("main", r#"{"Version":"v1.2.3","Time":"yesterday"}"#, "not an RFC 3339 time"),
            ("main", r#"{"Version":"v1.2.3","Version":"v1.2.4"}"#, "duplicate field"),
            ("main", r#"{"Version":"v1.2.3"} x"#, "trailing characters"),
            ("main", r#"{"Version":"v1.2"#, "cannot be read"),
            ("main", "", "cannot be read"),
            ("main", r#"["v1.2.3"]"#, "cannot be read"),
            ("main", "{}", "missing field `Version`"),
        ] {
            let why = info_of(query, json).unwrap_err();
            assert!(why.contains(reason), "{json}: {why}");
        }
    }

    #[test]
    fn a_json_bomb_is_an_error_not_a_crash() {
        assert!(info_of("main", &format!(r#"{{"Version":"v1.0.0","x":{}"#, "[".repeat(60_000))).is_err());
    }

    #[test]
    fn an_error_text_is_short_and_printable() {
        assert_eq!(error_text(b"\n not found: \x1b[31mno\x07pe\r\nsecond\n"), "not found: [31mnope\nsecond");
        assert_eq!(error_text("x\n".repeat(100).as_bytes()).lines().count(), 8);
        assert!(error_text(&[b'x'; 100_000]).len() <= 648);
        assert_eq!(error_text(b""), "");
    }
}
