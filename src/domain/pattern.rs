//! Patterns of module paths in the syntax of GOPRIVATE: a list of globs with commas between them, each of which covers
//! the modules whose path begins with something that it matches (golang.org/x/mod/module, `MatchPrefixPatterns`).
//!
//! A glob is one of Go's `path.Match`: `*` is any text and `?` any character, both without a slash; `[a-z]` and
//! `[^a-z]` are classes, and a backslash takes the meaning from what follows it. Where Go passes over a glob that is
//! malformed or that can match nothing, a list with one is refused here: whoever writes a pattern means to keep
//! something private, and nobody would notice that it is not.

use std::fmt;
use std::str::FromStr;

/// A list of patterns; empty, it covers nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixPatterns {
    globs: Vec<Glob>,
}

/// A pattern that can match nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a glob of `path.Match`.
    #[error(
        "the pattern {0:?} is malformed: a class is written [a-z] or [^a-z], and after a backslash comes a character"
    )]
    Malformed(String),
    /// There is a space, which no module path has.
    #[error(
        "the pattern {0:?} has a space in it, which no module path has: write patterns with commas alone between them"
    )]
    Space(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    text: String,
    parts: Vec<Part>,
    /// Slashes in the text: it is held against so many elements of a path, and one more.
    slashes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `*`
    Star,
    /// `?`
    Any,
    /// Itself.
    Just(char),
    /// `[...]`
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl PrefixPatterns {
    /// Whether a module path, or the beginning of it up to a slash, matches one of the patterns; which one, if so.
    #[must_use]
    pub fn covers(&self, path: &str) -> Option<&str> {
        self.globs.iter().find(|glob| glob.covers(path)).map(|glob| glob.text.as_str())
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }
}

impl FromStr for PrefixPatterns {
    type Err = PatternError;

    /// Reads a list. Empty patterns and a slash at the end of one are passed over, as in GOPRIVATE.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        let globs = text.split(',').map(|glob| glob.strip_suffix('/').unwrap_or(glob));
        let globs: Result<_, _> = globs.filter(|glob| !glob.is_empty()).map(Glob::parse).collect();
        Ok(Self { globs: globs? })
    }
}

impl fmt::Display for PrefixPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.globs.iter().map(|glob| glob.text.as_str()).collect();
        f.write_str(&texts.join(","))
    }
}

impl Glob {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains(char::is_whitespace) {
            return Err(PatternError::Space(text.into()));
        }
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let part = match c {
                '*' => Some(Part::Star),
                '?' => Some(Part::Any),
                '\\' => rest.next().map(Part::Just),
                '[' => class(&mut rest),
                c => Some(Part::Just(c)),
            };
            parts.push(part.ok_or_else(|| PatternError::Malformed(text.into()))?);
        }
        Ok(Self { text: text.into(), parts, slashes: text.matches('/').count() })
    }

    fn covers(&self, path: &str) -> bool {
        let mut ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.nth(self.slashes).is_some_and(|end| self.matches(&path[..end]))
    }

    /// `path.Match`. It is enough to go back to the last star: what stands before it has matched as early as it can.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Behind the last star, and where its text ends as tried last.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(part), text.get(at)) {
                (None, None) => return true,
                (Some(Part::Star), _) => {
                    part += 1;
                    star = Some((part, at));
                    continue;
                }
                (Some(single), Some(c)) if single.takes(*c) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match star {
                Some((behind, end)) if text.get(end).is_some_and(|c| *c != '/') => {
                    (part, at) = (behind, end + 1);
                    star = Some((behind, at));
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::Just(just) => *just == c,
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

/// What follows `[`, up to and with `]`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Part> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if rest.as_str().starts_with(']') && !ranges.is_empty() {
            rest.next();
            return Some(Part::Class { negated, ranges });
        }
        let low = class_char(rest)?;
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = class_char(rest)?;
        }
        ranges.push((low, high));
    }
}

/// One end of a range (`getEsc` of Go's path/match.go).
fn class_char(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns, paths and answers of golang.org/x/mod/module, `module_test.go`, `TestMatchPrefixPatterns`.
    #[test]
    fn lists_match_as_in_goprivate() {
        for (globs, target, want) in [
            ("", "rsc.io/quote", false),
            ("/", "rsc.io/quote", false),
            ("*/quote", "rsc.io/quote", true),
            ("*/quo", "rsc.io/quote", false),
            ("*/quo??", "rsc.io/quote", true),
            ("*/quo*", "rsc.io/quote", true),
            ("*quo*", "rsc.io/quote", false),
            ("rsc.io", "rsc.io/quote", true),
            ("*.io", "rsc.io/quote", true),
            ("rsc.io/", "rsc.io/quote", true),
            ("rsc", "rsc.io/quote", false),
            ("rsc*", "rsc.io/quote", true),
            ("rsc.io", "rsc.io/quote/v3", true),
            ("*/quote", "rsc.io/quote/v3", true),
            ("*/quote/", "rsc.io/quote/v3", true),
            ("*/quote/*", "rsc.io/quote/v3", true),
            ("*/quote/*/", "rsc.io/quote/v3", true),
            ("*/v3", "rsc.io/quote/v3", false),
            ("*/*/v3", "rsc.io/quote/v3", true),
            ("*/*/*", "rsc.io/quote/v3", true),
            ("*/*/*/", "rsc.io/quote/v3", true),
            ("*/*/*", "rsc.io/quote", false),
            ("*/*/*/", "rsc.io/quote", false),
            ("*/*/*,,", "rsc.io/quote", false),
            ("*/*/*,,*/quote", "rsc.io/quote", true),
            (",,*/quote", "rsc.io/quote", true),
        ] {
            let patterns: PrefixPatterns = globs.parse().unwrap();
            assert_eq!(patterns.covers(target).is_some(), want, "{globs:?} {target:?}");
        }
    }

    /// Patterns, texts and answers of Go's path/match_test.go; `None` is its `ErrBadPattern`.
    #[test]
    fn globs_match_as_in_go() {
        for (glob, text, want) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[\\-x]", "x", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[\\-x]", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("a/b[", "x", None),
            ("*x", "xxx", Some(true)),
        ] {
            let glob_read = Glob::parse(glob).ok();
            assert_eq!(glob_read.map(|glob| glob.matches(text)), want, "{glob:?} {text:?}");
        }
    }

    #[test]
    fn the_pattern_that_covers_a_path_is_named_and_a_useless_one_is_refused() {
        let patterns: PrefixPatterns = "corp.example/,*.corp.example".parse().unwrap();
        assert_eq!(patterns.covers("corp.example/team/lib"), Some("corp.example"));
        assert_eq!(patterns.covers("git.corp.example/x"), Some("*.corp.example"));
        assert_eq!(patterns.covers("corp.example.org"), None);
        assert_eq!((patterns.to_string().as_str(), patterns.is_empty()), ("corp.example,*.corp.example", false));
        assert!(
            "a.example, b.example"
                .parse::<PrefixPatterns>()
                .unwrap_err()
                .to_string()
                .contains("\" b.example\" has a space")
        );
        assert!("a.example,[".parse::<PrefixPatterns>().unwrap_err().to_string().contains("\"[\" is malformed"));
    }
}
