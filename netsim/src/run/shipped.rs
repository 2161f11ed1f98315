//! The scenarios that are part of the program, and finding one by name or file.

use std::path::Path;

use super::scenario::{self, Scenario};

macro_rules! shipped {
    ($($name:literal)*) => {
        /// Name and text of each, in the order in which `all` plays them.
        const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml"))),)*];
    };
}

shipped! {
    "power-on-storm"
    "flash-20x20"
    "flash-100x8"
    "flash-100x32"
    "flash-100x100"
    "flash-300x100"
    "flash-21mb"
    "toolchain-65mb"
    "seed-dies-at-half"
    "partition"
    "month-off"
    "hostile-20"
    "two-offices"
    "thousand"
    "revoked-member"
    "copied-identity"
}

/// `all`, one by its name, or one from a file.
///
/// # Errors
/// There is none of this name; the file cannot be read; it is not a scenario.
pub(crate) fn find(name: &str) -> Result<Vec<Scenario>, String> {
    let read = |(name, text): &(&str, &str)| scenario::read(name, &format!("{name}.toml"), text);
    if name == "all" {
        return SHIPPED.iter().map(read).collect();
    }
    if let Some(one) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Ok(vec![read(one)?]);
    }
    if !name.ends_with(".toml") {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no scenario `{name}`; name a file (*.toml) or one of: {}", names.join(", ")));
    }
    let text = std::fs::read_to_string(name).map_err(|err| format!("cannot read {name}: {err}"))?;
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    Ok(vec![scenario::read(stem, name, &text)?])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_shipped_scenario_is_valid_and_demands_something() {
        for scenario in find("all").unwrap() {
            assert_eq!(scenario.seeds.len(), 5, "{}", scenario.name);
            assert!(scenario.description.ends_with('.') && scenario.description.len() < 120, "{}", scenario.name);
            assert!(!scenario.limits.is_empty(), "{}", scenario.name);
        }
    }

    #[test]
    fn every_file_is_shipped() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: BTreeSet<String> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let shipped: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(files, shipped);
    }

    #[test]
    fn a_scenario_comes_from_a_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mine.toml");
        std::fs::write(&file, SHIPPED[0].1).unwrap();
        let found = find(file.to_str().unwrap()).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "mine"));
        std::fs::write(&file, "description = 5\n").unwrap();
        let said = find(file.to_str().unwrap()).unwrap_err();
        assert!(said.starts_with(&format!("{}:1: ", file.display())), "{said}");
    }

    #[test]
    fn an_unknown_name_tells_the_known_ones() {
        let said = find("flush").unwrap_err();
        assert!(
            said.starts_with("there is no scenario `flush`; name a file (*.toml) or one of: power-on-storm, flash"),
            "{said}"
        );
        assert!(find("no-such-file.toml").unwrap_err().starts_with("cannot read no-such-file.toml: "));
    }
}
