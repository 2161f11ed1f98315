//! What a run leaves behind when nothing could clean up after it (`kill -9`, power): found by its name and removed.
//!
//! All that a run makes is named `msl<pid>-...`. What carries the number of a process that is no netsim any more is nobody's.

use std::fs;
use std::path::Path;

use super::Failure;
use super::exec::run;

/// What the names of everything of a run begin with.
pub(super) fn prefix(pid: u32) -> String {
    format!("msl{pid}-")
}

/// The process that made what has this name; none if no run of the lab did.
fn maker(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("msl")?.split_once('-')?;
    let pid: u32 = pid.parse().ok()?;
    // Exactly what `prefix` writes: no sign, no leading zero.
    (!rest.is_empty() && name.starts_with(&prefix(pid))).then_some(pid)
}

/// Whether a run of this number goes on now. This process has not begun when it asks.
fn is_running(pid: u32) -> bool {
    pid != std::process::id()
        && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("netsim"))
}

/// Removes the namespaces and, in `dir`, the directories of runs that are over; how many of both.
pub(super) fn remove(dir: &Path) -> Result<usize, Failure> {
    let dead = |name: &str| maker(name).is_some_and(|pid| !is_running(pid));
    let mut removed = 0;
    for space in spaces()?.iter().filter(|space| dead(space)) {
        remove_space(space)?;
        removed += 1;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_str().is_some_and(dead) {
            match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => removed += 1,
            }
        }
    }
    Ok(removed)
}

/// Removes the namespaces whose names begin so. It goes on after an error: the rest is to go all the same.
pub(super) fn remove_spaces(prefix: &str) -> Result<(), Failure> {
    let mut first = Ok(());
    for space in spaces()?.iter().filter(|space| space.starts_with(prefix)) {
        first = first.and(remove_space(space));
    }
    first
}

/// The names of all network namespaces; `ip` may write `name (id: 0)`.
fn spaces() -> Result<Vec<String>, Failure> {
    let list = run("ip", &["netns", "list"])?;
    Ok(list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Ends what runs in a namespace, and removes it; its interfaces go with it. Another run may be at the same work: that it is gone
/// is all that counts.
fn remove_space(space: &str) -> Result<(), Failure> {
    let removed = end_and_remove(space);
    if removed.is_err() && !spaces()?.iter().any(|other| other == space) { Ok(()) } else { removed }
}

fn end_and_remove(space: &str) -> Result<(), Failure> {
    let pids = run("ip", &["netns", "pids", space])?;
    let pids: Vec<&str> = pids.split_whitespace().collect();
    if !pids.is_empty() {
        // One of them may have ended in the meantime, which is as well.
        let _ = run("sh", &["-c", &format!("kill -9 {}", pids.join(" "))]);
    }
    run("ip", &["netns", "del", space]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_lab_have_a_maker() {
        assert_eq!(maker(&format!("{}n01", prefix(42))), Some(42));
        for name in
            ["", "msl", "msl42", "msl42-", "msl-n01", "mslx-n01", "msl042-n01", "msl+42-n01", "xmsl42-n01", "blue"]
        {
            assert_eq!(maker(name), None, "{name}");
        }
    }

    #[test]
    fn a_process_that_is_no_netsim_does_not_run_a_lab() {
        // Process 1 is there and is something else; the last one is not there.
        assert!(!is_running(1));
        assert!(!is_running(u32::MAX));
    }
}
