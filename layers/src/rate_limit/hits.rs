use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter, family::Family},
    registry::Registry,
};

use crate::kernel::{MetricLabel, MetricSpec};

/// `rate_limit_hits_total{type}`: how often each limit was hit. Lent by the host, which registers it.
#[derive(Clone, Debug, Default)]
pub struct RateLimitHits {
    family: Family<ByType, counter::Counter>,
}

/// The hits of one limit.
pub(super) type Counter = counter::Counter;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByType {
    r#type: String,
}

// === impl RateLimitHits ===

impl RateLimitHits {
    /// What [`register`](Self::register) adds.
    pub const METRIC: MetricSpec = MetricSpec::counter(
        "rate_limit_hits",
        &[MetricLabel::named("type", "the limit's name in `pipeline.toml`")],
        "Requests over a limit, whether they were refused or the limit only observes",
    );

    /// Adds the figure to a registry.
    pub fn register(&self, registry: &mut Registry) {
        const { &Self::METRIC }.register(registry, self.family.clone());
    }

    pub(super) fn of(&self, name: &str) -> Counter {
        self.family.get_or_create(&ByType { r#type: name.to_owned() }).clone()
    }
}
