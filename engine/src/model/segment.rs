use serde::{Deserialize, Serialize};

use super::Condition;

/// A named part of the population, used by rules: `include` wins over `exclude`, `exclude` over `when`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Names the segment in its project ([`is_key`](crate::is_key)).
    pub key: String,
    /// What people call it; the key where none was given.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Targeting keys that belong to it.
    #[serde(default)]
    pub include: Vec<String>,
    /// Targeting keys that do not.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// When the others belong to it; none of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}
