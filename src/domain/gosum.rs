//! go.sum files: which hashes a main module pins, and so a good guess at what its builds need.
//!
//! A line is `path version h1:...` for a zip or `path version/go.mod h1:...` for a go.mod file
//! (golang.org/ref/mod#go-sum-files).
//!
//! What the go command ignores is left out here too, and counted: hashes of a kind that it does not know, the
//! hash of an empty go.mod that an old bug wrote, and lines for what is no module version. What would make it stop is
//! an error, as a pin that cannot be read would silently pin nothing: a wrong number of fields, an `h1:` that is no hash.

use super::dirhash::H1;
use super::module::{ModulePath, ModuleVersion, Version};

/// The most bytes of a go.sum file that are read: 64 MiB, ten times the largest that is known (hundreds of thousands of
/// lines).
pub const MAX_GO_SUM: usize = 64 << 20;

/// `emptyGoModHash` of cmd/go/internal/modfetch: pinned by a bug before go 1.11 was out.
const EMPTY_GO_MOD: &str = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";

/// What a hash is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GoSumKind {
    /// The module zip.
    Zip,
    /// The go.mod file alone.
    GoMod,
}

/// A pinned hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoSumLine {
    /// Of which module version.
    pub module: ModuleVersion,
    /// Of which of its files.
    pub kind: GoSumKind,
    /// The hash.
    pub h1: H1,
}

/// A go.sum file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoSum {
    /// The pins, in file order.
    pub lines: Vec<GoSumLine>,
    /// Numbers, from 1, of the lines that were left out because the go command ignores them too.
    pub skipped: Vec<usize>,
}

/// A go.sum file that cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the go.sum file: {reason}; go mod tidy repairs it")]
pub struct BadGoSum {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl GoSum {
    /// Reads a go.sum file.
    ///
    /// # Errors
    /// [`BadGoSum`] names the line that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadGoSum> {
        if bytes.len() > MAX_GO_SUM {
            return Err(BadGoSum { line: 1, reason: format!("the file has more than {MAX_GO_SUM} bytes") });
        }
        let mut sum = Self::default();
        for (number, line) in (1..).zip(String::from_utf8_lossy(bytes).split('\n')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields.as_slice() {
                [] => {}
                [path, version, hash] => match pin(path, version, hash) {
                    Ok(Some(line)) => sum.lines.push(line),
                    Ok(None) => sum.skipped.push(number),
                    Err(reason) => return Err(BadGoSum { line: number, reason }),
                },
                _ => {
                    let reason = format!("it has {} fields and not path, version and hash", fields.len());
                    return Err(BadGoSum { line: number, reason });
                }
            }
        }
        Ok(sum)
    }
}

fn pin(path: &str, version: &str, hash: &str) -> Result<Option<GoSumLine>, String> {
    if hash == EMPTY_GO_MOD || !hash.starts_with("h1:") {
        return Ok(None);
    }
    let h1 = hash.parse().map_err(|error| format!("{error}"))?;
    let (version, kind) = match version.strip_suffix("/go.mod") {
        Some(version) => (version, GoSumKind::GoMod),
        None => (version, GoSumKind::Zip),
    };
    let module = ModulePath::parse(path)
        .and_then(|path| Version::parse(version).and_then(|version| ModuleVersion::new(path, version)));
    Ok(module.ok().map(|module| GoSumLine { module, kind, h1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: &str = "h1:pVgRXcIictcr+lBQIFeiwuwtDIs4eL21OuM9nyAADmo=";

    fn parse(text: &str) -> Result<GoSum, BadGoSum> {
        GoSum::parse(text.as_bytes())
    }

    #[test]
    fn each_line_pins_a_zip_or_a_go_mod() {
        let text = format!("rsc.io/quote v1.5.2 {H}\r\n\n  x.y/z/v2 v2.0.0-pre/go.mod\t{H}");
        let sum = parse(&text).unwrap();
        let pins: Vec<_> = sum.lines.iter().map(|pin| (pin.module.to_string(), pin.kind, pin.h1.to_string())).collect();
        assert_eq!(
            pins,
            [
                ("rsc.io/quote@v1.5.2".into(), GoSumKind::Zip, H.into()),
                ("x.y/z/v2@v2.0.0-pre".into(), GoSumKind::GoMod, H.into())
            ]
        );
        assert_eq!(parse(""), Ok(GoSum::default()));
    }

    #[test]
    fn what_the_go_command_ignores_is_left_out_and_counted() {
        let text = format!(
            "x.y/z v1.0.0/go.mod {EMPTY_GO_MOD}\nx.y/z v1.0.0 h9:new\nnot-a-path v1.0.0 {H}\nx.y/z v2.0.0 {H}\n\
             x.y/z main {H}\nx.y/z v1.0.0 {H}\n"
        );
        let sum = parse(&text).unwrap();
        assert_eq!(sum.skipped, [1, 2, 3, 4, 5]);
        assert_eq!(sum.lines.len(), 1);
    }

    #[test]
    fn what_stops_the_go_command_is_an_error_that_names_the_line() {
        for (text, message) in [
            (
                "<<<<<<< HEAD\n".to_owned(),
                "line 1 of the go.sum file: it has 2 fields and not path, version and hash; go mod tidy repairs it",
            ),
            (format!("x.y/z v1.0.0 {H}\nx.y/z {H}\n"), "line 2 of the go.sum file: it has 2 fields"),
            (format!("x.y/z v1.0.0 {H} more"), "line 1 of the go.sum file: it has 4 fields"),
            ("\n\nx.y/z v1.0.0 h1:abc".to_owned(), "line 3 of the go.sum file: a hash is written h1:"),
            (format!("x.y/z v1.0.0 {}", &H[..30]), "a hash is written h1:"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let bytes = [b"x.y/z v1.0.0 h1:\xff\xfe".as_slice(), &[0; 100]].concat();
        assert!(GoSum::parse(&bytes).is_err());
    }
}
