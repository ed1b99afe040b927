//! Fuzzed: the body of a request for an evaluation.

use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Context, Environment, Operator};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::evaluation::evaluate_all;

/// The body of a request, on a fixed environment that uses every operator.
pub(crate) fn contexts(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let (flag, config, segment) = every_operator();
    let environment = Environment::new([(&flag, &config)], [&segment]);
    let now = Timestamp::from_second(1_781_524_800).expect("a time");
    for context in [Context::from_sdk(&body, now), Context::from_ofrep(&body, now)].into_iter().flatten() {
        let context = match context.requested_now() {
            Some(requested) => context.at(requested),
            None => context,
        };
        evaluate_all(&environment, &context, true);
    }
}

fn every_operator() -> (Flag, FlagConfig, Segment) {
    let leaf = |(name, operator): &(&str, Operator)| {
        let values = match operator {
            Operator::IsSet | Operator::IsNotSet => json!([]),
            Operator::Between => json!([2, 3]),
            Operator::Modulo => json!([3, 2]),
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte | Operator::NumEq => {
                json!([1, 9_007_199_254_740_993_i64])
            }
            Operator::Before | Operator::After | Operator::DateEq => {
                json!(["2026-01-01T00:00:00Z", 1_767_225_600])
            }
            Operator::WithinLast | Operator::OlderThan => json!(["7d"]),
            Operator::IpInCidr => json!(["10.0.0.0/8", "2001:db8::/32"]),
            Operator::IsType => json!(["string", "integer", "array"]),
            Operator::Size => json!([0, 2]),
            Operator::Matches => json!(["^(a+)+$"]),
            Operator::Contains | Operator::StartsWith | Operator::EndsWith => json!(["a", "Ä"]),
            name if name.as_str().starts_with("semver") => json!(["1.2.3"]),
            _ => json!(["a", 1, true, {"x": [1]}, [1, "a"]]),
        };
        let leaf = |attribute: &str| json!({"attribute": attribute, "op": name, "values": values});
        json!({"any": [leaf("a"), leaf("/o/0/~1"), leaf("now"), leaf("targetingKey"), leaf("user_id")]})
    };
    let rules: Vec<Value> = Operator::NAMES
        .iter()
        .map(|named| json!({"when": {"all": [leaf(named), {"any": []}]}, "serve": {"variant": "on"}}))
        .chain([
            json!({"when": {"segment": "s"}, "serve": {"split": {"by": ["a", "targetingKey"], "rollout": 50_000, "weights": [{"variant": "on", "weight": 1}, {"weight": 2}]}}}),
            json!({"when": {"attribute": "b", "op": "eq", "values": ["1"], "as": "string"}, "serve": {"variant": "on"}}),
            json!({"when": {"attribute": "b", "op": "gt", "values": [1], "as": "number"}, "serve": {"variant": "on"}}),
            json!({"when": {"attribute": "b", "op": "contains", "values": ["ss"], "ignore_case": true}, "serve": {"variant": "on"}}),
        ])
        .collect();
    let flag = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).expect("a flag");
    let split =
        json!({"split": {"weights": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]}});
    let config = json!({
        "enabled": true, "rules": rules, "fallthrough": split,
        "targets": [{"variant": "on", "values": ["x", "1"], "by": ["a", "targetingKey"]}],
    });
    let config = FlagConfig::read(&config, &flag, &[]).expect("a configuration");
    let when = json!({"not": {"bucket": {"below": 50_000}}});
    let segment = Segment::read(&json!({"key": "s", "include": ["u"], "exclude": ["v"], "when": when}), &[]);
    (flag, config, segment.expect("a segment"))
}
