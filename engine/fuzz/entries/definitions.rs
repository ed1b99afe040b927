//! Fuzzed: definitions as clients send them and as the store holds them.

use flagstone_engine::check::{Definitions, check_config, check_segment, check_variants};
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{Context, Environment};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::evaluation::evaluate_all;

/// A document `{"flag", "config", "segment"}`, each of which may be anything.
pub(crate) fn definitions(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    let part = |name: &str| document.get(name).unwrap_or(&document);
    let read_flag = Flag::read(part("flag"), &["version", "environments"]);
    let stand_in = Flag::read(&json!({"key": "f", "type": "boolean"}), &[]).expect("a minimal flag");
    let flag = read_flag.as_ref().unwrap_or(&stand_in);
    let read_config = FlagConfig::read(part("config"), flag, &["version"]);
    let read_segment = Segment::read(part("segment"), &["version"]);
    if let Ok(flag) = &read_flag {
        same(flag, &Flag::read(&json!(flag), &[]));
    }
    if let Ok(config) = &read_config {
        same(config, &FlagConfig::read(&json!(config), flag, &[]));
    }
    if let Ok(segment) = &read_segment {
        same(segment, &Segment::read(&json!(segment), &[]));
    }

    // What is stored is taken without any check.
    let config = serde_json::from_value(part("config").clone()).ok().or(read_config.ok());
    let config = config.unwrap_or_else(|| FlagConfig::implicit(flag));
    let segment: Option<Segment> = serde_json::from_value(part("segment").clone()).ok().or(read_segment.ok());
    let surroundings = Definitions::new([(flag, &config)], segment.as_ref());
    let faults = check_config(flag, &config, &surroundings);
    check_variants(flag, &surroundings);
    let faulty_segment =
        segment.as_ref().is_some_and(|segment| !check_segment(segment, &surroundings).is_empty());
    let environment = Environment::new([(flag, &config)], segment.as_ref());
    let sound = faults.is_empty() && !faulty_segment;
    for context in [json!({}), json!({"context": {"targetingKey": "u", "a": 1, "b": "x", "c": ["x", 1]}})] {
        evaluate_all(
            &environment,
            &Context::from_sdk(&context, Timestamp::UNIX_EPOCH).expect("a context"),
            sound,
        );
    }
}

fn same<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(one: &T, two: &Result<T, E>) {
    assert_eq!(two.as_ref().expect("what was read is read again"), one);
}
