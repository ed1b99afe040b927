//! What holds of all definitions and contexts.
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

use flagstone_engine::check::{Definitions, check_config, check_segment};
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Change, Context, Environment, Operator};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const FLAGS: [&str; 3] = ["f", "g", "h"];
const SEGMENTS: [&str; 2] = ["s", "t"];

/// A value that operators, attributes and mistakes are made of.
fn scalar() -> impl Strategy<Value = Value> {
    let usual = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.5),
        json!(-3),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("A"),
        json!("1"),
        json!("1.2.3"),
        json!("v2"),
        json!("10.0.0.0/8"),
        json!("10.1.2.3"),
        json!("2026-01-01T00:00:00Z"),
        json!(1_767_225_600),
        json!("7d"),
        json!("^a+$"),
        json!("("),
        json!("string"),
        json!("user-1"),
        json!("on"),
        json!("off"),
    ];
    prop_oneof![4 => select(usual.to_vec()), 1 => any::<f64>().prop_map(|it| json!(it)), 1 => any::<String>().prop_map(Value::from)]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(select(vec!["a", "b", "0"]), inner, 0..3).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

fn attribute() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "/b/0", "/a/a", "now", "targetingKey", "user_id"])
}

fn leaf() -> impl Strategy<Value = Value> {
    let op = select(Operator::NAMES.to_vec());
    let cast = select(vec![json!(null), json!(null), json!("string"), json!("number")]);
    (attribute(), op, prop::collection::vec(value(), 0..3), prop::bool::weighted(0.2), cast).prop_map(
        |(attribute, (op, _), values, ignore_case, cast)| {
            json!({"attribute": attribute, "op": op, "values": values, "ignore_case": ignore_case, "as": cast})
        },
    )
}

fn condition() -> impl Strategy<Value = Value> {
    let variants = prop::collection::vec(variant(), 0..2);
    let start = prop_oneof![
        4 => leaf(),
        1 => select(SEGMENTS.to_vec()).prop_map(|segment| json!({"segment": segment})),
        1 => (select(FLAGS.to_vec()), variants).prop_map(|(flag, variants)| json!({"flag": flag, "variants": variants})),
        1 => (0_u32..100_000, 0_u32..100_000, attribute()).prop_map(|(from, below, by)| {
            json!({"bucket": {"from": from.min(below), "below": below, "by": [by]}})
        }),
    ];
    start.prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| json!({"all": all})),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|any| json!({"any": any})),
            inner.prop_map(|not| json!({"not": not})),
        ]
    })
}

/// Mostly one that exists.
fn variant() -> impl Strategy<Value = &'static str> {
    prop_oneof![20 => select(vec!["on", "off"]), 1 => Just("gone")]
}

fn serve() -> impl Strategy<Value = Value> {
    let weight = (prop::option::weighted(0.9, variant()), 0_u32..60_000)
        .prop_map(|(variant, weight)| json!({"variant": variant, "weight": weight}));
    let split =
        (prop::collection::vec(weight, 0..4), prop::option::of(0_u32..=100_000), attribute(), any::<bool>());
    prop_oneof![
        variant().prop_map(|variant| json!({"variant": variant})),
        split.prop_map(|(weights, rollout, by, togglerino)| {
            let hash = if togglerino { "togglerino" } else { "murmur3" };
            json!({"split": {"weights": weights, "rollout": rollout, "by": by, "hash": hash}})
        }),
    ]
}

fn config() -> impl Strategy<Value = Value> {
    let prerequisite = (select(FLAGS.to_vec()), variant(), any::<bool>())
        .prop_map(|(flag, variant, or_disabled)| json!({"flag": flag, "variants": [variant], "or_disabled": or_disabled}));
    let target = (variant(), attribute())
        .prop_map(|(variant, by)| json!({"variant": variant, "values": ["a", "1"], "by": by}));
    let rule = (condition(), serve()).prop_map(|(when, serve)| json!({"when": when, "serve": serve}));
    (
        prop::bool::weighted(0.9),
        prop::option::of(variant()),
        prop::collection::vec(prerequisite, 0..2),
        prop::collection::vec(target, 0..2),
        prop::collection::vec(rule, 0..4),
        serve(),
    )
        .prop_map(|(enabled, off_variant, prerequisites, targets, rules, fallthrough)| {
            json!({
                "enabled": enabled, "off_variant": off_variant, "prerequisites": prerequisites, "targets": targets,
                "rules": rules, "fallthrough": fallthrough,
            })
        })
}

fn segment() -> impl Strategy<Value = Value> {
    (prop::option::of(condition()), select(SEGMENTS.to_vec()))
        .prop_map(|(when, key)| json!({"key": key, "include": ["a"], "exclude": ["1", "a"], "when": when}))
}

fn context() -> impl Strategy<Value = Value> {
    let names = select(vec!["a", "b", "c", "user_id", "targetingKey", "now"]);
    prop::collection::btree_map(names, value(), 0..5).prop_map(|members| {
        let context: Map<String, Value> =
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        json!({"context": {"attributes": context, "user_id": "user-1"}})
    })
}

/// JSON of the right words in the wrong places.
fn anything() -> impl Strategy<Value = Value> {
    let words = select(vec![
        "flag",
        "config",
        "segment",
        "key",
        "type",
        "variants",
        "value",
        "rules",
        "when",
        "serve",
        "split",
        "weights",
        "weight",
        "variant",
        "by",
        "rollout",
        "all",
        "any",
        "not",
        "attribute",
        "op",
        "values",
        "as",
        "fallthrough",
        "enabled",
        "targets",
        "prerequisites",
        "include",
        "exclude",
        "bucket",
        "below",
        "from",
        "hash",
        "context",
        "attributes",
        "targetingKey",
        "metadata",
        "tags",
    ]);
    prop_oneof![scalar(), leaf(), condition(), config(), serve()].prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(words.clone(), inner, 0..5).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

fn boolean(key: &str) -> Flag {
    Flag::read(&json!({"key": key, "type": "boolean"}), &[]).unwrap()
}

/// Configurations that can be stored, checked or not, of all flags.
fn read_all(configs: &[Value], segments: &[Value]) -> (Vec<(Flag, FlagConfig)>, Vec<Segment>) {
    let flags = FLAGS.iter().zip(configs).map(|(key, config)| {
        let flag = boolean(key);
        let config = FlagConfig::read(config, &flag, &[]).unwrap_or_else(|_| FlagConfig::implicit(&flag));
        (flag, config)
    });
    (flags.collect(), segments.iter().filter_map(|it| Segment::read(it, &[]).ok()).collect())
}

fn refs(flags: &[(Flag, FlagConfig)]) -> impl Iterator<Item = (&Flag, &FlagConfig)> {
    flags.iter().map(|(flag, config)| (flag, config))
}

/// What every flag answers, comparable.
fn answers(environment: &Environment, body: &Value) -> Vec<(String, Option<String>, &'static str)> {
    let context = Context::from_sdk(body, Timestamp::UNIX_EPOCH).unwrap();
    let evaluator = environment.evaluator(&context);
    let answer = |it: flagstone_engine::Resolution<'_>| {
        (it.flag.key().to_owned(), it.variant.map(|it| it.key().to_owned()), it.reason.as_str())
    };
    evaluator.flags().map(answer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_document_panics(document in anything(), body in anything()) {
        definitions::definitions(document.to_string().as_bytes());
        contexts::contexts(body.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        definitions::definitions(&bytes);
        contexts::contexts(&bytes);
    }

    /// Whatever is stored evaluates, and its trace agrees; what was accepted never answers GENERAL.
    #[test]
    fn stored_definitions_evaluate(
        configs in prop::collection::vec(config(), 3),
        segments in prop::collection::vec(segment(), 0..3),
        body in context(),
    ) {
        let (mut flags, mut segments) = read_all(&configs, &segments);
        let context = Context::from_sdk(&body, Timestamp::UNIX_EPOCH).unwrap();
        evaluation::evaluate_all(&Environment::new(refs(&flags), &segments), &context, false);

        // Puts in one after the other, those that are refused without what makes them so.
        let (all_flags, all_segments) = (flags.clone(), segments.clone());
        for (flag, config) in &mut flags {
            *config = FlagConfig::implicit(flag);
        }
        segments = SEGMENTS.iter().map(|key| Segment::read(&json!({"key": key}), &[]).unwrap()).collect();
        for segment in all_segments {
            if check_segment(&segment, &Definitions::new(refs(&flags), &segments)).is_empty() {
                segments.retain(|other| other.key != segment.key);
                segments.push(segment);
            }
        }
        for (place, (flag, config)) in all_flags.into_iter().enumerate() {
            if check_config(&flag, &config, &Definitions::new(refs(&flags), &segments)).is_empty() {
                flags[place] = (flag, config);
            }
        }
        evaluation::evaluate_all(&Environment::new(refs(&flags), &segments), &context, true);
    }

    #[test]
    fn the_model_survives_json(config in config(), segment in segment()) {
        let flag = boolean("f");
        if let Ok(read) = FlagConfig::read(&config, &flag, &[]) {
            let written = serde_json::to_value(&read).unwrap();
            prop_assert_eq!(FlagConfig::read(&written, &flag, &[]).unwrap(), read.clone());
            prop_assert_eq!(serde_json::from_value::<FlagConfig>(written).unwrap(), read);
        }
        if let Ok(read) = Segment::read(&segment, &[]) {
            let written = serde_json::to_value(&read).unwrap();
            prop_assert_eq!(Segment::read(&written, &[]).unwrap(), read.clone());
            prop_assert_eq!(serde_json::from_value::<Segment>(written).unwrap(), read);
        }
    }

    /// An environment that was changed step by step answers as one that is compiled at once.
    #[test]
    fn patches_add_up(
        steps in prop::collection::vec((0..3_usize, prop::option::of(config()), prop::option::of(segment())), 1..6),
        body in context(),
    ) {
        let mut patched = Environment::default();
        let mut flags: Vec<(Flag, FlagConfig)> = Vec::new();
        let mut segments: Vec<Segment> = Vec::new();
        for (index, config, segment) in steps {
            let flag = boolean(FLAGS[index]);
            flags.retain(|(other, _)| other.key != flag.key);
            let config = config.and_then(|config| FlagConfig::read(&config, &flag, &[]).ok());
            let flag_change = match &config {
                Some(config) => Change::Flag(&flag, config),
                None => Change::NoFlag(&flag.key),
            };
            segments.retain(|other| other.key != "s");
            let segment = segment.and_then(|segment| Segment::read(&segment, &[]).ok());
            if let Some(segment) = &segment {
                segments.retain(|other| other.key != segment.key);
                segments.push(segment.clone());
            }
            let added = segment.iter().map(Change::Segment);
            patched = patched.patched([flag_change, Change::NoSegment("s")].into_iter().chain(added));
            flags.extend(config.map(|config| (flag.clone(), config)));
        }
        let fresh = Environment::new(refs(&flags), &segments);
        prop_assert_eq!(answers(&patched, &body), answers(&fresh, &body));
    }

    /// Raising a rollout moves nobody who is in, whatever the weights and the hash.
    #[test]
    fn raising_a_rollout_moves_nobody(
        low in 0_u32..=100_000, high in 0_u32..=100_000, weights in prop::collection::vec(1_u32..1_000, 1..4),
        salt in "[a-z]{0,5}", togglerino in any::<bool>(),
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let hash = if togglerino { "togglerino" } else { "murmur3" };
        let names = ["a", "b", "c"];
        let variants: Vec<Value> = names.iter().map(|key| json!({"key": key, "value": key})).collect();
        let flag = Flag::read(&json!({"key": "f", "type": "string", "variants": variants}), &[]).unwrap();
        let weights: Vec<Value> =
            weights.iter().zip(names).map(|(weight, variant)| json!({"variant": variant, "weight": weight})).collect();
        let environment = |rollout: u32| {
            let split = json!({"split": {"rollout": rollout, "weights": weights, "salt": salt, "hash": hash}});
            let rules = json!([{"when": {"all": []}, "serve": split}]);
            let config = json!({"enabled": true, "rules": rules, "fallthrough": {"variant": null}});
            Environment::new([(&flag, &FlagConfig::read(&config, &flag, &[]).unwrap())], [])
        };
        let (before, after) = (environment(low), environment(high));
        for user in 0..100 {
            let body = json!({"context": {"targetingKey": format!("user-{user}")}});
            let (before, after) = (answers(&before, &body), answers(&after, &body));
            prop_assert!(before[0].1.is_none() || before == after, "{before:?} {after:?}");
        }
    }
}

/// Shares come out as their weights, and who is in is independent of which variant they get.
#[test]
fn splits_are_proportional() {
    const USERS: u32 = 20_000;
    let variants: Vec<Value> = ["a", "b", "c"].iter().map(|key| json!({"key": key, "value": key})).collect();
    let flag = Flag::read(&json!({"key": "f", "type": "string", "variants": variants}), &[]).unwrap();
    for (rollout, weights) in
        [(100_000, [1_u32, 1, 2]), (25_000, [10_000, 30_000, 60_000]), (60_000, [1, 0, 99])]
    {
        let total: u32 = weights.iter().sum();
        let shares = weights.iter().zip(["a", "b", "c"]);
        let shares: Vec<Value> =
            shares.map(|(weight, variant)| json!({"variant": variant, "weight": weight})).collect();
        let split = json!({"split": {"rollout": rollout, "weights": shares}});
        let rules = json!([{"when": {"all": []}, "serve": split}]);
        let config = json!({"enabled": true, "rules": rules, "fallthrough": {"variant": null}});
        let environment = Environment::new([(&flag, &FlagConfig::read(&config, &flag, &[]).unwrap())], []);
        let mut counts = [0_u32; 3];
        for user in 0..USERS {
            let body = json!({"context": {"targetingKey": format!("user-{user}")}});
            let answer = answers(&environment, &body).remove(0).1;
            if let Some(place) =
                answer.and_then(|variant| ["a", "b", "c"].iter().position(|it| *it == variant))
            {
                counts[place] += 1;
            }
        }
        for (count, weight) in counts.into_iter().zip(weights) {
            let expected =
                f64::from(USERS) * f64::from(rollout) / 100_000.0 * f64::from(weight) / f64::from(total);
            // Four standard deviations of a binomial distribution; the users are fixed, so this never wavers.
            let tolerance = 4.0 * expected.sqrt();
            assert!(
                (f64::from(count) - expected).abs() <= tolerance,
                "{counts:?} for {weights:?} at {rollout}"
            );
        }
    }
}
