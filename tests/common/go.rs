//! The real go command, with an environment of its own.

use std::path::Path;

use tokio::process::Command;

use super::process::{Ended, output};

/// Whether there is no go command; a machine that builds for everybody has to have one.
pub async fn no_go_command() -> bool {
    let found = Command::new("go").arg("version").output().await.is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "CI is set and there is no go command");
    if !found {
        eprintln!("skipped: there is no go command on this machine");
    }
    !found
}

/// Runs the go command in `dir` as a user whose home is below `home` and who has configured nothing but GOPROXY.
pub async fn go(home: &Path, dir: &Path, goproxy: &str, args: &[&str]) -> Ended {
    go_with(home, dir, goproxy, args, &[]).await
}

/// The same with further environment variables, which win.
pub async fn go_with(home: &Path, dir: &Path, goproxy: &str, args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut go = Command::new("go");
    go.args(args).current_dir(dir).env_clear().kill_on_drop(true);
    go.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "GOROOT"));
    for (name, value) in [
        ("GOPROXY", goproxy),
        // The fixture modules are in no checksum database.
        ("GOSUMDB", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", "-modcacherw"),
        ("GOENV", "off"),
        ("GOWORK", "off"),
        ("NO_PROXY", "*"),
        // No fixture module is anywhere else, and nobody is to look.
        ("GOVCS", "*:off"),
    ] {
        go.env(name, value);
    }
    for (name, place) in [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache")] {
        go.env(name, home.join(place));
    }
    // What is compiled of the standard library is kept from run to run: it proves nothing, and takes longer than all else.
    go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"));
    go.envs(env.iter().copied());
    output(&mut go).await
}

/// Empties the module cache of `home`.
pub fn forget_modules(home: &Path) {
    std::fs::remove_dir_all(home.join("modcache")).unwrap_or_default();
}
