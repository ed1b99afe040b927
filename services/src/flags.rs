//! Flags, their configurations, and segments.

mod checks;
mod configs;
mod segments;
mod service;
mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;

use flagstone_engine::model::{Flag, FlagConfig, Segment};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use uuid::Uuid;

pub(crate) use configs::put;
pub use segments::Segments;
pub use service::Flags;
pub(crate) use service::create;
pub use unknown::UnknownFlag;

/// A flag's own fields as they are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FlagRecord {
    /// Never shown: the key names it.
    pub id: Uuid,
    /// The fields.
    pub flag: Arc<Flag>,
    /// Counts the changes of these fields; their `ETag`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When these fields were last changed.
    pub updated_at: Timestamp,
}

/// A flag's configuration in one environment, in the shape clients see.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VersionedConfig {
    /// The configuration; the implicit one where none is stored.
    #[serde(flatten)]
    pub config: FlagConfig,
    /// Counts its changes, from 0 for the implicit one; its `ETag`.
    pub version: u64,
    /// When it was last changed, if ever.
    pub updated_at: Option<Timestamp>,
}

/// A flag with its configuration in every environment, in the shape clients see.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FlagDetails {
    /// Its own fields.
    #[serde(flatten)]
    pub flag: Arc<Flag>,
    /// Counts the changes of its own fields; their `ETag`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its own fields were last changed.
    pub updated_at: Timestamp,
    /// By environment, in the project's order.
    #[serde(serialize_with = "as_map")]
    #[schemars(with = "BTreeMap<String, VersionedConfig>")]
    pub environments: Vec<(String, VersionedConfig)>,
}

/// Which flags a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagFilter {
    /// Those with this in key, name or description, in any case.
    pub search: Option<String>,
    /// Those with this tag.
    pub tag: Option<String>,
    /// Only archived ones, or only others; both where `None`.
    pub archived: Option<bool>,
}

/// A segment as it is kept, in the shape clients see.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SegmentRecord {
    /// Never shown: the key names it.
    #[serde(skip)]
    pub id: Uuid,
    /// The segment.
    #[serde(flatten)]
    pub segment: Arc<Segment>,
    /// Counts its changes; its `ETag`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl VersionedConfig {
    /// Members that a client may send back and that are passed over.
    pub const READ_ONLY: &[&str] = &["version", "updated_at"];

    /// What a flag has where nothing is stored.
    pub(crate) fn implicit(flag: &Flag) -> Self {
        Self { config: FlagConfig::implicit(flag), version: 0, updated_at: None }
    }
}

impl FlagDetails {
    /// Members that a client may send back and that are passed over.
    pub const READ_ONLY: &[&str] = &["version", "created_at", "updated_at", "environments"];
    /// The same for a copy of another flag: its configurations are refused, or they would be lost silently.
    pub const READ_ONLY_IN_NEW: &[&str] = &["version", "created_at", "updated_at", "archived"];

    fn new(record: FlagRecord, environments: Vec<(String, VersionedConfig)>) -> Self {
        let FlagRecord { flag, version, created_at, updated_at, .. } = record;
        Self { flag, version, created_at, updated_at, environments }
    }
}

impl SegmentRecord {
    /// Members that a client may send back and that are passed over.
    pub const READ_ONLY: &[&str] = &["version", "created_at", "updated_at"];
}

fn as_map<S: Serializer>(pairs: &[(String, VersionedConfig)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (key, config) in pairs {
        map.serialize_entry(key, config)?;
    }
    map.end()
}
