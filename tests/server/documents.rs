//! What the documents say is what there is (R59).

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::Setup;

/// A file of the repository.
fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_schema_in_the_repository_is_the_one_of_the_binary() {
    let made: Value = serde_json::from_slice(&Setup::shipped().run(&["schema"]).stdout).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pipeline.schema.json");
    let kept: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(made == kept, "it drifted: flagstone schema > config/pipeline.schema.json");
}

#[test]
fn the_reference_of_metrics_in_the_repository_is_the_one_of_the_binary() {
    let made = String::from_utf8(Setup::shipped().run(&["reference", "metrics"]).stdout).unwrap();
    let kept = repository("docs/metrics.md");
    assert!(made == kept, "it drifted: flagstone reference metrics > docs/metrics.md");
}

/// The kinds of layers, each with its settings.
fn kinds(schema: &Value) -> Vec<(&str, Vec<&str>)> {
    let layers = schema["definitions"]["layer"]["oneOf"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| {
            let names = layer["properties"].as_object().unwrap().keys().map(String::as_str);
            (
                layer["title"].as_str().unwrap(),
                names.filter(|name| !matches!(*name, "kind" | "mode")).collect(),
            )
        })
        .collect()
}

#[test]
fn every_layer_and_each_of_its_settings_is_documented() {
    let schema: Value = serde_json::from_slice(&Setup::shipped().run(&["schema"]).stdout).unwrap();
    let readme = repository("README.md");
    let guide = repository("docs/pipeline.md");
    for (kind, settings) in kinds(&schema) {
        assert!(readme.contains(&format!("| `{kind}` |")), "README.md lacks `{kind}`");
        let section = guide
            .split("\n### ")
            .find(|section| section.lines().next().is_some_and(|title| title.contains(&format!("`{kind}`"))))
            .unwrap_or_else(|| panic!("docs/pipeline.md lacks `{kind}`"));
        for setting in settings {
            assert!(
                section.contains(&format!("\n| `{setting}` |")),
                "docs/pipeline.md lacks {kind}.{setting}"
            );
        }
    }
}

/// All but the numbers of the lines, which move with every comment of the shipped file.
#[test]
fn the_diagnostics_in_the_documents_are_those_of_the_binary() {
    let digits = |text: &str| text.replace(|symbol: char| symbol.is_ascii_digit(), "0");
    for (document, from, to) in [
        ("README.md", "chain = \"probe\"", "chain = \"prob\""),
        (
            "README.md",
            "[\"@edge\", \"server-key\", \"sdk-limit\",",
            "[\"@edge\", \"sdk-limit\", \"server-key\",",
        ),
        ("docs/pipeline.md", "[\"@edge\", \"server-key\",", "[\"@edge\", \"sdk-key\","),
    ] {
        let setup = Setup::shipped().pipeline(|text| text.replace(from, to));
        let said = String::from_utf8(setup.run(&["check"]).stderr).unwrap();
        let file = setup.pipeline_file();
        let said = said.replace(file.to_str().unwrap(), "config/pipeline.toml");
        let text = repository(document);
        assert!(digits(&text).contains(digits(&said).trim_end()), "{document} lacks\n{said}");
    }
}

/// `docs/security.md` names files of tests, each followed by tests of that file.
#[test]
fn what_is_said_to_be_defended_is_tested() {
    let text = repository("docs/security.md");
    let mut names = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let shown_by = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        let mut tests = None;
        for name in shown_by.split('`').skip(1).step_by(2) {
            if name.contains('/') {
                tests = Some(repository(name));
            } else {
                let tests = tests.as_ref().unwrap_or_else(|| panic!("no file before {name}"));
                assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}: {row}");
            }
            names += 1;
        }
    }
    assert!(names > 50, "only {names} were found");
}
