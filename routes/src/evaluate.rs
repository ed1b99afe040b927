//! `POST /api/v1/evaluate` and `…/{flag}`: our own wire.

use std::{borrow::Cow, sync::Arc};

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{
    engine::{self, Evaluator, Json, Object, Reason, Resolution, trace::Trace},
    keys::{KeyGrant, KeyKind},
};
use http::StatusCode;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::{
    POST, Routes,
    context::Context,
    json,
    openapi::{Operation, Parameter, of},
    reply,
    state::Protocol,
};

/// A body of this size is a good guess for one flag's answer.
const FLAG_BYTES: usize = 96;

/// What [`write`] writes of one flag.
enum Evaluation {}

/// Who asks, and whether for a trace.
struct Asker {
    grant: Arc<KeyGrant>,
    trace: bool,
}

const TAG: &str = "Evaluation";

pub(crate) fn add(routes: &mut Routes) {
    use Access::AnyKey;
    let trace = || {
        let description = "Whether to tell each step of the evaluation. Only for server keys.";
        Parameter::query("trace", description, json!({ "type": "boolean", "default": false }), json!(false))
    };
    let example = || json!({ "context": { "targetingKey": "user-1", "attributes": { "plan": "pro" } } });
    routes.add_reader(
        RouteSpec::new(POST, "/api/v1/evaluate", "evaluate_all", AnyKey).inline(),
        Operation::new(TAG, "Evaluates all flags but archived ones")
            .described("For the environment of the key. An empty body is an empty context.")
            .with([trace()])
            .takes_context(asked, false, example())
            .gives("What each flag answers.", evaluations),
        look,
        all,
    );
    routes.add_reader(
        RouteSpec::new(POST, "/api/v1/evaluate/{flag}", "evaluate", AnyKey).inline(),
        Operation::new(TAG, "Evaluates one flag")
            .described("For the environment of the key. An empty body is an empty context.")
            .with([trace()])
            .takes_context(asked, false, example())
            .gives("What the flag answers.", of::<Evaluation>),
        look,
        one,
    );
}

/// Members beside `attributes` are attributes too; unknown ones beside `context` are passed over.
fn asked(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "context": {
                "type": ["object", "null"],
                "description": "Who asks. Members beside `attributes` are attributes too.",
                "properties": {
                    "targetingKey": { "description": "Who asks; `user_id` is another name for it." },
                    "attributes": { "type": ["object", "null"] },
                },
            },
        },
    })
}

fn evaluations(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<Evaluation>();
    json_schema!({
        "type": "object",
        "properties": { "flags": { "type": "object", "additionalProperties": one } },
        "required": ["flags"],
    })
}

impl JsonSchema for Evaluation {
    fn schema_name() -> Cow<'static, str> {
        "Evaluation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (reason, trace) = (generator.subschema_for::<Reason>(), generator.subschema_for::<Trace>());
        json_schema!({
            "type": "object",
            "description": "What a flag answers. `value` and `variant` are left out where the caller's own default is meant.",
            "properties": { "value": true, "variant": { "type": "string" }, "reason": reason, "trace": trace },
            "required": ["reason"],
            "dependentRequired": { "value": ["variant"], "variant": ["value"] },
        })
    }
}

/// Who asks, in JSON.
fn look(context: &Context) -> Result<Asker, Problem> {
    let grant = context.attached()?;
    let trace = wants_trace(context, &grant)?;
    json::require_json(context.head.headers())?;
    Ok(Asker { grant, trace })
}

/// `POST /api/v1/evaluate`: all flags of the key's environment but archived ones.
fn all(context: &Context, Asker { grant, trace }: &Asker, body: &[u8]) -> Result<Response, Problem> {
    let asked = asked_by(body, grant)?;
    let snapshot = grant.environment.snapshot.load();
    let evaluator = snapshot.compiled.evaluator(&asked);
    let mut text = String::with_capacity(16 + snapshot.compiled.flags().len() * FLAG_BYTES);
    text.push_str("{\"flags\":{");
    let mut count = 0;
    for resolution in evaluator.flags().filter(|resolution| !resolution.flag.is_archived()) {
        if count > 0 {
            text.push(',');
        }
        count += 1;
        text.push_str(resolution.flag.key_json());
        text.push(':');
        write(&mut text, &resolution, &evaluator, *trace);
    }
    text.push_str("}}");
    context.state.figures.evaluated(Protocol::Sdk, count);
    Ok(reply::json_bytes(text))
}

/// `POST /api/v1/evaluate/{flag}`
fn one(context: &Context, Asker { grant, trace }: &Asker, body: &[u8]) -> Result<Response, Problem> {
    let asked = asked_by(body, grant)?;
    let key = context.parameter("flag")?;
    let snapshot = grant.environment.snapshot.load();
    let evaluator = snapshot.compiled.evaluator(&asked);
    let Some(resolution) = evaluator.flag(&key) else {
        context.state.services.flags.note_unknown(&grant.environment, &key);
        return Err(no_flag());
    };
    if resolution.flag.is_archived() {
        return Err(no_flag());
    }
    let mut text = String::with_capacity(FLAG_BYTES);
    write(&mut text, &resolution, &evaluator, *trace);
    context.state.figures.evaluated(Protocol::Sdk, 1);
    Ok(reply::json_bytes(text))
}

/// Writes `{"value", "variant", "reason"}` from prebuilt pieces.
fn write(text: &mut String, resolution: &Resolution<'_>, evaluator: &Evaluator<'_, '_>, trace: bool) {
    text.push('{');
    if let Some(variant) = resolution.variant {
        text.push_str("\"value\":");
        text.push_str(variant.json());
        text.push_str(",\"variant\":");
        text.push_str(variant.key_json());
        text.push(',');
    }
    text.push_str("\"reason\":\"");
    text.push_str(resolution.reason.as_str());
    text.push('"');
    if trace && let Some(trace) = evaluator.trace(resolution.flag.key()) {
        text.push_str(",\"trace\":");
        text.push_str(&serde_json::to_string(&trace).unwrap_or_default());
    }
    text.push('}');
}

/// Tracing shows rules, so it is for server keys only.
fn wants_trace(context: &Context, grant: &KeyGrant) -> Result<bool, Problem> {
    let trace = context.query_flag("trace")?;
    if trace && grant.kind != KeyKind::Server {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "SERVER_KEY_REQUIRED",
            "A trace shows rules and segments: ask for it with a server key.",
        ));
    }
    Ok(trace)
}

/// The context of a body; an empty one is an empty context. A server key may give the time itself, for a preview.
fn asked_by<'b>(body: &'b [u8], grant: &KeyGrant) -> Result<engine::Context<'b>, Problem> {
    let body = match json::is_blank(body) {
        true => Json::Object(Object::default()),
        false => Json::read(body).map_err(|error| json::bad_json(&error.to_string()))?,
    };
    let asked = engine::Context::from_sdk(body, Timestamp::now()).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_CONTEXT",
            format!("The context is not usable: {error}."),
        )
    })?;
    Ok(match asked.requested_now().filter(|_| grant.kind == KeyKind::Server) {
        Some(now) => asked.at(now),
        None => asked,
    })
}

fn no_flag() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "FLAG_NOT_FOUND", "This environment has no such flag.")
}
