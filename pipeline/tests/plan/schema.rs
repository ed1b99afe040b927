//! The schema that editors use.

use flagstone_pipeline::schema;
use serde_json::{Value, json};

use super::*;

#[test]
fn it_has_every_kind_with_its_settings() {
    let schema = schema(&kinds::registry());
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let layers = schema["definitions"]["layer"]["oneOf"].as_array().unwrap();
    assert_eq!(layers.len(), kinds::registry().iter().count());
    let limit = layers.iter().find(|layer| layer["title"] == "rate_limit").unwrap();
    assert_eq!(limit["properties"]["kind"], json!({ "const": "rate_limit" }));
    assert_eq!(limit["properties"]["mode"]["enum"], json!(["enforce", "observe"]));
    assert_eq!(limit["required"], json!(["kind", "requests", "window"]));
    assert_eq!(limit["additionalProperties"], false);
    let log = layers.iter().find(|layer| layer["title"] == "access_log").unwrap();
    assert!(log["properties"].get("mode").is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    for registry in [kinds::registry(), flagstone_layers::registry()] {
        let schema = schema(&registry);
        let mut references = Vec::new();
        collect(&schema, &mut references);
        assert!(references.len() > 10);
        let definitions = schema["definitions"].as_object().unwrap();
        for name in definitions.keys() {
            assert!(references.contains(&format!("#/definitions/{name}")), "nothing refers to {name}");
        }
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{reference}");
        }
    }
}

fn collect(schema: &Value, references: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
