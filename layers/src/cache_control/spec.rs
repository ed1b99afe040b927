use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CacheControl;
use crate::kernel::{Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "cache_control";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Who may keep an answer of which the handler says nothing, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who may keep it.
    pub store: Store,
    /// For how long it can be used without asking; zero: it is to be asked each time whether it still holds.
    pub max_age: Time,
    /// For how long after that it may still be used while a new one is being fetched.
    pub stale_while_revalidate: Time,
    /// It is never used after its time, not even where the server cannot be reached.
    pub must_revalidate: bool,
    /// It stays the same for its whole time: not even a reload of the page asks again.
    pub immutable: bool,
}

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Nobody.
    #[default]
    Nobody,
    /// The client it was sent to.
    Private,
    /// Proxies too, for everybody.
    Public,
}

impl Config {
    pub(super) fn text(&self) -> String {
        let who = match self.store {
            Store::Nobody => return "no-store".to_owned(),
            Store::Private => "private",
            Store::Public => "public",
        };
        let seconds = self.max_age.0.as_secs();
        let mut text = match seconds {
            0 => format!("{who}, no-cache"),
            _ => format!("{who}, max-age={seconds}"),
        };
        let stale = self.stale_while_revalidate.0.as_secs();
        if stale > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, ", stale-while-revalidate={stale}");
        }
        if self.must_revalidate {
            text.push_str(", must-revalidate");
        }
        if self.immutable {
            text.push_str(", immutable");
        }
        text
    }

    fn says_more_than_who(&self) -> bool {
        *self != Self { store: self.store, ..Self::default() }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "says who may keep an answer, and for how long";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { sees_refusals: true, once: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if config.store == Store::Nobody && config.says_more_than_who() {
            let message = "what nobody may keep has no age: the other settings change nothing";
            return vec![
                Finding::warning("store", message).help("set `store = \"private\"` or `\"public\"`"),
            ];
        }
        if config.must_revalidate && config.stale_while_revalidate != Time::default() {
            let message = "`must_revalidate` forbids what `stale_while_revalidate` allows";
            return vec![Finding::error("stale_while_revalidate", message).help("leave one of them out")];
        }
        if config.store == Store::Public {
            let message = "proxies may give the answer to others than the one who asked";
            return vec![
                Finding::warning("store", message).help("use it only on routes that answer everybody alike"),
            ];
        }
        Vec::new()
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(CacheControl::new(config)?))
    }
}
