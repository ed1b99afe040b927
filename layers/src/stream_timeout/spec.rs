use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StreamTimeout;
use crate::kernel::{Finding, LayerSpec, Optional, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "stream_timeout";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How long a stream may last. Its client comes back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// After which time a stream is ended, so that connections spread over instances again.
    pub lifetime: Time,
    /// By how much at most that is shortened, for each stream anew, so that not all end at once.
    pub jitter: Time,
    /// How long its handler may send nothing, not even a heartbeat; `false` is as long as it likes.
    pub idle: Optional<Time>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lifetime: Time::seconds(24 * 3600),
            jitter: Time::seconds(2 * 3600),
            idle: Optional::of(Time::seconds(60)),
        }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "ends streams that are old or silent";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { once: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        if config.lifetime.0.is_zero() {
            let finding = Finding::error("lifetime", "a stream that lasts no time carries nothing");
            findings.push(finding.help("write a time such as \"24h\""));
        }
        if config.jitter >= config.lifetime {
            let finding = Finding::error("jitter", "it shortens some streams to nothing");
            findings.push(finding.help("write a time below `lifetime`"));
        }
        if config.idle.0.is_some_and(|idle| idle.0.is_zero()) {
            let finding = Finding::error("idle", "nothing is sent all the time");
            findings.push(finding.help("write a time above the heartbeat, such as \"60s\", or `false`"));
        }
        findings
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::around(StreamTimeout::new(config)))
    }
}
