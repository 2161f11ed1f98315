//! The fuzz targets over mutated seeds, so that every decoder meets damaged input without a fuzzer. The same cases at each run.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "common/decoders/mod.rs"]
mod decoders;

use decoders::{TARGETS, Target};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Changes an input as a fuzzer does: bits, bytes, numbers at their edges, pieces cut, doubled, and taken from another seed.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut SmallRng) {
    for _ in 0..rng.random_range(1..=4) {
        // Mostly the first byte stays: it chooses the decoder.
        let at = rng.random_range(0..=bytes.len()).max(usize::from(rng.random_ratio(15, 16))).min(bytes.len());
        let end = (at + rng.random_range(0..=16)).min(bytes.len());
        match rng.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            3 => bytes.splice(at..at, [rng.random(), rng.random()]).for_each(drop),
            4 => bytes.splice(at..end, other.iter().copied().skip(at).take(16)).for_each(drop),
            5 => bytes[at..end].fill(if rng.random() { 0xff } else { 0 }),
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
    }
}

/// Runs all seeds and `cases` mutants; a panic names the input.
fn run(target: &Target, cases: usize) {
    let seeds = (target.seeds)();
    let mut rng = SmallRng::seed_from_u64(0x6d6f_6473_7761_726d);
    seeds.iter().for_each(|seed| checked(target, seed));
    for _ in 0..cases {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        let other = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut bytes, other, &mut rng);
        checked(target, &bytes);
    }
}

fn checked(target: &Target, bytes: &[u8]) {
    let done = std::panic::catch_unwind(|| (target.run)(bytes));
    assert!(done.is_ok(), "{} panics with {}", target.name, bytes.escape_ascii());
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

#[test]
fn no_frame_breaks_its_reader() {
    run(target("frames"), 4000);
}

#[test]
fn no_manifest_passes_without_a_proof_and_none_breaks_its_reader() {
    run(target("manifests"), 3000);
}

#[test]
fn any_bytes_come_out_as_they_went_in_and_no_recipe_breaks_its_reader() {
    run(target("zips"), 1000);
}

#[test]
fn no_text_breaks_its_reader_and_what_is_read_is_spelled_the_same() {
    run(target("texts"), 8000);
}

#[test]
fn no_segment_keeps_a_store_from_opening_and_what_is_whole_is_served() {
    run(target("segments"), 40);
}

/// Every seed is there for a decoder that takes it: one that is refused by all teaches a fuzzer nothing.
#[test]
fn the_seeds_of_a_target_are_not_all_alike() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let choices: std::collections::BTreeSet<_> = seeds.iter().map(|seed| seed[0]).collect();
        assert!(seeds.len() >= 7 && choices.len() >= 3, "{}", target.name);
    }
}
