//! From the texts of a seed request to closures: pure.

use std::collections::BTreeMap;

use crate::admin::{Build, MainModule, SeedRequest};
use crate::domain::closure::{Closure, Main, Pins, Workspace};
use crate::domain::gomod::{GoMod, GoWork, Require};
use crate::domain::gosum::{GoSum, GoSumKind, GoSumLine};
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::domain::toolchain::Toolchain;

/// A seed request, read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One for each build.
    pub(super) closures: Vec<Closure>,
    /// Lines of go.sum files that were given alone.
    pub(super) sums: Vec<GoSumLine>,
    /// Module and query of each `module@query`.
    pub(super) queries: Vec<(ModulePath, String)>,
    /// Go toolchains, each for one platform.
    pub(super) toolchains: Vec<Toolchain>,
    /// Every hash that any go.sum pins: known before the first byte is fetched, so that nothing else is ever stored.
    pub(super) pins: BTreeMap<ModuleVersion, Pins>,
}

impl Plan {
    /// Reads a request.
    ///
    /// # Errors
    /// One sentence that names the file and the line.
    pub(super) fn read(request: &SeedRequest) -> Result<Self, String> {
        let mut plan = Self::default();
        for build in &request.builds {
            plan.build(build).map_err(|why| format!("{}: {why}", build.name))?;
        }
        for text in &request.sums {
            let sum = GoSum::parse(text.as_bytes()).map_err(|why| format!("go.sum cannot be read: {why}"))?;
            plan.pin(&sum.lines)?;
            plan.sums.extend(sum.lines);
        }
        for query in &request.queries {
            plan.queries.push(read_query(query)?);
        }
        for name in &request.toolchains {
            plan.toolchains.push(Toolchain::parse(name).map_err(|why| why.to_string())?);
        }
        Ok(plan)
    }

    fn build(&mut self, build: &Build) -> Result<(), String> {
        let mains = build.mains.iter().map(main).collect::<Result<Vec<_>, _>>()?;
        for main in &mains {
            self.pin(&main.go_sum)?;
        }
        let Some(work) = &build.work else {
            self.closures.push(Closure::new(mains));
            return Ok(());
        };
        let go_work = GoWork::parse(work.as_bytes()).map_err(|why| why.to_string())?;
        let go_sum = lines(build.work_sum.as_deref())?;
        self.pin(&go_sum)?;
        let local = mains.iter().flat_map(|main| main.local.clone()).collect();
        self.closures.push(Closure::workspace(Workspace { go_work, go_sum, local }, mains));
        Ok(())
    }

    fn pin(&mut self, lines: &[GoSumLine]) -> Result<(), String> {
        for line in lines {
            let pins = self.pins.entry(line.module.clone()).or_default();
            let slot = if line.kind == GoSumKind::Zip { &mut pins.zip } else { &mut pins.go_mod };
            if *slot.get_or_insert(line.h1) != line.h1 {
                return Err(format!(
                    "the go.sum files pin two different hashes for {}: find out which one is right first",
                    line.module
                ));
            }
        }
        Ok(())
    }
}

fn main(main: &MainModule) -> Result<Main, String> {
    let parse = |text: &str| GoMod::parse(text.as_bytes()).map_err(|why| why.to_string());
    let mut local = BTreeMap::new();
    for (directory, text) in &main.local {
        local.insert(directory.clone(), parse(text)?);
    }
    Ok(Main { go_mod: parse(&main.go_mod)?, go_sum: lines(main.go_sum.as_deref())?, local })
}

fn lines(go_sum: Option<&str>) -> Result<Vec<GoSumLine>, String> {
    let parsed = GoSum::parse(go_sum.unwrap_or_default().as_bytes());
    parsed.map(|sum| sum.lines).map_err(|why| format!("go.sum cannot be read: {why}"))
}

fn read_query(text: &str) -> Result<(ModulePath, String), String> {
    let (path, query) = text.split_once('@').ok_or_else(|| format!("{text:?} is not module@query"))?;
    let path = ModulePath::parse(path).map_err(|why| why.to_string())?;
    // What a proxy is asked for must be one URL segment (or a branch with slashes), and printable.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+~".contains(c);
    if query.is_empty() || !query.chars().all(plain) || query.contains("..") {
        return Err(format!(
            "{text:?} has no usable query after the @: write a version, a branch, a commit, or latest"
        ));
    }
    Ok((path, query.to_owned()))
}

/// The closures of `module` for those who require it, and for those who build it by itself (`go install module@version`).
pub(super) fn closures_of(module: &ModuleVersion, go_mod: &[u8]) -> Vec<Closure> {
    let require = Require { path: module.path.to_string(), version: module.version.to_string(), indirect: false };
    let user = GoMod {
        module: Some("modswarm.invalid/seed".into()),
        go: Some("1.21".into()),
        require: vec![require],
        ..GoMod::default()
    };
    let own = GoMod::parse_dependency(go_mod).ok();
    [Some(user), own]
        .into_iter()
        .flatten()
        .map(|go_mod| Closure::new(vec![Main { go_mod, ..Main::default() }]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        let build = |go_mod: &str, go_sum: &str| SeedRequest {
            builds: vec![Build {
                name: "proj/go.mod".into(),
                mains: vec![MainModule { go_mod: go_mod.into(), go_sum: Some(go_sum.into()), local: vec![] }],
                ..Build::default()
            }],
            ..SeedRequest::default()
        };
        let error = |request: &SeedRequest| Plan::read(request).err().unwrap_or_default();
        assert!(error(&build("module (\n", "")).starts_with("proj/go.mod: "));
        assert!(
            error(&build("module m.example/a\n", "m.example/b v1.0.0 h1:nonsense\n")).contains("go.sum cannot be read")
        );
        let query = |text: &str| SeedRequest { queries: vec![text.into()], ..SeedRequest::default() };
        for text in ["example.com/m@", "example.com/m@a b", "example.com/m@../x", "nodot@v1.0.0", "example.com/m"] {
            assert_ne!(error(&query(text)), "", "{text}");
        }
        assert!(Plan::read(&query("example.com/m@feature/x")).is_ok());
        let toolchain = SeedRequest { toolchains: vec!["go1.26.1.linux-x86_64".into()], ..SeedRequest::default() };
        assert!(error(&toolchain).contains("write linux/amd64"));
    }

    #[test]
    fn two_hashes_for_one_version_stop_the_run_before_it_begins() {
        let line = |fill: u8| format!("m.example/b v1.0.0 {}\n", crate::domain::dirhash::H1::from_bytes([fill; 32]));
        let request = SeedRequest { sums: vec![line(1), line(2)], ..SeedRequest::default() };
        let error = Plan::read(&request).unwrap_err();
        assert!(error.contains("two different hashes for m.example/b@v1.0.0"), "{error}");
    }
}
