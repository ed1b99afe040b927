//! Holds the engine to `vectors/*.json`; their README says what they mean.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test")]

use std::fs;
use std::path::{Path, PathBuf};

use flagstone_engine::buckets::{self, HashScheme, Purpose};
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Context, Environment};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for readers of the file")]
    description: String,
    now: Option<Timestamp>,
    #[serde(default)]
    conditions: Vec<ConditionVector>,
    #[serde(default)]
    evaluations: Vec<EvaluationVector>,
    #[serde(default)]
    draws: Vec<DrawVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionVector {
    name: String,
    now: Option<Timestamp>,
    when: Value,
    true_for: Vec<Value>,
    false_for: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluationVector {
    name: String,
    now: Option<Timestamp>,
    flags: Vec<FlagAndConfig>,
    #[serde(default)]
    segments: Vec<Value>,
    cases: Vec<EvaluationCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagAndConfig {
    flag: Value,
    config: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluationCase {
    flag: String,
    context: Value,
    expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawVector {
    hash: HashScheme,
    salt: String,
    purpose: Purpose,
    value: String,
    range: u32,
    draw: u32,
}

#[test]
fn the_engine_agrees_with_all_vectors() {
    let mut paths: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let mut failures = Vec::new();
    let mut total = 0;
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: File = serde_json::from_slice(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = run(&file, &mut |failure| failures.push(format!("{name}: {failure}")));
        assert!(count > 0, "{name} has no cases");
        total += count;
    }
    assert!(failures.is_empty(), "{} of {total} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(total >= 200, "only {total} cases");
}

/// Runs the cases of a file and answers how many there were.
fn run(file: &File, fail: &mut impl FnMut(String)) -> usize {
    let now = file.now.unwrap_or(Timestamp::UNIX_EPOCH);
    let conditions =
        file.conditions.iter().map(|vector| check_condition(vector, vector.now.unwrap_or(now), fail));
    let conditions: usize = conditions.sum();
    let evaluations =
        file.evaluations.iter().map(|vector| check_evaluation(vector, vector.now.unwrap_or(now), fail));
    let evaluations: usize = evaluations.sum();
    for vector in &file.draws {
        let drawn = buckets::draw(vector.hash, &vector.salt, vector.purpose, &vector.value, vector.range);
        if drawn != vector.draw {
            fail(format!("{}/{} drew {drawn}, not {}", vector.salt, vector.value, vector.draw));
        }
    }
    conditions + evaluations + file.draws.len()
}

fn check_condition(vector: &ConditionVector, now: Timestamp, fail: &mut impl FnMut(String)) -> usize {
    let flag = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).unwrap();
    let config = json!({
        "enabled": true,
        "rules": [{"when": vector.when, "serve": {"variant": "on"}}],
        "fallthrough": {"variant": "off"},
    });
    let config =
        FlagConfig::read(&config, &flag, &[]).unwrap_or_else(|faults| panic!("{}: {faults:?}", vector.name));
    let environment = Environment::new([(&flag, &config)], []);
    let wanted = [(&vector.true_for, "on"), (&vector.false_for, "off")];
    for (context, variant) in
        wanted.into_iter().flat_map(|(all, variant)| all.iter().map(move |it| (it, variant)))
    {
        let body = json!({"context": context});
        let context_read = Context::from_ofrep(&body, now).unwrap();
        let resolution = environment.evaluate("f", &context_read).unwrap();
        if resolution.error.is_some() || resolution.variant.map(|it| it.key()) != Some(variant) {
            fail(format!("{}: {context} is not {variant} but {:?}", vector.name, resolution.reason));
        }
    }
    vector.true_for.len() + vector.false_for.len()
}

fn check_evaluation(vector: &EvaluationVector, now: Timestamp, fail: &mut impl FnMut(String)) -> usize {
    let read = |it: &FlagAndConfig| {
        let flag = Flag::read(&it.flag, &[]).unwrap_or_else(|faults| panic!("{}: {faults:?}", vector.name));
        let config = FlagConfig::read(&it.config, &flag, &[]);
        let config = config.unwrap_or_else(|faults| panic!("{}: {faults:?}", vector.name));
        (flag, config)
    };
    let flags: Vec<(Flag, FlagConfig)> = vector.flags.iter().map(read).collect();
    let segments: Vec<Segment> = vector.segments.iter().map(|it| Segment::read(it, &[]).unwrap()).collect();
    let environment = Environment::new(flags.iter().map(|(flag, config)| (flag, config)), &segments);
    for case in &vector.cases {
        let body = json!({"context": case.context});
        let context = Context::from_ofrep(&body, now).unwrap();
        let resolution = environment.evaluate(&case.flag, &context).unwrap();
        let mut got =
            json!({"reason": resolution.reason.as_str(), "openfeature": resolution.reason.openfeature()});
        if let Some(variant) = resolution.variant {
            got["variant"] = variant.key().into();
            got["value"] = variant.value().clone();
        }
        if let Some(error) = resolution.error {
            got["error"] = error.as_str().into();
        }
        if let Some(rule) = resolution.rule {
            got["rule"] = rule.index.into();
        }
        if got != case.expect {
            fail(format!(
                "{}: {} for {} is {got}, not {}",
                vector.name, case.flag, case.context, case.expect
            ));
        }
    }
    vector.cases.len()
}
