//! The go.mod of a module, as its zip has it.

use super::{Archive, MAX_GO_MOD, ReadAt, ZipError, read_file};
use crate::domain::module::ModuleVersion;

/// The bytes that a proxy answers `.mod` with for a module zip: its go.mod file, or where it has none, a line with the path (cmd/go,
/// modfetch, `legacyGoMod`).
///
/// # Errors
/// [`ZipError`]: not a zip, or a go.mod that is damaged or over 16 MiB.
pub fn go_mod_of(module: &ModuleVersion, zip: &dyn ReadAt) -> Result<Vec<u8>, ZipError> {
    let name = format!("{}go.mod", module.zip_prefix()).into_bytes();
    let archive = Archive::read(zip)?;
    match archive.entries().iter().find(|entry| entry.name == name) {
        Some(entry) => read_file(zip, entry, MAX_GO_MOD),
        None => Ok(format!("module {}\n", module.path).into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::zip::tests::{module, streamed};

    #[test]
    fn a_go_mod_is_the_file_at_the_root_or_a_line_with_the_path() {
        let module = module();
        let file = |name: &str| (format!("{}{name}", module.zip_prefix()), b"module m // ours\n".to_vec());
        assert_eq!(go_mod_of(&module, &streamed(&[file("a/go.mod"), file("go.mod")])).unwrap(), b"module m // ours\n");
        let line = format!("module {}\n", module.path);
        assert_eq!(go_mod_of(&module, &streamed(&[file("a/go.mod")])).unwrap(), line.as_bytes());
        assert!(go_mod_of(&module, &b"no zip".to_vec()).is_err());
    }
}
