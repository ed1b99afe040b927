//! Replays the fuzzer's corpus, so that what it once found stays found.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

#[cfg(test)]
#[path = "../fuzz/entries/contexts.rs"]
mod contexts;
#[cfg(test)]
#[path = "../fuzz/entries/definitions.rs"]
mod definitions;
#[cfg(test)]
#[path = "../fuzz/entries/evaluation.rs"]
mod evaluation;

use std::fs;
use std::path::Path;

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // The captured output of a test that panics says which file it was.
        println!("{}", path.display());
        entry(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 15, "{target} has only {count} seeds");
}

#[test]
fn definitions_of_the_corpus() {
    replay("definitions", definitions::definitions);
}

#[test]
fn contexts_of_the_corpus() {
    replay("contexts", contexts::contexts);
}
