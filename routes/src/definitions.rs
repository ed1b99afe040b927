//! `GET /api/v1/definitions`: what a server SDK needs to evaluate for itself.

use std::sync::Arc;

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{keys::KeyGrant, snapshot::Definitions};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, ETAG},
};

use crate::{
    GET, Routes,
    context::Context,
    openapi::{Operation, of},
    reply,
};

pub(crate) fn add(routes: &mut Routes) {
    routes.add(
        RouteSpec::new(GET, "/api/v1/definitions", "definitions", Access::ServerKey).inline(),
        Operation::new(
            "Evaluation",
            "The flags and segments of the key's environment, to be evaluated elsewhere",
        )
        .cached("All flags, archived ones too, and all segments.", of::<Definitions>),
        show,
    );
}

/// `GET /api/v1/definitions`, with the environment's revision, and when it came to it, as `ETag`.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    let grant: Arc<KeyGrant> = context.attached()?;
    let handle = &grant.environment;
    let snapshot = handle.snapshot.load();
    let changed_at = snapshot.changed_at.as_microsecond();
    let tag = format!("\"{}-{}-{changed_at:x}\"", handle.id, snapshot.revision);
    let mut response = if context.knows(&tag) {
        reply::not_modified()
    } else {
        reply::json_bytes(handle.definitions(&snapshot))
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}
