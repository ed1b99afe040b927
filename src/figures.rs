//! The server's figures, as `/metrics` shows them (R47, R48).

mod process;
mod readings;
mod reference;

use std::{sync::Arc, time::Duration};

use flagstone_layers::{
    kernel::{MetricLabel, MetricSpec},
    metrics::HttpMetrics,
    rate_limit::RateLimitHits,
};
use flagstone_routes::Protocol;
use flagstone_services::{
    ArrivalObserver,
    store::{QueryKind, QueryObserver},
};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

pub(crate) use self::{readings::Parts, reference::reference};

const AUTH_ATTEMPTS: MetricSpec = MetricSpec::counter(
    "auth_attempts",
    &[
        MetricLabel::one_of("method", &["password", "setup"]),
        MetricLabel::one_of("status", &["success", "failure", "error"]),
        MetricLabel::one_of(
            "reason",
            &["", "unknown_account", "wrong_password", "locked", "refused", "unavailable"],
        ),
    ],
    "Attempts to sign in, and to make the first administrator; the reason is empty where they succeeded",
);
const EVALUATIONS: MetricSpec = MetricSpec::counter(
    "flag_evaluations",
    &[MetricLabel::one_of("protocol", &["sdk", "ofrep"])],
    "Flags evaluated: a request for all flags counts each of them",
);
const QUERIES: MetricSpec = MetricSpec::histogram(
    "db_query_duration_seconds",
    &[MetricLabel::one_of("type", &QUERY_TYPES)],
    "Time of one operation of the database, waiting for a connection (begin) and for the disk (commit) included",
);
const ARRIVALS: MetricSpec = MetricSpec::histogram(
    "change_arrival_seconds",
    &[],
    "Time from the beginning of a change on another instance, by its clock, until it was in memory here, by this one's; \
     of several that were found at once the newest is counted",
);
const BUILD: MetricSpec = MetricSpec::gauge(
    "flagstone_build_info",
    &[MetricLabel::named("version", "the version that runs")],
    "Always 1; the label says which version runs",
);

const QUERY_TYPES: [&str; QueryKind::ALL.len()] = {
    let [begin, query, execute, commit] = QueryKind::ALL;
    [begin.as_str(), query.as_str(), execute.as_str(), commit.as_str()]
};

/// How an attempt to sign in can end: method, status, reason.
const AUTH_OUTCOMES: [(&str, &str, &str); 8] = [
    ("password", "success", ""),
    ("password", "failure", "unknown_account"),
    ("password", "failure", "wrong_password"),
    ("password", "failure", "locked"),
    ("password", "error", "unavailable"),
    ("setup", "success", ""),
    ("setup", "failure", "refused"),
    ("setup", "error", "unavailable"),
];

/// Counts and measures; shown by `/metrics`.
pub(crate) struct Figures {
    registry: Registry,
    auth_attempts: Family<AuthAttempt, Counter>,
    evaluations: [Counter; 2],
    queries: Arc<QueryDurations>,
    arrivals: Arc<ChangeArrivals>,
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

/// `change_arrival_seconds`, told by what follows other instances.
pub(crate) struct ChangeArrivals(Histogram);

/// What layers count, lent to them as resources.
#[derive(Clone, Default)]
pub(crate) struct LayerFigures {
    pub(crate) http: HttpMetrics,
    pub(crate) limits: RateLimitHits,
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

// === impl ChangeArrivals ===

impl ArrivalObserver for ChangeArrivals {
    fn arrived(&self, after: Duration) {
        self.0.observe(after.as_secs_f64());
    }
}

// === impl Figures ===

impl Figures {
    pub(crate) fn new(layers: &LayerFigures, queries: Arc<QueryDurations>, version: &'static str) -> Self {
        let mut registry = Registry::default();
        layers.http.register(&mut registry);
        layers.limits.register(&mut registry);
        let auth_attempts = Family::<AuthAttempt, Counter>::default();
        // What rises from zero is seen by a rate, what begins at one is not.
        for (method, status, reason) in AUTH_OUTCOMES {
            let _begun_at_zero = auth_attempts.get_or_create(&AuthAttempt { method, status, reason });
        }
        const { &AUTH_ATTEMPTS }.register(&mut registry, auth_attempts.clone());
        let by_protocol = Family::<ByProtocol, Counter>::default();
        const { &EVALUATIONS }.register(&mut registry, by_protocol.clone());
        let counter = |protocol| by_protocol.get_or_create(&ByProtocol { protocol }).clone();
        let evaluations = [counter("sdk"), counter("ofrep")];
        const { &QUERIES }.register(&mut registry, queries.0.clone());
        // From a notification to a second's look, and to an instance that was cut off.
        let arrivals =
            Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0]);
        const { &ARRIVALS }.register(&mut registry, arrivals.clone());
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version }).set(1);
        const { &BUILD }.register(&mut registry, build);
        let arrivals = Arc::new(ChangeArrivals(arrivals));
        Self { registry, auth_attempts, evaluations, queries, arrivals }
    }

    /// All that is shown, as it describes itself.
    pub(crate) fn specs() -> Vec<MetricSpec> {
        let mut specs = HttpMetrics::METRICS.to_vec();
        specs.extend([RateLimitHits::METRIC, AUTH_ATTEMPTS, EVALUATIONS, QUERIES, ARRIVALS, BUILD]);
        specs.extend(readings::specs());
        specs
    }

    /// How database operations are measured.
    pub(crate) fn queries(&self) -> &Arc<QueryDurations> {
        &self.queries
    }

    /// How long changes of other instances take is measured by it.
    pub(crate) fn arrivals(&self) -> &Arc<ChangeArrivals> {
        &self.arrivals
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
        let mut text = String::with_capacity(32 * 1024);
        // Writing into a string does not fail; were it to, what is there is shown.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &parts.registry()))
            .and_then(|()| encode_eof(&mut text));
        text
    }
}
