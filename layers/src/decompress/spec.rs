use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decompress;
use crate::kernel::{Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "decompress";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How far the body of a request may grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many times larger than what was sent a body may become; the first 64 KiB are free. JSON comes to about 10.
    pub max_ratio: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_ratio: 50 }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "decompresses the bodies of requests, within bounds";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { refuses: true, once: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if config.max_ratio > 0 {
            return Vec::new();
        }
        let finding = Finding::error("max_ratio", "a body of which nothing may come is no body");
        vec![finding.help("write a number such as 50")]
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::around(Decompress::new(config)))
    }
}
