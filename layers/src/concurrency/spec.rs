use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Concurrency, permits::Permits};
use crate::kernel::{Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "concurrency";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How many requests may be under way at the same time. On a route that streams, an open stream is one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The most requests under way.
    pub max: usize,
    /// How many more may wait for their turn; further ones are refused at once.
    #[serde(default)]
    pub queue: usize,
    /// How long they wait at most.
    #[serde(default = "default_wait")]
    pub wait: Time,
}

fn default_wait() -> Time {
    Time::seconds(1)
}

impl Default for Config {
    fn default() -> Self {
        Self { max: 1024, queue: 0, wait: default_wait() }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "bounds how many requests are under way at the same time";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { refuses: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        if config.max == 0 {
            let finding = Finding::error("max", "with no request under way nothing is ever answered");
            findings.push(finding.help("write at least 1, or remove the layer from its chains"));
        }
        if config.queue > 0 && config.wait.0.is_zero() {
            let finding = Finding::error("wait", "nobody waits for no time");
            findings.push(finding.help("write a time such as \"1s\", or leave `queue` out"));
        }
        findings
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(Concurrency::new(config, context.state("permits", Permits::default))))
    }
}
