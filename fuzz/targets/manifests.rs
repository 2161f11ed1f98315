//! See `tests/common/decoders/manifests.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: modswarm_fuzz::write_seeds("manifests"), |data: &[u8]| modswarm_fuzz::run("manifests", data));
