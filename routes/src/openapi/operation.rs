use std::collections::BTreeMap;

use flagstone_layers::kernel::{Access, RouteSpec};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{
    parameter::Parameter,
    problems::{Problems, header_references},
    shape::Shape,
};

const JSON: &str = "application/json";
/// What any request may meet, by the layers before its handler.
const ANYWHERE: &[u16] = &[400, 403, 414, 429, 500, 503];
/// What a request with a body may meet.
const BODY: &[u16] = &[400, 408, 413, 415];

/// What a route takes and gives, as the document tells it. What follows from the route itself (its path, its access)
/// is not said here.
pub(crate) struct Operation {
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answers: BTreeMap<u16, Answer>,
    problems: Vec<u16>,
}

struct Body {
    shape: Shape,
    example: Value,
    required: bool,
}

struct Answer {
    description: &'static str,
    headers: Vec<&'static str>,
    content: Option<(&'static str, Shape)>,
}

/// The generators of the two kinds of schema: what is read may leave out what is always written.
pub(super) struct Generators {
    pub(super) requests: SchemaGenerator,
    pub(super) answers: SchemaGenerator,
}

// === impl Operation ===

impl Operation {
    /// An operation that takes and gives nothing yet.
    pub(crate) fn new(tag: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Says more about it.
    pub(crate) fn described(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Takes these parameters, besides those of its path.
    pub(crate) fn with(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Takes a document.
    pub(crate) fn takes(mut self, shape: Shape, example: Value) -> Self {
        self.body = Some(Body { shape, example, required: true });
        self.meets(BODY).meets(&[422])
    }

    /// Takes a context to evaluate flags with, which may be left out.
    pub(crate) fn takes_context(mut self, shape: Shape, required: bool, example: Value) -> Self {
        self.body = Some(Body { shape, example, required });
        self.meets(BODY)
    }

    /// May meet problems of these statuses.
    pub(crate) fn meets(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// Answers 200 with a JSON document.
    pub(crate) fn gives(self, description: &'static str, shape: Shape) -> Self {
        self.answers(200, description, JSON, shape)
    }

    /// Answers this status with a body of this type.
    pub(crate) fn answers(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &'static str,
        shape: Shape,
    ) -> Self {
        let content = Some((media_type, shape));
        self.answers.insert(status, Answer { description, headers: Vec::new(), content });
        self
    }

    /// Answers 204.
    pub(crate) fn gives_nothing(mut self, description: &'static str) -> Self {
        self.answers.insert(204, Answer { description, headers: Vec::new(), content: None });
        self
    }

    /// Adds a header to its good answers.
    pub(crate) fn with_header(mut self, name: &'static str) -> Self {
        for (_, answer) in self.answers.range_mut(200..400) {
            answer.headers.push(name);
        }
        self
    }

    /// Answers 200 with a document that has a version.
    pub(crate) fn gives_version(self, description: &'static str, shape: Shape) -> Self {
        self.gives(description, shape).with_header("ETag")
    }

    /// Answers 201 with what was made.
    pub(crate) fn creates(self, description: &'static str, shape: Shape) -> Self {
        self.answers(201, description, JSON, shape).with_header("Location").meets(&[409])
    }

    /// Takes a version and answers 200 with the next one.
    pub(crate) fn replaces(self, description: &'static str, shape: Shape) -> Self {
        self.with([Parameter::if_match(true)]).gives_version(description, shape).meets(&[412, 428])
    }

    /// Takes a version, if it is given one, and answers 204.
    pub(crate) fn deletes(self, description: &'static str) -> Self {
        self.with([Parameter::if_match(false)]).gives_nothing(description).meets(&[412])
    }

    /// Answers 200 with a document, or 304 where the client has it.
    pub(crate) fn cached(mut self, description: &'static str, shape: Shape) -> Self {
        self = self.with([Parameter::if_none_match()]).gives(description, shape);
        let not_modified =
            Answer { description: "The client has it already.", headers: Vec::new(), content: None };
        self.answers.insert(304, not_modified);
        self.with_header("ETag")
    }

    /// Writes it as the operation of a route.
    pub(super) fn write(&self, route: &RouteSpec, generators: &mut Generators) -> Value {
        let path = path_parameters(route.path);
        let parameters: Vec<Value> = path
            .iter()
            .map(|name| Parameter::of_path(name).write())
            .chain(self.parameters.iter().map(Parameter::write))
            .collect();
        let mut operation = json!({
            "operationId": route.name,
            "summary": self.summary,
            "tags": [self.tag],
            "security": security(route.access),
            "x-access": route.access,
            "parameters": parameters,
            "responses": self.responses(route, !path.is_empty(), generators),
        });
        if !self.description.is_empty() {
            operation["description"] = json!(self.description);
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = json!({
                "required": body.required,
                "content": { JSON: { "schema": (body.shape)(&mut generators.requests), "example": body.example } },
            });
        }
        operation
    }

    fn responses(&self, route: &RouteSpec, has_parameters: bool, generators: &mut Generators) -> Value {
        let mut statuses = [ANYWHERE, &self.problems].concat();
        if route.access != Access::Public {
            statuses.push(401);
        }
        if has_parameters || route.optional {
            statuses.push(404);
        }
        let mut responses: BTreeMap<String, Value> = self
            .answers
            .iter()
            .map(|(status, answer)| (status.to_string(), answer.write(&mut generators.answers)))
            .collect();
        for problems in statuses.into_iter().filter_map(Problems::of) {
            let component = json!({ "$ref": format!("#/components/responses/{}", problems.name) });
            responses
                .entry(problems.status.to_string())
                .and_modify(|own| {
                    // A status that has a shape of the handler's own and one of the layers'.
                    if let Some(content) = own.get_mut("content").and_then(Value::as_object_mut) {
                        content.extend(problems.content());
                    }
                })
                .or_insert(component);
        }
        json!(responses)
    }
}

// === impl Answer ===

impl Answer {
    fn write(&self, generator: &mut SchemaGenerator) -> Value {
        let mut answer = json!({
            "description": self.description,
            "headers": header_references(self.headers.iter().copied()),
        });
        if let Some((media_type, shape)) = self.content {
            answer["content"] = json!({ media_type: { "schema": shape(generator) } });
        }
        answer
    }
}

/// The names in braces of a route's pattern.
fn path_parameters(path: &'static str) -> Vec<&'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// What a request has to carry.
fn security(access: Access) -> Value {
    let any = |schemes: &[&str]| {
        schemes
            .iter()
            .map(|scheme| Value::Object(Map::from_iter([((*scheme).to_owned(), json!([]))])))
            .collect()
    };
    match access {
        Access::Public => any(&[]),
        Access::AnyKey | Access::ServerKey => any(&["bearer_key", "header_key"]),
        Access::StreamToken => any(&["stream_token"]),
        Access::Member | Access::Admin => any(&["session"]),
    }
}
