//! See `tests/common/decoders/texts.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: modswarm_fuzz::write_seeds("texts"), |data: &[u8]| modswarm_fuzz::run("texts", data));
