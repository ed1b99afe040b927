//! What a request costs in allocations, apart from the connection's and the handler's own.
//!
//! | chain | allocations |
//! |---|---|
//! | 8 fused hooks, the handler answers at once | 0 |
//! | the same, and 4 of them note the end | 0 |
//! | the same, and the handler's future is done when it is first asked | 0 (and the handler's own) |
//! | the same, and the handler is waited for | 1, the group's future (and the handler's own) |
//! | the same 8 hooks, not fused, the handler answers at once | 3: each tail within another is boxed |
//! | … and the handler is waited for | 8 more, a future for each hook |
//! | `client_ip request_id access_log metrics catch_panic body_limit timeout`, at once | 2, both of the header map |
//! | … with a body that is limited | 2 |
//! | … and the handler is waited for | 6: the header map, two groups, `catch_panic`, `timeout` |

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic, outside of its test functions too")]

use std::{
    any::Any,
    future::poll_fn,
    hint::black_box,
    io, mem,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink, AccessLogWriter},
    kernel::{
        Body, Call, Ended, Exchange, Flow, Hook, Instance, Matched, Next, PrepareContext, Prepared, Request,
        RequestHead, Resources, Response, ResponseHead, StateSource, Stats, chain, chain_unfused,
    },
    metrics::HttpMetrics,
    registry,
};
use http::Method;
use smallvec::SmallVec;

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    responses: AtomicU64,
    ends: AtomicU64,
}

/// Counts what it sees, remembers a number or not, notes the end or not.
struct Counting<const KEEPS: bool, const ENDS: bool>(Arc<Counts>);

impl<const ENDS: bool> Hook for Counting<true, ENDS> {
    type State = [u64; 3];
    const ENDS: bool = ENDS;

    fn on_request(&self, _: &mut RequestHead) -> Flow<[u64; 3]> {
        Flow::Continue([self.0.requests.fetch_add(1, Ordering::Relaxed); 3])
    }

    fn on_response(&self, _: [u64; 3], _: &mut ResponseHead<'_>) {
        self.0.responses.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        self.0.ends.fetch_add(1, Ordering::Relaxed);
    }
}

impl<const ENDS: bool> Hook for Counting<false, ENDS> {
    type State = ();
    const ENDS: bool = ENDS;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Flow::Continue(())
    }

    fn on_response(&self, (): (), _: &mut ResponseHead<'_>) {
        self.0.responses.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        self.0.ends.fetch_add(1, Ordering::Relaxed);
    }
}

struct NoStates;

impl StateSource for NoStates {
    fn get(&self, _: &str, _: &'static str, _: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    fn put(&mut self, _: &str, _: &'static str, _: &str, _: Arc<dyn Any + Send + Sync>) {}

    fn get_shared(&self, _: &str, _: &'static str, _: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    fn put_shared(&mut self, _: &'static str, _: &str, _: Arc<dyn Any + Send + Sync>) {}
}

/// Half of them remember something, which is as many as there is room for.
fn hooks<const ENDS: bool>(counts: &Arc<Counts>) -> Vec<Instance> {
    (0..8)
        .map(|number| {
            let counts = counts.clone();
            instance(match number % 2 {
                0 => Prepared::hook(Counting::<true, ENDS>(counts)),
                _ => Prepared::hook(Counting::<false, false>(counts)),
            })
        })
        .collect()
}

fn instance(prepared: Prepared) -> Instance {
    Instance { name: "hook".into(), prepared, observe: false, stats: Arc::new(Stats::default()) }
}

/// The built-in layers with their default settings, as a pipeline makes them.
fn built_in() -> (Vec<Instance>, AccessLogWriter) {
    // All lines stay in memory until the end, so that no buffer is changed while another thread counts.
    let interval = Duration::from_secs(3600);
    let options = AccessLogOptions { buffer: 64 << 20, interval, ..AccessLogOptions::default() };
    let (sink, writer) = AccessLogSink::start(io::sink(), &options).unwrap();
    let resources = Resources::new().with(sink).with(HttpMetrics::new());
    let registry = registry();
    let kinds = ["client_ip", "request_id", "access_log", "metrics", "catch_panic", "body_limit", "timeout"];
    let instances = kinds.map(|kind| {
        let layer = registry.get(kind).unwrap();
        let config = (layer.parse)(toml::de::ValueDeserializer::parse("{}").unwrap()).unwrap();
        let mut states = NoStates;
        let mut context = PrepareContext::new(kind.into(), layer.kind, &resources, &mut states);
        instance(config.prepare(&mut context).unwrap())
    });
    (instances.into(), writer)
}

fn request(body: Body) -> Request {
    let (parts, ()) = http::Request::post("/x/1").body(()).unwrap().into_parts();
    let matched = Matched::Route { id: 0, pattern: "/x/{id}", parameters: SmallVec::new() };
    let peer: SocketAddr = "192.0.2.1:50000".parse().unwrap();
    Request::new(parts, body, Arc::new(Exchange::new(Method::POST, "/x/1", matched).with_peer(peer)))
}

fn ready() -> Next {
    Next::new(|request: Request| {
        drop(request);
        Call::Ready(Response::new(Body::from("hello")))
    })
}

/// The handler's own future is one allocation.
fn asked_once() -> Next {
    Next::new(|_: Request| Call::Future(Box::pin(async { Response::new(Body::from("hello")) })))
}

/// As [`asked_once`], but it has to be asked twice.
fn waited() -> Next {
    Next::new(|_: Request| {
        let mut asked = false;
        Call::Future(Box::pin(poll_fn(move |_| {
            if mem::replace(&mut asked, true) {
                Poll::Ready(Response::new(Body::from("hello")))
            } else {
                Poll::Pending
            }
        })))
    })
}

/// What one request allocates from the chain's call to its body's end, when the same was done often before.
fn allocations(next: &Next, body: &'static str) -> u64 {
    let once = |request: Request| {
        let mut context = Context::from_waker(Waker::noop());
        let mut response = match next.call(request) {
            Call::Ready(response) => response,
            Call::Future(mut future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(response) => response,
                Poll::Pending => panic!("the handler waits too long"),
            },
        };
        while !http_body::Body::is_end_stream(response.body()) {
            let frame = http_body::Body::poll_frame(std::pin::Pin::new(response.body_mut()), &mut context);
            black_box(frame.is_ready());
        }
    };
    for _ in 0..1_000 {
        once(request(Body::from(body)));
    }
    // What it takes to make the request is not the chain's.
    let made = allocation_counter::measure(|| drop(black_box(request(Body::from(body)))));
    let all = allocation_counter::measure(|| once(request(Body::from(body))));
    all.count_total - made.count_total
}

#[test]
fn fused_hooks_around_a_handler_that_answers_at_once_allocate_nothing() {
    let counts = Arc::new(Counts::default());
    assert_eq!(allocations(&chain(&hooks::<false>(&counts), ready()), ""), 0);
    assert_eq!(allocations(&chain(&hooks::<true>(&counts), ready()), ""), 0);
    // All of them ran: 1,001 times each, and 4 of those of the second chain noted the end.
    let counted =
        [&counts.requests, &counts.responses, &counts.ends].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counted, [16 * 1_001, 16 * 1_001, 4 * 1_001]);
}

#[test]
fn a_handler_that_is_waited_for_costs_one_future_more() {
    let counts = Arc::new(Counts::default());
    assert_eq!(allocations(&chain(&[], asked_once()), ""), 1);
    assert_eq!(allocations(&chain(&hooks::<true>(&counts), asked_once()), ""), 1);
    assert_eq!(allocations(&chain(&[], waited()), ""), 1);
    assert_eq!(allocations(&chain(&hooks::<true>(&counts), waited()), ""), 2);
}

#[test]
fn unfused_hooks_cost_what_fusing_saves() {
    let counts = Arc::new(Counts::default());
    assert_eq!(allocations(&chain_unfused(&hooks::<true>(&counts), ready()), ""), 3);
    assert_eq!(allocations(&chain_unfused(&hooks::<true>(&counts), waited()), ""), 3 + 9);
}

#[test]
fn the_built_in_layers_allocate_a_header_map() {
    let (layers, writer) = built_in();
    let next = chain(&layers, ready());
    assert_eq!(allocations(&next, ""), 2);
    assert_eq!(allocations(&next, "a body"), 2);
    assert_eq!(allocations(&chain(&layers, asked_once()), "a body"), 3);
    assert_eq!(allocations(&chain(&layers, waited()), "a body"), 7);
    assert!(writer.close(Duration::from_secs(30)));
}
