use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::RequestIds;
use crate::kernel::{Fact, Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "request_id";

/// How `request_id` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which header carries the id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header that carries the id: of requests that trusted proxies forward, and of every answer.
    #[serde(default = "default_header")]
    pub header: String,
}

fn default_header() -> String {
    "x-request-id".to_owned()
}

impl Default for Config {
    fn default() -> Self {
        Self { header: default_header() }
    }
}

impl Config {
    pub(super) fn header_name(&self) -> Option<HeaderName> {
        HeaderName::from_bytes(self.header.as_bytes()).ok()
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "gives each request an id, or takes over the one a trusted proxy gave it";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order {
            needs: vec![Fact::ClientIp],
            gives: vec![Fact::RequestId],
            sees_refusals: true,
            once: true,
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if config.header_name().is_some() {
            return Vec::new();
        }
        let message = format!("`{}` is not the name of a header", config.header);
        vec![Finding::error("header", message).help("write a name such as \"x-request-id\"")]
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let header = config.header_name().ok_or_else(|| {
            PrepareError::new("header", format!("`{}` is not the name of a header", config.header))
        })?;
        Ok(Prepared::hook(RequestIds::new(header)))
    }
}
