#![no_main]

#[path = "../entries/definitions.rs"]
mod definitions;
#[path = "../entries/evaluation.rs"]
mod evaluation;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| definitions::definitions(bytes));
