//! What a go.mod has to say for its module to be published.

use super::error::PublishError;
use super::vendoring::number;
use crate::domain::gomod::GoMod;
use crate::domain::module::{ModulePath, ModuleVersion};

/// The module path that a tree's go.mod declares: what it is published as.
///
/// # Errors
/// [`PublishError::GoMod`], [`PublishError::NoModuleLine`] or [`PublishError::ModuleLine`].
pub fn declared_path(go_mod: &[u8]) -> Result<ModulePath, PublishError> {
    let declared = GoMod::parse(go_mod)?.module.ok_or(PublishError::NoModuleLine)?;
    ModulePath::parse(&declared).map_err(PublishError::ModuleLine)
}

/// Checks the go.mod of a tree that is to become `module`, by the rules for main modules.
pub(super) fn check_of_tree(module: &ModuleVersion, go_mod: &[u8]) -> Result<(), PublishError> {
    let parsed = GoMod::parse(go_mod)?;
    check_path(module, parsed.module)?;
    match parsed.go {
        Some(go) if !is_go_version(&go) => Err(PublishError::GoLine(go)),
        _ => Ok(()),
    }
}

/// Checks the go.mod of a zip, by the rules for dependencies.
pub(super) fn check_of_zip(module: &ModuleVersion, go_mod: &[u8]) -> Result<(), PublishError> {
    check_path(module, GoMod::parse_dependency(go_mod)?.module)
}

fn check_path(module: &ModuleVersion, declared: Option<String>) -> Result<(), PublishError> {
    if module.version.is_incompatible() {
        return Err(PublishError::Incompatible(module.clone()));
    }
    let declared = declared.ok_or(PublishError::NoModuleLine)?;
    if declared != module.path.as_str() {
        return Err(PublishError::OtherPath { declared, published: module.path.clone() });
    }
    Ok(())
}

/// What does not depend on files: a pseudo-version names a time that there was.
pub(super) fn check_version(module: &ModuleVersion) -> Result<(), PublishError> {
    if module.version.is_pseudo() && module.version.pseudo_time().is_none() {
        return Err(PublishError::PseudoTime(module.clone()));
    }
    Ok(())
}

/// The go.mod of a module without one (cmd/go/internal/modfetch, `LegacyGoMod`).
pub(super) fn made_up(path: &ModulePath) -> Vec<u8> {
    format!("module {path}\n").into_bytes()
}

/// Whether a main module's `go` line may say so: `1.24`, `1.24.1` or `1.24rc1` (golang.org/x/mod/modfile, `GoVersionRE`).
fn is_go_version(text: &str) -> bool {
    fn after_numbers(text: &str) -> Option<&str> {
        let (major, rest) = number(text)?;
        let (_, rest) = number(rest.strip_prefix('.')?)?;
        let rest = rest.strip_prefix('.').map_or(Some(rest), |patch| number(patch).map(|(_, rest)| rest))?;
        (major > 0).then_some(rest)
    }
    after_numbers(text).is_some_and(|rest| {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let is_pre = digits.len() < rest.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        rest.is_empty() || is_pre
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_line_is_what_the_go_command_takes_in_a_main_module() {
        for good in ["1.0", "1.21", "1.21.0", "1.24rc1", "1.24.0rc1", "1.24rc01", "10.0.12alpha3"] {
            assert!(is_go_version(good), "{good}");
        }
        for bad in
            ["", "1", "0.1", "1.", "1.021", "1.21.", "1.21.x", "1.21.01", "v1.21", "1.24rc", "1.24-rc1", "go1.24"]
        {
            assert!(!is_go_version(bad), "{bad}");
        }
    }
}
