//! See `tests/common/decoders/frames.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: modswarm_fuzz::write_seeds("frames"), |data: &[u8]| modswarm_fuzz::run("frames", data));
