//! A layer of this server's own: it refuses programs that do not say what they are, and those nobody wants.
//!
//! This is all it takes: a [`Hook`] that decides, and a [`LayerSpec`] that describes it to the pipeline. Its settings, its
//! observe mode, its place in diagnostics, in the schema and in the status come from that.

use flagstone_layers::kernel::{
    Finding, Flow, Hook, LayerSpec, Order, PrepareContext, PrepareError, Prepared, Problem, RequestHead,
};
use http::{StatusCode, header::USER_AGENT};
use schemars::JsonSchema;
use serde::Deserialize;

/// The hook.
struct UserAgent {
    /// In lower case.
    blocked: Vec<String>,
}

/// How it describes itself.
pub(crate) struct Spec;

/// Its settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Words in a `User-Agent` that is not wanted, in any case.
    #[serde(default)]
    blocked: Vec<String>,
}

impl Hook for UserAgent {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        let Some(name) = head.single_header(&USER_AGENT) else {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "WHO_ARE_YOU", "Send a User-Agent.");
            return Flow::refuse(head, problem);
        };
        let name = name.to_ascii_lowercase();
        if self.blocked.iter().any(|word| name.contains(word)) {
            let problem = Problem::new(StatusCode::FORBIDDEN, "NOT_YOU", "This program is not wanted here.");
            return Flow::refuse(head, problem);
        }
        Flow::Continue(())
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = "user_agent";
    const ABOUT: &'static str = "refuses programs that do not say what they are, and those nobody wants";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { refuses: true, before_authentication: true, once: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let empty = config.blocked.iter().any(|word| word.trim().is_empty());
        let finding = || Finding::error("blocked", "an empty word is in every name").help("leave it out");
        empty.then(finding).into_iter().collect()
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let blocked = config.blocked.iter().map(|word| word.to_ascii_lowercase()).collect();
        Ok(Prepared::hook(UserAgent { blocked }))
    }
}
