use flagstone_services::{
    engine::{KEY_PATTERN, PROJECT_KEY_PATTERN},
    page::PageRequest,
};
use serde_json::{Value, json};

/// What a request may say outside its body.
pub(crate) struct Parameter {
    name: &'static str,
    place: Place,
    required: bool,
    description: &'static str,
    schema: Value,
    example: Value,
}

enum Place {
    Path,
    Query,
    Header,
}

// === impl Parameter ===

impl Parameter {
    /// A parameter of the query, which may be left out.
    pub(crate) fn query(
        name: &'static str,
        description: &'static str,
        schema: Value,
        example: Value,
    ) -> Self {
        Self { name, place: Place::Query, required: false, description, schema, example }
    }

    /// A header, which may be left out.
    pub(crate) fn header(
        name: &'static str,
        description: &'static str,
        schema: Value,
        example: Value,
    ) -> Self {
        Self { place: Place::Header, ..Self::query(name, description, schema, example) }
    }

    /// Which part of a list.
    pub(crate) fn page() -> [Self; 2] {
        let first = PageRequest::default();
        let number = |default: u32| json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX, "default": default });
        [
            Self::query(
                "limit",
                "How many, at most. More than 500 are never given at once.",
                number(first.limit),
                json!(20),
            ),
            Self::query("offset", "How many are passed over first.", number(first.offset), json!(0)),
        ]
    }

    /// A text to look for.
    pub(crate) fn search(description: &'static str, example: &str) -> Self {
        Self::query("search", description, json!({ "type": "string" }), json!(example))
    }

    /// The version that is changed.
    pub(crate) fn if_match(required: bool) -> Self {
        let description = if required {
            "The `ETag` of what was read, so that nobody's change is lost. `*` is any version."
        } else {
            "The `ETag` of what was read; without it any version."
        };
        let schema = json!({ "type": "string", "pattern": r#"^(\*|(W/)?"[0-9]{1,19}")$"# });
        Self { required, ..Self::header("If-Match", description, schema, json!("*")) }
    }

    /// What the client has already.
    pub(crate) fn if_none_match() -> Self {
        Self::header(
            "If-None-Match",
            "The `ETag` of an earlier answer: where it would be the same, the answer is 304.",
            json!({ "type": "string" }),
            json!("\"0123456789abcdef\""),
        )
    }

    /// A part of a path in braces, by the names that the route table has for them.
    pub(super) fn of_path(name: &'static str) -> Self {
        let project = || json!({ "type": "string", "pattern": PROJECT_KEY_PATTERN });
        let key = || json!({ "type": "string", "pattern": KEY_PATTERN });
        let (description, schema, example) = match name {
            "project" => ("A project's key.", project(), "demo"),
            "environment" => ("An environment's key.", project(), "development"),
            "flag" | "key" => ("A flag's key.", key(), "beta-search"),
            "segment" => ("A segment's key.", key(), "beta-testers"),
            _ => (
                "An id.",
                json!({ "type": "string", "format": "uuid" }),
                "0198c2f6-8d6e-7b53-9d2f-6a1f5b0c7e11",
            ),
        };
        let example = json!(example);
        Self { name, place: Place::Path, required: true, description, schema, example }
    }

    pub(super) fn write(&self) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        json!({
            "name": self.name,
            "in": place,
            "required": self.required,
            "description": self.description,
            "schema": self.schema,
            "example": self.example,
        })
    }
}
