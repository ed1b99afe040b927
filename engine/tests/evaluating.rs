//! Contexts, environments and traces; what flags answer is in `vectors/`.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Change, Context, ContextError, Environment, ErrorCode, Reason};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn flag(key: &str, config: &Value) -> (Flag, FlagConfig) {
    let flag = Flag::read(&json!({"key": key, "type": "boolean"}), &[]).unwrap();
    let config = FlagConfig::read(config, &flag, &[]).unwrap();
    (flag, config)
}

/// On where the condition holds.
fn on_when(key: &str, when: &Value) -> (Flag, FlagConfig) {
    let rules = json!([{"when": when, "serve": {"variant": "on"}}]);
    flag(key, &json!({"enabled": true, "rules": rules, "fallthrough": {"variant": "off"}}))
}

fn environment(flags: &[(Flag, FlagConfig)], segments: &[Segment]) -> Environment {
    Environment::new(flags.iter().map(|(flag, config)| (flag, config)), segments)
}

fn is_on(environment: &Environment, key: &str, context: &Context<'_>) -> bool {
    environment.evaluate(key, context).unwrap().variant.is_some_and(|variant| variant.key() == "on")
}

/// Whether a condition holds for a body of the SDK wire.
fn holds(when: &Value, body: &Value) -> bool {
    let environment = environment(&[on_when("f", when)], &[]);
    is_on(&environment, "f", &Context::from_sdk(body, NOW).unwrap())
}

fn eq(attribute: &str, value: &str) -> Value {
    json!({"attribute": attribute, "op": "eq", "values": [value]})
}

#[test]
fn attributes_of_the_sdk_wire() {
    for (attribute, value, context) in [
        ("plan", "pro", json!({"attributes": {"plan": "pro"}})),
        ("plan", "pro", json!({"plan": "pro"})),
        ("plan", "pro", json!({"plan": "free", "attributes": {"plan": "pro"}})),
        ("plan", "pro", json!({"plan": "pro", "attributes": {"plan": null}})),
        ("plan", "pro", json!({"plan": "pro", "attributes": null})),
        ("/address/city", "Bonn", json!({"attributes": {"address": {"city": "Bonn"}}})),
        ("targetingKey", "u", json!({"user_id": "u"})),
        ("targetingKey", "u", json!({"targetingKey": "u", "user_id": "v"})),
        ("targetingKey", "u", json!({"targetingKey": null, "user_id": "u"})),
        ("targetingKey", "u", json!({"attributes": {"targetingKey": "u"}})),
        ("targetingKey", "u", json!({"attributes": {"user_id": "u"}})),
        ("targetingKey", "u", json!({"user_id": "u", "attributes": {"user_id": "v"}})),
        ("user_id", "u", json!({"user_id": "u"})),
        ("user_id", "u", json!({"targetingKey": "u"})),
        ("user_id", "v", json!({"user_id": "u", "attributes": {"user_id": "v"}})),
        ("user_id", "v", json!({"targetingKey": "u", "user_id": "v"})),
    ] {
        assert!(holds(&eq(attribute, value), &json!({"context": context})), "{attribute} {value} {context}");
    }
    let set = |attribute: &str| json!({"attribute": attribute, "op": "is_set"});
    for (attribute, body) in [
        ("attributes", json!({"context": {"attributes": {"a": 1}}})),
        ("/attributes/a", json!({"context": {"attributes": {"a": 1}}})),
        ("targetingKey", json!({"context": {}})),
        ("plan", json!({"plan": "pro"})),
        ("plan", json!({"context": null})),
        ("plan", json!({})),
    ] {
        assert!(!holds(&set(attribute), &body), "{attribute} {body}");
    }
    assert!(holds(&set("attributes"), &json!({"context": {"attributes": {"attributes": 1}}})));
}

#[test]
fn bodies_that_have_no_context() {
    let sdk = |body: Value| Context::from_sdk(&body, NOW).err();
    let ofrep = |body: Value| Context::from_ofrep(&body, NOW).err();
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!((sdk(body.clone()), ofrep(body)), (Some(ContextError::Body), Some(ContextError::Body)));
    }
    for context in [json!([]), json!("x"), json!(0), json!(false)] {
        let body = json!({"context": context});
        assert_eq!(
            (sdk(body.clone()), ofrep(body)),
            (Some(ContextError::Context), Some(ContextError::Context))
        );
    }
    assert_eq!(sdk(json!({"context": {"attributes": []}})), Some(ContextError::Attributes));
    assert_eq!(ofrep(json!({"context": {"attributes": []}})), None);
    for key in [json!(1), json!(true), json!([]), json!({})] {
        let body = json!({"context": {"targetingKey": key}});
        assert_eq!((sdk(body.clone()), ofrep(body)), (None, Some(ContextError::TargetingKey)));
    }
    assert_eq!(ofrep(json!({"context": {"targetingKey": null}})), None);
    assert_eq!((sdk(json!({})), ofrep(json!({}))), (None, None));
}

#[test]
fn ofrep_takes_attributes_as_they_are() {
    let environment = environment(&[on_when("f", &json!({"attribute": "user_id", "op": "is_set"}))], &[]);
    let body = json!({"context": {"targetingKey": "u"}});
    assert!(!is_on(&environment, "f", &Context::from_ofrep(&body, NOW).unwrap()));
    assert!(is_on(&environment, "f", &Context::from_sdk(&body, NOW).unwrap()));
}

#[test]
fn ten_thousand_attributes_change_nothing() {
    let mut attributes: Map<String, Value> =
        (0..10_000).map(|index| (format!("a{index}"), json!(index))).collect();
    attributes.insert("plan".to_owned(), json!("pro"));
    assert!(holds(&eq("plan", "pro"), &json!({"context": {"attributes": attributes}})));
    // More attributes in the definitions than in the context.
    let flags: Vec<_> =
        (0..200).map(|index| on_when(&format!("f{index}"), &eq(&format!("a{index}"), "x"))).collect();
    let environment = environment(&flags, &[]);
    let body = json!({"context": {"a150": "x", "/a3": "x"}});
    let context = Context::from_sdk(&body, NOW).unwrap();
    let evaluator = environment.evaluator(&context);
    let on: Vec<&str> =
        evaluator.flags().filter(|it| it.reason == Reason::RuleMatch).map(|it| it.flag.key()).collect();
    assert_eq!(on, ["f150"]);
}

#[test]
fn the_time_is_the_callers() {
    let later = json!({"attribute": "now", "op": "after", "values": ["2026-01-01T00:00:00Z"]});
    let environment = environment(&[on_when("f", &later)], &[]);
    assert!(environment.uses_now());
    let body = json!({"context": {"now": "2026-01-02T00:00:00Z"}});
    let context = Context::from_sdk(&body, NOW).unwrap();
    assert!(!is_on(&environment, "f", &context));
    let requested = context.requested_now().unwrap();
    assert_eq!(requested.to_string(), "2026-01-02T00:00:00Z");
    let context = context.at(requested);
    assert_eq!(context.now(), requested);
    assert!(is_on(&environment, "f", &context));
    for odd in [json!("tomorrow"), json!(null), json!(1e300), json!([])] {
        let body = json!({"context": {"now": odd}});
        assert_eq!(Context::from_sdk(&body, NOW).unwrap().requested_now(), None, "{body}");
    }
}

#[test]
fn environments_know_whether_they_depend_on_the_time() {
    let uses_now = |when: Value| environment(&[on_when("f", &when)], &[]).uses_now();
    assert!(uses_now(json!({"attribute": "seen", "op": "within_last", "values": ["7d"]})));
    assert!(uses_now(json!({"attribute": "/now", "op": "is_set"})));
    assert!(!uses_now(json!({"attribute": "seen", "op": "before", "values": ["2026-01-01T00:00:00Z"]})));
    let when = json!({"key": "s", "when": {"attribute": "now", "op": "is_set"}});
    assert!(environment(&[], &[Segment::read(&when, &[]).unwrap()]).uses_now());
}

#[test]
fn answers_are_written_from_fragments() {
    let json = |flag_type: &str, value: Value| {
        let body = json!({"key": "f.1", "type": flag_type, "variants": [{"key": "v-1", "value": value}], "metadata": {"a": 1}});
        let flag = Flag::read(&body, &[]).unwrap();
        let environment = Environment::new([(&flag, &FlagConfig::implicit(&flag))], []);
        let compiled = environment.flag("f.1").unwrap();
        assert_eq!(compiled.key_json(), r#""f.1""#);
        assert_eq!(compiled.metadata_json(), Some(r#"{"a":1}"#));
        assert_eq!(compiled.variants()[0].key_json(), r#""v-1""#);
        compiled.variants()[0].json().to_owned()
    };
    assert_eq!(json("number", json!(1)), "1.0");
    assert_eq!(json("number", json!(-0.5)), "-0.5");
    assert_eq!(json("number", json!(u64::MAX)), "18446744073709551615.0");
    assert_eq!(json("number", json!(1e300)), "1e+300", "an exponent says as much as a fraction");
    assert_eq!(json("integer", json!(1)), "1");
    assert_eq!(json("string", json!("a\"\u{1}é")), r#""a\"\u0001é""#);
    assert_eq!(json("object", json!({"n": 1})), r#"{"n":1}"#);
}

#[test]
fn patches_share_what_stays() {
    let flags = [on_when("b", &eq("plan", "pro")), on_when("d", &eq("plan", "pro"))];
    let before = environment(&flags, &[]);
    let (added, changed) = (on_when("c", &eq("new", "x")), on_when("d", &eq("plan", "free")));
    let after = before.patched([Change::Flag(&added.0, &added.1), Change::Flag(&changed.0, &changed.1)]);
    assert_eq!(after.flags().map(|flag| flag.key()).collect::<Vec<_>>(), ["b", "c", "d"]);
    assert!(std::ptr::eq(before.flag("b").unwrap(), after.flag("b").unwrap()));
    let body = json!({"context": {"plan": "free", "new": "x"}});
    let context = Context::from_sdk(&body, NOW).unwrap();
    let on = |environment: &Environment| {
        environment.flags().map(|flag| is_on(environment, flag.key(), &context)).collect::<Vec<_>>()
    };
    assert_eq!((on(&before), on(&after)), (vec![false, false], vec![false, true, true]));
    let gone = after.patched([Change::NoFlag("b"), Change::NoFlag("nobody"), Change::NoSegment("none")]);
    assert_eq!(on(&gone), [true, true]);
    assert!(gone.evaluate("b", &context).is_none() && gone.trace("b", &context).is_none());
}

#[test]
fn a_change_of_a_segment_reaches_flags_that_were_not_compiled_again() {
    let flags = [on_when("f", &json!({"segment": "s"}))];
    let body = json!({"context": {"plan": "pro"}});
    let context = Context::from_sdk(&body, NOW).unwrap();
    let without = environment(&flags, &[]);
    let resolution = without.evaluate("f", &context).unwrap();
    assert_eq!((resolution.reason, resolution.error), (Reason::Error, Some(ErrorCode::General)));
    let segment = Segment::read(&json!({"key": "s", "when": eq("plan", "pro")}), &[]).unwrap();
    let with = without.patched([Change::Segment(&segment)]);
    assert!(is_on(&with, "f", &context));
    let other = Segment::read(&json!({"key": "s", "when": eq("plan", "free")}), &[]).unwrap();
    assert!(!is_on(&with.patched([Change::Segment(&other)]), "f", &context));
    assert_eq!(with.patched([Change::NoSegment("s")]).evaluate("f", &context).unwrap().reason, Reason::Error);
}

/// Layers that each ask the one below twice: 2^70 questions, were answers not remembered.
#[test]
fn what_is_asked_again_is_remembered() {
    let layer = |index: usize| {
        let below = json!({"segment": format!("s{}", index - 1)});
        Segment::read(&json!({"key": format!("s{index}"), "when": {"any": [below, below]}}), &[]).unwrap()
    };
    let bottom = Segment::read(&json!({"key": "s0"}), &[]).unwrap();
    let segments: Vec<Segment> = (1..80).map(layer).chain([bottom]).collect();
    let ask = |index: usize| json!({"any": [{"flag": format!("g{index}"), "variants": ["on"]}, {"flag": format!("g{index}"), "variants": ["on"]}]});
    let mut flags: Vec<_> = (1..60).map(|index| on_when(&format!("g{index}"), &ask(index - 1))).collect();
    flags.push(on_when("g0", &json!({"segment": "s40"})));
    flags.push(on_when("f", &json!({"any": [{"segment": "s70"}, ask(30)]})));
    let environment = environment(&flags, &segments);
    let context = Context::empty(NOW);
    let resolution = environment.evaluate("f", &context).unwrap();
    assert_eq!((resolution.reason, resolution.error), (Reason::Default, None));
    assert_eq!(environment.trace("f", &context).unwrap().reason, Reason::Default);
}

/// Prerequisites as long as they may be, on the stack of a test's thread.
#[test]
fn the_longest_chain_of_flags_evaluates() {
    let on = json!({"enabled": true, "fallthrough": {"variant": "on"}});
    let needs = |index: usize| {
        let prerequisites = json!([{"flag": format!("f{}", index - 1), "variants": ["on"]}]);
        json!({"enabled": true, "prerequisites": prerequisites, "fallthrough": {"variant": "on"}})
    };
    let config = |index: usize| if index == 0 { on.clone() } else { needs(index) };
    let flags: Vec<_> = (0..300).map(|index| flag(&format!("f{index}"), &config(index))).collect();
    let environment = environment(&flags, &[]);
    let context = Context::empty(NOW);
    let reason = |index: usize| environment.evaluate(&format!("f{index}"), &context).unwrap().reason;
    assert_eq!((reason(255), reason(256), reason(299)), (Reason::Static, Reason::Error, Reason::Error));
    assert!(environment.trace("f255", &context).is_some());
}

#[test]
fn a_trace_tells_every_step() {
    let (flag_read, _) = flag("f", &json!({}));
    let config = json!({
        "enabled": true,
        "off_variant": "off",
        "prerequisites": [{"flag": "p", "variants": ["on"]}],
        "targets": [{"variant": "off", "values": ["user-2"]}],
        "rules": [
            {"id": "staff", "when": {"all": [{"segment": "staff"}, {"not": eq("plan", "free")}]}, "serve": {"variant": "on"}},
            {"when": {"bucket": {"by": "company", "below": 100_000}}, "serve": {"variant": "on"}},
            {"when": {"all": []}, "serve": {"split": {"rollout": 99_999, "weights": [{"variant": "on", "weight": 1}]}}},
        ],
        "fallthrough": {"variant": "off"},
        "hash": "togglerino",
        "salt": "rollout-flag",
    });
    let config = FlagConfig::read(&config, &flag_read, &[]).unwrap();
    let prerequisite = flag("p", &json!({"enabled": true, "fallthrough": {"variant": "on"}}));
    let segment = json!({"key": "staff", "exclude": ["user-xyz"], "when": {"all": []}});
    let segment = Segment::read(&segment, &[]).unwrap();
    let environment = environment(&[(flag_read, config), prerequisite], &[segment]);
    let body = json!({"context": {"targetingKey": "user-xyz"}});
    let trace = environment.trace("f", &Context::from_ofrep(&body, NOW).unwrap()).unwrap();
    // The draw is 28 of 100 (facts of togglerino's own tests).
    let expected = json!({
        "flag": "f", "value": true, "variant": "on", "reason": "split", "rule": {"index": 2}, "now": "1970-01-01T00:00:00Z",
        "steps": [
            {"step": "archived", "holds": false},
            {"step": "enabled", "holds": true},
            {"step": "prerequisite", "flag": "p", "or_disabled": false, "holds": true, "steps": [
                {"step": "archived", "holds": false},
                {"step": "enabled", "holds": true},
                {"step": "fallthrough", "holds": true},
                {"step": "answer", "flag": "p", "variant": "on", "reason": "default", "holds": true},
            ]},
            {"step": "target", "variant": "off", "attribute": "targetingKey", "value": "user-xyz", "holds": false},
            {"step": "rule", "index": 0, "id": "staff", "holds": false, "steps": [
                {"step": "all", "holds": false, "steps": [
                    {"step": "segment", "segment": "staff", "holds": false, "steps": [{"step": "exclude", "holds": true}]},
                ]},
            ]},
            {"step": "rule", "index": 1, "holds": false, "steps": [
                {"step": "bucket", "from": 0, "below": 100_000, "holds": false, "steps": [
                    {"step": "nothing_to_draw_by", "by": ["company"], "holds": false},
                ]},
            ]},
            {"step": "rule", "index": 2, "holds": true, "steps": [
                {"step": "all", "holds": true},
                {"step": "draw", "attribute": "targetingKey", "value": "user-xyz", "purpose": "in",
                 "draw": 28_000, "range": 100_000, "holds": true},
            ]},
        ],
    });
    assert_eq!(serde_json::to_value(&trace).unwrap(), expected);
}
