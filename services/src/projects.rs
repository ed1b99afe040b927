//! Projects and their environments.

mod environments;
mod service;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

pub use service::{ProjectDetails, Projects};
pub(crate) use service::{create, find};

/// What flags belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Project {
    /// Never shown: the key names it.
    #[serde(skip)]
    pub id: Uuid,
    /// Names it; stays as it was made (R43).
    #[schemars(regex(pattern = flagstone_engine::PROJECT_KEY_PATTERN))]
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Counts its changes; its `ETag`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One of the places a project's flags are configured for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Environment {
    /// Never shown: the keys name it.
    #[serde(skip)]
    pub id: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub project_id: Uuid,
    /// Names it in its project; stays as it was made (R43).
    #[schemars(regex(pattern = flagstone_engine::PROJECT_KEY_PATTERN))]
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its place in the project's order, from 0.
    pub position: u32,
    /// Counts the changes of its flags.
    pub revision: u64,
    /// When its flags were last changed, as the change log has it. Together with the revision it tells two histories
    /// apart: a database may be replaced by a copy that lacks the last changes, and count on from there.
    #[serde(skip)]
    pub changed_at: Timestamp,
    /// Counts its own changes; its `ETag`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its own fields were last changed.
    pub updated_at: Timestamp,
}

impl Environment {
    /// Members that a client may send back and that are passed over.
    pub const READ_ONLY: &[&str] = &["position", "revision", "version", "created_at", "updated_at"];

    fn new(project: Uuid, key: &str, name: &str, position: u32, now: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            project_id: project,
            key: key.to_owned(),
            name: name.to_owned(),
            position,
            revision: 0,
            changed_at: now,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}
