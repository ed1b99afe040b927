//! Limits that several servers share.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use smallvec::SmallVec;

use super::{
    Passed, RateLimit,
    counter::{Quota, Verdict},
    counters::{Asked, Counters},
    spec::{self, Config},
};
use crate::kernel::{Flow, Hook, RequestHead, ResponseHead, Standalone};

/// Counters that several servers share. Lent by the host as `Arc<dyn SharedCounters>`.
pub trait SharedCounters: Send + Sync + 'static {
    /// Counts one request in several counters, as [`Counter`](super::Counter) does: in order, and in one step that no
    /// other request comes into. The first that does not allow it, and is not only observed, is the last that is asked;
    /// then the request counts in none but those that are observed.
    ///
    /// `None` where it is known that the counters are away.
    fn ask(&self, asked: Vec<SharedAsk>) -> Option<SharedAnswer>;
}

/// What shared counters say of each limit that was asked, in order; `None` where they could not be asked. It has a
/// deadline of its own.
pub type SharedAnswer = Pin<Box<dyn Future<Output = Option<Vec<Verdict>>> + Send>>;

/// One request at one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAsk {
    /// The limit's counters, the same on all servers.
    pub counters: Arc<str>,
    /// Which of them: who calls, such as an address. All that have none count together.
    pub key: Option<Vec<u8>>,
    /// What is allowed.
    pub quota: Quota,
    /// Whether it refuses nobody.
    pub observe: bool,
}

/// As [`RateLimit`], with counters that several servers share; while these are away, with its own.
pub struct SharedRateLimit {
    limits: Arc<RateLimit>,
    /// What the counters of each limit are called.
    names: Box<[Arc<str>]>,
    counters: Arc<dyn SharedCounters>,
}

/// The limits that are about a request, and what its keys are known by on this server.
type Hashes = SmallVec<[(usize, u64); 4]>;

impl SharedRateLimit {
    /// A Tower layer that does this alone; layers with equal limits count together wherever these counters are.
    pub fn layer(config: &Config, counters: Arc<dyn SharedCounters>) -> Standalone {
        let limits = RateLimit::new(spec::KIND, config, |_| Arc::new(Counters::new()), None);
        Standalone::hook(spec::KIND, Self::new(limits, spec::KIND, config, counters))
    }

    pub(super) fn new(
        limits: RateLimit,
        instance: &str,
        config: &Config,
        counters: Arc<dyn SharedCounters>,
    ) -> Self {
        let owner = match &config.state {
            Some(state) => format!("state/{state}"),
            None => instance.to_owned(),
        };
        let name = |limit: spec::LimitConfig| format!("{owner}/{}", limit.state_key()).into();
        Self { limits: Arc::new(limits), names: config.all().into_iter().map(name).collect(), counters }
    }
}

impl Hook for SharedRateLimit {
    type State = Passed;

    fn on_request(&self, head: &mut RequestHead) -> Flow<Passed> {
        let all = self.limits.limits.iter().zip(&self.names).enumerate();
        let (hashes, asked): (Hashes, Vec<_>) = all
            .filter(|(_, (limit, _))| limit.concerns(head))
            .map(|(index, (limit, name))| ((index, limit.hash(head)), limit.shared(name, head)))
            .unzip();
        if asked.is_empty() {
            return Flow::Continue(Passed::None);
        }
        let exchange = Arc::clone(head.exchange());
        let limits = Arc::clone(&self.limits);
        let Some(answer) = self.counters.ask(asked) else {
            return limits.count(&exchange, hashes.into_iter());
        };
        Flow::wait(async move {
            let Some(verdicts) = answer.await else { return limits.count(&exchange, hashes.into_iter()) };
            let asked = hashes.iter().zip(verdicts).map(|(of, verdict)| (of.0, Asked::elsewhere(verdict)));
            match limits.weigh(&exchange, asked) {
                Ok(passed) => Flow::Continue(passed.done()),
                Err(refused) => Flow::Stop(refused.response(&exchange)),
            }
        })
    }

    fn on_response(&self, passed: Passed, response: &mut ResponseHead<'_>) {
        self.limits.on_response(passed, response);
    }
}

impl fmt::Debug for SharedRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRateLimit").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{
            Mutex,
            atomic::{AtomicU8, Ordering},
        },
    };

    use http::{Method, Request};

    use super::*;
    use crate::{
        kernel::{Body, Carry, Exchange, LayerSpec, Matched, Resources},
        rate_limit::{Counter, Key, RateLimitHits, Spec},
        testing::{self, Seen, States},
    };

    /// What shared counters do when they are asked.
    #[derive(Clone, Copy)]
    #[repr(u8)]
    enum Mood {
        Answers,
        IsAway,
        FailsToAnswer,
    }

    /// The name of counters and whose they are.
    type Id = (Arc<str>, Option<Vec<u8>>);

    /// Counters that a test shares between layers, as the trait says.
    #[derive(Default)]
    struct Together {
        counters: Mutex<HashMap<Id, Counter>>,
        mood: AtomicU8,
    }

    impl Together {
        fn becomes(&self, mood: Mood) {
            self.mood.store(mood as u8, Ordering::Relaxed);
        }

        fn count(&self, asked: Vec<SharedAsk>) -> Vec<Verdict> {
            let mut counters = self.counters.lock().unwrap();
            let mut verdicts = Vec::new();
            let mut passed = Vec::new();
            for ask in asked {
                let id = (ask.counters, ask.key);
                let verdict =
                    counters.entry(id.clone()).or_insert_with(|| Counter::new(0)).ask(&ask.quota, 0);
                verdicts.push(verdict);
                if !verdict.allowed && !ask.observe {
                    passed.iter().for_each(|id| counters.get_mut(id).unwrap().take_back());
                    break;
                }
                if verdict.allowed && !ask.observe {
                    passed.push(id);
                }
            }
            verdicts
        }

        fn names(&self) -> Vec<(String, Option<Vec<u8>>)> {
            let counters = self.counters.lock().unwrap();
            let mut names: Vec<_> =
                counters.keys().map(|(name, key)| (name.to_string(), key.clone())).collect();
            names.sort();
            names
        }
    }

    impl SharedCounters for Arc<Together> {
        fn ask(&self, asked: Vec<SharedAsk>) -> Option<SharedAnswer> {
            let mood = self.mood.load(Ordering::Relaxed);
            if mood == Mood::IsAway as u8 {
                return None;
            }
            let verdicts = (mood == Mood::Answers as u8).then(|| self.count(asked));
            Some(Box::pin(async move {
                tokio::task::yield_now().await;
                verdicts
            }))
        }
    }

    fn layer(text: &str, together: &Arc<Together>) -> Standalone {
        let lent: Arc<dyn SharedCounters> = Arc::new(Arc::clone(together));
        let resources = Resources::new().with(lent).with(RateLimitHits::default());
        let text = format!("store = 'redis'\n{text}");
        let prepared = testing::prepare::<Spec>(&text, &resources, &mut States::default()).unwrap();
        Standalone::prepared("test", prepared)
    }

    async fn send(layer: &Standalone, method: Method) -> Seen {
        let request = Request::builder().method(method.clone()).uri("/").body(Body::empty()).unwrap();
        let exchange =
            Exchange::new(method, "/", Matched::NotFound).with_peer("192.0.2.1:1".parse().unwrap());
        testing::send_with(layer, request, exchange, http::HeaderMap::new()).await
    }

    const THREE: &str = "key = 'client_ip'\nrequests = 3\nwindow = '60s'";

    #[tokio::test]
    async fn servers_count_together() {
        let together = Arc::default();
        let (one, other) = (layer(THREE, &together), layer(THREE, &together));
        for (layer, remaining) in [(&one, "2"), (&other, "1"), (&one, "0")] {
            let seen = send(layer, Method::GET).await;
            assert_eq!((seen.status().as_u16(), seen.header("ratelimit-remaining")), (200, remaining.into()));
        }
        let refused = send(&other, Method::GET).await;
        assert_eq!((refused.status().as_u16(), refused.header("retry-after")), (429, "60".into()));
        assert_eq!(refused.header("ratelimit-limit"), "3");
    }

    #[tokio::test]
    async fn each_counts_alone_while_they_are_away_or_do_not_answer() {
        for mood in [Mood::IsAway, Mood::FailsToAnswer] {
            let together = Arc::default();
            let (one, other) = (layer(THREE, &together), layer(THREE, &together));
            assert_eq!(send(&one, Method::GET).await.header("ratelimit-remaining"), "2");
            together.becomes(mood);
            for layer in [&one, &other] {
                for remaining in ["2", "1", "0"] {
                    assert_eq!(send(layer, Method::GET).await.header("ratelimit-remaining"), remaining);
                }
                assert_eq!(send(layer, Method::GET).await.status(), 429);
            }
            together.becomes(Mood::Answers);
            assert_eq!(send(&other, Method::GET).await.header("ratelimit-remaining"), "1", "they go on");
        }
    }

    #[tokio::test]
    async fn several_limits_are_asked_in_one_step() {
        let text = "[[limits]]\nname = 'all'\nkey = 'client_ip'\nrequests = 3\nwindow = '60s'\n\
                    [[limits]]\nname = 'seen'\nkey = 'client_ip'\nrequests = 1\nwindow = '60s'\naction = 'observe'\n\
                    [[limits]]\nname = 'posts'\nmatch = { methods = 'POST' }\nkey = 'client_ip'\nrequests = 1\n\
                    window = '60s'\nblock_for = '10m'";
        for mood in [Mood::Answers, Mood::IsAway, Mood::FailsToAnswer] {
            let together = Arc::<Together>::default();
            together.becomes(mood);
            let layer = layer(text, &together);
            let first = send(&layer, Method::POST).await;
            assert_eq!((first.status().as_u16(), first.exchange.observed().is_empty()), (200, true));
            let refused = send(&layer, Method::POST).await;
            assert_eq!((refused.status().as_u16(), refused.header("retry-after")), (429, "600".into()));
            assert_eq!(refused.exchange.observed(), ["test/seen".into()]);
            // The refused one counts nowhere.
            let passed = send(&layer, Method::GET).await;
            assert_eq!((passed.status().as_u16(), passed.header("ratelimit-remaining")), (200, "1".into()));
            assert_eq!(send(&layer, Method::GET).await.header("ratelimit-remaining"), "0");
            assert_eq!(send(&layer, Method::GET).await.status(), 429);
        }
    }

    #[tokio::test]
    async fn counters_are_called_by_layer_or_state_limit_and_key() {
        let together = Arc::default();
        send(&layer(THREE, &together), Method::GET).await;
        send(&layer(&format!("{THREE}\nstate = 'people'"), &together), Method::GET).await;
        send(&layer("key = 'header:x-tenant'\nrequests = 3\nwindow = '60s'", &together), Method::GET).await;
        let address = Some(0xC000_0201_u64.to_be_bytes().to_vec());
        let expected = [
            ("state/people/:client_ip", address.clone()),
            ("test/:client_ip", address),
            ("test/:header:x-tenant", None),
        ];
        assert_eq!(together.names(), expected.map(|(name, key)| (name.to_owned(), key)));
    }

    #[tokio::test]
    async fn it_is_a_tower_layer() {
        use tower::{ServiceBuilder, ServiceExt, service_fn};
        let together = Arc::<Together>::default();
        let config = Config::new(Key::ClientIp, 1, crate::kernel::Time::seconds(60));
        for status in [200, 429] {
            let service = ServiceBuilder::new()
                .layer(SharedRateLimit::layer(&config, Arc::new(Arc::clone(&together))))
                .service(service_fn(async |_: Request<Body>| {
                    Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
                }));
            let response = service.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status);
        }
    }

    #[test]
    fn a_server_without_redis_says_what_to_do() {
        let text = format!("store = 'redis'\n{THREE}");
        let error = testing::prepare::<Spec>(&text, &Resources::new(), &mut States::default()).unwrap_err();
        assert_eq!(error.key, Some("store"));
        assert!(error.help.unwrap().contains("[redis]"));
        let config = |store: &str| testing::config::<Config>(&format!("{THREE}\nstore = '{store}'"));
        assert_ne!(Spec::carry(&config("local"), &config("redis")), Carry::Keep);
        assert_eq!(Spec::carry(&config("redis"), &config("redis")), Carry::Keep);
        assert!(toml::from_str::<Config>("store = 'disk'").is_err());
    }
}
