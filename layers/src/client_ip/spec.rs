use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientIp, IgnoredForwards, ignored::Counter};
use crate::kernel::{
    Fact, Finding, LayerSpec, List, Network, Order, PrepareContext, PrepareError, Prepared, PublicUrl,
};

pub(super) const KIND: &str = "client_ip";

/// How `client_ip` describes itself to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which address a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The networks of the proxies in front of the server. Only what these forward is believed; without any, the address
    /// of the socket is the client's.
    #[serde(default)]
    pub trusted_proxies: List<Network>,
    /// The header in which they forward the client's address. The other one is ignored.
    #[serde(default)]
    pub header: ForwardedHeader,
}

/// The header in which proxies forward the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, with the protocol in `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), with the protocol in its `proto`.
    Forwarded,
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "finds the client's address, through trusted proxies only";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { gives: vec![Fact::ClientIp], once: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let everybody = config.trusted_proxies.iter().find(|network| network.0.prefix_len() == 0);
        everybody
            .map(|network| {
                Finding::warning(
                    "trusted_proxies",
                    format!("`{network}` trusts everybody: any client can claim any address"),
                )
                .help("name only the networks your proxies connect from")
            })
            .into_iter()
            .collect()
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let instance = context.instance().clone();
        let ignored = match context.resource::<IgnoredForwards>() {
            Some(ignored) => ignored.counter(&instance),
            None => context.state("ignored", || Counter::new(instance)),
        };
        let secure = context.resource::<PublicUrl>().is_some_and(|url: Arc<PublicUrl>| url.is_secure());
        Ok(Prepared::hook(ClientIp::new(config, secure, ignored)))
    }
}
