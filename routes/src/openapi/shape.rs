use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Writes a schema. Types it names go into the document's components.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The shape of a type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The members of an object that is sent to the server: those it has, and no others.
pub(crate) struct Members {
    properties: Map<String, Value>,
    required: Vec<String>,
}

// === impl Members ===

impl Members {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { properties: Map::new(), required: Vec::new() }
    }

    /// Those of a type, as it is read.
    pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Self {
        let mut schema = T::json_schema(generator);
        let mut take = |name| schema.remove(name);
        let required = match take("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let properties = match take("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        Self { properties, required }
    }

    /// A member that must be there.
    pub(crate) fn required(mut self, name: &str, schema: Value) -> Self {
        self.required.push(name.to_owned());
        self.optional(name, schema)
    }

    /// A member that may be there.
    pub(crate) fn optional(mut self, name: &str, schema: Value) -> Self {
        self.properties.insert(name.to_owned(), schema);
        self
    }

    /// Members that may be left out, whatever the type says.
    pub(crate) fn absent(mut self, names: &[&str]) -> Self {
        self.required.retain(|name| !names.contains(&name.as_str()));
        self
    }

    /// Members of an answer that may be sent back and are passed over.
    pub(crate) fn ignored(mut self, names: &[&str]) -> Self {
        for name in names {
            self.properties.insert((*name).to_owned(), json!({ "description": "Passed over." }));
        }
        self
    }

    /// The object. A member of another name is refused.
    pub(crate) fn schema(self) -> Schema {
        let Self { properties, required } = self;
        schemars::json_schema!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}
