//! The problems a request can meet, by status: those of handlers and those of the layers that stand before them.

use serde_json::{Map, Value, json};

/// The problems of one status.
pub(super) struct Problems {
    pub(super) status: u16,
    /// What the document calls them.
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// The codes they have. A pipeline's own rules may bring others.
    pub(super) codes: &'static [&'static str],
    headers: &'static [&'static str],
}

/// All of them.
pub(super) static PROBLEMS: [Problems; 16] = [
    Problems {
        status: 400,
        name: "BadRequest",
        description: "The request cannot be understood.",
        codes: &["BAD_JSON", "BAD_QUERY", "BAD_HOST", "BODY_BROKEN", "INVALID_CONTEXT"],
        headers: &[],
    },
    Problems {
        status: 401,
        name: "Unauthenticated",
        description: "Nobody is signed in, or the key is not valid.",
        codes: &["UNAUTHENTICATED", "INVALID_CREDENTIALS"],
        headers: &["WWW-Authenticate"],
    },
    Problems {
        status: 403,
        name: "Forbidden",
        description: "It is not allowed to this caller, from this address or from this page.",
        codes: &["FORBIDDEN", "ADDRESS_REFUSED", "CROSS_SITE_REQUEST", "SERVER_KEY_REQUIRED"],
        headers: &[],
    },
    Problems {
        status: 404,
        name: "NotFound",
        description: "There is no such thing, or not for this caller.",
        codes: &["NOT_FOUND", "FLAG_NOT_FOUND"],
        headers: &[],
    },
    Problems {
        status: 405,
        name: "MethodNotAllowed",
        description: "The path takes other methods.",
        codes: &["METHOD_NOT_ALLOWED"],
        headers: &["Allow"],
    },
    Problems {
        status: 408,
        name: "BodyTimeout",
        description: "The body came too slowly.",
        codes: &["BODY_TIMEOUT"],
        headers: &[],
    },
    Problems {
        status: 409,
        name: "Conflict",
        description: "It cannot be done in the present state; `errors` says what is in the way.",
        codes: &["CONFLICT"],
        headers: &[],
    },
    Problems {
        status: 412,
        name: "StaleVersion",
        description: "It was changed since it was read.",
        codes: &["STALE_VERSION"],
        headers: &[],
    },
    Problems {
        status: 413,
        name: "BodyTooLarge",
        description: "The body is too large.",
        codes: &["BODY_TOO_LARGE"],
        headers: &[],
    },
    Problems {
        status: 414,
        name: "UriTooLong",
        description: "The path and the query are too long.",
        codes: &["URI_TOO_LONG"],
        headers: &[],
    },
    Problems {
        status: 415,
        name: "UnsupportedMediaType",
        description: "The body is not `application/json`, or is compressed in a way that is not read.",
        codes: &["UNSUPPORTED_MEDIA_TYPE", "UNSUPPORTED_CONTENT_ENCODING"],
        headers: &[],
    },
    Problems {
        status: 422,
        name: "Invalid",
        description: "The document has faults; `errors` says all of them and where they are.",
        codes: &["INVALID"],
        headers: &[],
    },
    Problems {
        status: 428,
        name: "IfMatchRequired",
        description: "The request does not say which version it changes.",
        codes: &["IF_MATCH_REQUIRED"],
        headers: &[],
    },
    Problems {
        status: 429,
        name: "RateLimited",
        description: "There were too many requests or attempts.",
        codes: &["RATE_LIMITED", "TOO_MANY_ATTEMPTS"],
        headers: &["Retry-After"],
    },
    Problems {
        status: 500,
        name: "Internal",
        description: "The server has a fault. The request's id leads to its log line.",
        codes: &["INTERNAL"],
        headers: &[],
    },
    Problems {
        status: 503,
        name: "Unavailable",
        description: "The database is away or the server has too much to do.",
        codes: &["UNAVAILABLE", "OVERLOADED", "TIMEOUT"],
        headers: &["Retry-After"],
    },
];

/// The headers that answers may have beside those of every HTTP message.
pub(super) fn headers() -> Value {
    let text = |description: &str, required: bool| json!({ "description": description, "required": required, "schema": { "type": "string" } });
    let seconds = |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "X-Request-Id": text("The request's id: logs and problems have it too.", false),
        "ETag": text("The version; `If-Match` and `If-None-Match` take it.", true),
        "Location": text("Where the new resource is.", true),
        "Allow": text("The methods that the path takes.", true),
        "WWW-Authenticate": text("How to authenticate, where a key is wanted.", false),
        "Set-Cookie": text("The session, for browsers: `HttpOnly`, `SameSite=Lax`, over https `Secure`.", false),
        "Retry-After": seconds("After how many seconds to try again."),
        "RateLimit-Limit": seconds("How many requests a window has."),
        "RateLimit-Remaining": seconds("How many are left of them."),
        "RateLimit-Reset": seconds("In how many seconds there are more."),
    })
}

// === impl Problems ===

impl Problems {
    pub(super) fn of(status: u16) -> Option<&'static Self> {
        PROBLEMS.iter().find(|problems| problems.status == status)
    }

    /// The body, by media type.
    pub(super) fn content(&self) -> Map<String, Value> {
        let schema = json!({
            "allOf": [{ "$ref": "#/components/schemas/Problem" }],
            "properties": { "status": { "const": self.status }, "code": { "examples": self.codes } },
        });
        Map::from_iter([("application/problem+json".to_owned(), json!({ "schema": schema }))])
    }

    /// The answer as a component.
    pub(super) fn write(&self) -> Value {
        json!({
            "description": self.description,
            "headers": header_references(self.headers.iter().copied()),
            "content": self.content(),
        })
    }
}

/// References to the headers of these names, and to those of every answer.
pub(super) fn header_references<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let common = ["X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
    let reference = |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    Value::Object(names.into_iter().chain(common).map(reference).collect::<Map<_, _>>())
}
