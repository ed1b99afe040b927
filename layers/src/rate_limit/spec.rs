use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    RateLimit,
    counter::Quota,
    counters::Counters,
    hits::RateLimitHits,
    matching::Match,
    shared::{SharedCounters, SharedRateLimit},
};
use crate::kernel::{Carry, Fact, Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "rate_limit";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// How many requests a client may make in a time: one limit, or several under `limits`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which requests it is about; by default all.
    #[serde(default, rename = "match")]
    pub matching: Option<Match>,
    /// Whose requests are counted together: `client_ip`, `principal`, `sdk_key`, `header:` and a header's name, or
    /// `parameter:` and the name of a parameter of the route, such as `parameter:project`.
    #[serde(default)]
    pub key: Option<Key>,
    /// The most requests in a window; 0 is no limit.
    #[serde(default)]
    pub requests: Option<u64>,
    /// The time they are counted over.
    #[serde(default)]
    pub window: Option<Time>,
    /// What is done about requests over it: `throttle` refuses them, `block` refuses all of that key for `block_for`,
    /// `observe` only counts them. `block` where `block_for` is set, else `throttle`.
    #[serde(default)]
    pub action: Option<Action>,
    /// For how long a key that went over is refused altogether.
    #[serde(default)]
    pub block_for: Option<Time>,
    /// Several limits in place of one; a request has to pass each that is about it.
    #[serde(default)]
    pub limits: Vec<LimitConfig>,
    /// The name of the counters, which other layers that name it count with; by default they are the layer's own. Those
    /// that count by another key are others, whatever they are called.
    #[serde(default)]
    pub state: Option<String>,
    /// Where requests are counted: `local`, by each server alone, or `redis`, by all servers together. While Redis is
    /// away each counts alone.
    #[serde(default)]
    pub store: Store,
    /// How answers tell of the limit: `draft-6` (`RateLimit-Limit`, `-Remaining`, `-Reset`; of several limits the
    /// nearest), `ietf` (`RateLimit` and `RateLimit-Policy`; all of them), or `none`.
    #[serde(default)]
    pub headers: HeaderStyle,
    /// The most keys that are remembered at a time; beyond that those seen longest ago are forgotten.
    #[serde(default = "default_max_keys")]
    pub max_keys: usize,
}

/// One of several limits.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// What it is called; the identity of its counters.
    pub name: String,
    /// Which requests it is about; by default all.
    #[serde(default, rename = "match")]
    pub matching: Option<Match>,
    /// Whose requests are counted together, as for a single limit.
    pub key: Key,
    /// The most requests in a window; 0 is no limit.
    pub requests: u64,
    /// The time they are counted over.
    pub window: Time,
    /// What is done about requests over it, as for a single limit.
    #[serde(default)]
    pub action: Option<Action>,
    /// For how long a key that went over is refused altogether.
    #[serde(default)]
    pub block_for: Option<Time>,
}

/// What is done about requests over a limit. There is no challenge for people to solve: `throttle` is what comes nearest
/// to letting them through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// What is over is refused.
    Throttle,
    /// All of that key is refused for a while.
    Block,
    /// It is only counted, and told of in the log.
    Observe,
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
    /// One value of a parameter of the route.
    Parameter(String),
}

/// Where requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// By each server alone, in memory.
    #[default]
    Local,
    /// By all servers together, in Redis.
    Redis,
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
            matching: None,
            key: Some(key),
            requests: Some(requests),
            window: Some(window),
            action: None,
            block_for: None,
            limits: Vec::new(),
            state: None,
            store: Store::default(),
            headers: HeaderStyle::default(),
            max_keys: default_max_keys(),
        }
    }

    /// Its limits; a single one has no name of its own.
    pub(super) fn all(&self) -> Vec<LimitConfig> {
        let (Some(key), Some(requests), Some(window)) = (&self.key, self.requests, self.window) else {
            return self.limits.clone();
        };
        vec![LimitConfig {
            name: String::new(),
            matching: self.matching.clone(),
            key: key.clone(),
            requests,
            window,
            action: self.action,
            block_for: self.block_for,
        }]
    }

    fn says_one(&self) -> bool {
        self.matching.is_some()
            || self.key.is_some()
            || self.requests.is_some()
            || self.window.is_some()
            || self.action.is_some()
            || self.block_for.is_some()
    }

    fn missing(&self) -> Vec<&'static str> {
        let missing = [
            ("key", self.key.is_none()),
            ("requests", self.requests.is_none()),
            ("window", self.window.is_none()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// Whether the settings say one limit, whole, or several, and not both.
    fn check_shape(&self) -> Option<Finding> {
        let missing = self.missing();
        let help = "say `key`, `requests` and `window`, or several limits under `limits`";
        match (self.limits.is_empty(), self.says_one()) {
            (true, _) if !missing.is_empty() => {
                Some(Finding::error(None, format!("`{}` is not said", missing.join("`, `"))).help(help))
            }
            (false, true) => {
                let message = "there is a single limit here, and several under `limits`";
                Some(Finding::error("limits", message).help("put all of them under `limits`"))
            }
            _ => None,
        }
    }
}

// === impl LimitConfig ===

impl LimitConfig {
    pub(super) fn action(&self) -> Action {
        self.action.unwrap_or(if self.block_for.is_some() { Action::Block } else { Action::Throttle })
    }

    pub(super) fn quota(&self) -> Quota {
        let milliseconds =
            |time: Time| u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX / 8).min(u64::MAX / 8);
        let block_for = self.block_for.filter(|_| self.action() == Action::Block);
        Quota {
            requests: self.requests,
            window: milliseconds(self.window).max(1),
            block_for: block_for.map_or(0, milliseconds),
        }
    }

    /// Where its counters are kept: those of another key are others.
    pub(super) fn state_key(&self) -> String {
        format!("{}:{}", self.name, self.key)
    }

    fn check(&self, findings: &mut Vec<Finding>) {
        let of = |key, message: &str| match self.name.as_str() {
            "" => Finding::error(key, message),
            name => Finding::error("limits", format!("`{name}`: {message}")),
        };
        if self.window.0.as_millis() == 0 {
            let finding = of("window", "a limit needs a window of at least a millisecond");
            findings.push(finding.help("write a time such as \"60s\""));
        }
        if self.matching.as_ref().is_some_and(Match::is_empty) {
            findings
                .push(of("match", "`match` says nothing").help("leave it out: then all requests are meant"));
        }
        match (self.action(), self.block_for) {
            (Action::Block, None) => {
                let finding = of("action", "to block, it has to be known for how long");
                findings.push(finding.help("write `block_for = \"10m\"`"));
            }
            (Action::Block, Some(_)) if self.requests == 0 => {
                findings.push(Finding::warning("block_for", "without a limit nobody is ever blocked"));
            }
            (Action::Throttle | Action::Observe, Some(_)) => {
                let finding = of("block_for", "only `action = \"block\"` blocks");
                findings.push(finding.help("set that action, or leave `block_for` out"));
            }
            _ => {}
        }
    }
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), text.split_once(':')) {
            ("client_ip", _) => Ok(Self::ClientIp),
            ("principal", _) => Ok(Self::Principal),
            ("sdk_key", _) => Ok(Self::SdkKey),
            (_, Some(("parameter", name))) if !name.trim().is_empty() => {
                Ok(Self::Parameter(name.trim().to_owned()))
            }
            (_, Some(("header", name))) => match name.trim().to_ascii_lowercase().parse() {
                Ok(name) => Ok(Self::Header(name)),
                Err(_) => Err(D::Error::custom(format_args!("`{name}` is no header's name"))),
            },
            _ => Err(D::Error::custom(format_args!(
                "unknown key `{text}`, expected `client_ip`, `principal`, `sdk_key`, `header:<name>` or \
                 `parameter:<name>`"
            ))),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Principal => f.write_str("principal"),
            Self::SdkKey => f.write_str("sdk_key"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Parameter(name) => write!(f, "parameter:{name}"),
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
            "pattern": "^(client_ip|principal|sdk_key|header:.+|parameter:.+)$",
        })
    }
}

// === impl Spec ===

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "limits how many requests a client may make in a time";
    type Config = Config;

    fn order(config: &Config) -> Order {
        let limits = config.all();
        let by = |wanted: fn(&Key) -> bool| limits.iter().any(|limit| wanted(&limit.key));
        let by_address = by(|key| *key == Key::ClientIp);
        let by_caller = by(|key| matches!(key, Key::Principal | Key::SdkKey));
        let needs = [(by_address, Fact::ClientIp), (by_caller, Fact::Principal)];
        Order {
            needs: needs.into_iter().filter(|(needed, _)| *needed).map(|(_, fact)| fact).collect(),
            before_authentication: by_address && !by_caller,
            refuses: true,
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings: Vec<Finding> = config.check_shape().into_iter().collect();
        if config.max_keys == 0 {
            findings.push(Finding::error("max_keys", "a limit that remembers no key limits nobody"));
        }
        let limits = config.all();
        for limit in &limits {
            limit.check(&mut findings);
        }
        for (index, limit) in config.limits.iter().enumerate() {
            let before = config.limits.get(..index).unwrap_or_default();
            if limit.name.is_empty() || before.iter().any(|other| other.name == limit.name) {
                let message = format!("each limit has a name of its own, and not `{}`", limit.name);
                findings.push(Finding::error("limits", message).help("its counters are kept under its name"));
            }
        }
        findings
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let name = context.instance().clone();
        let hits = context.resource::<RateLimitHits>();
        let counters = |key: &str| match &config.state {
            Some(state) => context.shared_state(state, key, Counters::new),
            None => context.state(key, Counters::new),
        };
        let limits = RateLimit::new(&name, config, counters, hits.as_ref());
        if config.store == Store::Local {
            return Ok(Prepared::hook(limits));
        }
        let Some(shared) = context.resource::<Arc<dyn SharedCounters>>() else {
            let message = "this server knows no Redis to count requests in";
            let help = "set `url` under `[redis]` in the server's settings, or leave `store` out";
            return Err(PrepareError::new("store", message).help(help));
        };
        Ok(Prepared::hook(SharedRateLimit::new(limits, &name, config, Arc::clone(&shared))))
    }

    /// What is counted by another key is kept elsewhere; this only says so.
    fn carry(old: &Config, new: &Config) -> Carry {
        if old.store != new.store {
            return Carry::Reset("it counts elsewhere");
        }
        let (old, new) = (old.all(), new.all());
        let goes_on = |limit: &LimitConfig| old.iter().any(|other| other.state_key() == limit.state_key());
        if new.iter().any(goes_on) { Carry::Keep } else { Carry::Reset("it counts by another key") }
    }
}
