use schemars::JsonSchema;
use serde::Deserialize;

use super::Timeout;
use crate::kernel::{Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "timeout";

/// How `timeout` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How long an answer may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The longest time until the answer's head is there. Reading the request's body counts.
    #[serde(default = "default_after")]
    pub after: Time,
}

fn default_after() -> Time {
    Time::seconds(30)
}

impl Default for Config {
    fn default() -> Self {
        Self { after: default_after() }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "answers 503 where the handler takes too long";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order {
            refuses: true,
            breaks_streams: Some("a stream has no end that a time could be set for"),
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if config.after.0.is_zero() {
            vec![Finding::error("after", "no answer takes no time").help("write a time such as \"30s\"")]
        } else {
            Vec::new()
        }
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::around(Timeout::new(config)))
    }
}
