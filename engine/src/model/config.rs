use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Condition, Flag};
use crate::buckets::HashScheme;
use crate::{KEY_PATTERN, limits};

/// How a flag answers in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlagConfig {
    /// A flag that is not enabled answers its off variant.
    pub enabled: bool,
    /// The variant answered when the flag is off or a prerequisite fails; `None` is the caller's own default.
    pub off_variant: Option<String>,
    /// Other flags that have to answer one of certain variants first.
    #[serde(default)]
    #[schemars(length(max = limits::PREREQUISITES))]
    pub prerequisites: Vec<Prerequisite>,
    /// Individuals who get a certain variant, before any rule.
    #[serde(default)]
    #[schemars(length(max = limits::TARGETS))]
    pub targets: Vec<Target>,
    /// Rules in order; the first that holds and serves answers.
    #[serde(default)]
    #[schemars(length(max = limits::RULES))]
    pub rules: Vec<Rule>,
    /// What is answered when no rule is.
    pub fallthrough: Serve,
    /// Goes into the draws of its splits and buckets; the flag's key where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// How its splits and buckets draw; murmur3 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashScheme>,
}

/// Another flag that has to answer one of these variants in the same environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prerequisite {
    /// The other flag's key.
    #[schemars(length(min = 1, max = limits::KEY_BYTES))]
    pub flag: String,
    /// The variants that meet it.
    #[schemars(length(max = limits::VARIANTS))]
    pub variants: Vec<String>,
    /// Whether the off variant of a disabled flag may meet it too.
    #[serde(default)]
    pub or_disabled: bool,
}

/// Individuals who get a certain variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Target {
    /// The variant they get.
    #[schemars(length(min = 1, max = limits::KEY_BYTES))]
    pub variant: String,
    /// Who: compared with the text that a draw would use (strings as they are, integers in decimal).
    #[schemars(length(max = limits::TARGET_VALUES))]
    pub values: Vec<String>,
    /// The attribute compared; `targetingKey` where absent.
    #[serde(default, skip_serializing_if = "By::is_default")]
    pub by: By,
}

/// A rule: when it holds, it serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in its configuration, for people and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = KEY_PATTERN))]
    pub id: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = limits::DESCRIPTION_BYTES))]
    pub description: String,
    /// When it holds.
    pub when: Condition,
    /// What it answers.
    pub serve: Serve,
}

/// What a rule or the fallthrough answers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(untagged)]
pub enum Serve {
    /// Shares of the population get different variants.
    Split {
        /// Who gets what.
        split: Split,
    },
    /// One variant.
    Variant {
        /// Its key; `None` (only in a fallthrough) is the caller's own default.
        variant: Option<String>,
    },
}

/// Shares of the population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Split {
    /// The attribute drawn by; `targetingKey` where absent.
    #[serde(default, skip_serializing_if = "By::is_default")]
    pub by: By,
    /// How many of 100,000 take part; everybody where absent. Only in rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::WHOLE))]
    pub rollout: Option<u32>,
    /// The shares, in order; their total is up to 100,000.
    #[schemars(length(min = 1, max = limits::WEIGHTS))]
    pub weights: Vec<Weight>,
    /// Instead of the configuration's salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Instead of the configuration's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashScheme>,
}

/// One share of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Weight {
    /// The variant of the share; without one the share passes the rule over (only in rules).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its part of the total of all weights.
    #[schemars(range(max = limits::WHOLE))]
    pub weight: u32,
}

/// An attribute, or several of which the first present counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum By {
    /// One attribute.
    One(String),
    /// The first of these that is present.
    First(#[schemars(length(min = 1, max = limits::BY))] Vec<String>),
}

impl<'de> Deserialize<'de> for Serve {
    /// Both kinds are read in one go.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            split: Option<Split>,
            variant: Option<String>,
        }
        let Members { split, variant } = Members::deserialize(deserializer)?;
        Ok(split.map_or(Self::Variant { variant }, |split| Self::Split { split }))
    }
}

impl FlagConfig {
    /// What a flag does in an environment for which nothing is stored. It is disabled. A boolean flag is
    /// off with its first `false` variant and falls through to its first `true` variant; any other is off
    /// with the caller's own default and falls through to its first variant.
    pub fn implicit(flag: &Flag) -> Self {
        let of_value = |wanted: bool| {
            let found = flag.variants.iter().find(|variant| variant.value == Value::Bool(wanted));
            found.map(|variant| variant.key.clone())
        };
        let first = || flag.variants.first().map(|variant| variant.key.clone());
        Self {
            enabled: false,
            off_variant: of_value(false),
            prerequisites: Vec::new(),
            targets: Vec::new(),
            rules: Vec::new(),
            fallthrough: Serve::Variant { variant: of_value(true).or_else(first) },
            salt: None,
            hash: None,
        }
    }
}

impl By {
    /// The attributes, in order of preference.
    pub fn attributes(&self) -> &[String] {
        match self {
            Self::One(attribute) => std::slice::from_ref(attribute),
            Self::First(attributes) => attributes,
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for By {
    fn default() -> Self {
        Self::One(crate::TARGETING_KEY.to_owned())
    }
}
