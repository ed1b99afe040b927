use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use http::HeaderValue;

use super::{
    counter::{Quota, Verdict},
    counters::{Asked, Counters},
    fields::Fields,
    hits::{self, RateLimitHits},
    matching::Match,
    shared::SharedAsk,
    spec::{Action, HeaderStyle, Key, LimitConfig},
};
use crate::kernel::{Exchange, Principal, RequestHead};

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

    /// Whether it is about the request.
    pub(super) fn concerns(&self, head: &RequestHead) -> bool {
        self.quota.requests > 0 && self.matching.as_ref().is_none_or(|matching| matching.holds(head))
    }

    /// Counts a request of the key with this hash on this server, if it is allowed.
    pub(super) fn ask(&self, hash: u64, max_keys: usize) -> Asked {
        self.counters.ask(hash, &self.quota, max_keys)
    }

    /// Notes whether the limit was hit. Returns whether the verdict binds: one that is only observed does not.
    pub(super) fn binds(&self, exchange: &Exchange, verdict: &Verdict) -> bool {
        if !verdict.allowed {
            if let Some(hits) = &self.hits {
                hits.own.get_or_init(|| hits.all.of(&self.name)).inc();
            }
            if self.observe {
                exchange.add_observed(self.name.clone());
            }
        }
        !self.observe
    }

    /// The request was refused by another limit: it does not count here.
    pub(super) fn take_back(&self, asked: &Asked) {
        self.counters.take_back(asked);
    }

    /// What the request's key is known by on this server; all requests that lack it are counted together.
    pub(super) fn hash(&self, head: &RequestHead) -> u64 {
        let (exchange, counters) = (head.exchange(), &self.counters);
        match &self.key {
            Key::ClientIp => counters.hash(exchange.address().map(network)),
            Key::Principal | Key::SdkKey => counters.hash(exchange.principal().map(Principal::id)),
            Key::Header(name) => counters.hash(head.headers().get(name).map(HeaderValue::as_bytes)),
            Key::Parameter(name) => counters.hash(exchange.parameter(name)),
        }
    }

    /// The request, as counters that servers share are asked about it.
    pub(super) fn shared(&self, counters: &Arc<str>, head: &RequestHead) -> SharedAsk {
        let exchange = head.exchange();
        let key = match &self.key {
            Key::ClientIp => exchange.address().map(|address| network(address).to_be_bytes().to_vec()),
            Key::Principal | Key::SdkKey => {
                exchange.principal().map(|caller| caller.id().as_bytes().to_vec())
            }
            Key::Header(name) => head.headers().get(name).map(|value| value.as_bytes().to_vec()),
            Key::Parameter(name) => exchange.parameter(name).map(|value| value.as_bytes().to_vec()),
        };
        SharedAsk { counters: counters.clone(), key, quota: self.quota, observe: self.observe }
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
