use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::Table;

fn routes() -> Routes {
    Routes::gather(None)
}

fn document() -> Value {
    document::write(routes().described())
}

/// The document's operations: method, path, operation.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap();
        operations.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

fn every_value<'v>(value: &'v Value, see: &mut impl FnMut(&'v Value)) {
    see(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| every_value(member, see)),
        Value::Array(elements) => elements.iter().for_each(|element| every_value(element, see)),
        _ => {}
    }
}

#[test]
fn every_route_has_an_operation_and_every_operation_a_route() {
    let (routes, document) = (routes(), document());
    assert_eq!(routes.routes.len(), operations(&document).count());
    for (spec, _) in &routes.routes {
        let operation = &document["paths"][spec.path][spec.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], spec.name, "{} {}", spec.method, spec.path);
    }
    Table::new(routes.routes.iter().map(|(spec, _)| spec)).unwrap();
}

#[test]
fn what_is_referred_to_is_there_and_used_and_has_a_good_name() {
    let document = document();
    let mut used = BTreeSet::new();
    every_value(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(pointer);
        }
    });
    for (kind, components) in document["components"].as_object().unwrap() {
        for name in components.as_object().unwrap().keys() {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
                "{name}"
            );
            let pointer = format!("/components/{kind}/{name}");
            // No operation ends in 405: that is another operation's path.
            let answered_elsewhere = ["MethodNotAllowed", "Allow"].contains(&name.as_str());
            assert!(
                kind == "securitySchemes" || answered_elsewhere || used.contains(pointer.as_str()),
                "{pointer}"
            );
        }
    }
}

#[test]
fn operations_have_what_their_routes_need() {
    let (routes, document) = (routes(), document());
    for (spec, _) in &routes.routes {
        let what = format!("{} {}", spec.method, spec.path);
        let operation = &document["paths"][spec.path][spec.method.as_str().to_ascii_lowercase()];
        let statuses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
        assert!(statuses.iter().any(|status| status.starts_with('2')), "{what}");
        assert_eq!(operation["security"] == serde_json::json!([]), spec.access == Access::Public, "{what}");
        assert!(spec.access == Access::Public || statuses.iter().any(|status| *status == "401"), "{what}");
        let in_path = spec.path.matches('{').count();
        let parameters = operation["parameters"].as_array().unwrap();
        assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), in_path, "{what}");
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            assert_eq!(parameter["description"] == "An id.", name == "id", "{what}: what is {name}?");
            let fits = parameter["schema"]["pattern"]
                .as_str()
                .is_none_or(|pattern| fits(pattern, &parameter["example"]));
            assert!(fits, "{what}: the example of {name}");
        }
        let takes = [Method::POST, Method::PUT].contains(&spec.method) && spec.name != "logout";
        assert_eq!(operation.get("requestBody").is_some(), takes, "{what}");
    }
}

/// Whether an example is of a parameter's pattern: those of keys, of the engine's own checks.
fn fits(pattern: &str, example: &Value) -> bool {
    use flagstone_services::engine::{KEY_PATTERN, PROJECT_KEY_PATTERN, is_key, is_project_key};
    let example = example.as_str().unwrap();
    match pattern {
        KEY_PATTERN => is_key(example),
        PROJECT_KEY_PATTERN => is_project_key(example),
        _ => example == "*",
    }
}

#[test]
fn what_is_read_differs_from_what_is_written_by_name() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    // A prerequisite may leave `or_disabled` out; an answer has it always.
    assert!(
        !schemas["PrerequisiteInput"]["required"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == "or_disabled")
    );
    assert!(schemas["Prerequisite"]["required"].as_array().unwrap().iter().any(|name| name == "or_disabled"));
    let body = &document["paths"]["/api/management/projects/{project}/flags/{flag}/environments/{environment}"]
        ["put"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["properties"]["rules"]["items"]["$ref"], "#/components/schemas/RuleInput");
    assert_eq!(body["additionalProperties"], false);
}

#[test]
fn descriptions_are_for_people_who_do_not_read_the_source() {
    every_value(&document(), &mut |value| {
        if let Some(description) = value.get("description").and_then(Value::as_str) {
            assert!(!description.contains("::") && !description.contains("[`"), "{description}");
        }
    });
}
