//! Answers in the shapes every resource uses.

use flagstone_layers::kernel::{Body, Exchange, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION},
};
use serde::Serialize;
use serde_json::json;

/// The headers of an answer that there is room for at once: with what a hardened chain adds there are about 20, and a map
/// that grows hashes all of them again.
const HEADERS: usize = 24;

/// 200 with a JSON document, which nobody stores.
pub(crate) fn json<T: Serialize + ?Sized>(document: &T) -> Response {
    // Documents of ours have string keys and finite numbers: serialising cannot fail.
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    json_bytes(bytes)
}

/// 200 with a JSON document that is written already.
pub(crate) fn json_bytes(bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 200 with a list that is never long, as a page that holds all of it.
pub(crate) fn whole_list<T: Serialize>(data: &[T]) -> Response {
    self::json(&json!({ "data": data, "total": data.len(), "limit": data.len(), "offset": 0 }))
}

/// 201 with the new resource and where it is.
pub(crate) fn created<T: Serialize>(location: &str, document: &T) -> Response {
    let mut response = json(document);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 204.
pub(crate) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 304.
pub(crate) fn not_modified() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Adds a version as a strong `ETag`.
pub(crate) fn with_version(mut response: Response, version: u64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Marks an answer that holds a secret: no layer compresses it, nobody stores it.
pub(crate) fn secret(exchange: &Exchange, response: Response) -> Response {
    exchange.mark_secret();
    response
}
