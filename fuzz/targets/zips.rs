//! See `tests/common/decoders/zips.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: modswarm_fuzz::write_seeds("zips"), |data: &[u8]| modswarm_fuzz::run("zips", data));
