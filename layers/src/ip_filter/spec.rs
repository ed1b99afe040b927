use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IpFilter;
use crate::kernel::{Fact, Finding, LayerSpec, List, Network, Order, PrepareContext, PrepareError, Prepared};

pub(super) const KIND: &str = "ip_filter";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which addresses may call. A long list fits into a file: `block = { file = "blocked.txt" }`, with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The only networks and addresses that may; empty lets everybody.
    pub allow: List<Network>,
    /// The networks and addresses that may not, even where `allow` names them.
    pub block: List<Network>,
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "lets only some addresses pass, or keeps some out";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { needs: vec![Fact::ClientIp], refuses: true, before_authentication: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        let whole = |list: &[Network]| list.iter().find(|network| network.0.prefix_len() == 0).copied();
        if let Some(network) = whole(&config.block) {
            let message = format!("`{network}` keeps everybody out");
            findings.push(Finding::warning("block", message).help("name those to be kept out"));
        }
        if let Some(network) = whole(&config.allow)
            && config.allow.len() > 1
        {
            let message = format!("`{network}` lets everybody pass: the others on the list change nothing");
            findings.push(Finding::warning("allow", message).help("remove it, or the others"));
        }
        findings
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(IpFilter::new(config)))
    }
}
