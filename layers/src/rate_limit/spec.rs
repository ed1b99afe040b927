use std::borrow::Cow;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{RateLimit, counter::Quota, counters::Counters, hits::RateLimitHits};
use crate::kernel::{Carry, Fact, Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "rate_limit";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Its settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose requests are counted together: `client_ip`, `principal`, `sdk_key`, or `header:` and a header's name.
    pub key: Key,
    /// The most requests in a window; 0 is no limit.
    pub requests: u64,
    /// The time they are counted over.
    pub window: Time,
    /// For how long a key that went over is refused altogether. By default only what is over the limit is.
    #[serde(default)]
    pub block_for: Option<Time>,
    /// How answers tell of the limit: `draft-6` (`RateLimit-Limit`, `-Remaining`, `-Reset`), `ietf` (`RateLimit` and
    /// `RateLimit-Policy`), or `none`.
    #[serde(default)]
    pub headers: HeaderStyle,
    /// The most keys that are remembered at a time; beyond that those seen longest ago are forgotten.
    #[serde(default = "default_max_keys")]
    pub max_keys: usize,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// One client: an address, or a /56 network of IPv6.
    ClientIp,
    /// One caller, whoever it is.
    Principal,
    /// One SDK key.
    SdkKey,
    /// One value of a header.
    Header(HeaderName),
}

/// How answers tell of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum HeaderStyle {
    /// The three fields of draft 6, which most clients know.
    #[default]
    #[serde(rename = "draft-6")]
    Draft6,
    /// The two structured fields of the newest draft.
    #[serde(rename = "ietf")]
    Ietf,
    /// Nothing but `Retry-After`.
    #[serde(rename = "none")]
    None,
}

fn default_max_keys() -> usize {
    100_000
}

// === impl Config ===

impl Config {
    /// A limit with defaults for the rest.
    pub fn new(key: Key, requests: u64, window: Time) -> Self {
        Self {
            key,
            requests,
            window,
            block_for: None,
            headers: HeaderStyle::default(),
            max_keys: default_max_keys(),
        }
    }

    pub(super) fn quota(&self) -> Quota {
        let milliseconds =
            |time: Time| u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX / 8).min(u64::MAX / 8);
        Quota {
            requests: self.requests,
            window: milliseconds(self.window).max(1),
            block_for: self.block_for.map_or(0, milliseconds),
        }
    }
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), text.strip_prefix("header:")) {
            ("client_ip", _) => Ok(Self::ClientIp),
            ("principal", _) => Ok(Self::Principal),
            ("sdk_key", _) => Ok(Self::SdkKey),
            (_, Some(name)) => match name.trim().to_ascii_lowercase().parse() {
                Ok(name) => Ok(Self::Header(name)),
                Err(_) => Err(D::Error::custom(format_args!("`{name}` is no header's name"))),
            },
            _ => Err(D::Error::custom(format_args!(
                "unknown key `{text}`, expected `client_ip`, `principal`, `sdk_key` or `header:<name>`"
            ))),
        }
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "RateLimitKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(client_ip|principal|sdk_key|header:.+)$",
        })
    }
}

// === impl Spec ===

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "limits how many requests a client may make in a time";
    type Config = Config;

    fn order(config: &Config) -> Order {
        let (needs, before_authentication) = match config.key {
            Key::ClientIp => (vec![Fact::ClientIp], true),
            Key::Principal | Key::SdkKey => (vec![Fact::Principal], false),
            Key::Header(_) => (Vec::new(), false),
        };
        Order { needs, before_authentication, refuses: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        if config.window.0.as_millis() == 0 {
            let finding = Finding::error("window", "a limit needs a window of at least a millisecond");
            findings.push(finding.help("write a time such as \"60s\""));
        }
        if config.max_keys == 0 {
            findings.push(Finding::error("max_keys", "a limit that remembers no key limits nobody"));
        }
        if config.requests == 0 && config.block_for.is_some() {
            findings.push(Finding::warning("block_for", "without a limit nobody is ever blocked"));
        }
        findings
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let counters = context.state("counters", Counters::new);
        let name = context.instance().clone();
        let hits = context.resource::<RateLimitHits>().map(|hits| hits.of(&name));
        Ok(Prepared::hook(RateLimit::new(&name, config, counters, hits)))
    }

    fn carry(old: &Config, new: &Config) -> Carry {
        if old.key == new.key { Carry::Keep } else { Carry::Reset("it counts by another key") }
    }
}
