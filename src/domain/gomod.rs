//! go.mod and go.work files, as far as a mirror has to understand them: what does this build require.
//!
//! The reader is lenient (compare `ParseLax` of golang.org/x/mod/modfile): directives that it does not know are
//! skipped, and module paths and versions stay text, as a main module's go.mod may require a branch. Only what could
//! hide a requirement is an error: a string or block that never ends, a `require` without a version, a `replace` without
//! its arrow. The verdict on a file is the go command's; the mirror passes the bytes on as they are.
//!
//! Non-goals: writing or formatting; comments (but for `// indirect`); deprecations and the reasons of retractions.
//!
//! Bounds: a file has at most [`MAX_GO_MOD`] bytes; memory is a small multiple of that. No recursion.

mod syntax;

use super::manifest::MAX_GO_MOD;
use super::module::{ModulePath, ModuleVersion, Version, canonical};
use syntax::Statement;

/// Go's minor version since which a go.mod file names all that its packages need, so that a reader may stop there:
/// graph pruning, golang.org/ref/mod#graph-pruning (`ExplicitIndirectVersion` of the go command).
const PRUNING_SINCE: (u64, u64) = (1, 17);

/// A go.mod file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoMod {
    /// The path that the module gives itself.
    pub module: Option<String>,
    /// The `go` version, such as `1.21.0`, as it is written.
    pub go: Option<String>,
    /// The suggested toolchain, such as `go1.26.1`.
    pub toolchain: Option<String>,
    /// What it requires, in file order; a path may occur several times.
    pub require: Vec<Require>,
    /// Replacements; they count in main modules only.
    pub replace: Vec<Replace>,
    /// Versions that are not to be used; they count in main modules only.
    pub exclude: Vec<Exclude>,
    /// Versions of this module that its author took back.
    pub retract: Vec<Retract>,
    /// Package paths of tools.
    pub tool: Vec<String>,
}

/// A go.work file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoWork {
    /// The `go` version, as it is written.
    pub go: Option<String>,
    /// The suggested toolchain.
    pub toolchain: Option<String>,
    /// Directories of the main modules, relative to the go.work file or absolute.
    pub use_dirs: Vec<String>,
    /// Replacements; they win over those of the main modules.
    pub replace: Vec<Replace>,
}

/// A line of `require`: at least this version of that module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Require {
    /// A module path, unchecked.
    pub path: String,
    /// A version, or in a main module perhaps a query such as `main` or `v1.2`.
    pub version: String,
    /// Marked `// indirect`: no package of the module itself imports it.
    pub indirect: bool,
}

/// A line of `replace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// The path to be replaced, unchecked.
    pub path: String,
    /// Only this version; all versions if there is none.
    pub version: Option<String>,
    /// What comes in its place.
    pub with: Replacement,
}

/// What comes in the place of a replaced module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// A directory, relative to the file that says so or absolute.
    Local(String),
    /// Another module, or another version of the same.
    Module {
        /// Its path, unchecked.
        path: String,
        /// Its version, unchecked.
        version: String,
    },
}

/// A line of `exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclude {
    /// A module path, unchecked.
    pub path: String,
    /// A version, unchecked.
    pub version: String,
}

/// Versions that a module's author took back: from `low` to `high`, both included; the same where only one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retract {
    /// The lowest version, unchecked.
    pub low: String,
    /// The highest version, unchecked.
    pub high: String,
}

/// A go.mod or go.work file that cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the {file} file: {reason}")]
pub struct BadModFile {
    /// `go.mod` or `go.work`.
    pub file: &'static str,
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl GoMod {
    /// Reads a go.mod file. Bytes that are not UTF-8 are taken as characters that no path or version has.
    ///
    /// # Errors
    /// [`BadModFile`] names the line that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadModFile> {
        let mut parsed = Self::default();
        for_each_statement("go.mod", bytes, |statement| parsed.add(statement))?;
        Ok(parsed)
    }

    /// Reads the go.mod file of a *dependency*, as `ParseLax` does: of what counts in main modules only nothing is read,
    /// so that nothing wrong there is an error.
    ///
    /// # Errors
    /// [`BadModFile`] names the line that cannot be read.
    pub fn parse_dependency(bytes: &[u8]) -> Result<Self, BadModFile> {
        let mut parsed = Self::default();
        for_each_statement("go.mod", bytes, |statement| match statement.verb.as_str() {
            "module" | "go" | "require" => parsed.add(statement),
            // A later go command may know more forms than we do.
            "retract" => parsed.add(statement).or(Ok(())),
            _ => Ok(()),
        })?;
        Ok(parsed)
    }

    /// Whether the module supports graph pruning, so that the modules which its requirements require are not needed to
    /// build it: `go 1.17` or higher. A file without a `go` line counts as 1.16.
    #[must_use]
    pub fn prunes_graph(&self) -> bool {
        self.go.as_deref().is_some_and(|go| go_version_reaches(go, PRUNING_SINCE))
    }

    fn add(&mut self, statement: Statement) -> Result<(), String> {
        let Statement { verb, args, indirect } = statement;
        match (verb.as_str(), args.as_slice()) {
            ("module", [path]) => self.module = Some(path.clone()),
            ("go", [version]) => self.go = Some(version.clone()),
            ("toolchain", [name]) => self.toolchain = Some(name.clone()),
            ("require", [path, version]) => {
                self.require.push(Require { path: path.clone(), version: version.clone(), indirect });
            }
            ("exclude", [path, version]) => {
                self.exclude.push(Exclude { path: path.clone(), version: version.clone() });
            }
            ("replace", args) => self.replace.push(replace(args)?),
            ("retract", args) => self.retract.push(retract(args)?),
            ("tool", [path]) => self.tool.push(path.clone()),
            ("module" | "go" | "toolchain" | "tool", _) => return Err(format!("{verb} takes one argument")),
            ("require" | "exclude", _) => return Err(format!("{verb} takes a module path and a version")),
            _ => {}
        }
        Ok(())
    }
}

impl GoWork {
    /// Reads a go.work file.
    ///
    /// # Errors
    /// [`BadModFile`] names the line that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadModFile> {
        let mut parsed = Self::default();
        for_each_statement("go.work", bytes, |statement| parsed.add(statement))?;
        Ok(parsed)
    }

    fn add(&mut self, statement: Statement) -> Result<(), String> {
        let Statement { verb, args, .. } = statement;
        match (verb.as_str(), args.as_slice()) {
            ("go", [version]) => self.go = Some(version.clone()),
            ("toolchain", [name]) => self.toolchain = Some(name.clone()),
            ("use", [directory]) => self.use_dirs.push(directory.clone()),
            ("replace", args) => self.replace.push(replace(args)?),
            ("go" | "toolchain" | "use", _) => return Err(format!("{verb} takes one argument")),
            _ => {}
        }
        Ok(())
    }
}

impl Require {
    /// The module version, if path and version are what a *main* module's go.mod names when nothing is left to look
    /// up: a checked path and a canonical version that belongs to it.
    #[must_use]
    pub fn module(&self) -> Option<ModuleVersion> {
        module_version(&self.path, &self.version)
    }

    /// The module version as the go command reads it in a *dependency's* go.mod: `v1.2` there is `v1.2.0`, not a query,
    /// and build metadata is dropped.
    #[must_use]
    pub fn dependency(&self) -> Option<ModuleVersion> {
        module_version(&self.path, &canonical(&self.version)?)
    }
}

impl Exclude {
    /// The module version that is not to be used; of no other form can anything in a graph be.
    #[must_use]
    pub fn module(&self) -> Option<ModuleVersion> {
        module_version(&self.path, &self.version)
    }
}

impl Replacement {
    /// The module version that has to be had, if it is one.
    #[must_use]
    pub fn module(&self) -> Option<ModuleVersion> {
        match self {
            Self::Local(_) => None,
            Self::Module { path, version } => module_version(path, version),
        }
    }
}

fn module_version(path: &str, version: &str) -> Option<ModuleVersion> {
    ModuleVersion::new(ModulePath::parse(path).ok()?, Version::parse(version).ok()?).ok()
}

fn for_each_statement(
    file: &'static str,
    bytes: &[u8],
    mut add: impl FnMut(Statement) -> Result<(), String>,
) -> Result<(), BadModFile> {
    if bytes.len() as u64 > MAX_GO_MOD {
        return Err(BadModFile { file, line: 1, reason: format!("it has more than {MAX_GO_MOD} bytes") });
    }
    let text = String::from_utf8_lossy(bytes);
    syntax::read(&text, &mut add).map_err(|(line, reason)| BadModFile { file, line, reason })
}

/// `path [version] => directory` or `path [version] => path version`.
fn replace(args: &[String]) -> Result<Replace, String> {
    const USAGE: &str = "replace is written: path [version] => directory, or => path version";
    let arrow = args.iter().position(|arg| arg == "=>").ok_or(USAGE)?;
    let (path, version) = match &args[..arrow] {
        [path] => (path.clone(), None),
        [path, version] => (path.clone(), Some(version.clone())),
        _ => return Err(USAGE.into()),
    };
    let with = match &args[arrow + 1..] {
        [directory] if is_directory(directory) => Replacement::Local(directory.clone()),
        [module] => {
            return Err(format!("the replacement {module:?} is no directory (./x, ../x, /x) and has no version"));
        }
        [path, version] => Replacement::Module { path: path.clone(), version: version.clone() },
        _ => return Err(USAGE.into()),
    };
    Ok(Replace { path, version, with })
}

/// `version` or `[low, high]`.
fn retract(args: &[String]) -> Result<Retract, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [version] => Ok(Retract { low: (*version).into(), high: (*version).into() }),
        ["[", low, ",", high, "]"] => Ok(Retract { low: (*low).into(), high: (*high).into() }),
        _ => Err("retract is written: version, or [low, high]".into()),
    }
}

/// `IsDirectoryPath` of golang.org/x/mod/modfile, which knows Windows paths on every system.
fn is_directory(text: &str) -> bool {
    let drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    matches!(text, "." | "..") || drive || ["./", "../", "/", ".\\", "..\\", "\\"].iter().any(|s| text.starts_with(s))
}

/// Whether the Go version `text` (`1.17`, `1.21.3`, `1.17rc1`) is at least major.minor. Release candidates of exactly
/// that version are before it (cmd/go/internal/gover, `Compare`).
fn go_version_reaches(text: &str, least: (u64, u64)) -> bool {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let Some((major, rest)) = text.trim_start_matches('v').split_once('.') else { return false };
    let (minor, rest) = rest.split_at(digits(rest));
    let (Ok(major), Ok(minor)) = (major.parse::<u64>(), minor.parse::<u64>()) else { return false };
    let is_candidate = rest.starts_with("rc") || rest.starts_with("beta");
    (major, minor) > least || ((major, minor) == least && !is_candidate)
}

#[cfg(test)]
mod tests;
