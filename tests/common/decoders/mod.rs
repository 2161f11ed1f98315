//! The bodies of the fuzz targets, which need no fuzzer: `fuzz/` runs them under libFuzzer, `tests/fuzz_corpus.rs` over mutated seeds.
//!
//! A target takes any bytes. The first one chooses a decoder, the rest goes into it. It panics where a decoder does, where
//! a round trip changes something, and where a decoder lets through what no rule does. An error is a fine answer.

#![allow(unreachable_pub, reason = "the fuzzer's package takes it as a library")]

mod frames;
mod manifests;
mod seeds;
mod segments;
mod texts;
mod zips;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of the fuzzer's program and of its directory of seeds.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]),
    /// Inputs to begin with, the same at each call.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    Target { name: "frames", run: frames::run, seeds: seeds::frames },
    Target { name: "manifests", run: manifests::run, seeds: seeds::manifests },
    Target { name: "zips", run: zips::run, seeds: seeds::zips },
    Target { name: "texts", run: texts::run, seeds: seeds::texts },
    Target { name: "segments", run: segments::run, seeds: seeds::segments },
];

/// Numbers taken from the front of an input; zeros behind its end, so that every input means something.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// At most `len` bytes.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
