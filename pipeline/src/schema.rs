//! The schema of a pipeline file: for editors, and for reading values that come as text.

use std::collections::{BTreeMap, BTreeSet};

use flagstone_layers::kernel::{Registered, Registry};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, ValueDeserializer},
};

/// The settings of every kind, and what they refer to.
pub(crate) struct Schemas {
    kinds: BTreeMap<&'static str, Value>,
    definitions: Map<String, Value>,
    /// The whole file, where it is a host's settings.
    root: Option<Value>,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accepts<'s> {
    pub(crate) string: bool,
    pub(crate) integer: bool,
    pub(crate) number: bool,
    pub(crate) boolean: bool,
    pub(crate) array: bool,
    /// What an array's items may be.
    pub(crate) items: Option<&'s Value>,
}

/// The JSON schema (draft 07) of a pipeline file with these kinds of layer.
pub fn schema(registry: &Registry) -> Value {
    let Schemas { kinds, mut definitions, .. } = Schemas::new(registry);
    for definition in definitions.values_mut() {
        accept_references(definition);
    }
    let layers: Vec<Value> = registry
        .iter()
        .filter_map(|layer| kinds.get(layer.kind).map(|settings| layer_schema(layer, settings)))
        .collect();
    definitions.insert("layer".to_owned(), json!({ "oneOf": layers, "required": ["kind"] }));
    definitions.insert("environment_value".to_owned(), environment_value());
    definitions.insert("file_value".to_owned(), file_value());
    definitions.insert("override".to_owned(), overrides());
    let mut schema = file_schema();
    keep_what_is_used(&schema, &mut definitions);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("definitions".to_owned(), Value::Object(definitions));
    }
    schema
}

/// The tables of the file, apart from the layers' settings.
pub(crate) fn file_schema() -> Value {
    let text = || json!({ "type": "string" });
    let methods = json!({ "type": "array", "items": text(), "minItems": 1,
        "description": "The methods it covers; all of them where it is left out." });
    let headers = json!({ "type": "object", "additionalProperties": text() });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Flagstone pipeline",
        "type": "object",
        "required": ["version", "fallback"],
        "additionalProperties": false,
        "patternProperties": { "^x-": { "description": "Free for your own use." } },
        "properties": {
            "version": { "const": 1, "description": "The version of this format." },
            "include": { "type": "array", "items": text(),
                "description": "Files beside this one whose tables are added to it." },
            "layers": { "type": "object", "additionalProperties": { "$ref": "#/definitions/layer" },
                "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$" },
                "description": "Layers by name. The name is the identity of a layer's state." },
            "chains": { "type": "object",
                "additionalProperties": { "type": "array", "items": text() },
                "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$" },
                "description": "Layers in their order, the first outermost. `@name` splices a chain, `-name` removes a layer." },
            "routes": { "type": "array", "items": { "type": "object", "additionalProperties": false,
                "required": ["path", "chain"],
                "properties": {
                    "path": { "type": "string", "description": "`/x/{*rest}` covers `/x` and all below it; the most specific entry wins." },
                    "methods": methods,
                    "chain": { "type": "string", "description": "The chain its handler routes run." },
                    "override": { "$ref": "#/definitions/override" } } } },
            "fallback": { "type": "object", "additionalProperties": false, "required": ["chain"],
                "description": "What runs where no handler route answers.",
                "properties": {
                    "chain": { "type": "string", "description": "Its chain." },
                    "override": { "$ref": "#/definitions/override" } } },
            "aliases": { "type": "array", "items": { "type": "object", "additionalProperties": false,
                "required": ["from", "to"],
                "properties": {
                    "from": { "type": "string", "description": "The path, with parameters: `/admin/users/{id}`." },
                    "to": { "type": "string", "description": "The path it stands for, with the same parameters." } } } },
            "tests": { "type": "array", "items": { "type": "object", "additionalProperties": false,
                "required": ["name", "request", "expect"],
                "properties": {
                    "name": text(),
                    "request": { "type": "object", "additionalProperties": false, "required": ["path"],
                        "properties": { "method": text(), "path": text(), "headers": headers } },
                    "expect": { "type": "object", "additionalProperties": false,
                        "properties": {
                            "status": { "type": "integer", "minimum": 100, "maximum": 599 },
                            "stopped_by": { "type": "string", "description": "The layer that answers." },
                            "headers": headers } } } } }
        }
    })
}

fn layer_schema(layer: &Registered, settings: &Value) -> Value {
    let mut settings = settings.clone();
    accept_references(&mut settings);
    let Some(schema) = settings.as_object_mut() else { return json!({}) };
    schema.insert("title".to_owned(), json!(layer.kind));
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(layer.about));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if let Some(properties) = schema.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.insert("kind".to_owned(), json!({ "const": layer.kind }));
        if may_refuse(layer) {
            properties.insert("mode".to_owned(), mode());
        }
    }
    if let Some(required) = schema.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.insert(0, json!("kind"));
    }
    settings
}

fn mode() -> Value {
    json!({ "enum": ["enforce", "observe"], "default": "enforce",
        "description": "`observe` counts and logs what it would have refused, and lets it pass." })
}

fn overrides() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "object" },
        "description": "Settings of layers of its chain that are different here. Such a layer has its own state." })
}

fn environment_value() -> Value {
    let name = json!({ "type": "string", "minLength": 1 });
    json!({ "type": "object", "additionalProperties": false, "required": ["env"],
        "description": "The value of an environment variable: the first one that is set.",
        "properties": {
            "env": { "anyOf": [name, { "type": "array", "items": name, "minItems": 1 }] },
            "default": { "description": "The value where none is set." } } })
}

fn file_value() -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": ["file"],
        "description": "The text of a file, without the line break at its end.",
        "properties": { "file": { "type": "string", "minLength": 1 } } })
}

/// Whether a kind takes a mode. Where that depends on settings it cannot do without, it may.
fn may_refuse(layer: &Registered) -> bool {
    let empty = Spanned::new(0..0, DeValue::Table(DeTable::new()));
    (layer.parse)(ValueDeserializer::from(empty)).map_or(true, |settings| settings.order().refuses)
}

/// Lets every setting be an environment variable's or a file's value too.
fn accept_references(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                accept_references(value);
                let Some(properties) = value.as_object_mut().filter(|_| key == "properties") else {
                    continue;
                };
                for property in properties.values_mut() {
                    let kept = ["description", "default"].map(|key| (key, property.get(key).cloned()));
                    let mut either = json!({ "anyOf": [
                        property.take(),
                        { "$ref": "#/definitions/environment_value" },
                        { "$ref": "#/definitions/file_value" }] });
                    for (key, value) in kept {
                        if let (Some(value), Some(either)) = (value, either.as_object_mut()) {
                            either.insert(key.to_owned(), value);
                        }
                    }
                    *property = either;
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(accept_references),
        _ => {}
    }
}

/// Leaves out definitions that nothing refers to: those of the layers' settings, which stand in the layers.
fn keep_what_is_used(schema: &Value, definitions: &mut Map<String, Value>) {
    let mut used = BTreeSet::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        match schema {
            Value::Object(object) => {
                let referred = object.get("$ref").and_then(definition_name);
                if let Some(name) = referred.filter(|name| used.insert((*name).to_owned())) {
                    open.extend(definitions.get(name));
                }
                open.extend(object.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    definitions.retain(|name, _| used.contains(name));
}

/// The definition that a reference is to.
fn definition_name(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/definitions/")
}

// === impl Schemas ===

impl Schemas {
    pub(crate) fn new(registry: &Registry) -> Self {
        let mut generator: SchemaGenerator = SchemaSettings::draft07().into_generator();
        let referring: Vec<_> =
            registry.iter().map(|layer| (layer.kind, (layer.schema)(&mut generator).to_value())).collect();
        let definitions = generator.take_definitions(true);
        let mut schemas = Self { kinds: BTreeMap::new(), definitions, root: None };
        for (kind, referring) in referring {
            let settings = schemas.follow(&referring).clone();
            schemas.kinds.insert(kind, settings);
        }
        schemas
    }

    /// The schemas of a host's own settings.
    pub(crate) fn of<T: JsonSchema>() -> Self {
        let mut generator: SchemaGenerator = SchemaSettings::draft07().into_generator();
        let referring = generator.subschema_for::<T>().to_value();
        let definitions = generator.take_definitions(true);
        let mut schemas = Self { kinds: BTreeMap::new(), definitions, root: None };
        schemas.root = Some(schemas.follow(&referring).clone());
        schemas
    }

    /// The schema of a host's settings.
    pub(crate) fn root(&self) -> Option<&Value> {
        self.root.as_ref()
    }

    /// The keys of a table that has a fixed set of them.
    pub(crate) fn keys_of(&self, schema: &Value) -> Vec<String> {
        let mut keys = Vec::new();
        self.visit(schema, DEEPEST, &mut |schema| {
            let properties = schema.get("properties").and_then(Value::as_object);
            keys.extend(properties.into_iter().flat_map(|properties| properties.keys().cloned()));
        });
        keys
    }

    pub(crate) fn kind(&self, kind: &str) -> Option<&Value> {
        self.kinds.get(kind)
    }

    /// The names of a kind's settings.
    pub(crate) fn settings(&self, kind: &str) -> impl Iterator<Item = &str> {
        let properties =
            self.kind(kind).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str))
    }

    pub(crate) fn has_setting(&self, kind: &str, key: &str) -> bool {
        self.settings(kind).any(|known| known == key)
    }

    /// The schema of a table's value.
    pub(crate) fn property<'s>(&'s self, schema: &'s Value, key: &str) -> Option<&'s Value> {
        let mut found = None;
        self.visit(schema, DEEPEST, &mut |schema| {
            let known = schema.get("properties").and_then(|properties| properties.get(key));
            let other = schema.get("additionalProperties").filter(|other| other.is_object());
            found = found.or(known).or(other);
        });
        found
    }

    /// What a value may be.
    pub(crate) fn accepts<'s>(&'s self, schema: &'s Value) -> Accepts<'s> {
        let mut accepts = Accepts::default();
        self.visit(schema, DEEPEST, &mut |schema| {
            let mut accept = |name: &str| match name {
                "string" => accepts.string = true,
                "integer" => accepts.integer = true,
                "number" => accepts.number = true,
                "boolean" => accepts.boolean = true,
                "array" => accepts.array = true,
                _ => {}
            };
            match schema.get("type") {
                Some(Value::String(name)) => accept(name),
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(accept),
                _ => {
                    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                    for value in values.chain(schema.get("const")) {
                        accept(match value {
                            Value::String(_) => "string",
                            Value::Bool(_) => "boolean",
                            Value::Number(number) if number.is_f64() => "number",
                            Value::Number(_) => "integer",
                            _ => "",
                        });
                    }
                }
            }
            accepts.items = accepts.items.or(schema.get("items"));
        });
        accepts
    }

    /// Whether a value must not be shown: JSON schema calls it `writeOnly`.
    pub(crate) fn is_secret(&self, schema: &Value) -> bool {
        let mut secret = false;
        self.visit(schema, DEEPEST, &mut |schema| {
            secret |= schema.get("writeOnly").and_then(Value::as_bool).unwrap_or_default();
        });
        secret
    }

    /// What to write for a value. None where the type says that itself, as durations and sizes do.
    pub(crate) fn remedy(&self, schema: &Value) -> Option<String> {
        let variants = self.variants(schema);
        if !variants.is_empty() {
            return Some(format!("write `{}`", variants.join("` or `")));
        }
        let accepts = self.accepts(schema);
        if accepts.integer && accepts.string {
            return None;
        }
        let limit = |key: &str| schema.get(key).filter(|limit| limit.is_number());
        Some(match (limit("minimum"), limit("maximum")) {
            (Some(least), Some(most)) => format!("write {} from {least} to {most}", accepts.describe()),
            _ => format!("write {}", accepts.describe()),
        })
    }

    /// Values of a setting of numbers, truths, named alternatives or lists. None where a text could be anything.
    pub(crate) fn samples(&self, schema: &Value) -> Vec<DeValue<'static>> {
        let accepts = self.accepts(schema);
        let number = |text| DeValue::parse(text).map(Spanned::into_inner).ok();
        let mut samples = Vec::new();
        if accepts.integer {
            samples.extend(number("1"));
        }
        if accepts.number {
            samples.extend(number("1.0"));
        }
        if accepts.boolean {
            samples.extend([true, false].map(DeValue::Boolean));
        }
        let texts = |schema| self.variants(schema).into_iter().map(|text| DeValue::String(text.into()));
        samples.extend(texts(schema));
        if accepts.array {
            samples.push(DeValue::Array(DeArray::new()));
        }
        if let Some(items) = accepts.items.filter(|_| accepts.array) {
            samples.extend(texts(items).map(|text| {
                let mut array = DeArray::new();
                array.push(Spanned::new(0..0, text));
                DeValue::Array(array)
            }));
        }
        samples
    }

    /// The texts that a schema names.
    fn variants(&self, schema: &Value) -> Vec<String> {
        let mut variants = Vec::new();
        self.visit(schema, DEEPEST, &mut |schema| {
            let named = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            variants.extend(named.chain(schema.get("const")).filter_map(Value::as_str).map(str::to_owned));
        });
        variants
    }

    /// Every alternative of a schema.
    fn visit<'s>(&'s self, schema: &'s Value, depth: usize, each: &mut impl FnMut(&'s Value)) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let schema = self.follow(schema);
        each(schema);
        for combined in ["anyOf", "oneOf", "allOf"] {
            for schema in schema.get(combined).and_then(Value::as_array).into_iter().flatten() {
                self.visit(schema, depth, each);
            }
        }
    }

    /// The schema a reference stands for.
    fn follow<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let name = schema.get("$ref").and_then(definition_name);
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }
}

/// How many alternatives within alternatives are looked at; a type may contain itself.
const DEEPEST: usize = 8;

// === impl Accepts ===

impl Accepts<'_> {
    /// What it may be, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self { boolean: true, string: false, .. } => "`true` or `false`",
            Self { integer: true, string: false, .. } => "a whole number",
            Self { number: true, string: false, .. } => "a number",
            Self { array: true, string: false, .. } => "a list",
            _ => "a text",
        }
    }
}
