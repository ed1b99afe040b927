//! What handlers may use of the server, and the little they ask of its other parts.

use std::{sync::Arc, time::Duration};

use flagstone_services::Services;
use jiff::Timestamp;
use serde_json::Value;

/// What all handlers share.
pub struct State {
    /// The services.
    pub services: Arc<Services>,
    /// The server's figures.
    pub figures: Arc<dyn Figures>,
    /// The pipeline's status.
    pub pipeline: Arc<dyn PipelineStatus>,
    /// Whether the server takes requests.
    pub readiness: Arc<dyn Readiness>,
    /// How streams behave.
    pub streams: StreamOptions,
    /// Where people reach the server, if the settings say so: `https://flags.example.com`.
    pub public_url: Option<String>,
    /// When the process started.
    pub started: Timestamp,
    /// The server's version.
    pub version: &'static str,
}

/// How streams behave.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// How long without an event before a comment is sent, so that nobody takes the stream for dead.
    pub heartbeat: Duration,
}

/// The server's figures, as far as handlers note or show them.
pub trait Figures: Send + Sync + 'static {
    /// All of them in Prometheus' text format.
    fn encode(&self) -> String;
    /// Notes a sign-in: `auth_attempts_total{method,status,reason}`.
    fn auth_attempt(&self, method: &'static str, status: &'static str, reason: &'static str);
    /// Notes flags that were evaluated: `flag_evaluations_total{protocol}`.
    fn evaluated(&self, protocol: Protocol, flags: u64);
}

/// The protocols flags are asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Our own.
    Sdk,
    /// OpenFeature's Remote Evaluation Protocol.
    Ofrep,
}

/// The pipeline's status, as the pipeline itself documents it.
pub trait PipelineStatus: Send + Sync + 'static {
    /// The status document.
    fn status(&self) -> Value;
}

/// Whether the server takes requests.
pub trait Readiness: Send + Sync + 'static {
    /// `false` from the moment it was told to stop.
    fn is_serving(&self) -> bool;
    /// Redis, where there is one. The server takes requests without it.
    fn redis(&self) -> Option<Dependency>;
}

/// Something the server depends on.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// How long its last answer took.
    pub latency: Duration,
    /// What is wrong with it, if anything is.
    pub error: Option<String>,
}
