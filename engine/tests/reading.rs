//! What is refused when it is read, where, and what absent members become.
#![expect(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "helpers of a test")]

use flagstone_engine::limits;
use flagstone_engine::model::{By, Flag, FlagConfig, FlagKind, FlagType, Segment, Serve};
use flagstone_engine::{Fault, Operator};
use serde_json::{Value, json};

fn places(faults: &[Fault]) -> Vec<(&str, &str)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}

fn flag_faults(value: Value) -> Vec<Fault> {
    Flag::read(&value, &[]).unwrap_err()
}

fn config_faults(value: Value) -> Vec<Fault> {
    let flag = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).unwrap();
    FlagConfig::read(&value, &flag, &[]).unwrap_err()
}

fn condition_faults(when: &Value) -> Vec<(String, &'static str)> {
    let faults = match Segment::read(&json!({"key": "s", "when": when}), &[]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[test]
fn a_minimal_flag() {
    let flag = Flag::read(&json!({"key": "new-checkout", "type": "boolean"}), &[]).unwrap();
    assert_eq!((flag.name.as_str(), flag.kind, flag.archived), ("new-checkout", FlagKind::Release, false));
    assert_eq!(flag.flag_type, FlagType::Boolean);
    let variants: Vec<(&str, &Value)> = flag.variants.iter().map(|it| (it.key.as_str(), &it.value)).collect();
    assert_eq!(variants, [("on", &json!(true)), ("off", &json!(false))]);
}

#[test]
fn a_minimal_configuration_is_the_implicit_one() {
    let flag = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).unwrap();
    let config = FlagConfig::read(&json!({}), &flag, &[]).unwrap();
    assert_eq!(config, FlagConfig::implicit(&flag));
    assert_eq!(config.off_variant.as_deref(), Some("off"));
    assert_eq!(config.fallthrough, Serve::Variant { variant: Some("on".to_owned()) });
    let text = json!({"key": "f", "type": "string", "variants": [{"key": "x", "value": "X"}]});
    let implicit = FlagConfig::implicit(&Flag::read(&text, &[]).unwrap());
    assert_eq!(implicit.off_variant, None);
    assert_eq!(implicit.fallthrough, Serve::Variant { variant: Some("x".to_owned()) });
    let off = FlagConfig::read(&json!({"off_variant": null}), &flag, &[]).unwrap();
    assert_eq!(off.off_variant, None, "null is the caller's own default, not the implicit variant");
}

#[test]
fn what_a_client_got_is_accepted_back() {
    let mut body = json!({"key": "f", "type": "boolean", "archived": true, "version": 7, "environments": {}});
    assert_eq!(
        places(&flag_faults(body.clone())),
        [("/environments", "unknown_field"), ("/version", "unknown_field")]
    );
    let flag = Flag::read(&body, &["version", "environments", "archived"]).unwrap();
    assert!(!flag.archived, "what is read-only has no effect");
    body = serde_json::to_value(&flag).unwrap();
    assert_eq!(Flag::read(&body, &[]).unwrap(), flag);
}

#[test]
fn all_faults_of_a_flag_at_once() {
    let faults = flag_faults(json!({
        "key": "a/b", "type": "bolean", "nmae": "x", "tags": ["", 1], "metadata": {"a/b": []},
        "variants": [{"key": "x", "value": 1}, {"key": "x", "value": 2}, {"value": 3}],
    }));
    let expected = [
        ("/nmae", "unknown_field"),
        ("/key", "invalid_key"),
        ("/type", "unknown_value"),
        ("/tags/0", "empty"),
        ("/tags/1", "wrong_type"),
        ("/metadata/a~1b", "wrong_type"),
        ("/variants/1/key", "duplicate"),
        ("/variants/2/key", "required"),
    ];
    assert_eq!(places(&faults), expected);
    assert!(faults[0].detail.contains("did you mean `name`?"), "{}", faults[0]);
    assert!(faults[2].detail.contains("did you mean `boolean`?"), "{}", faults[2]);
}

#[test]
fn keys_that_are_refused() {
    let long = "x".repeat(1_000_000);
    for key in ["", "..", "a/b", " a", "a\u{0}", "ä", long.as_str()] {
        let faults = flag_faults(json!({"key": key, "type": "boolean"}));
        assert_eq!(places(&faults), [("/key", "invalid_key")]);
        assert!(faults[0].detail.len() < 200, "what was sent is not sent back");
    }
}

#[test]
fn values_are_of_the_flags_type() {
    let takes = |flag_type: &str, value: &Value| {
        let body = json!({"key": "f", "type": flag_type, "variants": [{"key": "x", "value": value}]});
        Flag::read(&body, &[]).is_ok()
    };
    let values =
        [json!(true), json!("x"), json!(1), json!(1.0), json!(u64::MAX), json!({}), json!([]), json!(null)];
    for (flag_type, taken) in [
        ("boolean", [true, false, false, false, false, false, false, false]),
        ("string", [false, true, false, false, false, false, false, false]),
        ("integer", [false, false, true, false, true, false, false, false]),
        ("number", [false, false, true, true, true, false, false, false]),
        ("object", [false, false, false, false, false, true, false, false]),
    ] {
        for (value, taken) in values.iter().zip(taken) {
            assert_eq!(takes(flag_type, value), taken, "{flag_type} {value}");
        }
    }
}

#[test]
fn variants_are_needed() {
    assert_eq!(places(&flag_faults(json!({"key": "f", "type": "string"}))), [("/variants", "required")]);
    assert_eq!(
        places(&flag_faults(json!({"key": "f", "type": "string", "variants": []}))),
        [("/variants", "empty")]
    );
}

#[test]
fn sizes_are_bounded() {
    let variants = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!({"key": format!("v{index}"), "value": "x"})).collect()
    };
    let flag = |variants: Vec<Value>| json!({"key": "f", "type": "string", "variants": variants});
    assert!(Flag::read(&flag(variants(limits::VARIANTS)), &[]).is_ok());
    assert_eq!(places(&flag_faults(flag(variants(limits::VARIANTS + 1)))), [("/variants", "too_large")]);
    let long = json!([{"key": "x", "value": "y".repeat(limits::VARIANT_VALUE_BYTES)}]);
    let faults = flag_faults(json!({"key": "f", "type": "string", "variants": long}));
    assert_eq!(places(&faults), [("/variants/0/value", "too_large")]);
    let mut deep = json!({});
    for _ in 0..=limits::VARIANT_VALUE_DEPTH {
        deep = json!({"a": deep});
    }
    let faults =
        flag_faults(json!({"key": "f", "type": "object", "variants": [{"key": "x", "value": deep}]}));
    assert_eq!(places(&faults), [("/variants/0/value", "too_deep")]);

    let rules = vec![json!({"when": {"all": []}, "serve": {"variant": "on"}}); limits::RULES + 1];
    assert_eq!(places(&config_faults(json!({"rules": rules}))), [("/rules", "too_large")]);
    let target = json!({"variant": "on", "values": vec!["x"; limits::TARGET_VALUES / 2 + 1]});
    assert_eq!(places(&config_faults(json!({"targets": [target, target]}))), [("/targets", "too_large")]);
    let values = vec![1; limits::VALUES + 1];
    let when = json!({"attribute": "a", "op": "in", "values": values});
    assert_eq!(condition_faults(&when), [("/when/values".to_owned(), "too_large")]);
    let when = json!({"all": vec![json!({"any": vec![json!({"all": []}); 99]}); 10]});
    assert_eq!(condition_faults(&when).len(), 1);
    assert_eq!(
        flag_faults(json!({"key": "f", "type": "boolean", "name": "x".repeat(201)}))[0].code,
        "too_large"
    );
}

#[test]
fn faults_are_bounded_too() {
    let rules = vec![json!(1); limits::RULES];
    assert_eq!(config_faults(json!({"rules": rules})).len(), limits::FAULTS);
}

#[test]
fn conditions_nest_64_deep_and_no_deeper() {
    let nested = |depth: usize| (1..depth).fold(json!({"all": []}), |inner, _| json!({"not": inner}));
    assert_eq!(condition_faults(&nested(64)), []);
    let faults = condition_faults(&nested(65));
    assert_eq!(faults, [(format!("/when{}", "/not".repeat(64)), "too_deep")]);
    assert_eq!(condition_faults(&nested(120)).len(), 1);
}

#[test]
fn what_is_no_condition() {
    for (when, place, code) in [
        (json!(null), None, ""),
        (json!([]), Some("/when"), "wrong_type"),
        (json!({}), Some("/when"), "ambiguous"),
        (json!({"all": [], "any": []}), Some("/when"), "ambiguous"),
        (json!({"all": [{"not": 1}]}), Some("/when/all/0/not"), "wrong_type"),
        (json!({"all": [], "op": "eq"}), Some("/when/op"), "unknown_field"),
        (json!({"op": "eq"}), Some("/when/attribute"), "required"),
        (json!({"attribute": "a"}), Some("/when/op"), "required"),
        (json!({"attribute": "", "op": "eq"}), Some("/when/attribute"), "empty"),
        (json!({"attribute": "/a~2", "op": "eq"}), Some("/when/attribute"), "invalid_pointer"),
        (json!({"attribute": "a", "op": "equals"}), Some("/when/op"), "unknown_value"),
        (json!({"attribute": "a", "op": "eq", "value": 1}), Some("/when/value"), "unknown_field"),
        (json!({"attribute": "a", "op": "eq", "as": "boolean"}), Some("/when/as"), "unknown_value"),
        (json!({"bucket": {}}), Some("/when/bucket/below"), "required"),
        (json!({"bucket": {"below": 100_001}}), Some("/when/bucket/below"), "out_of_range"),
        (json!({"bucket": {"below": 1.5}}), Some("/when/bucket/below"), "out_of_range"),
        (json!({"bucket": {"below": 1, "by": []}}), Some("/when/bucket/by"), "empty"),
        (json!({"bucket": {"below": 1, "hash": "md5"}}), Some("/when/bucket/hash"), "unknown_value"),
        (json!({"flag": "f"}), Some("/when/variants"), "required"),
        (json!({"segment": 1}), Some("/when/segment"), "wrong_type"),
    ] {
        let expected: Vec<(String, &str)> = place.map(|place| (place.to_owned(), code)).into_iter().collect();
        assert_eq!(condition_faults(&when), expected, "{when}");
    }
}

#[test]
fn what_is_no_configuration() {
    let serve = |serve: Value| json!({"rules": [{"when": {"all": []}, "serve": serve}]});
    for (config, place, code) in [
        (json!([]), "", "wrong_type"),
        (json!({"enabled": 1}), "/enabled", "wrong_type"),
        (json!({"rules": [{"serve": {"variant": "on"}}]}), "/rules/0/when", "required"),
        (json!({"rules": [{"when": {"all": []}}]}), "/rules/0/serve", "required"),
        (serve(json!({})), "/rules/0/serve", "ambiguous"),
        (serve(json!({"variant": null})), "/rules/0/serve/variant", "wrong_type"),
        (serve(json!({"split": {}})), "/rules/0/serve/split/weights", "required"),
        (
            serve(json!({"split": {"weights": [{"weight": -1}]}})),
            "/rules/0/serve/split/weights/0/weight",
            "out_of_range",
        ),
        (
            serve(json!({"split": {"weights": [], "rollout": 100_001}})),
            "/rules/0/serve/split/rollout",
            "out_of_range",
        ),
        (json!({"fallthrough": {"variant": 1}}), "/fallthrough/variant", "wrong_type"),
        (json!({"fallthrough": {"variant": "on", "split": {"weights": []}}}), "/fallthrough", "ambiguous"),
        (json!({"prerequisites": [{"flag": "g"}]}), "/prerequisites/0/variants", "required"),
        (json!({"targets": [{"variant": "on", "values": [1]}]}), "/targets/0/values/0", "wrong_type"),
        (json!({"salt": "a\u{0}"}), "/salt", "invalid_text"),
        (json!({"hash": "fnv"}), "/hash", "unknown_value"),
        (json!({"version": 3}), "/version", "unknown_field"),
    ] {
        assert_eq!(places(&config_faults(config.clone())), [(place, code)], "{config}");
    }
    let twice = json!({"id": "r", "when": {"all": []}, "serve": {"variant": "on"}});
    assert_eq!(places(&config_faults(json!({"rules": [twice, twice]}))), [("/rules/1/id", "duplicate")]);
}

#[test]
fn a_whole_configuration_keeps_its_shape() {
    let body = json!({
        "enabled": true,
        "off_variant": null,
        "prerequisites": [{"flag": "g", "variants": ["on"], "or_disabled": true}],
        "targets": [{"variant": "on", "values": ["u"], "by": "account"}],
        "rules": [{
            "id": "r",
            "description": "d",
            "when": {"all": [
                {"segment": "s"}, {"flag": "g", "variants": ["on"]}, {"not": {"any": []}},
                {"bucket": {"by": "account", "salt": "x", "hash": "togglerino", "from": 1, "below": 2}},
                {"attribute": "a", "op": "semver_gte", "values": ["1.2"], "ignore_case": true, "as": "string"},
            ]},
            "serve": {"split": {
                "by": ["account", "targetingKey"], "rollout": 5, "weights": [{"variant": "on", "weight": 1}, {"weight": 2}],
                "salt": "y", "hash": "murmur3",
            }},
        }],
        "fallthrough": {"variant": null},
        "salt": "z",
        "hash": "togglerino",
    });
    let flag = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).unwrap();
    let config = FlagConfig::read(&body, &flag, &[]).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), body);
    assert_eq!(config.targets[0].by, By::One("account".to_owned()));
}

#[test]
fn operators_are_named_as_they_serialise() {
    for (name, operator) in Operator::NAMES {
        assert_eq!(serde_json::to_value(operator).unwrap(), json!(name));
        assert_eq!(operator.as_str(), *name);
    }
    assert_eq!(Operator::NAMES.len(), 37);
}
