use std::{sync::Arc, thread, time::Duration};

use http::{Method, StatusCode};
use prometheus_client::registry::Registry;
use smallvec::SmallVec;

use super::*;
use crate::{
    kernel::{
        Body, Call, Instance, LayerSpec, Matched, Next, Prepared, Request, Resources, Response, Stats, chain,
        handler,
    },
    testing::{States, prepare},
};

fn scrape(metrics: &HttpMetrics) -> Vec<String> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_line(metrics: &HttpMetrics, line: &str) {
    let text = scrape(metrics);
    assert!(text.iter().any(|other| other == line), "no line `{line}` in {text:#?}");
}

fn measured(metrics: &HttpMetrics, endpoint: Next) -> Next {
    let prepared = Prepared::hook(Metrics::new(metrics));
    let stats = Arc::new(Stats::default());
    chain(&[Instance { name: "metrics".into(), prepared, observe: false, stats }], endpoint)
}

fn request(method: &str, pattern: Option<&'static str>) -> Request {
    let method: Method = method.parse().unwrap();
    let matched = match pattern {
        Some(pattern) => Matched::Route { id: 0, pattern, parameters: SmallVec::new() },
        None => Matched::NotFound,
    };
    let (parts, ()) = http::Request::builder().method(method.clone()).body(()).unwrap().into_parts();
    Request::new(parts, Body::empty(), Arc::new(Exchange::new(method, "/x/1", matched)))
}

async fn run(next: &Next, method: &str, pattern: Option<&'static str>) {
    next.call(request(method, pattern)).wait().await.into_body().read().await.unwrap();
}

fn stream() -> Next {
    Next::new(|request: Request| {
        request.exchange().mark_stream();
        Call::Ready(Response::new(Body::from("event")))
    })
}

#[tokio::test]
async fn requests_are_counted_by_pattern_method_and_status() {
    let metrics = HttpMetrics::new();
    let next = measured(&metrics, handler(async |_| Response::new(Body::from("x"))));
    run(&next, "GET", Some("/x/{id}")).await;
    run(&next, "GET", Some("/x/{id}")).await;
    run(&next, "BREW", Some("/x/{id}")).await;
    run(&next, "POST", None).await;
    assert_line(&metrics, "# TYPE http_request_duration_seconds histogram");
    for (labels, count) in [
        (r#"method="GET",path="/x/{id}",status="200""#, 2),
        (r#"method="OTHER",path="/x/{id}",status="200""#, 1),
        (r#"method="POST",path="unknown",status="200""#, 1),
    ] {
        assert_line(&metrics, &format!("http_request_duration_seconds_count{{{labels}}} {count}"));
        assert_line(
            &metrics,
            &format!("http_request_duration_seconds_bucket{{le=\"+Inf\",{labels}}} {count}"),
        );
    }
}

#[test]
fn buckets_hold_what_is_at_most_their_bound() {
    let metrics = HttpMetrics::new();
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    let key = Key::new(&exchange, Some(StatusCode::OK));
    for milliseconds in [500, 501, 60_000] {
        metrics.observe(key, Duration::from_millis(milliseconds));
    }
    let labels = r#"method="GET",path="unknown",status="200""#;
    for (bound, count) in [("0.25", 0), ("0.5", 1), ("1.0", 2), ("10.0", 2), ("+Inf", 3)] {
        assert_line(
            &metrics,
            &format!("http_request_duration_seconds_bucket{{le=\"{bound}\",{labels}}} {count}"),
        );
    }
    assert_line(&metrics, &format!("http_request_duration_seconds_sum{{{labels}}} 61.001"));
}

#[test]
fn one_text_in_two_places_and_on_many_threads_is_one_series() {
    let metrics = HttpMetrics::new();
    let paths: [&'static str; 2] = [String::from("/same").leak(), String::from("/same").leak()];
    thread::scope(|scope| {
        for index in 0..8 {
            let (metrics, path) = (&metrics, paths[index % 2]);
            scope.spawn(move || {
                let key = Key { method: "GET", path, status: Some(StatusCode::OK) };
                (0..1_000).for_each(|_| metrics.observe(key, Duration::from_millis(1)));
            });
        }
    });
    let counts = scrape(&metrics).iter().filter(|line| line.contains("_count{")).count();
    assert_eq!(counts, 1);
    assert_line(
        &metrics,
        r#"http_request_duration_seconds_count{method="GET",path="/same",status="200"} 8000"#,
    );
}

#[tokio::test]
async fn what_is_in_flight_is_counted_until_its_body_ends() {
    let metrics = HttpMetrics::new();
    let next = measured(&metrics, handler(async |_| Response::new(Body::from("x"))));
    let call = next.call(request("GET", None));
    assert_eq!(metrics.in_flight(), 1);
    let response = call.wait().await;
    assert_line(&metrics, "http_requests_in_flight 1");
    drop(response);
    assert_line(&metrics, "http_requests_in_flight 0");
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted_as_aborted() {
    let metrics = HttpMetrics::new();
    let next = measured(&metrics, handler(|_| std::future::pending()));
    drop(next.call(request("GET", None)));
    assert_line(
        &metrics,
        r#"http_request_duration_seconds_count{method="GET",path="unknown",status="aborted"} 1"#,
    );
    assert_eq!(metrics.in_flight(), 0);
}

#[tokio::test]
async fn a_stream_is_timed_to_its_head_and_counted_while_it_is_open() {
    let metrics = HttpMetrics::new();
    let response = measured(&metrics, stream()).call(request("GET", Some("/stream"))).wait().await;
    let line = r#"http_request_duration_seconds_count{method="GET",path="/stream",status="200"} 1"#;
    assert_line(&metrics, line);
    assert_line(&metrics, "http_streams_open 1");
    drop(response);
    assert_line(&metrics, line);
    assert_eq!((metrics.streams(), metrics.in_flight()), (0, 0));
}

#[tokio::test]
async fn a_stream_that_never_got_its_head_was_never_open() {
    let metrics = HttpMetrics::new();
    let next = measured(
        &metrics,
        Next::new(|request: Request| {
            request.exchange().mark_stream();
            Call::Future(Box::pin(std::future::pending()))
        }),
    );
    drop(next.call(request("GET", Some("/stream"))));
    assert_eq!((metrics.streams(), metrics.in_flight()), (0, 0));
    assert_line(
        &metrics,
        r#"http_request_duration_seconds_count{method="GET",path="/stream",status="aborted"} 1"#,
    );
}

#[tokio::test]
async fn a_denial_is_counted_for_whoever_refused() {
    let metrics = HttpMetrics::new();
    let denied = |stop: bool| {
        Next::new(move |request: Request| {
            if stop {
                request.exchange().set_stopped("only-admins".into(), StatusCode::FORBIDDEN);
            }
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FORBIDDEN;
            Call::Ready(response)
        })
    };
    assert_line(&metrics, "# TYPE authz_denials counter");
    run(&measured(&metrics, denied(true)), "GET", Some("/x")).await;
    run(&measured(&metrics, denied(true)), "GET", Some("/x")).await;
    run(&measured(&metrics, denied(false)), "GET", Some("/x")).await;
    run(&measured(&metrics, handler(async |_| Response::new(Body::empty()))), "GET", Some("/x")).await;
    assert_line(&metrics, r#"authz_denials_total{layer="only-admins"} 2"#);
    assert_line(&metrics, r#"authz_denials_total{layer="handler"} 1"#);
    assert_eq!(scrape(&metrics).iter().filter(|line| line.starts_with("authz_denials_total")).count(), 2);
}

#[test]
fn a_server_without_metrics_is_told_so() {
    let error = prepare::<Spec>("", &Resources::new(), &mut States::default()).unwrap_err();
    assert_eq!(error.to_string(), "this server provides no metrics");
    assert!(Spec::order(&Config {}).sees_refusals);
}
