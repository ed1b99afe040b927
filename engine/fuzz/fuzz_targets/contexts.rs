#![no_main]

#[path = "../entries/contexts.rs"]
mod contexts;
#[path = "../entries/evaluation.rs"]
mod evaluation;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| contexts::contexts(bytes));
