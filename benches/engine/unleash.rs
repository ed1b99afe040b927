//! The same flags for `unleash-yggdrasil`: a rule is a strategy, which holds where all of its constraints do.

use serde_json::{Value, json};
use unleash_yggdrasil::{Context, EngineState};

pub(crate) fn context(attributes: &Value) -> Context {
    // Beside the properties, numbers would be lost.
    let document = json!({ "userId": attributes["targetingKey"], "properties": attributes });
    serde_json::from_value(document).unwrap()
}

pub(crate) fn engine(flags: &[(String, Value)]) -> EngineState {
    let features: Vec<Value> = flags
        .iter()
        .map(|(key, config)| {
            let strategies: Vec<Value> = super::rules(config)
                .iter()
                .map(|rule| {
                    let constraints: Vec<Value> =
                        super::conditions(rule).into_iter().map(constraint).collect();
                    json!({ "name": "default", "parameters": {}, "constraints": constraints })
                })
                .collect();
            json!({ "name": key, "enabled": true, "strategies": strategies })
        })
        .collect();
    let engine = EngineState::default();
    let features = json!({ "version": 2, "features": features });
    assert!(engine.apply_client_features(serde_json::from_value(features).unwrap()).is_none(), "it warns");
    engine
}

fn constraint(condition: &Value) -> Value {
    let name = &condition["attribute"];
    let values = &condition["values"];
    let (operator, many) = match condition["op"].as_str().unwrap() {
        "in" => ("IN", true),
        "ends_with" => ("STR_ENDS_WITH", true),
        "gte" => ("NUM_GTE", false),
        "semver_gt" => ("SEMVER_GT", false),
        other => unreachable!("{other}"),
    };
    if many {
        json!({ "contextName": name, "operator": operator, "values": values })
    } else {
        let value = &values[0];
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        json!({ "contextName": name, "operator": operator, "value": text })
    }
}
