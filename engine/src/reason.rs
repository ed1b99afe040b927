//! Why a flag answered what it did.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// Why a flag answered what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An individual target.
    TargetMatch,
    /// A rule that serves one variant.
    RuleMatch,
    /// A split, of a rule or the fallthrough.
    Split,
    /// The fallthrough.
    Default,
    /// The fallthrough of a flag that answers everybody alike: no targets, no rules, no split.
    Static,
    /// The flag is not enabled here.
    Disabled,
    /// Another flag did not answer what this one needs.
    PrerequisiteFailed,
    /// The flag is archived.
    Archived,
    /// The flag could not be evaluated; [`ErrorCode`] says more.
    Error,
}

/// Why a flag could not be evaluated, by OpenFeature's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The flag is archived.
    FlagNotFound,
    /// The fallthrough splits by an attribute that the context lacks.
    TargetingKeyMissing,
    /// What is stored for the flag cannot be evaluated.
    General,
}

impl Reason {
    /// The name on our own wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TargetMatch => "target_match",
            Self::RuleMatch => "rule_match",
            Self::Split => "split",
            Self::Default | Self::Static => "default",
            Self::Disabled => "disabled",
            Self::PrerequisiteFailed => "prerequisite_failed",
            Self::Archived => "archived",
            Self::Error => "error",
        }
    }

    /// The name OpenFeature and OFREP use. (An archived flag is FLAG_NOT_FOUND there, which is an error.)
    pub const fn openfeature(self) -> &'static str {
        match self {
            Self::TargetMatch | Self::RuleMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Default | Self::PrerequisiteFailed => "DEFAULT",
            Self::Static => "STATIC",
            Self::Disabled => "DISABLED",
            Self::Archived | Self::Error => "ERROR",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for Reason {
    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Why a flag answered what it did.",
            "enum": [
                "target_match", "rule_match", "split", "default", "disabled", "prerequisite_failed", "archived",
                "error",
            ],
        })
    }
}

impl ErrorCode {
    /// OpenFeature's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::General => "GENERAL",
        }
    }
}
