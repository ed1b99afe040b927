//! What a handler is given: the request, the parts of the server it may use, and the way to read both.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use bytes::Bytes;
use flagstone_layers::kernel::{Body, Exchange, Principal, Problem, Reading, Request, RequestHead};
use flagstone_services::{page::PageRequest, version::Expected};
use http::{
    HeaderName, StatusCode,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    json::{self, body_problem},
    state::State,
};

/// One request, as its handler sees it.
pub(crate) struct Context {
    pub(crate) state: Arc<State>,
    pub(crate) head: RequestHead,
    body: Body,
}

// === impl Context ===

impl Context {
    pub(crate) fn new(state: Arc<State>, request: Request) -> Self {
        let (head, body) = request.into_parts();
        Self { state, head, body }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        self.head.exchange()
    }

    /// A parameter of the path, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Result<Cow<'_, str>, Problem> {
        let raw = self.exchange().parameter(name).unwrap_or_default();
        percent_decode_str(raw).decode_utf8().map_err(|_| not_found())
    }

    /// A parameter of the query, decoded; the first of several.
    pub(crate) fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        query_parameter(self.head.uri().query()?, name)
    }

    /// Whether a parameter of the query says yes.
    pub(crate) fn query_flag(&self, name: &str) -> Result<bool, Problem> {
        match self.query(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(bad_query(name, "true or false")),
        }
    }

    /// A number of the query.
    pub(crate) fn query_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.query(name).map(|text| text.parse().map_err(|_| bad_query(name, "a number"))).transpose()
    }

    /// `limit` and `offset` (R4).
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        let first = PageRequest::default();
        Ok(PageRequest {
            limit: self.query_number("limit")?.unwrap_or(first.limit),
            offset: self.query_number("offset")?.unwrap_or(first.offset),
        })
    }

    /// The text of a header that occurs once.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.single_header(name)
    }

    /// Who calls. The pipeline proved that somebody does; without that the answer is 401 all the same.
    pub(crate) fn principal(&self) -> Result<&Principal, Problem> {
        self.exchange().principal().ok_or_else(unauthenticated)
    }

    /// What the authenticator attached to the principal.
    pub(crate) fn attached<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Problem> {
        self.principal()?.shared_attachment().ok_or_else(unauthenticated)
    }

    /// The body, whole.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes, Problem> {
        self.read().await.map_err(|error| body_problem(&error))
    }

    /// Reads the body.
    pub(crate) fn read(&mut self) -> Reading {
        std::mem::take(&mut self.body).read()
    }

    /// The body as a strict JSON document.
    pub(crate) async fn json(&mut self) -> Result<Value, Problem> {
        json::require_json(self.head.headers())?;
        json::parse(&self.bytes().await?)
    }

    /// The version of `If-Match`, for an update: 428 without one, 412 where it cannot be a version of ours.
    pub(crate) fn expected(&self) -> Result<Expected, Problem> {
        self.if_match()?.ok_or_else(|| {
            Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "IF_MATCH_REQUIRED",
                "Read it first and send its ETag back as If-Match, so that nobody's change is lost.",
            )
        })
    }

    /// The version of `If-Match`, for a deletion, which needs none.
    pub(crate) fn expected_or_any(&self) -> Result<Expected, Problem> {
        Ok(self.if_match()?.unwrap_or(Expected::Any))
    }

    /// Whether the client has the answer of this tag already (`If-None-Match`). Weak and strong tags compare alike.
    pub(crate) fn knows(&self, tag: &str) -> bool {
        let sent = self.head.headers().get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        sent.flat_map(|text| text.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag)
    }

    fn if_match(&self) -> Result<Option<Expected>, Problem> {
        let Some(tag) = self.head.headers().get(IF_MATCH) else { return Ok(None) };
        let tag = tag.to_str().unwrap_or_default().trim();
        if tag == "*" {
            return Ok(Some(Expected::Any));
        }
        // A tag is made weak where the answer is compressed; it names the same version.
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        let version = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok());
        version.map(|version| Some(Expected::Version(version))).ok_or_else(|| {
            Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "STALE_VERSION",
                "If-Match is no ETag of this resource: read it and repeat the change.",
            )
        })
    }
}

/// The first parameter of this name in a query string, decoded.
fn query_parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn bad_query(name: &str, expected: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_QUERY", format!("The parameter {name} is to be {expected}."))
}

pub(crate) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such resource.")
}

pub(crate) fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Sign in first.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parameter_of_a_name_counts_and_is_decoded() {
        let query = "a=1&b=x+y%2Fz&a=2&flag&%61b=3";
        assert_eq!(query_parameter(query, "a").as_deref(), Some("1"));
        assert_eq!(query_parameter(query, "b").as_deref(), Some("x y/z"));
        assert_eq!(query_parameter(query, "flag").as_deref(), Some(""));
        assert_eq!(query_parameter(query, "ab").as_deref(), Some("3"));
        assert_eq!(query_parameter(query, "c"), None);
    }
}
