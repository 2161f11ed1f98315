//! The `modswarm` binary as its users meet it: what it says, where it says it, and with which exit code it ends.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod seeding;
mod starting;
mod stopping;
mod usage;

use common::process::Ended;

/// The command ended with this exit code, said each of `words` on stderr, and nothing on stdout.
#[track_caller]
pub(crate) fn assert_fails(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "talk belongs on stderr");
    for word in words {
        assert!(ended.stderr.contains(word), "{:?} should say {word:?}", ended.stderr);
    }
}
