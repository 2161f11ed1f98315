//! Commands that set up and take down the network; each is short and is waited for.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::Failure;

/// Runs a command to its end; what it wrote to stdout.
///
/// It is not in the terminal's foreground group: a Ctrl-C is for the lab, which then needs these commands to clean up.
///
/// # Errors
/// One sentence with the command and what it said.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String, Failure> {
    let shown = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|error| format!("cannot run `{}`: {error}", shown()))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed: {}", shown(), said.trim()).into())
}

/// Whether this process may make network namespaces: it says so when it is root, by its effective user.
pub(super) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

/// The second number of the line `Uid:`.
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t1\t1\t1\t1\n"), Some(0));
        assert_eq!(effective_user("Name:\tx\nUid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    #[test]
    fn a_command_that_fails_says_which_it_was_and_why() {
        let said = run("sh", &["-c", "echo no such luck >&2; exit 3"]).unwrap_err().to_string();
        assert!(said.contains("sh -c") && said.contains("no such luck"), "{said}");
        assert!(run("/nowhere/at-all", &[]).unwrap_err().to_string().contains("/nowhere/at-all"));
    }
}
