use schemars::JsonSchema;
use serde::Deserialize;

use super::CatchPanic;
use crate::kernel::{LayerSpec, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "catch_panic";

/// How `catch_panic` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "answers 500 where the handler panics";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order {
            inside_of: &["request_id", "access_log", "trace", "metrics", "security_headers", "cors"],
            once: true,
            ..Order::default()
        }
    }

    fn prepare(_: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::around(CatchPanic))
    }
}
