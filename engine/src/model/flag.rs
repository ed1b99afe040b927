use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{KEY_PATTERN, limits};

/// A flag's own fields: what it has in every environment alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flag {
    /// Names the flag in its project: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = KEY_PATTERN))]
    pub key: String,
    /// What people call it; the key where none was given.
    #[schemars(length(max = limits::NAME_BYTES))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = limits::DESCRIPTION_BYTES))]
    pub description: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub flag_type: FlagType,
    /// What it is used for; decides how long it may live before it counts as stale.
    #[serde(default)]
    pub kind: FlagKind,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = limits::TAGS), inner(length(min = 1, max = limits::TAG_BYTES)))]
    pub tags: Vec<String>,
    /// Scalars passed on to OFREP clients.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = limits::METADATA,
        "additionalProperties" = { "type": ["string", "number", "boolean"] }
    ))]
    pub metadata: Map<String, Value>,
    /// The values it can answer, each with a key.
    #[schemars(length(min = 1, max = limits::VARIANTS))]
    pub variants: Vec<Variant>,
    /// An archived flag answers nothing.
    #[serde(default)]
    pub archived: bool,
}

/// One of the values a flag can answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Variant {
    /// Names the variant in its flag, with the characters of a flag's key.
    #[schemars(regex(pattern = KEY_PATTERN))]
    pub key: String,
    /// The value, of the flag's type.
    pub value: Value,
}

/// The type of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlagType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A JSON number written without fraction and exponent, from -2^63 to 2^64 - 1.
    Integer,
    /// Any JSON number; answers always carry a fraction or an exponent (`1.0`), since typed clients tell
    /// numbers from integers by it.
    Number,
    /// A JSON object (OFREP knows no arrays at the top).
    Object,
}

/// What a flag is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlagKind {
    /// Hides a feature until it is out.
    #[default]
    Release,
    /// Compares variants.
    Experiment,
    /// Tunes how the system runs.
    Operational,
    /// Turns something off in need.
    KillSwitch,
    /// Says who may use something.
    Permission,
}

impl Flag {
    /// The variant of this key.
    pub fn variant(&self, key: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.key == key)
    }
}

impl FlagType {
    pub(crate) const NAMES: [(&'static str, Self); 5] = [
        ("boolean", Self::Boolean),
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("object", Self::Object),
    ];

    /// Whether a variant of a flag of this type may have this value.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
        }
    }
}

impl FlagKind {
    pub(crate) const NAMES: [(&'static str, Self); 5] = [
        ("release", Self::Release),
        ("experiment", Self::Experiment),
        ("operational", Self::Operational),
        ("kill-switch", Self::KillSwitch),
        ("permission", Self::Permission),
    ];
}
