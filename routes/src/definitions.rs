//! `GET /api/v1/definitions`: what a server SDK needs to evaluate for itself.

use std::sync::Arc;

use flagstone_layers::kernel::{Problem, Response};
use flagstone_services::{
    engine::model::{Flag, FlagConfig, Segment},
    keys::KeyGrant,
    snapshot::FlagDefinition,
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use serde::{Serialize, ser::SerializeMap};

use crate::{context::Context, reply};

/// The definitions of one environment.
#[derive(Serialize)]
struct Definitions<'a> {
    project: &'a str,
    environment: &'a str,
    revision: u64,
    flags: Vec<DefinedFlag<'a>>,
    segments: Vec<&'a Segment>,
}

/// A flag as the management API shows it, with its configuration in this environment only.
#[derive(Serialize)]
struct DefinedFlag<'a> {
    #[serde(flatten)]
    flag: &'a Flag,
    version: u64,
    environments: Only<'a>,
}

/// A map of one member.
struct Only<'a>(&'a str, VersionedConfig<'a>);

#[derive(Serialize)]
struct VersionedConfig<'a> {
    #[serde(flatten)]
    config: &'a FlagConfig,
    version: u64,
}

/// `GET /api/v1/definitions`, with the environment's revision as `ETag`.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    let grant: Arc<KeyGrant> = context.attached()?;
    let handle = &grant.environment;
    let snapshot = handle.snapshot.load();
    let tag = format!("\"{}-{}\"", handle.id, snapshot.revision);
    let sent = context.head.headers().get_all(IF_NONE_MATCH);
    let known = sent.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut response = if known.map(|known| known.trim().trim_start_matches("W/")).any(|known| known == tag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        reply::json(&Definitions {
            project: &handle.project,
            environment: &handle.environment,
            revision: snapshot.revision,
            flags: snapshot
                .flags
                .values()
                .map(|defined| DefinedFlag::new(defined, &handle.environment))
                .collect(),
            segments: snapshot.segments.values().map(|segment| &**segment).collect(),
        })
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

impl<'a> DefinedFlag<'a> {
    fn new(defined: &'a FlagDefinition, environment: &'a str) -> Self {
        let config = VersionedConfig { config: &defined.config, version: defined.config_version };
        Self { flag: &defined.flag, version: defined.version, environments: Only(environment, config) }
    }
}

impl Serialize for Only<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}
