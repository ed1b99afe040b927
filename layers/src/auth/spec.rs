use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::Auth;
use crate::kernel::{
    Authenticator, Fact, Finding, LayerSpec, Order, PrepareContext, PrepareError, Prepared, PrincipalKind,
    PrincipalSet, Time,
};

pub(super) const KIND: &str = "auth";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Its settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which credentials are taken, the first one that a request has counts: `session` (the session cookie), `sdk_key`
    /// (`Authorization: Bearer` or `X-API-Key`), `stream_token` (`?token=`).
    pub methods: Vec<Method>,
    /// Which SDK keys are let in: `any`, or only `server` ones.
    #[serde(default)]
    pub keys: Keys,
    /// The names of the session cookie; the first one that a request has counts.
    #[serde(default = "default_cookies")]
    pub cookies: Vec<String>,
    /// How long a check that has to ask a database may take; afterwards the answer is 503.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

/// Where a credential is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The session cookie of a person.
    Session,
    /// The key of an application.
    SdkKey,
    /// The token of a stream.
    StreamToken,
}

/// Which SDK keys are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// Client and server keys.
    #[default]
    Any,
    /// Server keys only.
    Server,
}

fn default_cookies() -> Vec<String> {
    vec!["__Host-flagstone_session".to_owned(), "flagstone_session".to_owned()]
}

fn default_timeout() -> Time {
    Time(Duration::from_secs(5))
}

// === impl Config ===

impl Config {
    /// One method, with defaults for the rest.
    pub fn of(method: Method) -> Self {
        Self {
            methods: vec![method],
            keys: Keys::default(),
            cookies: default_cookies(),
            timeout: default_timeout(),
        }
    }

    /// Whom the layer lets in.
    pub(super) fn admits(&self) -> PrincipalSet {
        use PrincipalKind::{Admin, ClientKey, Member, ServerKey, StreamToken};
        let of = |method: &Method| match (method, self.keys) {
            (Method::Session, _) => PrincipalSet::of(&[Member, Admin]),
            (Method::SdkKey, Keys::Any) => PrincipalSet::of(&[ClientKey, ServerKey]),
            (Method::SdkKey, Keys::Server) => PrincipalSet::of(&[ServerKey]),
            (Method::StreamToken, _) => PrincipalSet::of(&[StreamToken]),
        };
        self.methods.iter().map(of).fold(PrincipalSet::NONE, PrincipalSet::union)
    }
}

// === impl Spec ===

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "finds out who calls, by session, SDK key or stream token";
    type Config = Config;

    fn order(config: &Config) -> Order {
        Order {
            gives: vec![Fact::Principal],
            admits: Some(config.admits()),
            refuses: true,
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        if config.methods.is_empty() {
            let finding = Finding::error("methods", "without a method nobody can pass");
            findings.push(finding.help("name at least one of `session`, `sdk_key`, `stream_token`"));
        }
        if config.methods.contains(&Method::Session) && config.cookies.is_empty() {
            findings.push(Finding::error("cookies", "a session needs the name of its cookie"));
        }
        if config.timeout.0.is_zero() {
            findings.push(Finding::error("timeout", "a check cannot be done in no time"));
        }
        findings
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let authenticator = context.required::<Arc<dyn Authenticator>>("authenticator")?;
        Ok(Prepared::hook(Auth::new(config, Arc::clone(&authenticator))))
    }
}
