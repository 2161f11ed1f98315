//! Reads what `modswarm seed` is pointed at: go.mod, go.sum and go.work files with their local replacements.
//!
//! The node may not be able to read the user's files, so they travel to it as text.

use std::path::Path;

use super::{Failure, toolchains};
use crate::admin::{Build, MainModule, SeedRequest};
use crate::domain::gomod::{GoMod, GoWork, Replace, Replacement};
use crate::domain::module::ModulePath;

/// Sorts arguments into builds, go.sum files and queries, and reads the files.
pub(super) fn read(arguments: &[String]) -> Result<SeedRequest, Failure> {
    let mut request = SeedRequest::default();
    for argument in arguments {
        let path = Path::new(argument);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            request.builds.push(directory(path)?);
        } else if path.is_file() {
            match name {
                "go.sum" | "go.work.sum" => request.sums.push(text(path)?),
                "go.work" => request.builds.push(workspace(path)?),
                _ if path.extension().is_some_and(|end| end == "mod") => request.builds.push(module(path)?),
                _ => {
                    let what = format!("{argument} is no go.mod, go.sum or go.work file, and no directory with one");
                    return Err(Failure::usage(what));
                }
            }
        } else {
            request.queries.push(query(argument, name)?);
        }
    }
    Ok(request)
}

/// Something that is no file has to be `module@query`. The node has the last word on the query; what is no module path is
/// a mistake in the command line, and said without asking a node.
fn query(argument: &str, name: &str) -> Result<String, Failure> {
    let Some((path, query)) = argument.split_once('@').filter(|_| !argument.starts_with(['.', '/'])) else {
        if let Some(toolchain) = toolchains::meant(argument) {
            return Err(Failure::usage(format!(
                "there is no file or directory {argument}; the toolchain is `{toolchain}`"
            )));
        }
        let module = ModulePath::parse(argument).is_ok() && !["go.mod", "go.sum", "go.work"].contains(&name);
        let hint = if module { format!("; the module of that name is {argument}@latest") } else { String::new() };
        return Err(Failure::usage(format!("there is no file or directory {argument}{hint}")));
    };
    if let Some(toolchain) = toolchains::meant(argument) {
        return Err(Failure::usage(format!("{argument} is no module: the toolchain is `{toolchain}`")));
    }
    ModulePath::parse(path).map_err(|why| Failure::usage(why.to_string()))?;
    if query.is_empty() {
        return Err(Failure::usage(format!(
            "{argument} has nothing after the @: write {argument}latest, for instance"
        )));
    }
    Ok(argument.to_owned())
}

fn directory(dir: &Path) -> Result<Build, Failure> {
    let (work, module_file) = (dir.join("go.work"), dir.join("go.mod"));
    if work.is_file() {
        workspace(&work)
    } else if module_file.is_file() {
        module(&module_file)
    } else {
        Err(Failure::usage(format!("the directory {} has no go.mod and no go.work", dir.display())))
    }
}

fn workspace(path: &Path) -> Result<Build, Failure> {
    let work = text(path)?;
    let parsed = GoWork::parse(work.as_bytes()).map_err(|why| Failure::usage(unreadable(path, &why)))?;
    let base = path.parent().unwrap_or(Path::new("."));
    let mut mains = Vec::new();
    for dir in &parsed.use_dirs {
        mains.push(main_module(&base.join(dir).join("go.mod"))?);
    }
    if let Some(main) = mains.first_mut() {
        main.local.extend(replacements(base, &parsed.replace)?);
    }
    Ok(Build {
        name: path.display().to_string(),
        mains,
        work_sum: optional(&base.join("go.work.sum"))?,
        work: Some(work),
    })
}

fn module(path: &Path) -> Result<Build, Failure> {
    Ok(Build { name: path.display().to_string(), mains: vec![main_module(path)?], ..Build::default() })
}

fn main_module(path: &Path) -> Result<MainModule, Failure> {
    let go_mod = text(path)?;
    let parsed = GoMod::parse(go_mod.as_bytes()).map_err(|why| Failure::usage(unreadable(path, &why)))?;
    let local = replacements(path.parent().unwrap_or(Path::new(".")), &parsed.replace)?;
    Ok(MainModule { go_mod, go_sum: optional(&path.with_extension("sum"))?, local })
}

/// The go.mod files of local replacements. A directory without one is reported by the node, as a gap in the graph.
fn replacements(base: &Path, replace: &[Replace]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for replace in replace {
        if let Replacement::Local(directory) = &replace.with
            && let Some(go_mod) = optional(&base.join(directory).join("go.mod"))?
        {
            found.push((directory.clone(), go_mod));
        }
    }
    Ok(found)
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::failed(unreadable(path, &error)))
}

fn optional(path: &Path) -> Result<Option<String>, Failure> {
    if path.is_file() { text(path).map(Some) } else { Ok(None) }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{} cannot be read: {why}", path.display())
}
