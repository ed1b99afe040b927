//! What is refused because of what it means or of what stands around it.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use flagstone_engine::check::{
    Definitions, User, check_config, check_segment, check_variants, users_of_flag, users_of_segment,
};
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Context, Environment, Fault};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The definitions of an environment: flags `f g h` and segments `s t`, of which some are given.
struct World {
    flags: Vec<(Flag, FlagConfig)>,
    segments: Vec<Segment>,
}

impl World {
    fn new(flags: &[(&str, Value)], segments: &[(&str, Value)]) -> Self {
        let flags = flags.iter().map(|(key, config)| flag(key, config)).collect();
        Self { flags, segments: segments.iter().map(|(key, when)| segment(key, when)).collect() }
    }

    fn definitions(&self) -> Definitions<'_> {
        Definitions::new(self.flags.iter().map(|(flag, config)| (flag, config)), &self.segments)
    }

    fn check(&self, config: &Value) -> Vec<Fault> {
        let (flag, config) = flag("f", config);
        check_config(&flag, &config, &self.definitions())
    }

    fn check_segment(&self, key: &str, when: &Value) -> Vec<Fault> {
        check_segment(&segment(key, when), &self.definitions())
    }
}

fn flag(key: &str, config: &Value) -> (Flag, FlagConfig) {
    let flag = Flag::read(&json!({"key": key, "type": "boolean"}), &[]).unwrap();
    let config = FlagConfig::read(config, &flag, &[]).unwrap();
    (flag, config)
}

fn segment(key: &str, when: &Value) -> Segment {
    Segment::read(&json!({"key": key, "when": when}), &[]).unwrap()
}

fn when(when: &Value) -> Value {
    json!({"rules": [{"when": when, "serve": {"variant": "on"}}]})
}

fn places(faults: &[Fault]) -> Vec<(&str, &str)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}

#[test]
fn unknown_names_all_at_once() {
    let world = World::new(&[("checkout", json!({}))], &[("staff", json!(null))]);
    let faults = world.check(&json!({
        "off_variant": "offf",
        "prerequisites": [{"flag": "chekout", "variants": ["on"]}, {"flag": "checkout", "variants": ["on", "maybe"]}],
        "targets": [{"variant": "x", "values": []}],
        "rules": [
            {"when": {"not": {"segment": "staf"}}, "serve": {"variant": "y"}},
            {"when": {"flag": "checkout", "variants": ["z"]}, "serve": {"split": {"weights": [{"variant": "w", "weight": 1}]}}},
        ],
        "fallthrough": {"variant": "v"},
    }));
    let expected = [
        ("/off_variant", "unknown_variant"),
        ("/targets/0/variant", "unknown_variant"),
        ("/rules/0/serve/variant", "unknown_variant"),
        ("/rules/1/serve/split/weights/0/variant", "unknown_variant"),
        ("/fallthrough/variant", "unknown_variant"),
        ("/prerequisites/0/flag", "unknown_flag"),
        ("/prerequisites/1/variants/1", "unknown_variant"),
        ("/rules/0/when/not/segment", "unknown_segment"),
        ("/rules/1/when/variants/0", "unknown_variant"),
    ];
    assert_eq!(places(&faults), expected);
    for (index, meant) in [(0, "off"), (5, "checkout"), (7, "staff")] {
        assert!(faults[index].detail.contains(&format!("did you mean `{meant}`?")), "{}", faults[index]);
    }
}

#[test]
fn splits_have_to_make_sense() {
    let world = World::new(&[], &[]);
    let weights =
        |weights: Value| json!({"rules": [{"when": {"all": []}, "serve": {"split": {"weights": weights}}}]});
    let place = "/rules/0/serve/split/weights";
    assert_eq!(places(&world.check(&weights(json!([])))), [(place, "empty")]);
    assert_eq!(
        places(&world.check(&weights(json!([{"variant": "on", "weight": 0}])))),
        [(place, "out_of_range")]
    );
    let too_much = json!([{"variant": "on", "weight": 100_000}, {"variant": "off", "weight": 1}]);
    assert_eq!(places(&world.check(&weights(too_much))), [(place, "out_of_range")]);
    assert_eq!(
        places(&world.check(&weights(json!([{"variant": "on", "weight": 99_999}, {"weight": 1}])))),
        []
    );
    let fallthrough = json!({"fallthrough": {"split": {"rollout": 5, "weights": [{"weight": 1}]}}});
    let expected =
        [("/fallthrough/split/rollout", "not_allowed"), ("/fallthrough/split/weights/0/variant", "required")];
    assert_eq!(places(&world.check(&fallthrough)), expected);
    assert_eq!(
        places(&world.check(&when(&json!({"bucket": {"from": 2, "below": 1}})))),
        [("/rules/0/when/bucket/from", "out_of_range")]
    );
    let none = json!({"prerequisites": [{"flag": "f", "variants": []}]});
    assert!(places(&world.check(&none)).contains(&("/prerequisites/0/variants", "empty")));
}

#[test]
fn values_that_never_fit_their_operator() {
    let world = World::new(&[], &[]);
    for (op, value) in [
        ("eq", json!(null)),
        ("contains", json!(1)),
        ("starts_with", json!(true)),
        ("gt", json!([])),
        ("lte", json!(true)),
        ("num_eq", json!("1")),
        ("semver_eq", json!("1.2.3.4")),
        ("semver_caret", json!("x")),
        ("semver_wildcard", json!("1.x.2")),
        ("semver_neq", json!(1)),
        ("before", json!("2026-01-01")),
        ("after", json!(1e300)),
        ("date_eq", json!("now")),
        ("within_last", json!("7")),
        ("older_than", json!("-1d")),
        ("ip_in_cidr", json!("10.0.0.0/33")),
        ("ip_in_cidr", json!("host")),
        ("size", json!(-1)),
        ("size", json!(1.5)),
        ("is_type", json!("null")),
    ] {
        let condition = json!({"attribute": "a", "op": op, "values": [value]});
        let faults = world.check(&when(&condition));
        assert_eq!(places(&faults), [("/rules/0/when/values/0", "never_fits")], "{condition}");
        assert_eq!(places(&world.check_segment("s", &condition)), [("/when/values/0", "never_fits")]);
    }
    for (op, values, place) in [
        ("between", json!([1]), "/values"),
        ("between", json!([2, 1]), "/values"),
        ("between", json!([1, 2, 3]), "/values"),
        ("modulo", json!([0, 0]), "/values"),
        ("modulo", json!([3, 3]), "/values"),
        ("modulo", json!([-3, 1]), "/values"),
        ("modulo", json!([1.5, 0]), "/values/0"),
        ("is_set", json!([1]), "/values"),
        ("is_not_set", json!(["x"]), "/values"),
        ("eq", json!(["ok", null]), "/values/1"),
    ] {
        let condition = json!({"attribute": "a", "op": op, "values": values});
        let place = format!("/when{place}");
        assert_eq!(
            places(&world.check_segment("s", &condition)),
            [(place.as_str(), "never_fits")],
            "{condition}"
        );
    }
}

#[test]
fn switches_that_never_fit_their_operator() {
    let world = World::new(&[], &[]);
    for (op, cast, value, place) in [
        ("contains", "number", json!("x"), "/when/as"),
        ("num_eq", "string", json!(1), "/when/as"),
        ("size", "number", json!(1), "/when/as"),
        ("ip_in_cidr", "number", json!("::1"), "/when/as"),
        ("eq", "string", json!(1), "/when/values/0"),
        ("neq", "number", json!("1"), "/when/values/0"),
        ("gt", "number", json!("1"), "/when/values/0"),
        ("any_of", "string", json!({}), "/when/values/0"),
    ] {
        let condition = json!({"attribute": "a", "op": op, "as": cast, "values": [value]});
        assert_eq!(places(&world.check_segment("s", &condition)), [(place, "never_fits")], "{condition}");
    }
    let condition = json!({"attribute": "a", "op": "gt", "ignore_case": true, "values": [1]});
    assert_eq!(places(&world.check_segment("s", &condition)), [("/when/ignore_case", "never_fits")]);
}

#[test]
fn regular_expressions_are_bounded() {
    let world = World::new(&[], &[]);
    let matches = |pattern: &str| {
        let faults =
            world.check_segment("s", &json!({"attribute": "a", "op": "matches", "values": [pattern]}));
        faults.into_iter().map(|fault| fault.code).collect::<Vec<_>>()
    };
    assert_eq!(matches("^[a-z]{1,20}$"), [""; 0]);
    for (pattern, code) in [
        ("(", "invalid_pattern"),
        ("a{2,1}", "invalid_pattern"),
        (r"(a)\1", "invalid_pattern"),
        ("(?=a)", "invalid_pattern"),
        (r"\p{L}{1000}", "too_large"),
        ("(a{100}){100}{100}", "too_large"),
        (&"(".repeat(400), "invalid_pattern"),
    ] {
        assert_eq!(matches(pattern), [code], "{pattern}");
    }
}

#[test]
fn nothing_leads_to_itself() {
    let on = |flag: &str| json!({"flag": flag, "variants": ["on"]});
    let world = World::new(
        &[("f", json!({})), ("g", when(&json!({"segment": "s"}))), ("h", json!({}))],
        &[("s", json!({"not": {"segment": "t"}})), ("t", json!({"any": [on("h"), on("f")]}))],
    );
    let faults = world.check(
        &json!({"prerequisites": [{"flag": "h", "variants": ["on"]}, {"flag": "g", "variants": ["on"]}]}),
    );
    assert_eq!(places(&faults), [("/prerequisites/1/flag", "cycle")]);
    let way = "flag `f` → flag `g` → segment `s` → segment `t` → flag `f`";
    assert!(faults[0].detail.ends_with(way), "{}", faults[0].detail);
    assert_eq!(places(&world.check(&when(&on("f")))), [("/rules/0/when/flag", "cycle")]);
    assert_eq!(places(&world.check_segment("t", &json!({"segment": "s"}))), [("/when/segment", "cycle")]);
    assert_eq!(places(&world.check_segment("u", &json!({"segment": "u"}))), [("/when/segment", "cycle")]);
    assert_eq!(places(&world.check_segment("t", &json!({"all": [on("h")]}))), []);
    assert_eq!(places(&world.check(&when(&on("h")))), []);
}

/// A chain of segments, each `not` of the one before, may be so long that evaluation would nest too deep.
#[test]
fn chains_are_bounded() {
    let chain = |length: usize| -> Vec<Segment> {
        let key = |index: usize| format!("s{index:03}");
        let when =
            |index: usize| if index == 0 { json!({"all": []}) } else { json!({"segment": key(index - 1)}) };
        (0..length).map(|index| segment(&key(index), &when(index))).collect()
    };
    // Each segment nests 2 deep (itself and its condition), and so does the flag.
    let longest = 127;
    for (length, accepted) in [(longest, true), (longest + 1, false)] {
        let segments = chain(length);
        let (flag, config) = flag(
            "f",
            &json!({
                "enabled": true, "off_variant": null, "fallthrough": {"variant": "off"},
                "rules": [{"when": {"segment": format!("s{:03}", length - 1)}, "serve": {"variant": "on"}}],
            }),
        );
        let faults = check_config(&flag, &config, &Definitions::new([], &segments));
        assert_eq!(places(&faults), if accepted { vec![] } else { vec![("", "too_deep")] });
        let environment = Environment::new([(&flag, &config)], &segments);
        let context = Context::empty(Timestamp::UNIX_EPOCH);
        let variant = environment.evaluate("f", &context).unwrap().variant.map(|variant| variant.key());
        assert_eq!(variant, accepted.then_some("on"));
    }
    // A segment in the middle counts for the flag that leads to it.
    let segments = chain(longest);
    let (flag, config) = flag("f", &when(&json!({"segment": format!("s{:03}", longest - 1)})));
    let deeper = segment("s000", &json!({"not": {"all": []}}));
    let faults = check_segment(&deeper, &Definitions::new([(&flag, &config)], &segments));
    assert_eq!(places(&faults), [("", "too_deep")]);
    assert!(faults[0].detail.contains("flag `f`"), "{}", faults[0].detail);
}

#[test]
fn variants_in_use_stay() {
    let uses = |variant: &str| json!({"flag": "f", "variants": [variant]});
    let world = World::new(
        &[
            ("f", json!({"off_variant": "off", "fallthrough": {"variant": "on"}})),
            ("g", json!({"prerequisites": [uses("on")]})),
        ],
        &[("s", uses("off"))],
    );
    let renamed = json!([{"key": "on", "value": true}, {"key": "no", "value": false}]);
    let renamed = Flag::read(&json!({"key": "f", "type": "boolean", "variants": renamed}), &[]).unwrap();
    let faults = check_variants(&renamed, &world.definitions());
    assert_eq!(places(&faults), [("/variants", "in_use"); 2]);
    assert!(faults[0].detail.contains("/off_variant"), "{}", faults[0].detail);
    assert!(faults[1].detail.contains("segment `s` at /when/flag"), "{}", faults[1].detail);
    assert_eq!(check_variants(&world.flags[0].0, &world.definitions()), []);
}

#[test]
fn users_are_found() {
    let world = World::new(
        &[
            (
                "f",
                json!({"prerequisites": [{"flag": "g", "variants": ["on"]}], "rules": [
                    {"when": {"all": [{"segment": "s"}, {"not": {"flag": "g", "variants": ["off"]}}]}, "serve": {"variant": "on"}},
                ]}),
            ),
            ("g", json!({})),
        ],
        &[("s", json!(null)), ("t", json!({"segment": "s"}))],
    );
    let flag_user = |pointer: &str| User::Flag { key: "f".to_owned(), pointer: pointer.to_owned() };
    let expected = [flag_user("/prerequisites/0/flag"), flag_user("/rules/0/when/all/1/not/flag")];
    assert_eq!(users_of_flag("g", &world.definitions()), expected);
    let segment_user = User::Segment { key: "t".to_owned(), pointer: "/when/segment".to_owned() };
    assert_eq!(
        users_of_segment("s", &world.definitions()),
        [flag_user("/rules/0/when/all/0/segment"), segment_user]
    );
    assert_eq!(users_of_flag("f", &world.definitions()), []);
}
