//! The server's figures in Prometheus' text format (R47, R48).

use std::{fmt::Write as _, sync::Arc, time::Duration};

use flagstone_layers::{metrics::HttpMetrics, rate_limit::RateLimitHits};
use flagstone_pipeline::Pipeline;
use flagstone_routes::Protocol;
use flagstone_services::{
    Services,
    store::{QueryKind, QueryObserver},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::server::connection::Connections;

/// Counts and measures; shown by `/metrics`.
pub(crate) struct Figures {
    registry: Registry,
    auth_attempts: Family<AuthAttempt, Counter>,
    evaluations: [Counter; 2],
    queries: Arc<QueryDurations>,
    gauges: Gauges,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthAttempt {
    method: &'static str,
    status: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByType {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// `db_query_duration_seconds{type}`, told by the store.
pub(crate) struct QueryDurations(Family<ByType, Histogram>);

/// What layers count, lent to them as resources.
#[derive(Clone, Default)]
pub(crate) struct LayerFigures {
    pub(crate) http: HttpMetrics,
    pub(crate) limits: RateLimitHits,
}

/// What is read off the parts when somebody looks.
#[derive(Default)]
struct Gauges {
    active_sessions: Gauge,
    streams: Gauge,
    connections: Gauge,
    connections_refused: Gauge,
    pipeline_generation: Gauge,
    pipeline_last_success: Gauge,
    log_lines_dropped: Gauge,
}

/// The parts whose state is shown.
pub(crate) struct Parts<'a> {
    pub(crate) services: &'a Services,
    pub(crate) pipeline: Option<&'a Pipeline>,
    pub(crate) connections: Option<&'a Connections>,
    pub(crate) log_lines_dropped: u64,
}

// === impl QueryDurations ===

impl QueryDurations {
    pub(crate) fn new() -> Arc<Self> {
        // From a look-up in a warm cache to the statement's deadline.
        let buckets =
            || Histogram::new([0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0]);
        Arc::new(Self(Family::new_with_constructor(buckets)))
    }
}

impl QueryObserver for QueryDurations {
    fn observe(&self, kind: QueryKind, duration: Duration) {
        self.0.get_or_create(&ByType { r#type: kind.as_str() }).observe(duration.as_secs_f64());
    }
}

// === impl Figures ===

impl Figures {
    pub(crate) fn new(layers: &LayerFigures, queries: Arc<QueryDurations>, version: &'static str) -> Self {
        let mut registry = Registry::default();
        layers.http.register(&mut registry);
        layers.limits.register(&mut registry);
        let auth_attempts = Family::<AuthAttempt, Counter>::default();
        registry.register("auth_attempts", "Sign-ins", auth_attempts.clone());
        let by_protocol = Family::<ByProtocol, Counter>::default();
        registry.register("flag_evaluations", "Flags evaluated", by_protocol.clone());
        let counter = |protocol| by_protocol.get_or_create(&ByProtocol { protocol }).clone();
        let evaluations = [counter("sdk"), counter("ofrep")];
        registry.register("db_query_duration_seconds", "Time of database operations", queries.0.clone());
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version }).set(1);
        registry.register("flagstone_build_info", "The running version", build);
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        Self { registry, auth_attempts, evaluations, queries, gauges }
    }

    /// How database operations are measured.
    pub(crate) fn queries(&self) -> &Arc<QueryDurations> {
        &self.queries
    }

    pub(crate) fn auth_attempt(&self, method: &'static str, status: &'static str, reason: &'static str) {
        self.auth_attempts.get_or_create(&AuthAttempt { method, status, reason }).inc();
    }

    pub(crate) fn evaluated(&self, protocol: Protocol, flags: u64) {
        let [sdk, ofrep] = &self.evaluations;
        match protocol {
            Protocol::Sdk => sdk.inc_by(flags),
            Protocol::Ofrep => ofrep.inc_by(flags),
        };
    }

    /// Everything, as of now.
    pub(crate) fn encode(&self, parts: &Parts<'_>) -> String {
        self.gauges.update(parts);
        let mut text = String::with_capacity(16 * 1024);
        // Encoding into a string does not fail; were it to, what is there is shown.
        let _ = encode(&mut text, &self.registry);
        if let Some(pipeline) = parts.pipeline {
            write_reloads(&mut text, pipeline);
        }
        text
    }
}

/// `pipeline_reloads_total{trigger,outcome}`, in front of the end mark.
fn write_reloads(text: &mut String, pipeline: &Pipeline) {
    const END: &str = "# EOF\n";
    let body = text.len() - if text.ends_with(END) { END.len() } else { 0 };
    text.truncate(body);
    text.push_str(
        "# HELP pipeline_reloads Attempts to load the pipeline.\n# TYPE pipeline_reloads counter\n",
    );
    for reloads in pipeline.status().reloads {
        let (trigger, outcome) = (reloads.trigger.as_str(), reloads.outcome.as_str());
        let _ = writeln!(
            text,
            "pipeline_reloads_total{{trigger=\"{trigger}\",outcome=\"{outcome}\"}} {}",
            reloads.count
        );
    }
    text.push_str(END);
}

// === impl Gauges ===

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        add("active_sessions", "Sessions opened and not ended since the start", &self.active_sessions);
        add("flag_streams", "Change streams that are open", &self.streams);
        add("http_connections", "Connections that are open", &self.connections);
        add(
            "http_connections_refused",
            "Connections closed because there were too many",
            &self.connections_refused,
        );
        add("pipeline_generation", "The pipeline's generation", &self.pipeline_generation);
        add(
            "pipeline_last_reload_success",
            "Whether the last attempt to load the pipeline went well",
            &self.pipeline_last_success,
        );
        add(
            "log_lines_dropped",
            "Log lines dropped because the log's reader was too slow",
            &self.log_lines_dropped,
        );
    }

    fn update(&self, parts: &Parts<'_>) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let accounts = parts.services.accounts.figures();
        set(&self.active_sessions, accounts.sessions_created.saturating_sub(accounts.sessions_revoked));
        set(&self.streams, parts.services.streams.open());
        if let Some(connections) = parts.connections {
            set(&self.connections, connections.open() as u64);
            set(&self.connections_refused, connections.refused());
        }
        if let Some(pipeline) = parts.pipeline {
            let status = pipeline.status();
            set(&self.pipeline_generation, status.generation);
            set(&self.pipeline_last_success, u64::from(status.last_attempt.outcome.is_success()));
        }
        set(&self.log_lines_dropped, parts.log_lines_dropped);
    }
}
