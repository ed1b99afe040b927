use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use http::HeaderValue;

use super::{
    counter::Quota,
    counters::{Asked, Counters},
    fields::Fields,
    hits::{self, RateLimitHits},
    matching::Match,
    spec::{Action, HeaderStyle, Key, LimitConfig},
};
use crate::kernel::{Principal, RequestHead};

/// One limit of a layer.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    /// What it is called in figures, logs and header fields.
    name: Arc<str>,
    matching: Option<Match>,
    key: Key,
    quota: Quota,
    observe: bool,
    pub(super) fields: Fields,
    counters: Arc<Counters>,
    hits: Option<Hits>,
}

/// The limit's figure, which appears when it is first hit: a pipeline that is only tried out leaves none behind.
#[derive(Clone, Debug)]
struct Hits {
    all: Arc<RateLimitHits>,
    own: Arc<OnceLock<hits::Counter>>,
}

impl Limit {
    pub(super) fn new(
        name: Arc<str>,
        config: &LimitConfig,
        headers: HeaderStyle,
        counters: Arc<Counters>,
        hits: Option<Arc<RateLimitHits>>,
    ) -> Self {
        let quota = config.quota();
        let fields = match headers {
            HeaderStyle::Draft6 => Fields::draft_6(&quota),
            HeaderStyle::Ietf => Fields::ietf(&name, &quota),
            HeaderStyle::None => Fields::None,
        };
        Self {
            name,
            matching: config.matching.clone(),
            key: config.key.clone(),
            quota,
            observe: config.action() == Action::Observe,
            fields,
            counters,
            hits: hits.map(|all| Hits { all, own: Arc::default() }),
        }
    }

    /// Counts the request, if it is allowed; `None` where the limit is not about it.
    pub(super) fn ask(&self, head: &RequestHead, max_keys: usize) -> Option<Asked> {
        let about =
            self.quota.requests > 0 && self.matching.as_ref().is_none_or(|matching| matching.holds(head));
        if !about {
            return None;
        }
        let asked = self.count(head, max_keys);
        if asked.verdict.allowed {
            return (!self.observe).then_some(asked);
        }
        if let Some(hits) = &self.hits {
            hits.own.get_or_init(|| hits.all.of(&self.name)).inc();
        }
        if self.observe {
            head.exchange().add_observed(self.name.clone());
            return None;
        }
        Some(asked)
    }

    /// The request was refused by another limit: it does not count here.
    pub(super) fn take_back(&self, asked: &Asked) {
        self.counters.take_back(asked);
    }

    /// By the request's key; all requests that lack it are counted together.
    fn count(&self, head: &RequestHead, max_keys: usize) -> Asked {
        let (exchange, quota) = (head.exchange(), &self.quota);
        match &self.key {
            Key::ClientIp => self.counters.ask(exchange.address().map(network), quota, max_keys),
            Key::Principal | Key::SdkKey => {
                self.counters.ask(exchange.principal().map(Principal::id), quota, max_keys)
            }
            Key::Header(name) => {
                self.counters.ask(head.headers().get(name).map(HeaderValue::as_bytes), quota, max_keys)
            }
            Key::Parameter(name) => self.counters.ask(exchange.parameter(name), quota, max_keys),
        }
    }
}

/// What counts as one client: an IPv4 address, or the /56 network that a provider gives an IPv6 household.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // The upper 56 bits, kept apart from every IPv4 address by a bit that those lack.
        IpAddr::V6(address) => {
            let upper = u64::try_from(address.to_bits() >> 72).unwrap_or(u64::MAX);
            upper | 1 << 60
        }
    }
}
