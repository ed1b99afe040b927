use schemars::JsonSchema;
use serde::Deserialize;

use super::BodyLimits;
use crate::kernel::{Fact, Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Size, Time};

pub(super) const KIND: &str = "body_limit";

/// How `body_limit` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How large a body may be, and how long it may take to come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The largest body. 0 allows none at all.
    #[serde(default = "default_size")]
    pub size: Size,
    /// The longest time in which all of it must have come, from when it is first waited for.
    #[serde(default = "default_read_timeout")]
    pub read_timeout: Time,
}

fn default_size() -> Size {
    Size(1 << 20)
}

fn default_read_timeout() -> Time {
    Time::seconds(15)
}

impl Default for Config {
    fn default() -> Self {
        Self { size: default_size(), read_timeout: default_read_timeout() }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "refuses bodies that are too large or come too slowly";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order {
            gives: vec![Fact::BoundedBody],
            refuses: true,
            inside_of: &["decompress"],
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if config.read_timeout.0.is_zero() {
            let finding = Finding::error("read_timeout", "no body comes in no time");
            vec![finding.help("write a time such as \"15s\"")]
        } else {
            Vec::new()
        }
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(BodyLimits::new(config)))
    }
}
