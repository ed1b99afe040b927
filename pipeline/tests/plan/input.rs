//! No input panics, whatever it is.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*};

use super::*;

/// Reads a file as a fuzz target does: everything is rendered.
fn read(bytes: &[u8]) {
    let planned = plan_with(Path::new("pipeline.toml"), bytes, &[("SET", "1,2")]);
    assert_eq!(planned.plan.is_none(), planned.report.has_errors());
    for found in &planned.report.diagnostics {
        assert!(found.line >= 1 && found.column >= 1, "{found:?}");
        assert!((found.line, found.column) <= (found.end_line, found.end_column), "{found:?}");
    }
    // Each fault once. The parser's own words for one that it meets twice may be the same.
    let said = planned.report.diagnostics.iter().filter(|found| found.code != "syntax");
    let said: Vec<_> =
        said.map(|found| (found.code, &found.file, found.line, found.column, &found.message)).collect();
    assert_eq!(said.iter().collect::<HashSet<_>>().len(), said.len(), "{}", planned.report);
    for format in [Format::Human, Format::Json, Format::Short] {
        let text = planned.report.render(format, false);
        assert_eq!(text.is_empty(), planned.report.diagnostics.is_empty() && format != Format::Json);
    }
    if let Some(plan) = planned.plan {
        for spec in &plan.specs {
            assert!(!flagstone_pipeline::explain(&plan, &spec.method, spec.path).to_string().is_empty());
        }
    }
}

/// Pieces of a pipeline file, to put where they do not belong.
const PIECES: &[&str] = &[
    "[layers.a]",
    "[[routes]]",
    "[chains]",
    "[fallback]",
    "kind",
    "=",
    "\"",
    "'''",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\n",
    "#",
    "{ env = \"SET\" }",
    "{ env = \"UNSET\", default = 1 }",
    "{ file = \"/dev/null\" }",
    "-limit",
    "@edge",
    "\u{feff}",
    "override.cors = {}",
    "path = \"/{*x}\"",
    "0x10",
    "1e400",
    "1979-05-27",
    "inf",
    "ä",
    "\0",
    "password = \"",
    "include = [\"a\"]",
    "99999999999999999999",
    "a.b.c = 1",
];

#[test]
fn the_corpus_of_the_fuzz_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/plan");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        read(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn every_prefix_of_a_good_file() {
    for end in 0..GOOD.len() {
        read(&GOOD.as_bytes()[..end]);
    }
}

#[test]
fn a_megabyte_of_faults_ends_in_time() {
    let begun = std::time::Instant::now();
    read("= = ]\n".repeat(160_000).as_bytes());
    read(format!("{GOOD}\n[x-many]\n{}", "a = { env = \"UNSET\" }\n".repeat(40_000)).as_bytes());
    let mut chains = "version = 1\n[fallback]\nchain = 'c0'\n[chains]\n".to_owned();
    for index in 0..400 {
        chains += &format!("c{index} = ['@c{}']\n", index + 1);
    }
    read(chains.as_bytes());
    read(
        format!("version = 1\n{}", (0..3_000).map(|n| format!("key{n} = 1\n")).collect::<String>())
            .as_bytes(),
    );
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read(text.as_bytes());
    }

    #[test]
    fn any_pieces(pieces in vec(prop::sample::select(PIECES), 0..60)) {
        read(pieces.join(" ").as_bytes());
        read(format!("version = 1\n{}", pieces.concat()).as_bytes());
    }

    #[test]
    fn a_good_file_with_something_changed(
        changes in vec((any::<prop::sample::Index>(), 0..12usize, prop::sample::select(PIECES)), 1..4),
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (at, length, piece) in changes {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        read(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn a_good_file_with_lines_moved(lines in Just(GOOD.lines().collect::<Vec<_>>()).prop_shuffle(), keep in 0..110usize) {
        read(lines.into_iter().take(keep).collect::<Vec<_>>().join("\n").as_bytes());
    }
}
