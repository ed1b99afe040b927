use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;
use crate::{KEY_PATTERN, limits};

/// A named part of the population, used by rules: `include` wins over `exclude`, `exclude` over `when`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    /// Names the segment in its project: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = KEY_PATTERN))]
    pub key: String,
    /// What people call it; the key where none was given.
    #[schemars(length(max = limits::NAME_BYTES))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = limits::DESCRIPTION_BYTES))]
    pub description: String,
    /// Targeting keys that belong to it.
    #[serde(default)]
    #[schemars(length(max = limits::MEMBERS))]
    pub include: Vec<String>,
    /// Targeting keys that do not.
    #[serde(default)]
    #[schemars(length(max = limits::MEMBERS))]
    pub exclude: Vec<String>,
    /// When the others belong to it; none of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}
