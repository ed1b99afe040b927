use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpMetrics, Metrics};
use crate::kernel::{LayerSpec, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "metrics";

/// How `metrics` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "counts and times requests by route, method and status";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { sees_refusals: true, once: true, ..Order::default() }
    }

    fn prepare(_: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let metrics = context.required::<HttpMetrics>("metrics")?;
        Ok(Prepared::hook(Metrics::new(&metrics)))
    }
}
