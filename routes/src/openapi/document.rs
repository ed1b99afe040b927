use std::collections::BTreeSet;

use flagstone_layers::kernel::{Problem, RouteSpec};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    operation::{Generators, Operation},
    problems::{self, PROBLEMS},
};
use crate::auth::PLAIN_COOKIE;

/// Where a document has its schemas.
const SCHEMAS: &str = "/components/schemas";

/// Writes the document of these routes.
pub(super) fn write(routes: &[(RouteSpec, Operation)]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    let mut generators = Generators {
        requests: settings().for_deserialize().into_generator(),
        answers: settings().for_serialize().into_generator(),
    };
    generators.answers.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for (route, operation) in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation.write(route, &mut generators);
    }
    let written = definitions(&mut generators.answers);
    let read = definitions(&mut generators.requests);
    let renamed = differing(&read, &written);
    for path in paths.values_mut().filter_map(Value::as_object_mut) {
        for operation in path.values_mut().filter_map(|operation| operation.get_mut("requestBody")) {
            rename(operation, &renamed);
        }
    }
    let mut schemas = written;
    for (name, mut schema) in read {
        rename(&mut schema, &renamed);
        schemas.insert(if renamed.contains(&name) { input(&name) } else { name }, schema);
    }
    let responses: Map<_, _> =
        PROBLEMS.iter().map(|problems| (problems.name.to_owned(), problems.write())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flagstone",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A self-hosted feature-flag server. Errors are `application/problem+json` (RFC 9457) \
                            with a `code` that stays the same; OFREP's own are in its own shape.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "headers": problems::headers(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn definitions(generator: &mut SchemaGenerator) -> Map<String, Value> {
    generator.take_definitions(true)
}

/// The schemas that are not the same read as written, and those that refer to them.
fn differing(read: &Map<String, Value>, written: &Map<String, Value>) -> BTreeSet<String> {
    let differs =
        |(name, schema): &(&String, &Value)| written.get(*name).is_some_and(|other| other != *schema);
    let mut found: BTreeSet<String> = read.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    loop {
        let refers = |schema: &Value| found.iter().any(|name| refers_to(schema, &reference(name)));
        let more: Vec<String> = read
            .iter()
            .filter(|(name, schema)| !found.contains(*name) && written.contains_key(*name) && refers(schema))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn refers_to(schema: &Value, target: &str) -> bool {
    match schema {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| (name == "$ref" && value == target) || refers_to(value, target)),
        Value::Array(elements) => elements.iter().any(|element| refers_to(element, target)),
        _ => false,
    }
}

/// Makes references to these schemas refer to what is read by their names.
fn rename(schema: &mut Value, renamed: &BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                let target = value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
                match target {
                    Some(target) if name == "$ref" && renamed.contains(target) => {
                        *value = json!(reference(&input(target)));
                    }
                    _ => rename(value, renamed),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, renamed)),
        _ => {}
    }
}

fn reference(name: &str) -> String {
    format!("#{SCHEMAS}/{name}")
}

/// What a schema is called as it is read, where that is not how it is written.
fn input(name: &str) -> String {
    format!("{name}Input")
}

fn security_schemes() -> Value {
    json!({
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": PLAIN_COOKIE,
            "description": "A person, signed in by `login`. Over https the cookie's name begins with `__Host-`.",
        },
        "bearer_key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An application, by an SDK key: `fs_cli_…` or `fs_srv_…`.",
        },
        "header_key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "The same key, for clients that cannot send `Authorization`.",
        },
        "stream_token": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "The short-lived token of a bulk answer's `eventStreams`.",
        },
    })
}
