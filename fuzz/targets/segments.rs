//! See `tests/common/decoders/segments.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: modswarm_fuzz::write_seeds("segments"), |data: &[u8]| modswarm_fuzz::run("segments", data));
