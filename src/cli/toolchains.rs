//! `modswarm seed toolchain VERSION [OS/ARCH ...]`: the words behind it.

use std::env::consts;
use std::path::Path;

use super::Failure;
use crate::admin::SeedRequest;
use crate::domain::toolchain::{Platform, Toolchain};

/// The first word that means toolchains and not a file of that name, which is `./toolchain`.
pub(super) const WORD: &str = "toolchain";

/// Reads versions and platforms.
pub(super) fn read(words: &[String]) -> Result<SeedRequest, Failure> {
    // Rust has one name for both byte orders.
    let little = consts::ARCH == "powerpc64" && cfg!(target_endian = "little");
    let here = Platform::named(consts::OS, if little { "ppc64le" } else { consts::ARCH });
    let toolchains = Toolchain::parse_words(words, here).map_err(|why| {
        let file =
            if Path::new(WORD).exists() { format!("; what is here as {WORD} is ./{WORD}") } else { String::new() };
        Failure::usage(format!("{why}{file}"))
    })?;
    Ok(SeedRequest { toolchains: toolchains.iter().map(ToString::to_string).collect(), ..SeedRequest::default() })
}

/// How to ask for the toolchain that an argument seems to mean: in the go command's way, as `toolchain@go1.26.1` or
/// `go@1.26.1`, or without the word before it.
pub(super) fn meant(argument: &str) -> Option<String> {
    let version = match argument.split_once('@') {
        Some(("toolchain" | "go", version)) => format!("go{}", version.trim_start_matches("go")),
        Some(_) => return None,
        None if argument == WORD => "go1.26.1".into(),
        None => argument.to_owned(),
    };
    let read = Toolchain::parse_words(std::slice::from_ref(&version), Platform::named("linux", "amd64"));
    read.is_ok().then(|| format!("modswarm seed {WORD} {version}"))
}
