use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body::Frame;

use super::*;
use crate::{
    kernel::{
        Body, BodyError, BoxError, Exchange, Instance, LayerSpec, Matched, Prepared, Request, Response, Size,
        Stats, Time, chain, handler,
    },
    testing::config,
};

/// A body that comes in pieces and does not say how long it is, as a chunked one. Without an end it stays open.
struct Chunked {
    chunks: VecDeque<&'static str>,
    ends: bool,
}

impl http_body::Body for Chunked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk))))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn chunked<const N: usize>(chunks: [&'static str; N]) -> Body {
    Body::new(Chunked { chunks: chunks.into(), ends: true })
}

fn limit(size: u64, observe: bool) -> Instance {
    let config = Config { size: Size(size), read_timeout: Time::seconds(15) };
    Instance {
        name: format!("limit-{size}").into(),
        prepared: Prepared::hook(BodyLimits::new(&config)),
        observe,
        stats: Arc::new(Stats::default()),
    }
}

struct Sent {
    exchange: Arc<Exchange>,
    response: Response,
    /// What the handler read; `None` where it was not called.
    read: Option<Result<Bytes, BodyError>>,
}

async fn send(limits: &[Instance], body: Body) -> Sent {
    let read = Arc::new(Mutex::new(None));
    let endpoint = handler({
        let read = read.clone();
        move |request: Request| {
            let read = read.clone();
            async move {
                *read.lock().unwrap() = Some(request.into_parts().1.read().await);
                Response::new(Body::empty())
            }
        }
    });
    let (parts, ()) = http::Request::post("/").body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::POST, "/", Matched::NotFound));
    let response = chain(limits, endpoint).call(Request::new(parts, body, exchange.clone())).wait().await;
    let read = read.lock().unwrap().take();
    Sent { exchange, response, read }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    for body in [Body::from("12345"), chunked(["123", "45"]), chunked(["12345", ""])] {
        let sent = send(&[limit(5, false)], body).await;
        assert_eq!(sent.read.unwrap().unwrap(), "12345");
        assert!(sent.exchange.stopped().is_none());
    }
}

#[tokio::test]
async fn a_length_of_one_byte_more_is_refused_before_the_handler() {
    let sent = send(&[limit(5, false)], Body::from("123456")).await;
    assert_eq!(sent.response.status(), 413);
    assert!(sent.read.is_none());
    assert_eq!(&*sent.exchange.stopped().unwrap().layer, "limit-5");
    let problem: serde_json::Value =
        serde_json::from_slice(&sent.response.into_body().read().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "BODY_TOO_LARGE");
}

#[tokio::test]
async fn chunks_of_one_byte_more_are_an_error_and_the_layers_refusal() {
    let instance = limit(5, false);
    let sent = send(std::slice::from_ref(&instance), chunked(["123", "456"])).await;
    assert!(matches!(sent.read, Some(Err(BodyError::TooLarge(5)))), "{:?}", sent.read);
    let stopped = sent.exchange.stopped().unwrap();
    assert_eq!((&*stopped.layer, stopped.status.as_u16()), ("limit-5", 413));
    assert_eq!(instance.stats.refused(), 1);
}

#[tokio::test]
async fn of_several_limits_the_tightest_holds_and_is_named() {
    for limits in [[limit(5, false), limit(100, false)], [limit(100, false), limit(5, false)]] {
        let sent = send(&limits, chunked(["123", "456"])).await;
        assert!(matches!(sent.read, Some(Err(BodyError::TooLarge(5)))), "{:?}", sent.read);
        assert_eq!(&*sent.exchange.stopped().unwrap().layer, "limit-5");
    }
}

#[tokio::test]
async fn observe_mode_notes_both_ways_and_lets_them_pass() {
    for body in [Body::from("123456"), chunked(["123", "456", "789"])] {
        let instance = limit(5, true);
        let sent = send(std::slice::from_ref(&instance), body).await;
        assert!(sent.read.unwrap().unwrap().starts_with(b"123456"));
        assert_eq!(sent.exchange.observed(), [Arc::<str>::from("limit-5")]);
        assert!(sent.exchange.stopped().is_none());
        assert_eq!((instance.stats.observed(), instance.stats.refused()), (1, 0));
    }
}

#[tokio::test]
async fn an_observed_limit_does_not_loosen_an_enforced_one() {
    let sent = send(&[limit(3, true), limit(5, false)], chunked(["1234", "56"])).await;
    assert!(matches!(sent.read, Some(Err(BodyError::TooLarge(5)))), "{:?}", sent.read);
    assert_eq!(sent.exchange.observed(), [Arc::<str>::from("limit-3")]);
    assert_eq!(&*sent.exchange.stopped().unwrap().layer, "limit-5");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_an_error_and_the_layers_refusal() {
    let began = tokio::time::Instant::now();
    let body = Body::new(Chunked { chunks: ["1"].into(), ends: false });
    let sent = send(&[limit(5, false)], body).await;
    assert!(matches!(sent.read, Some(Err(BodyError::TooSlow(_)))), "{:?}", sent.read);
    assert_eq!(began.elapsed(), Duration::from_secs(15));
    assert_eq!(sent.exchange.stopped().unwrap().status.as_u16(), 408);
}

#[tokio::test]
async fn a_request_without_a_body_passes_even_where_none_is_allowed() {
    let sent = send(&[limit(0, false)], Body::empty()).await;
    assert_eq!(sent.read.unwrap().unwrap(), "");
}

#[test]
fn settings_have_defaults_and_a_lower_end() {
    let defaults = Config { size: Size(1_048_576), read_timeout: Time::seconds(15) };
    assert_eq!(config::<Config>(""), defaults);
    assert_eq!(Spec::check(&config("read_timeout = 0")).len(), 1);
    assert!(Spec::check(&defaults).is_empty());
}
