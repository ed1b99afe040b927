use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccessLog, AccessLogSink};
use crate::kernel::{Fact, LayerSpec, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "access_log";

/// How `access_log` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How requests are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How a line is written. Without it, as the server writes its other log lines.
    #[serde(default)]
    pub format: Option<Format>,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// `key=value` pairs, for people.
    Text,
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "writes one line for each request";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { needs: vec![Fact::RequestId], sees_refusals: true, once: true, ..Order::default() }
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let sink = context.required::<AccessLogSink>("access log")?;
        Ok(Prepared::hook(AccessLog::new(config, &sink)))
    }
}
