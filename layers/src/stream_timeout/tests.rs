use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Interval, interval};

use super::*;
use crate::{
    kernel::{Exchange, Instance, LayerSpec as _, Matched, Prepared, chain, handler},
    testing,
};

/// Sends a frame at every tick, for ever.
struct Ticks(Interval);

impl http_body::Body for Ticks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
    }
}

/// A stream that ticks every so many seconds, through the layer: its frames, and how long it lasted.
async fn stream(settings: &str, every: u64, marked: bool, events: bool) -> (Vec<Bytes>, Duration) {
    let inner = handler(move |request: Request| async move {
        if marked {
            request.exchange().mark_stream();
        }
        let mut ticks = interval(Duration::from_secs(every));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut response = Response::new(Body::new(Ticks(ticks)));
        if events {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        }
        response
    });
    let prepared = Prepared::around(StreamTimeout::new(&testing::config(settings)));
    let instance = Instance { name: "streams".into(), prepared, observe: false, stats: Arc::default() };
    let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::GET, "/", Matched::NotFound));
    let response = chain(&[instance], inner).call(Request::new(parts, Body::empty(), exchange)).wait().await;
    let (begun, mut body, mut frames) = (Instant::now(), response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        frames.push(frame.unwrap().into_data().unwrap());
        if frames.len() > 1000 {
            break;
        }
    }
    (frames, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_old_stream_ends_with_a_time_to_come_back_after() {
    let (frames, lasted) = stream("lifetime = '60s'\njitter = 0", 7, true, true).await;
    assert_eq!(lasted, Duration::from_secs(60));
    assert_eq!(frames.len(), 10, "nine ticks and the farewell");
    let farewell = String::from_utf8(frames.last().unwrap().to_vec()).unwrap();
    let after: u64 = farewell.strip_prefix("retry: ").unwrap().strip_suffix("\n\n").unwrap().parse().unwrap();
    assert!(after <= 5_000, "{after}");
}

#[tokio::test(start_paused = true)]
async fn streams_of_the_same_age_end_at_different_times() {
    let mut ends = std::collections::HashSet::new();
    for _ in 0..20 {
        let (_, lasted) = stream("lifetime = '100s'\njitter = '50s'", 10, true, true).await;
        assert!((Duration::from_secs(50)..=Duration::from_secs(100)).contains(&lasted), "{lasted:?}");
        ends.insert(lasted);
    }
    assert!(ends.len() > 10, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_falls_silent_ends_its_stream() {
    let (frames, lasted) = stream("lifetime = '1h'\njitter = 0\nidle = '30s'", 100, true, false).await;
    assert_eq!((frames.len(), lasted), (1, Duration::from_secs(30)));
    let (_, lasted) = stream("lifetime = '1h'\njitter = 0\nidle = false", 100, true, false).await;
    assert_eq!(lasted, Duration::from_secs(3600));
    let (_, lasted) = stream("lifetime = '1h'\njitter = 0\nidle = '30s'", 29, true, false).await;
    assert_eq!(lasted, Duration::from_secs(3600));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_stream_is_left_alone() {
    let (frames, _) = stream("lifetime = '60s'\njitter = 0", 7, false, true).await;
    assert_eq!(frames.len(), 1001);
}

#[test]
fn settings_that_carry_nothing_are_refused() {
    let check = |settings| Spec::check(&testing::config(settings)).first().and_then(|found| found.key);
    assert_eq!(check("lifetime = 0\njitter = 0"), Some("lifetime"));
    assert_eq!(check("lifetime = '1h'\njitter = '1h'"), Some("jitter"));
    assert_eq!(check("idle = 0"), Some("idle"));
    assert_eq!(check(""), None);
}
