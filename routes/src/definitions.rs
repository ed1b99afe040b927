//! `GET /api/v1/definitions`: what a server SDK needs to evaluate for itself.

use std::{collections::BTreeMap, sync::Arc};

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{
    engine::model::{Flag, FlagConfig, Segment},
    keys::KeyGrant,
    snapshot::FlagDefinition,
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, ETAG},
};
use schemars::JsonSchema;
use serde::{Serialize, ser::SerializeMap};

use crate::{
    GET, Routes,
    context::Context,
    openapi::{Operation, of},
    reply,
};

/// The definitions of one environment.
#[derive(Serialize, JsonSchema)]
struct Definitions<'a> {
    project: &'a str,
    environment: &'a str,
    /// Counts the changes of the environment's flags.
    revision: u64,
    flags: Vec<DefinedFlag<'a>>,
    segments: Vec<&'a Segment>,
}

/// A flag as the management API shows it, with its configuration in this environment only.
#[derive(Serialize, JsonSchema)]
struct DefinedFlag<'a> {
    #[serde(flatten)]
    flag: &'a Flag,
    version: u64,
    #[schemars(with = "BTreeMap<String, DefinedConfig<'_>>")]
    environments: Only<'a>,
}

/// A map of one member.
struct Only<'a>(&'a str, DefinedConfig<'a>);

#[derive(Serialize, JsonSchema)]
struct DefinedConfig<'a> {
    #[serde(flatten)]
    config: &'a FlagConfig,
    version: u64,
}

pub(crate) fn add(routes: &mut Routes) {
    routes.add(
        RouteSpec::new(GET, "/api/v1/definitions", "definitions", Access::ServerKey).inline(),
        Operation::new(
            "Evaluation",
            "The flags and segments of the key's environment, to be evaluated elsewhere",
        )
        .cached("All flags, archived ones too, and all segments.", of::<Definitions<'_>>),
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
        let config = DefinedConfig { config: &defined.config, version: defined.config_version };
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
