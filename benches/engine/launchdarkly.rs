//! The same flags for `launchdarkly-server-sdk-evaluation`.

use launchdarkly_server_sdk_evaluation::{
    Context, ContextBuilder, Flag, FlagValue, Segment, Store, evaluate as evaluate_flag,
};
use serde_json::{Value, json};

/// No flag here leans on another or on a segment.
struct Nothing;

impl Store for Nothing {
    fn flag(&self, _: &str) -> Option<Flag> {
        None
    }

    fn segment(&self, _: &str) -> Option<Segment> {
        None
    }
}

pub(crate) fn context(attributes: &Value) -> Context {
    let mut builder = ContextBuilder::new(attributes["targetingKey"].as_str().unwrap());
    for (name, value) in attributes.as_object().unwrap() {
        match value {
            Value::String(text) if name != "targetingKey" => builder.set_string(name, text),
            Value::Number(number) => builder.set_float(name, number.as_f64().unwrap()),
            _ => &mut builder,
        };
    }
    builder.build().unwrap()
}

pub(crate) fn flag(key: &str, config: &Value) -> Flag {
    let rules: Vec<Value> = super::rules(config)
        .iter()
        .map(|rule| {
            let clauses: Vec<Value> = super::conditions(rule).into_iter().map(clause).collect();
            json!({ "id": rule["id"], "clauses": clauses, "variation": 0, "trackEvents": false })
        })
        .collect();
    let document = json!({
        "key": key, "version": 1, "on": true, "targets": [], "prerequisites": [], "rules": rules,
        "variations": [true, false], "fallthrough": { "variation": 1 }, "offVariation": 1, "salt": key,
    });
    serde_json::from_value(document).unwrap()
}

fn clause(condition: &Value) -> Value {
    let operator = match condition["op"].as_str().unwrap() {
        "in" => "in",
        "ends_with" => "endsWith",
        "gte" => "greaterThanOrEqual",
        "semver_gt" => "semVerGreaterThan",
        other => unreachable!("{other}"),
    };
    json!({ "attribute": condition["attribute"], "op": operator, "values": condition["values"] })
}

pub(crate) fn evaluate(flag: &Flag, context: &Context) -> Option<bool> {
    evaluate_flag(&Nothing, flag, context, None).value.and_then(FlagValue::as_bool)
}
