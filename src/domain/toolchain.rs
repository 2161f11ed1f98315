//! Go toolchains, which are module versions like any other: `golang.org/toolchain@v0.0.1-go1.26.1.linux-amd64`.
//!
//! The names are those of the go command (`cmd/go/internal/toolchain`, `Exec`; `cmd/go/internal/modfetch/toolchain.go`;
//! `internal/gover`; `internal/syslist`). What a switch asks for, measured with go 1.26: the zip, and its record in the
//! checksum database whatever GOSUMDB and GONOSUMDB say. Asking for a version by name (`go get toolchain@go1.26.1`)
//! reads the `.info` of *linux-amd64*, on every platform: [`Toolchain::witness`].
//!
//! Non-goals: comparing versions, and whether there is such a release: the upstream knows.

use std::fmt;

use super::module::{ModulePath, ModuleVersion, Version};
use super::sumdb::TOOLCHAIN;

/// What the versions of [`TOOLCHAIN`] start with.
const PREFIX: &str = "v0.0.1-";
/// Since this minor version `1.N` is a language and its first release is `1.N.0` (`internal/gover`, `IsLang`).
const LANGUAGES_SINCE: u32 = 21;

/// Operating systems: `KnownOS` of Go's `internal/syslist`.
const SYSTEMS: &str = "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 \
    solaris wasip1 windows zos";
/// Architectures: `KnownArch` of Go's `internal/syslist`.
const ARCHITECTURES: &str = "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le \
    mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm";
/// Other names of the same, as Rust, `uname` and package names have them.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("macos", "darwin"),
    ("osx", "darwin"),
    ("win", "windows"),
    ("win64", "windows"),
    ("x86_64", "amd64"),
    ("x64", "amd64"),
    ("x86", "386"),
    ("i386", "386"),
    ("i686", "386"),
    ("aarch64", "arm64"),
    ("armv6l", "arm"),
    ("armv7l", "arm"),
    ("loongarch64", "loong64"),
    ("powerpc64", "ppc64"),
    ("powerpc64le", "ppc64le"),
];

/// Words that name no toolchain, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToolchain {
    /// Not the version of a toolchain.
    #[error("{text:?} is not a toolchain version: write {instead}")]
    Version {
        /// What was written.
        text: String,
        /// What could be meant.
        instead: String,
    },
    /// Not a platform.
    #[error("{text:?} is not a platform of Go: write {instead}")]
    Platform {
        /// What was written.
        text: String,
        /// What could be meant.
        instead: String,
    },
    /// Platforms, or nothing.
    #[error("no toolchain version is named: write one, as in go1.26.1")]
    NoVersion,
    /// No platforms, and this machine's is not one of Go's.
    #[error("Go has no name for this machine's platform: write one, as in linux/amd64")]
    NoPlatform,
}

/// Where a toolchain runs, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: &'static str,
    arch: &'static str,
}

/// One toolchain: a version for a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toolchain {
    name: String,
    platform: Platform,
    version: Version,
}

impl Platform {
    /// The platform with these names, Go's or others (`macos`, `x86_64`); `None` for what Go does not know.
    #[must_use]
    pub fn named(os: &str, arch: &str) -> Option<Self> {
        let known = |name: &str, list: &'static str| {
            let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, of_go)| of_go);
            list.split(' ').find(|known| *known == name)
        };
        Some(Self { os: known(os, SYSTEMS)?, arch: known(arch, ARCHITECTURES)? })
    }

    /// Reads `linux/amd64`, exactly as Go writes it.
    ///
    /// # Errors
    /// [`BadToolchain::Platform`] with what could be meant.
    pub fn parse(text: &str) -> Result<Self, BadToolchain> {
        let lower = text.to_ascii_lowercase();
        let halves = lower.split_once(['/', '-', '_', ':']);
        let meant = halves.and_then(|(os, arch)| Self::named(os, arch).or_else(|| Self::named(arch, os)));
        match meant {
            Some(platform) if platform.to_string() == text => Ok(platform),
            Some(platform) => Err(BadToolchain::Platform { text: text.into(), instead: platform.to_string() }),
            None => Err(BadToolchain::Platform {
                text: text.into(),
                instead: "an operating system and an architecture as `go tool dist list` has them, such as \
                          linux/amd64, windows/amd64 or darwin/arm64"
                    .into(),
            }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

impl Toolchain {
    /// Reads `go1.26.1.linux-amd64`: what the module's version says behind `v0.0.1-`.
    ///
    /// # Errors
    /// [`BadToolchain`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, BadToolchain> {
        let bad = || BadToolchain::Version { text: text.into(), instead: "go1.26.1.linux-amd64, for instance".into() };
        let (name, platform) = text.rsplit_once('.').ok_or_else(bad)?;
        let (os, arch) = platform.split_once('-').ok_or_else(bad)?;
        Self::new(check_version(name)?, Platform::parse(&format!("{os}/{arch}"))?)
    }

    /// Reads words in any order, versions such as `go1.26.1` and platforms such as `linux/amd64`: each version is
    /// wanted for each platform, without any for `here`, which is this machine's.
    ///
    /// # Errors
    /// [`BadToolchain`] for the first word that is neither.
    pub fn parse_words(words: &[String], here: Option<Platform>) -> Result<Vec<Self>, BadToolchain> {
        let (mut names, mut platforms) = (Vec::new(), Vec::new());
        for word in words {
            if is_like_a_platform(word) {
                platforms.push(Platform::parse(word)?);
            } else {
                names.push(check_version(word)?);
            }
        }
        if names.is_empty() {
            return Err(BadToolchain::NoVersion);
        }
        if platforms.is_empty() {
            platforms.push(here.ok_or(BadToolchain::NoPlatform)?);
        }
        let all = names.iter().flat_map(|name| platforms.iter().map(|platform| Self::new(name, platform.clone())));
        let mut all = all.collect::<Result<Vec<_>, _>>()?;
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn new(name: &str, platform: Platform) -> Result<Self, BadToolchain> {
        let version = format!("{PREFIX}{name}.{}-{}", platform.os, platform.arch);
        let version = Version::parse(&version).map_err(|_| BadToolchain::Version {
            text: name.into(),
            instead: "a Go release, such as go1.26.1".into(),
        })?;
        Ok(Self { name: name.into(), platform, version })
    }

    /// The module version that is this toolchain.
    #[must_use]
    pub fn module(&self) -> ModuleVersion {
        #[allow(clippy::expect_used, reason = "a constant, which a test reads")]
        let path = ModulePath::parse(TOOLCHAIN).expect("a module path");
        ModuleVersion { path, version: self.version.clone() }
    }

    /// The same version for linux/amd64: the go command of every platform takes its `.info` as the sign that there is
    /// such a version (`toolchainRepo.Stat`).
    #[must_use]
    pub fn witness(&self) -> Self {
        let platform = Platform { os: "linux", arch: "amd64" };
        Self::new(&self.name, platform).unwrap_or_else(|_| self.clone())
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}-{}", self.name, self.platform.os, self.platform.arch)
    }
}

/// Whether a word is to be read, and complained of, as a platform: one with a slash, or that starts as one.
fn is_like_a_platform(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let first = lower.split(['/', '-', '_', ':']).next().unwrap_or_default();
    let names = SYSTEMS.split(' ').chain(ARCHITECTURES.split(' ')).chain(OTHER_NAMES.iter().map(|(other, _)| *other));
    word.contains('/') || names.into_iter().any(|name| name == first)
}

/// `go1.26.1`, `go1.27rc2`, `go1.20`: what GOTOOLCHAIN takes that is a release.
fn check_version(text: &str) -> Result<&str, BadToolchain> {
    let bad = |instead: String| Err(BadToolchain::Version { text: text.into(), instead });
    let Some(number) = text.strip_prefix("go") else {
        let bare = text.trim_start_matches(['v', 'V']);
        let meant = format!("go{}", if bare.is_empty() { text } else { bare });
        return bad(if is_release(&meant) { meant } else { "a Go release, such as go1.26.1".into() });
    };
    if let Some((name, platform)) = text.rsplit_once('.')
        && let Some((os, arch)) = platform.split_once('-')
        && let Some(platform) = Platform::named(os, arch)
        && is_release(name)
    {
        return bad(format!("{name} {platform}"));
    }
    if is_language(number) {
        return bad(format!("{text}.0 or a later release: {text} is a language and not a toolchain"));
    }
    if is_release(text) { Ok(text) } else { bad("a Go release, such as go1.26.1".into()) }
}

/// `1.N` since 1.21.
fn is_language(number: &str) -> bool {
    let minor = number.strip_prefix("1.").filter(|minor| is_number(minor));
    minor.and_then(|minor| minor.parse().ok()).is_some_and(|minor: u32| minor >= LANGUAGES_SINCE)
}

/// `go` and a version as `internal/gover`, `Parse`, takes it, of Go 1, that is not a language.
fn is_release(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("go1.") else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (minor, rest) = rest.split_at(end);
    if !is_number(minor) {
        return false;
    }
    if let Some(patch) = rest.strip_prefix('.') {
        return is_number(patch);
    }
    let kind = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let pre = rest.get(kind.len()..).unwrap_or_default();
    let plain = rest.is_empty() && !is_language(&format!("1.{minor}"));
    plain || (["rc", "beta"].contains(&kind) && is_number(pre))
}

/// Digits without a zero before them.
fn is_number(text: &str) -> bool {
    let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let parsed = Toolchain::parse_words(&words, Platform::named("linux", "x86_64"));
        parsed.map(|all| all.iter().map(ToString::to_string).collect()).map_err(|why| why.to_string())
    }

    #[test]
    fn a_toolchain_is_a_module_version() {
        for text in ["go1.26.1.linux-amd64", "go1.27rc2.windows-arm64", "go1.20.darwin-arm64", "go1.9.2.plan9-386"] {
            let toolchain = Toolchain::parse(text).unwrap();
            assert_eq!(toolchain.to_string(), text);
            assert_eq!(toolchain.module().to_string(), format!("golang.org/toolchain@v0.0.1-{text}"));
        }
        let witness = Toolchain::parse("go1.26.1.windows-arm64").unwrap().witness();
        assert_eq!(witness.to_string(), "go1.26.1.linux-amd64");
        for text in
            ["", "go1.26.1", "go1.26.1.linux", "1.26.1.linux-amd64", "go1.26.linux-amd64", "go1.26.1.linx-amd64"]
        {
            assert!(Toolchain::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_version_is_meant_for_each_platform_and_for_this_one_without_any() {
        assert_eq!(words(&["go1.26.1"]).unwrap(), ["go1.26.1.linux-amd64"]);
        let both = words(&["go1.26.1", "windows/amd64", "go1.25.4", "linux/arm64", "go1.26.1"]).unwrap();
        let all = ["go1.25.4.linux-arm64", "go1.25.4.windows-amd64", "go1.26.1.linux-arm64", "go1.26.1.windows-amd64"];
        assert_eq!(both, all);
        let nowhere = Toolchain::parse_words(&["go1.26.1".into()], None).unwrap_err();
        assert_eq!(nowhere, BadToolchain::NoPlatform);
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_write() {
        for (word, instead) in [
            ("1.26.1", "write go1.26.1"),
            ("v1.26.1", "write go1.26.1"),
            ("go1.26", "write go1.26.0 or a later release"),
            ("1.26", "such as go1.26.1"),
            ("go1.26.01", "such as go1.26.1"),
            ("go1.26.1rc1", "such as go1.26.1"),
            ("go2.0.0", "such as go1.26.1"),
            ("latest", "such as go1.26.1"),
            ("go1.26.1.linux-amd64", "write go1.26.1 linux/amd64"),
            ("linux-amd64", "write linux/amd64"),
            ("linux_amd64", "write linux/amd64"),
            ("Linux/AMD64", "write linux/amd64"),
            ("amd64/linux", "write linux/amd64"),
            ("macos/aarch64", "write darwin/arm64"),
            ("windows/x86_64", "write windows/amd64"),
            ("linux/x86_64", "write linux/amd64"),
            ("linux", "such as linux/amd64"),
            ("amd64", "such as linux/amd64"),
            ("linx/amd64", "such as linux/amd64"),
            ("linux/", "such as linux/amd64"),
        ] {
            let said = words(&["go1.25.4", word]).unwrap_err();
            assert!(said.contains(&format!("{word:?} is not a")) && said.contains(instead), "{word}: {said}");
        }
        assert!(words(&["linux/amd64"]).unwrap_err().contains("no toolchain version"));
    }

    #[test]
    fn names_of_this_machine_are_found() {
        for (os, arch, platform) in [
            ("linux", "x86_64", "linux/amd64"),
            ("macos", "aarch64", "darwin/arm64"),
            ("windows", "x86", "windows/386"),
        ] {
            assert_eq!(Platform::named(os, arch).unwrap().to_string(), platform);
        }
        assert_eq!(Platform::named("haiku", "x86_64"), None);
    }
}
