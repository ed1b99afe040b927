//! Evaluation alone: the flags of `benches/flags.rs` in bulk, and one flag with five rules of three conditions, beside the
//! engines of Unleash's and LaunchDarkly's SDKs on equivalent flags. All give the same answers before any is timed.

#[expect(dead_code, reason = "it serves the benches of the whole server, too")]
#[path = "../flags.rs"]
mod flags;
mod launchdarkly;
mod unleash;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flagstone_engine::{
    Context, Environment,
    model::{Flag, FlagConfig},
};
use jiff::Timestamp;
use serde_json::{Value, json};

const FLAGS: usize = 100;
/// The flag with many rules.
const DEEP: &str = "deep";

fn bulk(criterion: &mut Criterion) {
    let documents: Vec<(String, Value)> =
        (0..FLAGS).map(|index| (flags::key(index), flags::config(index))).collect();
    let mut group = criterion.benchmark_group("100 flags");

    let environment = environment(&documents);
    let body = json!({ "context": flags::context() });
    let context = Context::from_ofrep(&body, Timestamp::now()).unwrap();
    for resolution in environment.evaluator(&context).flags() {
        let index = resolution.flag.key().trim_start_matches("flag-").parse().unwrap();
        assert_eq!(resolution.variant.unwrap().json(), flags::answer(index).to_string());
    }
    group.bench_function("flagstone", |bench| {
        bench.iter(|| {
            for resolution in environment.evaluator(black_box(&context)).flags() {
                black_box(resolution);
            }
        });
    });

    let unleash = unleash::engine(&documents);
    let context = unleash::context(&flags::context());
    for index in 0..FLAGS {
        assert_eq!(unleash.is_enabled(&flags::key(index), &context, &None), flags::answer(index));
    }
    group.bench_function("unleash-yggdrasil", |bench| {
        bench.iter(|| {
            for (key, _) in &documents {
                black_box(unleash.is_enabled(key, black_box(&context), &None));
            }
        });
    });

    let theirs: Vec<_> = documents.iter().map(|(key, config)| launchdarkly::flag(key, config)).collect();
    let context = launchdarkly::context(&flags::context());
    for (index, flag) in theirs.iter().enumerate() {
        assert_eq!(launchdarkly::evaluate(flag, &context), Some(flags::answer(index)));
    }
    group.bench_function("launchdarkly-server-sdk-evaluation", |bench| {
        bench.iter(|| {
            for flag in &theirs {
                black_box(launchdarkly::evaluate(flag, black_box(&context)));
            }
        });
    });
}

fn one(criterion: &mut Criterion) {
    let documents = vec![(DEEP.to_owned(), deep())];
    let mut group = criterion.benchmark_group("one flag, 5 rules of 3 conditions");

    let environment = environment(&documents);
    let body = json!({ "context": flags::context() });
    let context = Context::from_ofrep(&body, Timestamp::now()).unwrap();
    assert_eq!(environment.evaluate(DEEP, &context).unwrap().variant.unwrap().json(), "true");
    group.bench_function("flagstone", |bench| {
        bench.iter(|| black_box(environment.evaluate(black_box(DEEP), black_box(&context))).is_some());
    });

    let unleash = unleash::engine(&documents);
    let context = unleash::context(&flags::context());
    assert!(unleash.is_enabled(DEEP, &context, &None));
    group.bench_function("unleash-yggdrasil", |bench| {
        bench.iter(|| unleash.is_enabled(black_box(DEEP), black_box(&context), &None));
    });

    let flag = launchdarkly::flag(DEEP, &documents[0].1);
    let context = launchdarkly::context(&flags::context());
    assert_eq!(launchdarkly::evaluate(&flag, &context), Some(true));
    group.bench_function("launchdarkly-server-sdk-evaluation", |bench| {
        bench.iter(|| launchdarkly::evaluate(black_box(&flag), black_box(&context)));
    });
}

fn environment(documents: &[(String, Value)]) -> Environment {
    let read: Vec<(Flag, FlagConfig)> = documents
        .iter()
        .map(|(key, config)| {
            let flag = Flag::read(&json!({ "key": key, "type": "boolean" }), &[]).unwrap();
            let config = FlagConfig::read(config, &flag, &[]).unwrap();
            (flag, config)
        })
        .collect();
    Environment::new(read.iter().map(|(flag, config)| (flag, config)), [])
}

/// Five rules of three conditions, of which the last holds; the others fail in their last condition.
fn deep() -> Value {
    let rules: Vec<Value> = (1..=5)
        .map(|number| {
            json!({
                "id": format!("rule-{number}"),
                "when": { "all": [
                    { "attribute": "plan", "op": "in", "values": ["team", "pro"] },
                    { "attribute": "country", "op": "in", "values": ["DK", "FI", "IS", "NO", "SE"] },
                    { "attribute": "age", "op": "gte", "values": [if number == 5 { 18 } else { 60 + number }] },
                ] },
                "serve": { "variant": "on" },
            })
        })
        .collect();
    json!({ "enabled": true, "fallthrough": { "variant": "off" }, "rules": rules })
}

/// The conditions of a rule: leaves of its `when`.
fn conditions(rule: &Value) -> Vec<&Value> {
    match rule["when"]["all"].as_array() {
        Some(all) => all.iter().collect(),
        None => vec![&rule["when"]],
    }
}

fn rules(config: &Value) -> &[Value] {
    config["rules"].as_array().unwrap()
}

criterion_group!(benches, bulk, one);
criterion_main!(benches);
