//! The module graph and its loading: `readModGraph` of cmd/go/internal/modload as a state machine.
//!
//! Module versions are numbered (`Id`) so that edges cost four bytes. Three notions are kept apart: a *node* is a
//! module version in the graph; its *file* is the go.mod that is loaded for it, which with `replace` may be another's
//! or a directory's, and may serve many nodes; a *visit* is a node on the queue together with how deep to load below it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::needed::Gap;
use super::{ClosureError, MAX_MODULE_VERSIONS, MAX_REQUIREMENTS, Main, Workspace};
use crate::domain::gomod::{BadModFile, Exclude, GoMod, Replace, Replacement, Require};
use crate::domain::module::{ModulePath, ModuleVersion};

/// The number of a module version in the graph.
type Id = u32;

/// How much is loaded below a node (`modPruning` of cmd/go/internal/modload).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Depth {
    /// Its own requirements, and more only below go.mod files that do not prune.
    Pruned,
    /// Everything.
    Unpruned,
    /// Its requirements and theirs: as for a main module.
    Workspace,
}

/// What a go.mod file says, as far as the graph goes.
#[derive(Debug, Default)]
struct Summary {
    prunes: bool,
    requires: Vec<Id>,
}

/// A go.mod file that is loaded for one node or several.
#[derive(Debug)]
enum File {
    /// Asked for; these visits wait for it.
    Asked(Vec<(Id, Depth)>),
    /// Here.
    Read(Summary),
    /// Will not come, or cannot be read.
    Gone,
}

/// Where the go.mod file of a node comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Origin {
    Module(ModuleVersion),
    /// Whose replacement (`None`: the go.work file's), and the directory as it is written there.
    Directory(Option<usize>, String),
    Nowhere,
}

/// The replacements of a main module or of the go.work file, by path.
type Replacements = HashMap<String, Vec<Replace>>;

#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<ModuleVersion>,
    ids: HashMap<ModuleVersion, Id>,
    /// The highest version of each path that anything requires.
    selected: HashMap<ModulePath, Id>,
    files: HashMap<Origin, File>,
    queue: VecDeque<(Id, Depth)>,
    visited: HashSet<(Id, Depth)>,
    outstanding: usize,
    /// Requirements of all files together.
    edges: usize,
    too_big: bool,
    gaps: Vec<Gap>,
    /// Paths of the main modules, which no version is ever selected of.
    main_paths: HashSet<String>,
    /// By precedence: go.work first.
    replacements: Vec<(Option<usize>, Replacements)>,
    excluded: HashSet<ModuleVersion>,
    /// What the main modules require: where settling starts.
    roots: Vec<Id>,
    mode: Mode,
}

/// What is done once everything on the queue is loaded.
#[derive(Debug)]
enum Mode {
    /// One main module that does not prune: all is loaded at once.
    Unpruned,
    /// One main module that prunes: roots rise to the version that was selected.
    Pruned,
    /// A workspace: these are reloaded at the selected version.
    Workspace { deps_in_all: HashSet<ModulePath>, seen: HashSet<Id> },
}

impl Graph {
    pub(super) fn new(mains: &[Main], workspace: Option<&Workspace>) -> Self {
        let mode = match mains {
            [main] if workspace.is_none() && main.go_mod.prunes_graph() => Mode::Pruned,
            [_] if workspace.is_none() => Mode::Unpruned,
            _ => Mode::Workspace { deps_in_all: HashSet::new(), seen: HashSet::new() },
        };
        let work = workspace.map(|work| (None, by_path(&work.go_work.replace)));
        let of_mains = mains.iter().enumerate().map(|(i, main)| (Some(i), by_path(&main.go_mod.replace)));
        let excludes = mains.iter().flat_map(|main| &main.go_mod.exclude);
        let mut graph = Self {
            nodes: Vec::new(),
            ids: HashMap::new(),
            selected: HashMap::new(),
            files: HashMap::from([(Origin::Nowhere, File::Gone)]),
            queue: VecDeque::new(),
            visited: HashSet::new(),
            outstanding: 0,
            edges: 0,
            too_big: false,
            gaps: Vec::new(),
            main_paths: mains.iter().filter_map(|main| main.go_mod.module.clone()).collect(),
            replacements: work.into_iter().chain(of_mains).collect(),
            excluded: excludes.filter_map(Exclude::module).collect(),
            roots: Vec::new(),
            mode,
        };
        graph.add_directories(None, workspace.iter().flat_map(|work| &work.local));
        for (i, main) in mains.iter().enumerate() {
            graph.add_directories(Some(i), &main.local);
        }
        for main in mains {
            graph.add_main(main);
        }
        graph
    }

    fn add_directories<'a>(&mut self, owner: Option<usize>, local: impl IntoIterator<Item = (&'a String, &'a GoMod)>) {
        for (directory, go_mod) in local {
            let summary = self.summary(go_mod, directory, Require::dependency);
            self.files.insert(Origin::Directory(owner, directory.clone()), File::Read(summary));
        }
    }

    fn add_main(&mut self, main: &Main) {
        let name = main.go_mod.module.as_deref().unwrap_or("the main module");
        let Summary { prunes, requires } = self.summary(&main.go_mod, name, Require::module);
        let depth = if prunes { Depth::Pruned } else { Depth::Unpruned };
        for &id in &requires {
            self.select(id);
            self.visit(id, depth);
        }
        self.roots.extend(requires);
    }

    /// Loads as far as possible; gives the go.mod files that are asked for now for the first time.
    pub(super) fn advance(&mut self) -> Result<Vec<ModuleVersion>, ClosureError> {
        let mut asked = Vec::new();
        loop {
            while let Some((id, depth)) = self.queue.pop_front() {
                self.load(id, depth, &mut asked);
            }
            if self.too_big {
                return Err(ClosureError::TooBig);
            }
            if self.outstanding > 0 || !self.settle() {
                return Ok(asked);
            }
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Takes a go.mod file, or `Err` why there is none.
    pub(super) fn answer(&mut self, module: &ModuleVersion, file: Result<GoMod, Option<BadModFile>>) {
        let origin = Origin::Module(module.clone());
        let Some(File::Asked(_)) = self.files.get(&origin) else { return };
        let read = match file {
            Ok(go_mod) => File::Read(self.summary(&go_mod, &module.to_string(), Require::dependency)),
            Err(error) => {
                self.gaps.push(Gap::of_file(module.clone(), error));
                File::Gone
            }
        };
        self.outstanding -= 1;
        if let Some(File::Asked(waiting)) = self.files.insert(origin, read) {
            self.queue.extend(waiting);
        }
    }

    /// The selected version of each path, or what replaces it, but for directories and main modules.
    pub(super) fn build_list(&self) -> BTreeSet<ModuleVersion> {
        let selected = self.selected.values().filter(|&&id| !self.is_main(id));
        let origins = selected.filter_map(|&id| match self.origin(id) {
            Origin::Module(module) => Some(module),
            Origin::Directory(..) | Origin::Nowhere => None,
        });
        origins.collect()
    }

    /// The go.mod files that were loaded, and what was amiss.
    pub(super) fn into_files(mut self) -> (BTreeSet<ModuleVersion>, Vec<Gap>) {
        // What replaces a module that is in the graph but was never loaded has been looked at by nobody yet.
        let ids: Vec<Id> = self.selected.values().copied().collect();
        for id in ids {
            self.origin_or_gap(id);
        }
        let files = self.files.into_keys().filter_map(|origin| match origin {
            Origin::Module(module) => Some(module),
            Origin::Directory(..) | Origin::Nowhere => None,
        });
        (files.collect(), self.gaps)
    }

    fn load(&mut self, id: Id, depth: Depth, asked: &mut Vec<ModuleVersion>) {
        let origin = self.origin_or_gap(id);
        let (prunes, requires) = match self.files.get_mut(&origin) {
            Some(File::Read(summary)) => (summary.prunes, summary.requires.clone()),
            Some(File::Asked(waiting)) => return waiting.push((id, depth)),
            Some(File::Gone) => return,
            None => {
                if let Origin::Module(module) = &origin {
                    asked.push(module.clone());
                    self.outstanding += 1;
                    self.files.insert(origin, File::Asked(vec![(id, depth)]));
                }
                return;
            }
        };
        let below = if prunes && depth != Depth::Unpruned { Depth::Pruned } else { Depth::Unpruned };
        for required in requires {
            self.select(required);
            if depth != Depth::Pruned || !prunes {
                self.visit(required, below);
            }
        }
    }

    fn visit(&mut self, id: Id, depth: Depth) {
        if self.visited.insert((id, depth)) {
            self.queue.push_back((id, depth));
        }
    }

    fn select(&mut self, id: Id) {
        let module = &self.nodes[id as usize];
        match self.selected.get_mut(&module.path) {
            Some(best) if self.nodes[*best as usize].version < module.version => *best = id,
            Some(_) => {}
            None => {
                self.selected.insert(module.path.clone(), id);
            }
        }
    }

    /// Looks for what has to be loaded because of what was selected. Whether there was anything.
    fn settle(&mut self) -> bool {
        match &mut self.mode {
            Mode::Unpruned => {}
            Mode::Pruned => {
                for root in self.roots.clone() {
                    if let Some(id) = self.risen(root) {
                        self.visit(id, Depth::Pruned);
                    }
                }
            }
            Mode::Workspace { deps_in_all, seen } => {
                // As the loop at the end of readModGraph: what is in deps_in_all is loaded at its selected version, and
                // whatever that requires and has risen joins it.
                let (paths, seen) = (std::mem::take(deps_in_all), std::mem::take(seen));
                self.settle_workspace(paths, seen);
            }
        }
        !self.queue.is_empty()
    }

    fn settle_workspace(&mut self, mut paths: HashSet<ModulePath>, mut seen: HashSet<Id>) {
        let mut found: HashSet<Id> = self.roots.iter().filter_map(|&root| self.risen(root)).collect();
        for path in &paths {
            let Some(&id) = self.selected.get(path) else { continue };
            if seen.contains(&id) {
                found.extend(self.requires(id).iter().filter_map(|&required| self.risen(required)));
            } else {
                found.insert(id);
            }
        }
        for id in found.into_iter().filter(|&id| seen.insert(id)).collect::<BTreeSet<_>>() {
            self.visit(id, Depth::Workspace);
            paths.insert(self.nodes[id as usize].path.clone());
        }
        self.mode = Mode::Workspace { deps_in_all: paths, seen };
    }

    /// The version that was selected in the place of `id`, if it is another.
    fn risen(&self, id: Id) -> Option<Id> {
        let selected = *self.selected.get(&self.nodes[id as usize].path)?;
        (selected != id && !self.is_main(id)).then_some(selected)
    }

    fn is_main(&self, id: Id) -> bool {
        self.main_paths.contains(self.nodes[id as usize].path.as_str())
    }

    fn requires(&self, id: Id) -> &[Id] {
        match self.files.get(&self.origin(id)) {
            Some(File::Read(summary)) => &summary.requires,
            _ => &[],
        }
    }

    /// Numbers what a go.mod file requires, but for what a main module excludes.
    fn summary(&mut self, go_mod: &GoMod, name: &str, resolve: fn(&Require) -> Option<ModuleVersion>) -> Summary {
        let mut summary = Summary { prunes: go_mod.prunes_graph(), requires: Vec::with_capacity(go_mod.require.len()) };
        for require in &go_mod.require {
            let Some(module) = resolve(require) else {
                self.gaps.push(unresolved(&require.path, &require.version, name));
                continue;
            };
            if !self.excluded.contains(&module) {
                summary.requires.extend(self.number(module));
            }
        }
        summary.requires.sort_unstable();
        summary.requires.dedup();
        self.edges += summary.requires.len();
        self.too_big |= self.edges > MAX_REQUIREMENTS;
        summary
    }

    fn number(&mut self, module: ModuleVersion) -> Option<Id> {
        if let Some(&id) = self.ids.get(&module) {
            return Some(id);
        }
        if self.nodes.len() >= MAX_MODULE_VERSIONS {
            self.too_big = true;
            return None;
        }
        let id = Id::try_from(self.nodes.len()).ok()?;
        self.nodes.push(module.clone());
        self.ids.insert(module, id);
        Some(id)
    }

    fn origin(&self, id: Id) -> Origin {
        let module = &self.nodes[id as usize];
        match self.replacement(module) {
            None => Origin::Module(module.clone()),
            Some((owner, Replacement::Local(directory))) => Origin::Directory(owner, directory.clone()),
            Some((_, with)) => with.module().map_or(Origin::Nowhere, Origin::Module),
        }
    }

    /// The origin of a node; where there is none, that is noted, once for each directory or replacement.
    fn origin_or_gap(&mut self, id: Id) -> Origin {
        let origin = self.origin(id);
        let module = &self.nodes[id as usize];
        let gap = match (&origin, self.replacement(module)) {
            (Origin::Directory(_, directory), _) if !self.files.contains_key(&origin) => {
                Gap::Local { directory: directory.clone() }
            }
            (Origin::Nowhere, Some((_, Replacement::Module { path, version }))) => {
                unresolved(path, version, &format!("the replacement of {module}"))
            }
            _ => return origin,
        };
        if matches!(origin, Origin::Directory(..)) {
            self.files.insert(origin.clone(), File::Gone);
        }
        self.gaps.push(gap);
        origin
    }

    fn replacement(&self, module: &ModuleVersion) -> Option<(Option<usize>, &Replacement)> {
        self.replacements.iter().find_map(|(owner, by_path)| {
            let lines = by_path.get(module.path.as_str())?;
            let exact = lines.iter().find(|line| line.version.as_deref() == Some(module.version.as_str()));
            let line = exact.or_else(|| lines.iter().find(|line| line.version.is_none()))?;
            Some((*owner, &line.with))
        })
    }
}

fn by_path(lines: &[Replace]) -> Replacements {
    let mut by_path = Replacements::new();
    for line in lines {
        by_path.entry(line.path.clone()).or_default().push(line.clone());
    }
    by_path
}

fn unresolved(path: &str, version: &str, wanted_by: &str) -> Gap {
    Gap::Unresolved { path: path.into(), version: version.into(), wanted_by: wanted_by.into() }
}
