use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Csrf;
use crate::{
    cors::OriginPattern,
    kernel::{Finding, LayerSpec, List, Order, PrepareContext, PrepareError, Prepared, PublicUrl},
};

pub(super) const KIND: &str = "csrf";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which pages may change something with a person's cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The origins, besides the server's own, whose pages may: `"https://app.example.com"`. They need `cors` too, with
    /// credentials.
    pub trusted_origins: List<OriginPattern>,
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "refuses changes that a page of another site made a browser send";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { refuses: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if !config.trusted_origins.contains(&OriginPattern::Any) {
            return Vec::new();
        }
        let message = "`*` lets a page of any site act as whoever is signed in";
        vec![Finding::error("trusted_origins", message).help("name the origins")]
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(Csrf::new(config, context.resource::<PublicUrl>().as_deref())))
    }
}
