//! A panic seen through the layers that stand around it.

use std::{
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink},
    kernel::{
        Body, Exchange, Instance, Matched, Next, PrepareContext, Request, Resources, Response, StateSource,
        Stats, chain, handler,
    },
    metrics::HttpMetrics,
    registry,
};
use http::Method;
use serde_json::Value;
use smallvec::SmallVec;

use crate::recorder::{Decision, Trace, endpoint, recorder, request};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct NoStates;

impl StateSource for NoStates {
    fn get(&self, _: &str, _: &'static str, _: &str) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        None
    }

    fn put(&mut self, _: &str, _: &'static str, _: &str, _: Arc<dyn std::any::Any + Send + Sync>) {}

    fn get_shared(&self, _: &str, _: &'static str, _: &str) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        None
    }

    fn put_shared(&mut self, _: &'static str, _: &str, _: Arc<dyn std::any::Any + Send + Sync>) {}
}

/// The built-in layers of these kinds with their default settings, as a pipeline makes them.
fn built_in(kinds: &[&'static str], resources: &Resources) -> Vec<Instance> {
    let registry = registry();
    kinds
        .iter()
        .map(|kind| {
            let layer = registry.get(kind).unwrap();
            let config = (layer.parse)(toml::de::ValueDeserializer::parse("{}").unwrap()).unwrap();
            let mut states = NoStates;
            let mut context = PrepareContext::new((*kind).into(), layer.kind, resources, &mut states);
            let prepared = config.prepare(&mut context).unwrap();
            Instance { name: (*kind).into(), prepared, observe: false, stats: Arc::new(Stats::default()) }
        })
        .collect()
}

fn routed() -> Request {
    let (parts, ()) = http::Request::get("/x/1?secret=1").body(()).unwrap().into_parts();
    let matched = Matched::Route { id: 0, pattern: "/x/{id}", parameters: SmallVec::new() };
    let peer: SocketAddr = "192.0.2.1:50000".parse().unwrap();
    let exchange = Exchange::new(Method::GET, "/x/1", matched).with_peer(peer);
    Request::new(parts, Body::empty(), Arc::new(exchange))
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_that_is_logged_counted_and_has_an_id_and_headers() {
    let log = Log::default();
    let (sink, writer) = AccessLogSink::start(log.clone(), &AccessLogOptions::default()).unwrap();
    let metrics = HttpMetrics::new();
    let resources = Resources::new().with(sink).with(metrics.clone());
    let trace = Trace::default();
    let mut instances =
        built_in(&["client_ip", "request_id", "access_log", "metrics", "catch_panic"], &resources);
    // Stands for the layers that set headers.
    instances.insert(4, recorder::<(), false>(0, Decision::Continue, false, &trace));
    instances.extend(built_in(&["body_limit", "timeout"], &resources));
    let endpoint: Next = handler(async |_| -> Response {
        tokio::task::yield_now().await;
        panic!("a secret")
    });

    let response = chain(&instances, endpoint).call(routed()).wait().await;
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["x-seen-by"], "0");
    let body = response.into_body().read().await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["request_id"]), (&"INTERNAL".into(), &id.as_str().into()));
    assert!(!String::from_utf8_lossy(&body).contains("a secret"));

    assert!(writer.close(Duration::from_secs(30)));
    let line: Value = serde_json::from_slice(&log.0.lock().unwrap()).unwrap();
    assert_eq!((&line["status"], &line["level"]), (&500.into(), &"ERROR".into()));
    assert_eq!((&line["request_id"], &line["outcome"]), (&id.as_str().into(), &"complete".into()));
    assert_eq!((&line["route"], &line["client"]), (&"/x/{id}".into(), &"192.0.2.1".into()));
    assert_eq!(line["bytes"], body.len());

    let mut text = String::new();
    let mut exported = prometheus_client::registry::Registry::default();
    metrics.register(&mut exported);
    prometheus_client::encoding::text::encode(&mut text, &exported).unwrap();
    let counted = r#"http_request_duration_seconds_count{method="GET",path="/x/{id}",status="500"} 1"#;
    assert!(text.contains(counted), "{text}");
    assert_eq!(metrics.in_flight(), 0);
}

#[test]
fn where_nothing_catches_a_panic_of_a_hook_those_outside_still_note_the_end() {
    let trace = Trace::default();
    let instances = [
        recorder::<(), true>(0, Decision::Continue, false, &trace),
        recorder::<(), true>(1, Decision::Panic, false, &trace),
    ];
    let next = chain(&instances, endpoint(&trace, || Response::new(Body::empty())));
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| next.call(request(Method::GET))));
    assert!(caught.is_err());
    assert_eq!(trace.events(), ["request 0", "request 1", "end 0 0 0 Failed /path"]);
}
