//! Limits how many requests a client may make in a time.
//!
//! The window slides: exactly up to 64 requests, by two weighted buckets above that. Refused requests do not count, but
//! with `block_for` a key that went over is refused altogether for that long. What was counted is kept over reloads, so
//! a changed limit binds at once and refills nothing. IPv6 clients are counted by their /56 network.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::{Body, Time},
//!     rate_limit::{Config, Key, RateLimit},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let config = Config::new(Key::ClientIp, 1, Time::seconds(60));
//! let service = ServiceBuilder::new()
//!     .layer(RateLimit::layer(&config))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let first = service.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!((first.status().as_u16(), &first.headers()["ratelimit-remaining"]), (200, &"0".parse()?));
//! let second = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"60".parse()?));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod buckets;
mod counter;
mod counters;
mod fields;
mod hits;
mod spec;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderValue, StatusCode};

use self::{
    counter::{Quota, Verdict},
    counters::Counters,
    fields::Fields,
};
pub use self::{
    hits::RateLimitHits,
    spec::{Config, HeaderStyle, Key, Spec},
};
use crate::kernel::{Flow, Hook, Principal, Problem, RequestHead, ResponseHead, Standalone};

/// The hook.
#[derive(Clone, Debug)]
pub struct RateLimit {
    key: Key,
    quota: Quota,
    max_keys: usize,
    fields: Fields,
    counters: Arc<Counters>,
    hits: Option<hits::Counter>,
}

impl RateLimit {
    /// A Tower layer that does this alone, with counters of its own.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(spec::KIND, config, Arc::new(Counters::new()), None))
    }

    fn new(name: &str, config: &Config, counters: Arc<Counters>, hits: Option<hits::Counter>) -> Self {
        let quota = config.quota();
        let fields = match config.headers {
            HeaderStyle::Draft6 => Fields::draft_6(&quota),
            HeaderStyle::Ietf => Fields::ietf(name, &quota),
            HeaderStyle::None => Fields::None,
        };
        Self { key: config.key.clone(), quota, max_keys: config.max_keys, fields, counters, hits }
    }

    /// Asks for the request's key; all requests that lack it are counted together.
    fn ask(&self, head: &RequestHead) -> Verdict {
        let exchange = head.exchange();
        match &self.key {
            Key::ClientIp => self.counters.ask(exchange.address().map(network), &self.quota, self.max_keys),
            Key::Principal | Key::SdkKey => {
                let id = exchange.principal().map(Principal::id);
                self.counters.ask(id, &self.quota, self.max_keys)
            }
            Key::Header(name) => {
                let value = head.headers().get(name).map(HeaderValue::as_bytes);
                self.counters.ask(value, &self.quota, self.max_keys)
            }
        }
    }
}

impl Hook for RateLimit {
    /// Remaining, reset, and whether there is a limit at all.
    type State = [u64; 3];

    fn on_request(&self, head: &mut RequestHead) -> Flow<[u64; 3]> {
        if self.quota.requests == 0 {
            return Flow::Continue([0; 3]);
        }
        let verdict = self.ask(head);
        if verdict.allowed {
            return Flow::Continue([verdict.remaining, verdict.reset, 1]);
        }
        if let Some(hits) = &self.hits {
            hits.inc();
        }
        let wait = fields::seconds(verdict.reset).max(1);
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            format!("Too many requests: try again in {wait} seconds."),
        );
        let mut response = problem.retry_after(wait).into_response(head.exchange());
        self.fields.write(response.headers_mut(), &verdict);
        Flow::Stop(Box::new(response))
    }

    fn on_response(&self, [remaining, reset, limited]: [u64; 3], response: &mut ResponseHead<'_>) {
        if limited != 0 {
            self.fields.write(response.headers_mut(), &Verdict { allowed: true, remaining, reset });
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
