//! Which files are in vendored packages: `isVendoredPackage` of golang.org/x/mod/zip, with its bug of old.

use crate::domain::gomod::GoMod;

/// The language version since which the main module's go.mod asks for the rule without the bug.
const FIXED_SINCE: (u64, u64) = (1, 24);
const VENDOR: &[u8] = b"vendor/";

/// By which rule a module leaves out vendored packages. It follows from the `go` line of its go.mod, so that versions that
/// were published long ago keep their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendoring {
    /// Before `go 1.24`, and without a `go` line: `vendor/modules.txt` is part of the module, and each file in a directory
    /// `vendor` below the root counts as vendored (golang.org/issue/37397 and 63395).
    Before124,
    /// `go 1.24` and later: `vendor/modules.txt` is left out, and `pkg/vendor/vendor.go` is part of the module.
    Since124,
}

impl Vendoring {
    /// The rule for a module with this go.mod. One that cannot be read counts as old, as in the go command.
    #[must_use]
    pub fn of_go_mod(go_mod: Option<&[u8]>) -> Self {
        let parsed = go_mod.and_then(|bytes| GoMod::parse_dependency(bytes).ok());
        Self::of_go_line(parsed.and_then(|parsed| parsed.go).as_deref())
    }

    fn of_go_line(go: Option<&str>) -> Self {
        match go.and_then(language_version) {
            Some(version) if version >= FIXED_SINCE => Self::Since124,
            _ => Self::Before124,
        }
    }

    /// Whether `path` is a file in a vendored package.
    #[must_use]
    pub fn omits(self, path: &[u8]) -> bool {
        if self == Self::Since124 && path == b"vendor/modules.txt" {
            return true;
        }
        let below = if path.starts_with(VENDOR) {
            VENDOR.len()
        } else if let Some(at) = path.windows(VENDOR.len() + 1).position(|it| it == b"/vendor/") {
            match self {
                // The bug: counted from the start of the name and not from the directory.
                Self::Before124 => VENDOR.len() + 1,
                Self::Since124 => at + VENDOR.len() + 1,
            }
        } else {
            return false;
        };
        path[below..].contains(&b'/')
    }

    /// Whether every file below the directory `path` is in a vendored package.
    #[must_use]
    pub fn omits_below(self, path: &[u8]) -> bool {
        self.omits(&[path, b"/."].concat())
    }
}

/// Major and minor number of a Go version (`Lang` of Go's go/version): `1.24`, `1.24.1` and `1.24rc1` are all 1.24.
/// `None` for what is no Go version, such as `1.24.0rc1`.
fn language_version(text: &str) -> Option<(u64, u64)> {
    let (major, rest) = number(text)?;
    if rest.is_empty() {
        return Some((major, 0));
    }
    let (minor, rest) = number(rest.strip_prefix('.')?)?;
    let fits = if let Some(patch) = rest.strip_prefix('.') {
        number(patch)?.1.is_empty()
    } else {
        let pre = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        rest.is_empty() || (pre.len() < rest.len() && (pre.is_empty() || number(pre)?.1.is_empty()))
    };
    fits.then_some((major, minor))
}

/// A decimal number without leading zeros, and what follows it. One that is too large is as large as can be.
pub(super) fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let plain = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| (digits.parse().unwrap_or(u64::MAX), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendored_packages_are_those_of_x_mod() {
        // golang.org/x/mod/zip, TestIsVendoredPackage: (file, before 1.24, since 1.24). For the last two the table has no
        // versions; what is written here is what its comments say.
        for (path, before, since) in [
            ("vendor/foo/foo.go", true, true),
            ("pkg/vendor/foo/foo.go", true, true),
            ("longpackagename/vendor/foo/foo.go", true, true),
            ("vendor/vendor.go", false, false),
            ("vendor/foo/modules.txt", true, true),
            ("modules.txt", false, false),
            ("vendor/amodules.txt", false, false),
            ("vendor/modules.txt", false, true),
            ("pkg/vendor/vendor.go", true, false),
            ("longpackagename/vendor/vendor.go", true, false),
        ] {
            assert_eq!(Vendoring::Before124.omits(path.as_bytes()), before, "{path} before 1.24");
            assert_eq!(Vendoring::Since124.omits(path.as_bytes()), since, "{path} since 1.24");
        }
    }

    #[test]
    fn the_go_line_decides_which_rule_holds() {
        // The versions of the same test, and of the tests of Go's go/version.
        for old in ["1.14", "1.21.0", "1.22.4", "1.23", "1.23.1", "1.2", "1.7", "1.9", "1", "0.99"] {
            assert_eq!(Vendoring::of_go_line(Some(old)), Vendoring::Before124, "{old}");
        }
        for new in ["1.24.0", "1.24", "1.99.0", "1.24rc1", "1.24beta", "1.99999999999999999999999", "2"] {
            assert_eq!(Vendoring::of_go_line(Some(new)), Vendoring::Since124, "{new}");
        }
        for no_version in ["", "1.24.0rc1", "v1.24", "1.024", "01.24", "1.24.", "1.24.01", "1.24rc01", "1.24-x", "x"] {
            assert_eq!(Vendoring::of_go_line(Some(no_version)), Vendoring::Before124, "{no_version}");
        }
        assert_eq!(Vendoring::of_go_line(None), Vendoring::Before124);
    }

    #[test]
    fn the_rule_is_read_from_go_mod() {
        assert_eq!(Vendoring::of_go_mod(Some(b"module a.b/c\n\ngo 1.24\n")), Vendoring::Since124);
        assert_eq!(Vendoring::of_go_mod(Some(b"module a.b/c\n\ngo 1.23\n")), Vendoring::Before124);
        assert_eq!(
            Vendoring::of_go_mod(Some(b"go 1.24\nrequire (\n")),
            Vendoring::Before124,
            "the go command reads none"
        );
        assert_eq!(Vendoring::of_go_mod(None), Vendoring::Before124);
    }

    #[test]
    fn a_directory_whose_files_are_all_vendored_needs_no_visit() {
        for rule in [Vendoring::Before124, Vendoring::Since124] {
            assert!(rule.omits_below(b"vendor/x") && rule.omits_below(b"a/vendor/x"));
            assert!(!rule.omits_below(b"vendor") && !rule.omits_below(b"vendored") && !rule.omits_below(b"a"));
        }
        assert!(Vendoring::Before124.omits_below(b"a/vendor") && !Vendoring::Since124.omits_below(b"a/vendor"));
    }
}
