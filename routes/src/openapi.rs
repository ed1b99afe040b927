//! `GET /api/openapi.json`: what every route takes and gives, as OpenAPI 3.1 (R59).
//!
//! A route is added together with its [`Operation`], so none goes undocumented; schemas come from the types that are
//! written and read. The document is made once, at the start.

mod document;
mod operation;
mod parameter;
mod problems;
mod shape;

#[cfg(test)]
mod tests;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use flagstone_layers::kernel::{Access, Response, RouteSpec};
use http::{
    HeaderValue, Method,
    header::{CACHE_CONTROL, ETAG},
};

pub(crate) use self::{
    operation::Operation,
    parameter::Parameter,
    shape::{Members, of},
};
use crate::{Routes, context::Context, reply};

/// The document as it is sent.
struct Served {
    bytes: Bytes,
    tag: HeaderValue,
}

/// To be called when all other routes are there.
pub(crate) fn add(routes: &mut Routes) {
    let spec = RouteSpec::new(Method::GET, "/api/openapi.json", "openapi", Access::Public).inline();
    let operation = Operation::new("Documentation", "This document")
        .described("It is the same for everybody until the server is updated.")
        .cached("an object that OpenAPI 3.1 describes", |_| schemars::json_schema!({ "type": "object" }));
    routes.describe(&spec, operation);
    let served = Arc::new(Served::new(&document::write(routes.described())));
    routes.handle(spec, move |context| std::future::ready(Ok(served.answer(&context))));
}

// === impl Served ===

impl Served {
    fn new(document: &serde_json::Value) -> Self {
        let bytes = Bytes::from(document.to_string());
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        // Hexadecimal digits in quotes are always a header's value.
        let tag = HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()));
        Self { bytes, tag: tag.unwrap_or(HeaderValue::from_static("\"0\"")) }
    }

    fn answer(&self, context: &Context) -> Response {
        let mut response = if context.knows(self.tag.to_str().unwrap_or_default()) {
            reply::not_modified()
        } else {
            reply::json_bytes(self.bytes.clone())
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, self.tag.clone());
        response
    }
}
