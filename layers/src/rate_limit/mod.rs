//! Limits how many requests a client may make in a time.
//!
//! The window slides: exactly up to 64 requests, by two weighted buckets above that. A layer has one limit or several,
//! each of which may be about some requests only; a request has to pass all that are about it, and one that is refused
//! counts in none. What is over a limit is refused (`throttle`), or everything of that key for a while (`block`), or it
//! is only counted (`observe`). What was counted is kept over reloads, so a changed limit binds at once and refills
//! nothing; layers that name the same state count together. IPv6 clients are counted by their /56 network. Servers may
//! count together too: with [`SharedCounters`], and each alone while these are away.
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
mod limit;
mod matching;
mod shared;
mod spec;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::StatusCode;

pub use self::{
    counter::{Counter, Quota, Verdict},
    hits::RateLimitHits,
    matching::{Match, Name, Path, Wanted},
    shared::{SharedAnswer, SharedAsk, SharedCounters, SharedRateLimit},
    spec::{Action, Config, HeaderStyle, Key, LimitConfig, Spec, Store},
};
use self::{
    counters::{Asked, Counters},
    limit::Limit,
};
use crate::kernel::{
    Exchange, Flow, Hook, HookState, Problem, RequestHead, Response, ResponseHead, Slot, Standalone,
};

/// The hook.
#[derive(Clone, Debug)]
pub struct RateLimit {
    limits: Box<[Limit]>,
    max_keys: usize,
}

/// The limits a request passed.
#[derive(Debug)]
pub enum Passed {
    /// None was about it.
    None,
    /// One: its place, what remains, and when it grows again.
    One([u64; 3]),
    /// Several.
    Many(Box<Vec<[u64; 3]>>),
}

impl RateLimit {
    /// A Tower layer that does this alone, with counters of its own.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(spec::KIND, config, |_| Arc::new(Counters::new()), None))
    }

    /// `counters` gives those of a limit by its key in the layer's state.
    fn new(
        name: &str,
        config: &Config,
        mut counters: impl FnMut(&str) -> Arc<Counters>,
        hits: Option<&Arc<RateLimitHits>>,
    ) -> Self {
        let limits = config.all().into_iter().map(|limit| {
            let full_name = match limit.name.as_str() {
                "" => name.to_owned(),
                own => format!("{name}/{own}"),
            };
            let counters = counters(&limit.state_key());
            Limit::new(full_name.into(), &limit, config.headers, counters, hits.cloned())
        });
        Self { limits: limits.collect(), max_keys: config.max_keys }
    }

    /// Counts a request on this server: `hashes` are the places of the limits that are about it, and what its keys are
    /// known by.
    fn count(&self, exchange: &Exchange, hashes: impl Iterator<Item = (usize, u64)>) -> Flow<Passed> {
        let asked = hashes
            .filter_map(|(index, hash)| Some((index, self.limits.get(index)?.ask(hash, self.max_keys))));
        match self.weigh(exchange, asked) {
            Ok(passed) => Flow::Continue(passed.done()),
            Err(refused) => {
                // Those that were passed before do not count the request.
                refused.passed.each(|index, asked| {
                    if let Some(limit) = self.limits.get(index) {
                        limit.take_back(asked);
                    }
                });
                Flow::Stop(refused.response(exchange))
            }
        }
    }

    /// Goes through what limits say, until one refuses.
    fn weigh(
        &self,
        exchange: &Exchange,
        asked: impl Iterator<Item = (usize, Asked)>,
    ) -> Result<Passing, Refused<'_>> {
        let mut passed = Passing { first: None, others: Vec::new() };
        for (index, asked) in asked {
            let Some(limit) = self.limits.get(index) else { continue };
            if !limit.binds(exchange, &asked.verdict) {
                continue;
            }
            if !asked.verdict.allowed {
                return Err(Refused { passed, limit, verdict: asked.verdict });
            }
            passed.push(index, asked);
        }
        Ok(passed)
    }
}

/// A limit was hit.
struct Refused<'a> {
    passed: Passing,
    limit: &'a Limit,
    verdict: Verdict,
}

impl Refused<'_> {
    fn response(&self, exchange: &Exchange) -> Box<Response> {
        let wait = fields::seconds(self.verdict.reset).max(1);
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            format!("Too many requests: try again in {wait} seconds."),
        );
        let mut response = problem.retry_after(wait).into_response(exchange);
        self.limit.fields.write(response.headers_mut(), &self.verdict);
        Box::new(response)
    }
}

/// The limits passed so far: the first inline, so that one limit costs no allocation.
struct Passing {
    first: Option<(usize, Asked)>,
    others: Vec<(usize, Asked)>,
}

impl Passing {
    fn push(&mut self, index: usize, asked: Asked) {
        match self.first {
            None => self.first = Some((index, asked)),
            Some(_) => self.others.push((index, asked)),
        }
    }

    fn each(&self, mut look: impl FnMut(usize, &Asked)) {
        self.first.iter().chain(&self.others).for_each(|(index, asked)| look(*index, asked));
    }

    fn done(self) -> Passed {
        let words =
            |(index, asked): (usize, Asked)| [index as u64, asked.verdict.remaining, asked.verdict.reset];
        match self.first {
            None => Passed::None,
            Some(first) if self.others.is_empty() => Passed::One(words(first)),
            Some(first) => {
                Passed::Many(Box::new(std::iter::once(first).chain(self.others).map(words).collect()))
            }
        }
    }
}

impl Hook for RateLimit {
    type State = Passed;

    fn on_request(&self, head: &mut RequestHead) -> Flow<Passed> {
        let limits = self.limits.iter().enumerate().filter(|(_, limit)| limit.concerns(head));
        self.count(head.exchange(), limits.map(|(index, limit)| (index, limit.hash(head))))
    }

    fn on_response(&self, passed: Passed, response: &mut ResponseHead<'_>) {
        let mut write = |[index, remaining, reset]: [u64; 3]| {
            let limit = usize::try_from(index).ok().and_then(|index| self.limits.get(index));
            if let Some(limit) = limit {
                limit.fields.write(response.headers_mut(), &Verdict { allowed: true, remaining, reset });
            }
        };
        match passed {
            Passed::None => {}
            Passed::One(words) => write(words),
            Passed::Many(all) => all.into_iter().for_each(write),
        }
    }
}

impl HookState for Passed {
    fn store(self) -> Slot {
        match self {
            Self::None => Slot::Empty,
            Self::One(words) => Slot::Words(words),
            Self::Many(all) => Slot::Boxed(all),
        }
    }

    fn load(slot: Slot) -> Option<Self> {
        match slot {
            Slot::Empty => Some(Self::None),
            Slot::Words(words) => Some(Self::One(words)),
            Slot::Boxed(all) => all.downcast().ok().map(Self::Many),
            Slot::Header(_) => None,
        }
    }
}
