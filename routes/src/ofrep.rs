//! OpenFeature's Remote Evaluation Protocol 0.3 (R90). Answers are in its shapes, errors too.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{
    engine::{self, ErrorCode, Json, Resolution},
    keys::{KeyGrant, KeyKind},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    POST, Routes,
    context::Context,
    json,
    openapi::{Operation, of},
    reply,
    state::Protocol,
};

/// A body of this size is a good guess for one flag's answer.
const FLAG_BYTES: usize = 160;
/// For so long an unchanged answer is a 304. After that the client gets a whole one, with a fresh token for the
/// event stream: that of an old answer cannot open a stream any more.
const NOT_MODIFIED_SECONDS: i64 = 300;
/// After how many seconds without an event or a comment the client is to fetch again.
const INACTIVITY_SECONDS: u32 = 120;

/// What [`write`] writes of a flag that could be evaluated.
enum Success {}

/// What is written of anything else.
enum Failure {}

const TAG: &str = "OFREP";

pub(crate) fn add(routes: &mut Routes) {
    use Access::AnyKey;
    let example = || json!({ "context": { "targetingKey": "user-1", "plan": "pro" } });
    routes.add_reader(
        RouteSpec::new(POST, "/ofrep/v1/evaluate/flags", "ofrep_evaluate_all", AnyKey).inline(),
        Operation::new(TAG, "Evaluates all flags but archived ones")
            .described("OpenFeature's Remote Evaluation Protocol 0.3.")
            .takes_context(asked, true, example())
            .cached("What each flag answers, and where changes are told.", bulk)
            .answers(400, "The body or the context cannot be understood.", "application/json", of::<Failure>),
        look,
        all,
    );
    routes.add_reader(
        RouteSpec::new(POST, "/ofrep/v1/evaluate/flags/{key}", "ofrep_evaluate", AnyKey).inline(),
        Operation::new(TAG, "Evaluates one flag")
            .described("OpenFeature's Remote Evaluation Protocol 0.3.")
            .takes_context(asked, true, example())
            .gives("What the flag answers.", of::<Success>)
            .answers(
                400,
                "The body, the context or the flag cannot be used.",
                "application/json",
                of::<Failure>,
            )
            .answers(404, "There is no such flag.", "application/json", of::<Failure>),
        look,
        one,
    );
}

fn asked(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "context": {
                "type": ["object", "null"],
                "description": "Who asks, with attributes beside the targeting key.",
                "properties": { "targetingKey": { "type": ["string", "null"] } },
            },
        },
    })
}

fn bulk(generator: &mut SchemaGenerator) -> Schema {
    let flag = [generator.subschema_for::<Success>(), generator.subschema_for::<Failure>()];
    json_schema!({
        "type": "object",
        "properties": {
            "flags": { "type": "array", "items": { "anyOf": flag } },
            "eventStreams": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": { "const": "sse" },
                        "endpoint": {
                            "type": "object",
                            "properties": { "requestUri": { "type": "string", "format": "uri-reference" } },
                            "required": ["requestUri"],
                        },
                        "inactivityDelaySec": { "type": "integer", "minimum": 1 },
                    },
                    "required": ["type", "endpoint"],
                },
            },
        },
        "required": ["flags", "eventStreams"],
    })
}

impl JsonSchema for Success {
    fn schema_name() -> Cow<'static, str> {
        "OfrepSuccess".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "key": { "type": "string" },
                "reason": { "enum": ["STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED"] },
                "variant": { "type": "string" },
                "value": { "type": ["boolean", "string", "number", "object"] },
                "metadata": { "type": "object", "additionalProperties": { "type": ["boolean", "string", "number"] } },
            },
            "required": ["key", "reason"],
        })
    }
}

impl JsonSchema for Failure {
    fn schema_name() -> Cow<'static, str> {
        "OfrepFailure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "key": { "type": "string" },
                "errorCode": {
                    "enum": ["PARSE_ERROR", "INVALID_CONTEXT", "TARGETING_KEY_MISSING", "FLAG_NOT_FOUND", "GENERAL"],
                },
                "errorDetails": { "type": "string" },
            },
            "required": ["errorCode"],
        })
    }
}

/// Who asks, in JSON.
fn look(context: &Context) -> Result<Arc<KeyGrant>, Problem> {
    let grant = context.attached()?;
    json::require_json(context.head.headers())?;
    Ok(grant)
}

/// `POST /ofrep/v1/evaluate/flags`
fn all(context: &Context, grant: &Arc<KeyGrant>, body: &[u8]) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let asked = match asked_by(body, grant, now) {
        Ok(asked) => asked,
        Err((code, detail)) => return Ok(failure(None, code, &detail)),
    };
    let snapshot = grant.environment.snapshot.load();
    let mut text = String::with_capacity(256 + snapshot.compiled.flags().len() * FLAG_BYTES);
    text.push_str("{\"flags\":[");
    let mut count = 0;
    let evaluator = snapshot.compiled.evaluator(&asked);
    for resolution in evaluator.flags().filter(|resolution| !resolution.flag.is_archived()) {
        if count > 0 {
            text.push(',');
        }
        count += 1;
        write(&mut text, &resolution);
    }
    text.push(']');
    context.state.figures.evaluated(Protocol::Ofrep, count);
    let tag = Tag { digest: digest(&text), issued: now.as_second() };
    if let Some(known) =
        context.head.headers().get_all(IF_NONE_MATCH).iter().find_map(|value| tag.among(value))
    {
        let mut response = reply::not_modified();
        known.write(response.headers_mut());
        return Ok(response);
    }
    let token = context.state.services.stream_tokens.issue(grant);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        ",\"eventStreams\":[{{\"type\":\"sse\",\"endpoint\":{{\"requestUri\":\"/ofrep/v1/events?token={token}\"}},\
         \"inactivityDelaySec\":{INACTIVITY_SECONDS}}}]}}"
    );
    let mut response = reply::json_bytes(text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    tag.write(headers);
    Ok(response)
}

/// `POST /ofrep/v1/evaluate/flags/{key}`
fn one(context: &Context, grant: &Arc<KeyGrant>, body: &[u8]) -> Result<Response, Problem> {
    let key = context.parameter("key")?;
    let asked = match asked_by(body, grant, Timestamp::now()) {
        Ok(asked) => asked,
        Err((code, detail)) => return Ok(failure(Some(&key), code, &detail)),
    };
    let snapshot = grant.environment.snapshot.load();
    let Some(resolution) = snapshot.compiled.evaluate(&key, &asked) else {
        context.state.services.flags.note_unknown(&grant.environment, &key);
        return Ok(not_found(&key));
    };
    context.state.figures.evaluated(Protocol::Ofrep, 1);
    match resolution.error {
        Some(ErrorCode::FlagNotFound) => Ok(not_found(&key)),
        Some(error) => Ok(failure(Some(&key), error.as_str(), detail_of(error))),
        None => {
            let mut text = String::with_capacity(FLAG_BYTES);
            write(&mut text, &resolution);
            Ok(reply::json_bytes(text))
        }
    }
}

/// Writes one flag's answer, or its failure as an item of a list, from prebuilt pieces.
fn write(text: &mut String, resolution: &Resolution<'_>) {
    text.push_str("{\"key\":");
    text.push_str(resolution.flag.key_json());
    if let Some(error) = resolution.error {
        let _ =
            write!(text, ",\"errorCode\":\"{}\",\"errorDetails\":\"{}\"}}", error.as_str(), detail_of(error));
        return;
    }
    text.push_str(",\"reason\":\"");
    text.push_str(resolution.reason.openfeature());
    text.push('"');
    if let Some(variant) = resolution.variant {
        text.push_str(",\"variant\":");
        text.push_str(variant.key_json());
        text.push_str(",\"value\":");
        text.push_str(variant.json());
    }
    if let Some(metadata) = resolution.flag.metadata_json() {
        text.push_str(",\"metadata\":");
        text.push_str(metadata);
    }
    text.push('}');
}

/// What a person reads of an error. No character of these needs escaping.
fn detail_of(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::FlagNotFound => "This environment has no such flag.",
        ErrorCode::TargetingKeyMissing => "The flag is split by an attribute that the context lacks.",
        ErrorCode::General => "What is stored for this flag cannot be evaluated.",
    }
}

/// The context of a body, or the code and the detail of why it has none.
fn asked_by<'b>(
    body: &'b [u8],
    grant: &KeyGrant,
    now: Timestamp,
) -> Result<engine::Context<'b>, (&'static str, String)> {
    let body =
        Json::read(body).map_err(|error| ("PARSE_ERROR", format!("The body is not JSON: {error}.")))?;
    let asked = engine::Context::from_ofrep(body, now)
        .map_err(|error| ("INVALID_CONTEXT", format!("The context is not usable: {error}.")))?;
    Ok(match asked.requested_now().filter(|_| grant.kind == KeyKind::Server) {
        Some(now) => asked.at(now),
        None => asked,
    })
}

fn failure(key: Option<&str>, code: &str, detail: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, key, code, detail)
}

fn not_found(key: &str) -> Response {
    answer(
        StatusCode::NOT_FOUND,
        Some(key),
        ErrorCode::FlagNotFound.as_str(),
        detail_of(ErrorCode::FlagNotFound),
    )
}

fn answer(status: StatusCode, key: Option<&str>, code: &str, detail: &str) -> Response {
    let mut document = json!({ "errorCode": code, "errorDetails": detail });
    if let Some(key) = key {
        document["key"] = json!(key);
    }
    let mut response = reply::json(&document);
    *response.status_mut() = status;
    response
}

/// A list's `ETag`: what it says, whoever asked and whenever, and when it was said.
#[derive(Clone, Copy)]
struct Tag {
    digest: u64,
    issued: i64,
}

impl Tag {
    /// The tag of an `If-None-Match` that is of the same answer and not too old. Weak and strong ones compare alike.
    fn among(self, header: &HeaderValue) -> Option<Self> {
        header.to_str().ok()?.split(',').find_map(|tag| {
            let (digest, issued) = tag.trim().trim_start_matches("W/").trim_matches('"').split_once('-')?;
            let issued = i64::from_str_radix(issued, 16).ok()?;
            let fresh = (0..NOT_MODIFIED_SECONDS).contains(&self.issued.saturating_sub(issued));
            let same = u64::from_str_radix(digest, 16) == Ok(self.digest);
            (same && fresh).then_some(Self { issued, ..self })
        })
    }

    fn write(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.to_string()) {
            headers.insert(ETAG, value);
        }
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{:016x}-{:x}\"", self.digest, self.issued)
    }
}

/// Hashes what the client would get, so that the tag covers the whole context, every rule and the time.
fn digest(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_itself_in_every_spelling_until_it_is_old() {
        let tag = Tag { digest: 0xabc, issued: 1_700_000_000 };
        let matches = |text: &str, later: i64| {
            let found =
                Tag { issued: tag.issued + later, ..tag }.among(&HeaderValue::from_str(text).unwrap());
            found.inspect(|found| assert_eq!(found.to_string(), tag.to_string())).is_some()
        };
        let text = tag.to_string();
        assert!(matches(&text, 0) && matches(&text, 299) && !matches(&text, 300));
        assert!(matches(&format!("W/{text}"), 1) && matches(&format!("\"x\", {text}"), 1));
        assert!(matches(text.trim_matches('"'), 1), "unquoted");
        assert!(!matches(&text, -1), "from the future");
        for other in ["*", "", "\"abd-6553f100\"", "\"abc\""] {
            assert!(!matches(other, 0), "{other}");
        }
    }
}
