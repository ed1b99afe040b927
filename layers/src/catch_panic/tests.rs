use std::{
    collections::VecDeque,
    sync::Mutex,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Method;
use http_body::Frame;

use super::*;
use crate::{
    kernel::{
        BodyError, BoxError, Ended, Flow, Hook, Instance, Matched, Outcome, Prepared, RequestHead, RequestId,
        Stats, chain, handler,
    },
    testing::events,
};

/// Notes how requests end.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Outcome>>>);

impl Hook for Ends {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_end(&self, _: &Exchange, ended: &Ended) {
        self.0.lock().unwrap().push(ended.outcome);
    }
}

/// A body that gives its chunks and then panics.
struct Panics(VecDeque<&'static str>);

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let chunk = self.0.pop_front().expect("the stream is broken");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }
}

/// Panics, and panics again when it is dropped.
struct Stubborn;

impl Future for Stubborn {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Response> {
        panic!("first");
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        panic!("second");
    }
}

fn instance(name: &str, prepared: Prepared) -> Instance {
    Instance { name: name.into(), prepared, observe: false, stats: Arc::new(Stats::default()) }
}

fn request() -> Request {
    let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    exchange.set_request_id(RequestId::parse(b"id-1").unwrap());
    Request::new(parts, Body::empty(), Arc::new(exchange))
}

/// What a chain of an end hook, `catch_panic` and another end hook answers, and how it ended for either of the hooks.
struct Caught {
    next: Next,
    outer: Ends,
    inner: Ends,
}

impl Caught {
    fn around(endpoint: Next) -> Self {
        let (outer, inner) = (Ends::default(), Ends::default());
        let instances = [
            instance("outer", Prepared::hook(outer.clone())),
            instance("catch-panic", Prepared::around(CatchPanic)),
            instance("inner", Prepared::hook(inner.clone())),
        ];
        Self { next: chain(&instances, endpoint), outer, inner }
    }

    async fn answer(&self) -> Response {
        self.next.call(request()).wait().await
    }

    fn outcomes(&self) -> [Vec<Outcome>; 2] {
        [&self.outer, &self.inner].map(|ends| ends.0.lock().unwrap().clone())
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_one_event_that_tells_all() {
    let at_once = Next::new(|_: Request| -> Call { panic!("secret {}", 1) });
    let later = handler(async |_| -> Response {
        tokio::task::yield_now().await;
        panic!("secret {}", 1)
    });
    for endpoint in [at_once, later] {
        let caught = Caught::around(endpoint);
        let (response, events) = events(caught.answer()).await;
        assert_eq!(response.status(), 500);
        let body = response.into_body().read().await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&"INTERNAL".into(), &"id-1".into()));
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        assert_eq!(events.len(), 1, "{events:?}");
        for part in ["a handler panicked", "request_id=id-1", "secret 1", "method=GET"] {
            assert!(events[0].contains(part), "{events:?}");
        }
        assert_eq!(caught.outcomes(), [vec![Outcome::Complete], vec![Outcome::Failed]]);
    }
}

#[tokio::test]
async fn a_panic_in_a_body_fails_that_body() {
    let caught =
        Caught::around(Next::new(|_: Request| Call::Ready(Response::new(Body::new(Panics(["one"].into()))))));
    let response = caught.answer().await;
    assert_eq!(response.status(), 200);
    let (read, events) = events(response.into_body().read()).await;
    assert!(matches!(read, Err(BodyError::Broken(_))), "{read:?}");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].contains("the stream is broken") && events[0].contains("request_id=id-1"),
        "{events:?}"
    );
    assert_eq!(caught.outcomes(), [vec![Outcome::Failed], vec![Outcome::Failed]]);
}

#[tokio::test]
async fn a_second_panic_while_the_first_is_cleared_away_is_kept_in() {
    let endpoint = Next::new(|_: Request| Call::Future(Box::pin(Stubborn)));
    let next = chain(&[instance("catch-panic", Prepared::around(CatchPanic))], endpoint);
    let (response, events) = events(async { next.call(request()).wait().await }).await;
    assert_eq!(response.status(), 500);
    assert!(events[0].contains("first"), "{events:?}");
}

#[tokio::test]
async fn an_answer_in_memory_is_handed_on_as_it_is() {
    let caught = Caught::around(handler(async |_| Response::new(Body::from("fine"))));
    let response = caught.answer().await;
    assert!(response.body().is_in_memory());
    assert_eq!(response.into_body().read().await.unwrap(), "fine");
    assert_eq!(caught.outcomes(), [vec![Outcome::Complete], vec![Outcome::Complete]]);
}

#[test]
fn it_stands_inside_what_logs_counts_and_sets_headers() {
    use crate::kernel::LayerSpec;
    let order = Spec::order(&Config {});
    for outer in ["request_id", "access_log", "metrics", "security_headers", "cors"] {
        assert!(order.inside_of.contains(&outer), "{outer}");
    }
}
