use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::By;
use crate::buckets::HashScheme;
use crate::limits;
use crate::operator::Operator;

/// When a rule or a segment holds: a tree.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(untagged)]
pub enum Condition {
    /// Each holds; true where empty.
    All {
        /// The parts.
        all: Vec<Condition>,
    },
    /// At least one holds; false where empty.
    Any {
        /// The parts.
        any: Vec<Condition>,
    },
    /// The part does not hold.
    Not {
        /// The part.
        not: Box<Condition>,
    },
    /// The context belongs to the segment.
    Segment {
        /// The segment's key.
        segment: String,
    },
    /// Another flag answers one of these variants in the same environment: by whatever reason (its off
    /// variant too), but not by an error.
    Flag {
        /// The other flag's key.
        flag: String,
        /// The variants.
        variants: Vec<String>,
    },
    /// The context draws a number of a certain range.
    Bucket {
        /// Which.
        bucket: Bucket,
    },
    /// An attribute is compared.
    Leaf(Leaf),
}

/// A range of draws: `from <= draw < below`, of 100,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Bucket {
    /// The attribute drawn by; `targetingKey` where absent.
    #[serde(default, skip_serializing_if = "By::is_default")]
    pub by: By,
    /// Instead of the configuration's salt (in a segment: instead of the segment's key).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Instead of the configuration's hash (in a segment: instead of murmur3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashScheme>,
    /// The first draw inside.
    #[serde(default)]
    #[schemars(range(max = limits::WHOLE))]
    pub from: u32,
    /// The first draw above that is outside again.
    #[schemars(range(max = limits::WHOLE))]
    pub below: u32,
}

/// A comparison of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Leaf {
    /// A literal name, or a JSON Pointer where it begins with `/`.
    #[schemars(length(min = 1, max = limits::VALUE_BYTES))]
    pub attribute: String,
    /// How it is compared.
    pub op: Operator,
    /// What with: alternatives, unless the operator says otherwise.
    #[serde(default)]
    #[schemars(length(max = limits::VALUES))]
    pub values: Vec<Value>,
    /// Whether strings are compared without regard to case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// What the attribute is converted to first.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub cast: Option<Cast>,
}

/// What an attribute is converted to before it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cast {
    /// Strings as they are, numbers as decimals without exponent, booleans as JSON writes them.
    String,
    /// Numbers as they are, strings that are a JSON number.
    Number,
}

/// The members of all kinds, which are read in one go: whether it is this kind or that one is not tried one by one.
#[derive(Deserialize)]
struct Members {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    segment: Option<String>,
    flag: Option<String>,
    #[serde(default)]
    variants: Vec<String>,
    bucket: Option<Bucket>,
    attribute: Option<String>,
    op: Option<Operator>,
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(rename = "as")]
    cast: Option<Cast>,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Members::deserialize(deserializer)? {
            Members { all: Some(all), .. } => Self::All { all },
            Members { any: Some(any), .. } => Self::Any { any },
            Members { not: Some(not), .. } => Self::Not { not },
            Members { segment: Some(segment), .. } => Self::Segment { segment },
            Members { flag: Some(flag), variants, .. } => Self::Flag { flag, variants },
            Members { bucket: Some(bucket), .. } => Self::Bucket { bucket },
            Members { attribute: Some(attribute), op: Some(op), values, ignore_case, cast, .. } => {
                Self::Leaf(Leaf { attribute, op, values, ignore_case, cast })
            }
            _ => return Err(D::Error::custom("not a condition")),
        })
    }
}
