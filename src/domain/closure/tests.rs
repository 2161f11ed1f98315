//! Synthetic graphs, one per rule. A world is lines of `module@version: go version, requirement, ...`; `a@1.0` is short for
//! `x.y/a@v1.0.0`, and a file without a go version is one from before modules were pruned.

use std::collections::BTreeSet;

use super::*;
use crate::domain::gomod::Replacement;
use crate::domain::gosum::GoSum;

const H: &str = "h1:pVgRXcIictcr+lBQIFeiwuwtDIs4eL21OuM9nyAADmo=";
const OTHER_H: &str = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn long(short: &str) -> String {
    let (name, version) = short.split_once('@').unwrap();
    format!("x.y/{name}@v{version}.0")
}

/// The text of a go.mod from `1.17, a@1.0, b@1.0`.
fn text(short: &str) -> String {
    let lines =
        short.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| match item.split_once('@') {
            Some(_) => format!("require {}\n", long(item).replace('@', " ")),
            None => format!("go {item}\n"),
        });
    lines.collect()
}

fn main(short: &str, more: &str) -> Main {
    Main {
        go_mod: GoMod::parse(format!("module x.y/main\n{}{more}", text(short)).as_bytes()).unwrap(),
        ..Main::default()
    }
}

/// Answers from `world` until nothing is needed; checks that nothing is asked for twice.
fn walk(mut closure: Closure, world: &str) -> Needed {
    let files: BTreeMap<String, String> =
        world.lines().filter_map(|line| line.split_once(":")).map(|(name, file)| (long(name), text(file))).collect();
    let mut asked = BTreeSet::new();
    loop {
        let needed = closure.next_needed().unwrap();
        if needed.is_empty() {
            return closure.finish().unwrap();
        }
        for module in needed {
            assert!(asked.insert(module.clone()), "{module} is asked for twice");
            match files.get(&module.to_string()) {
                Some(file) => closure.go_mod(&module, file.as_bytes()),
                None => closure.failed(&module),
            }
        }
    }
}

fn single(main: Main, world: &str) -> Needed {
    walk(Closure::new(vec![main]), world)
}

/// `a@1.0 b@1.0` for a set of modules.
fn short(modules: &BTreeSet<ModuleVersion>) -> String {
    let names = modules.iter().map(|module| {
        let text = module.to_string();
        text.trim_start_matches("x.y/").strip_suffix(".0").unwrap().replace("@v", "@")
    });
    names.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_needed(needed: &Needed, zips: &str, go_mods: &str) {
    assert_eq!((short(&needed.zips).as_str(), short(&needed.go_mods).as_str()), (zips, go_mods));
    assert_eq!(needed.missing, []);
}

#[test]
fn of_each_path_the_highest_required_version_is_built() {
    let world = "a@1.0: 1.16, c@1.3\nb@1.0: 1.16, c@1.4, d@1.0\nc@1.3: \nc@1.4: 1.16, d@1.1\nd@1.0: \nd@1.1: ";
    assert_needed(&single(main("1.16, a@1.0, b@1.0", ""), world), "a@1.0 b@1.0 c@1.4 d@1.1", "c@1.3 d@1.0");
}

#[test]
fn a_version_that_is_not_selected_still_counts_for_selection() {
    let world = "a@1.0: , b@1.0\na@1.1: \nb@1.0: , c@1.0\nc@1.0: , a@1.1";
    assert_needed(&single(main("a@1.0", ""), world), "a@1.1 b@1.0 c@1.0", "a@1.0");
}

#[test]
fn below_a_pruning_requirement_nothing_is_loaded() {
    let world = "a@1.0: 1.17, b@1.0";
    assert_needed(&single(main("1.17, a@1.0", ""), world), "a@1.0 b@1.0", "");
}

#[test]
fn below_an_old_requirement_everything_is_loaded_whatever_its_age() {
    let world = "a@1.0: 1.16, b@1.0\nb@1.0: 1.21, c@1.0\nc@1.0: 1.21, d@1.0\nd@1.0: 1.21";
    assert_needed(&single(main("1.21, a@1.0", ""), world), "a@1.0 b@1.0 c@1.0 d@1.0", "");
}

#[test]
fn one_path_may_be_met_pruned_first_and_unpruned_later() {
    let world = "a@1.0: 1.17, c@1.0\nb@1.0: 1.16, a@1.0\nc@1.0: 1.17, d@1.0\nd@1.0: 1.17";
    assert_needed(&single(main("1.17, a@1.0, b@1.0", ""), world), "a@1.0 b@1.0 c@1.0 d@1.0", "");
}

#[test]
fn an_old_main_module_loads_everything() {
    let world = "a@1.0: 1.17, b@1.0\nb@1.0: 1.17, c@1.0\nc@1.0: 1.17";
    assert_needed(&single(main("1.16, a@1.0", ""), world), "a@1.0 b@1.0 c@1.0", "");
    assert_needed(&single(main("a@1.0", ""), world), "a@1.0 b@1.0 c@1.0", "");
}

#[test]
fn a_root_below_the_selected_version_rises_and_is_loaded_again() {
    // b rises to 1.1 because of a, and 1.1 wants c, which wants a newer a in turn.
    let world = "a@1.0: 1.17, b@1.1\nb@1.0: 1.17\nb@1.1: 1.17, c@1.0, a@1.2\na@1.2: 1.17, e@1.0";
    assert_needed(&single(main("1.17, a@1.0, b@1.0", ""), world), "a@1.2 b@1.1 c@1.0 e@1.0", "a@1.0 b@1.0");
}

#[test]
fn an_excluded_version_is_no_requirement() {
    let exclude = "exclude x.y/c v1.5.0\nexclude x.y/c main\n";
    let world = "a@1.0: 1.17, c@1.5\nb@1.0: 1.17, c@1.4";
    assert_needed(&single(main("1.17, a@1.0, b@1.0, c@1.5", exclude), world), "a@1.0 b@1.0 c@1.4", "");
}

#[test]
fn a_replacement_is_loaded_and_needed_in_the_place_of_the_replaced() {
    let replace = "replace x.y/a v1.0.0 => x.y/fork v1.9.0\nreplace x.y/b => x.y/b v1.1.0\n";
    // The replaced version keeps its number in the graph: a v1.2.0 would win over it, also with a lower fork.
    let world = "fork@1.9: 1.17, c@1.0\nb@1.1: 1.17, d@1.0";
    assert_needed(&single(main("1.17, a@1.0, b@1.7", replace), world), "b@1.1 c@1.0 d@1.0 fork@1.9", "");
    let world = "fork@1.9: 1.17, a@1.2\na@1.2: 1.17\nb@1.1: 1.17";
    assert_needed(&single(main("1.17, a@1.0, b@1.7", replace), world), "a@1.2 b@1.1", "fork@1.9");
}

#[test]
fn an_exact_replacement_wins_over_one_of_all_versions() {
    let replace = "replace x.y/a => x.y/every v1.0.0\nreplace x.y/a v1.0.0 => x.y/exact v1.0.0\n";
    assert_needed(&single(main("1.17, a@1.0", replace), "exact@1.0: 1.17"), "exact@1.0", "");
    assert_needed(&single(main("1.17, a@1.1", replace), "every@1.0: 1.17"), "every@1.0", "");
}

#[test]
fn a_replacement_of_all_versions_serves_every_version_with_one_file() {
    let world = "a@1.0: , f@1.0, f@1.1\nb@1.0: , f@1.2\nfork@1.0: , c@1.0\nc@1.0: ";
    let main = main("a@1.0, b@1.0", "replace x.y/f => x.y/fork v1.0.0\n");
    assert_needed(&single(main, world), "a@1.0 b@1.0 c@1.0 fork@1.0", "");
}

#[test]
fn replacements_and_exclusions_of_dependencies_count_for_nothing() {
    let mut closure = Closure::new(vec![main("1.17, a@1.0", "")]);
    let a = closure.next_needed().unwrap().remove(0);
    closure.go_mod(&a, b"go 1.17\nrequire x.y/b v1.0.0\nreplace x.y/b => ../b\nexclude x.y/b v1.0.0\n");
    assert_needed(&walk(closure, ""), "a@1.0 b@1.0", "");
}

#[test]
fn a_local_replacement_is_read_and_not_needed() {
    let mut main = main("1.17, a@1.0", "replace x.y/a => ../a\n");
    assert_eq!(main.go_mod.replace[0].with, Replacement::Local("../a".into()));
    let lost = single(main.clone(), "");
    assert_eq!(lost.missing, [Gap::Local { directory: "../a".into() }]);
    assert_eq!(lost.missing[0].to_string(), "the replacement directory ../a has no go.mod file");
    main.local.insert("../a".into(), GoMod::parse(text("1.16, b@1.0").as_bytes()).unwrap());
    assert_needed(&single(main, "b@1.0: 1.21, c@1.0\nc@1.0: "), "b@1.0 c@1.0", "");
}

#[test]
fn versions_of_the_main_module_are_loaded_but_never_built() {
    let world = "a@1.0: 1.16, main@1.5\nmain@1.5: 1.16, b@1.0\nb@1.0: ";
    assert_needed(&single(main("1.16, a@1.0", ""), world), "a@1.0 b@1.0", "main@1.5");
}

#[test]
fn a_cycle_ends() {
    let world = "a@1.0: , b@1.0\nb@1.0: , a@1.0, b@1.0";
    assert_needed(&single(main("a@1.0", ""), world), "a@1.0 b@1.0", "");
}

#[test]
fn what_go_sum_pins_is_needed() {
    let sum =
        format!("x.y/t v1.0.0 {H}\nx.y/t v1.0.0/go.mod {OTHER_H}\nx.y/a v1.0.0/go.mod {H}\nx.y/u v1.0.0/go.mod {H}\n");
    let mut main = main("1.17, a@1.0", "");
    main.go_sum = GoSum::parse(sum.as_bytes()).unwrap().lines;
    let needed = single(main, "a@1.0: 1.17");
    assert_needed(&needed, "a@1.0 t@1.0", "u@1.0");
    let pins = |name: &str| needed.expected[&ModuleVersion::parse(&long(name)).unwrap()];
    assert_eq!(pins("t@1.0"), Pins { zip: Some(H.parse().unwrap()), go_mod: Some(OTHER_H.parse().unwrap()) });
    assert_eq!(pins("a@1.0"), Pins { zip: None, go_mod: Some(H.parse().unwrap()) });
}

#[test]
fn two_hashes_for_one_file_are_told() {
    let mut main = main("1.17", "");
    main.go_sum = GoSum::parse(format!("x.y/t v1.0.0 {H}\nx.y/t v1.0.0 {OTHER_H}\n").as_bytes()).unwrap().lines;
    let needed = single(main, "");
    assert_eq!(needed.missing.len(), 1);
    assert_eq!(needed.missing[0].to_string(), "the go.sum files pin two different hashes for x.y/t@v1.0.0");
    assert_eq!(needed.expected.values().next().unwrap().zip, Some(H.parse().unwrap()));
}

#[test]
fn what_cannot_be_had_or_read_or_resolved_is_told_once() {
    let more = "require x.y/m main\nrequire not-a-path v1.0.0\nreplace x.y/r => x.y/fork branch\n";
    let mut closure = Closure::new(vec![main("1.17, a@1.0, b@1.0, r@1.0", more)]);
    let asked = closure.next_needed().unwrap();
    assert_eq!(closure.outstanding(), 2);
    closure.failed(&asked[0]);
    closure.failed(&asked[0]);
    closure.go_mod(&asked[1], b"require (\n");
    let needed = closure.finish().unwrap();
    let told: Vec<String> = needed.missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the go.mod file of x.y/a@v1.0.0 could not be had, so what it requires is not known",
            "what x.y/b@v1.0.0 requires is not known: line 1 of the go.mod file: the block \"require\" that starts here \
             does not end",
            "x.y/main asks for not-a-path v1.0.0, which is no canonical module version; run go mod tidy",
            "the replacement of x.y/r@v1.0.0 asks for x.y/fork branch, which is no canonical module version; run go mod \
             tidy",
            "x.y/main asks for x.y/m main, which is no canonical module version; run go mod tidy",
        ]
    );
    // They are needed all the same.
    assert_eq!(short(&needed.zips), "a@1.0 b@1.0");
}

#[test]
fn finishing_early_and_answers_that_nobody_asked_for_do_no_harm() {
    let mut closure = Closure::new(vec![main("1.17, a@1.0, b@1.0", "")]);
    let stranger = ModuleVersion::parse("x.y/stranger@v1.0.0").unwrap();
    closure.go_mod(&stranger, b"require x.y/q v1.0.0");
    let asked = closure.next_needed().unwrap();
    closure.go_mod(&asked[0], b"go 1.17");
    closure.go_mod(&asked[0], b"go 1.17\nrequire x.y/q v1.0.0");
    assert_eq!(closure.next_needed(), Ok(vec![]));
    let error = closure.finish().unwrap_err();
    assert_eq!(error, ClosureError::Outstanding(1));
    assert_eq!(error.to_string(), "1 go.mod files that the module graph asked for have not been answered");
    let unasked = Closure::new(vec![main("1.17, a@1.0, b@1.0", "")]);
    assert_eq!(unasked.finish(), Err(ClosureError::Outstanding(2)));
}

#[test]
fn a_graph_without_end_is_given_up() {
    let mut closure = Closure::new(vec![main("1.16, a@1.0", "")]);
    let mut next = 0;
    let error = loop {
        match closure.next_needed() {
            Ok(needed) => {
                for module in needed.into_iter().take(1) {
                    let lines = (next..next + 50_000).map(|i| format!("x.y/p{i} v1.0.0\n"));
                    closure.go_mod(&module, format!("require (\n{})\n", lines.collect::<String>()).as_bytes());
                    next += 50_000;
                }
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error, ClosureError::TooBig);
    assert!(error.to_string().starts_with("the module graph has more than 200000 module versions"), "{error}");
    assert!(next <= MAX_MODULE_VERSIONS + 50_000);
    assert_eq!(closure.finish(), Err(ClosureError::TooBig));
}

mod workspaces {
    use super::*;

    fn of(name: &str, short: &str, more: &str) -> Main {
        let mut main = main(short, more);
        main.go_mod.module = Some(format!("x.y/{name}"));
        main
    }

    #[test]
    fn the_main_modules_share_one_build_list() {
        let mains = vec![of("one", "1.18, a@1.0", ""), of("two", "1.18, a@1.1, b@1.0", "")];
        let world = "a@1.0: 1.18\na@1.1: 1.18\nb@1.0: 1.18, c@1.0";
        assert_needed(&walk(Closure::new(mains), world), "a@1.1 b@1.0 c@1.0", "a@1.0");
    }

    #[test]
    fn what_rises_is_loaded_again_with_what_it_requires() {
        let mains = vec![of("one", "1.18, a@1.0, b@1.0", ""), of("two", "1.18, b@1.1", "")];
        // b rises to 1.1 for the first module; it is loaded like a main module then, so c is, too.
        let world = "a@1.0: 1.18\nb@1.0: 1.18\nb@1.1: 1.18, c@1.0\nc@1.0: 1.18, d@1.1\nd@1.1: 1.18";
        assert_needed(&walk(Closure::new(mains), world), "a@1.0 b@1.1 c@1.0 d@1.1", "b@1.0");
    }

    #[test]
    fn a_main_module_that_another_requires_is_not_built_from_its_version() {
        let mains = vec![of("one", "1.18, two@1.0", ""), of("two", "1.18, a@1.0", "")];
        assert_needed(&walk(Closure::new(mains), "two@1.0: 1.18\na@1.0: 1.18"), "a@1.0", "two@1.0");
    }

    #[test]
    fn go_work_replaces_first_and_the_exclusions_of_all_count() {
        let one = of("one", "1.18, a@1.0, c@1.0", "replace x.y/a => ../mine\nexclude x.y/c v1.0.0\n");
        let two = of("two", "1.18, c@1.0, b@1.0", "replace x.y/b => ../b\n");
        let mut work = Workspace { go_work: GoWork::parse(b"replace x.y/a => ./a\n").unwrap(), ..Workspace::default() };
        work.local.insert("./a".into(), GoMod::parse(text("1.18, d@1.0").as_bytes()).unwrap());
        work.go_sum = GoSum::parse(format!("x.y/w v1.0.0 {H}\n").as_bytes()).unwrap().lines;
        let mut mains = vec![one, two];
        mains[1].local.insert("../b".into(), GoMod::parse(text("1.18, e@1.0").as_bytes()).unwrap());
        assert_needed(&walk(Closure::workspace(work, mains), ""), "d@1.0 e@1.0 w@1.0", "");
    }

    #[test]
    fn directories_of_the_same_name_belong_to_their_own_module() {
        let mut mains = vec![
            of("one", "1.18, a@1.0", "replace x.y/a => ../d\n"),
            of("two", "1.18, b@1.0", "replace x.y/b => ../d\n"),
        ];
        mains[0].local.insert("../d".into(), GoMod::parse(text("1.18, c@1.0").as_bytes()).unwrap());
        mains[1].local.insert("../d".into(), GoMod::parse(text("1.18, d@1.0").as_bytes()).unwrap());
        assert_needed(&walk(Closure::new(mains), ""), "c@1.0 d@1.0", "");
    }

    #[test]
    fn a_workspace_of_one_is_a_workspace_and_none_at_all_is_empty() {
        let world = "a@1.0: 1.18, b@1.0\nb@1.0: 1.18, c@1.0";
        let work = Closure::workspace(Workspace::default(), vec![of("one", "1.18, a@1.0", "")]);
        assert_needed(&walk(work, world), "a@1.0 b@1.0", "");
        assert_needed(&walk(Closure::new(vec![]), ""), "", "");
    }
}
