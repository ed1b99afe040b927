use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter, family::Family},
    registry::Registry,
};

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

impl RateLimitHits {
    /// Adds the figure to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "rate_limit_hits",
            "Requests over a limit, by the limit's name",
            self.family.clone(),
        );
    }

    pub(super) fn of(&self, name: &str) -> Counter {
        self.family.get_or_create(&ByType { r#type: name.to_owned() }).clone()
    }
}
