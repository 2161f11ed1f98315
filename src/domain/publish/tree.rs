//! A directory tree that can be published.

use std::io::{Read, Write};

use super::error::{Omission, PublishError};
use super::files::{FileEntry, FileKind, GO_MOD, ValidFile, check_files};
use super::go_mod::{check_of_tree, check_version};
use super::pack::Packer;
use super::vendoring::Vendoring;
use crate::domain::dirhash::H1;
use crate::domain::module::ModuleVersion;
use crate::domain::zip::ZipFacts;

/// A directory tree that has passed every rule that can be checked without reading its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    module: ModuleVersion,
    go_mod: Vec<u8>,
    /// Sorted by path, as bytes.
    files: Vec<ValidFile>,
    omitted: Vec<Omission>,
}

impl Tree {
    /// Checks that the tree of `files` can become `module`. `go_mod` is the content of the go.mod in its root.
    ///
    /// # Errors
    /// [`PublishError`] says what is wrong and what to do about it; the first of: the version, no go.mod, the files, what
    /// go.mod says.
    pub fn check(module: ModuleVersion, go_mod: Option<Vec<u8>>, files: &[FileEntry]) -> Result<Self, PublishError> {
        check_version(&module)?;
        let is_go_mod = |file: &&FileEntry| file.path == GO_MOD.as_bytes();
        let listed = files.iter().find(is_go_mod);
        if listed.is_some_and(|file| !matches!(file.kind, FileKind::Regular { .. })) {
            return Err(PublishError::GoModNotRegular);
        }
        let in_other_case = files.iter().any(|file| file.path.eq_ignore_ascii_case(GO_MOD.as_bytes()));
        let go_mod = go_mod.filter(|_| listed.is_some());
        if go_mod.is_none() && !in_other_case {
            return Err(PublishError::NoGoMod(module.path));
        }
        let checked = check_files(&module, Vendoring::of_go_mod(go_mod.as_deref()), files);
        checked.verdict()?;
        let Some(go_mod) = go_mod else { return Err(PublishError::NoGoMod(module.path)) };
        check_of_tree(&module, &go_mod)?;
        let mut files = checked.valid;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { module, go_mod, files, omitted: checked.omitted })
    }

    /// What it becomes.
    #[must_use]
    pub fn module(&self) -> &ModuleVersion {
        &self.module
    }

    /// The content of its go.mod, which is the version's `.mod` file.
    #[must_use]
    pub fn go_mod(&self) -> &[u8] {
        &self.go_mod
    }

    /// The files of the module, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[ValidFile] {
        &self.files
    }

    /// What is left out, in the order in which it was listed.
    #[must_use]
    pub fn omitted(&self) -> &[Omission] {
        &self.omitted
    }

    /// Writes the module zip to `out`; `open` gives the content of a file by its path. go.mod is not opened again: what
    /// was checked is what is packed.
    ///
    /// # Errors
    /// [`PublishError::Read`] and [`PublishError::Changed`] name a file; [`PublishError::Write`] is the fault of `out`,
    /// which then has a part of a zip. [`PublishError::ZipOversize`] can only be known in the end, as files that do not
    /// compress become a little longer.
    pub fn write_zip<R: Read>(
        &self,
        mut open: impl FnMut(&str) -> std::io::Result<R>,
        out: impl Write,
    ) -> Result<ZipFacts, PublishError> {
        let prefix = self.module.zip_prefix();
        let mut packer = Packer::new(out);
        let mut lines = Vec::with_capacity(self.files.len());
        let mut unpacked = 0;
        for ValidFile { path, size } in &self.files {
            let name = format!("{prefix}{path}");
            let hash = if path == GO_MOD {
                packer.file(&name, path, *size, self.go_mod.as_slice())?
            } else {
                let content = open(path).map_err(|source| PublishError::Read { path: path.clone(), source })?;
                packer.file(&name, path, *size, content)?
            };
            lines.push((name, hash));
            unpacked += size;
        }
        let len = packer.finish()?;
        Ok(ZipFacts { h1: H1::of_lines(lines), len, files: self.files.len(), inside: self.files.len(), unpacked })
    }
}
