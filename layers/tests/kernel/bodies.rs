//! How a body tells the end hooks what became of it.

use std::{panic::AssertUnwindSafe, pin::Pin};

use flagstone_layers::kernel::{
    Body, Ended, Exchange, Flow, Hook, Next, Prepared, RequestHead, Response, WrapContext, chain, handler,
};
use http::{Method, StatusCode, header::CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::recorder::{
    Decision, Piece, Pieces, Trace, endpoint, finish, instance, poll_up_to, recorder, request,
};

/// The answer to a request through one hook that notes the end.
fn answer(
    method: Method,
    trace: &Trace,
    response: impl Fn() -> Response + Send + Sync + 'static,
) -> Response {
    let hook = recorder::<(), true>(0, Decision::Continue, false, trace);
    finish(chain(&[hook], endpoint(trace, response)).call(request(method)).wait())
}

fn ends(trace: &Trace) -> Vec<String> {
    trace.events().into_iter().filter(|event| event.starts_with("end ")).collect()
}

#[test]
fn a_body_that_is_read_is_complete() {
    for body in
        [|| Body::from("12345"), || Pieces::body(&[Piece::Data("123"), Piece::Pend, Piece::Data("45")])]
    {
        let trace = Trace::default();
        let response = answer(Method::GET, &trace, move || Response::new(body()));
        assert!(ends(&trace).is_empty());
        finish(response.into_body().read()).unwrap();
        assert_eq!(ends(&trace), ["end 0 200 5 Complete /path"]);
    }
}

#[test]
fn an_end_is_noted_when_it_is_seen_and_not_again_when_the_body_is_dropped() {
    let trace = Trace::default();
    let mut body =
        answer(Method::GET, &trace, || Response::new(Pieces::body(&[Piece::Data("1")]))).into_body();
    assert!(finish(body.frame()).is_some());
    assert!(ends(&trace).is_empty());
    assert!(finish(body.frame()).is_none());
    assert_eq!(ends(&trace), ["end 0 200 1 Complete /path"]);
    drop(body);
    assert_eq!(ends(&trace).len(), 1);
}

#[test]
fn a_body_that_fails_has_failed() {
    let trace = Trace::default();
    let response =
        answer(Method::GET, &trace, || Response::new(Pieces::body(&[Piece::Data("123"), Piece::Fail])));
    finish(response.into_body().read()).unwrap_err();
    assert_eq!(ends(&trace), ["end 0 200 3 Failed /path"]);
}

#[test]
fn a_body_that_is_dropped_early_is_aborted() {
    for polls in 0..2 {
        let trace = Trace::default();
        let body = [Piece::Data("123"), Piece::Pend, Piece::Data("45")];
        let response = answer(Method::GET, &trace, move || Response::new(Pieces::body(&body)));
        let mut body = response.into_body();
        for _ in 0..polls {
            assert!(finish(body.frame()).is_some());
        }
        assert!(poll_up_to(polls, body.frame()).is_none());
        drop(body);
        assert_eq!(ends(&trace), [format!("end 0 200 {} Aborted /path", 3 * polls)]);
    }
    let trace = Trace::default();
    drop(answer(Method::GET, &trace, || Response::new(Body::from("12345"))));
    assert_eq!(ends(&trace), ["end 0 200 0 Aborted /path"]);
}

#[test]
fn a_connection_that_took_all_that_was_promised_need_not_look_for_the_end() {
    let with_header = || {
        let mut response = Response::new(Pieces::body(&[Piece::Data("12345")]));
        response.headers_mut().insert(CONTENT_LENGTH, 5.into());
        response
    };
    let sized = || Response::new(Body::new(Pieces { pieces: [Piece::Data("12345")].into(), size: Some(5) }));
    let in_memory = || Response::new(Body::from("12345"));
    for response in [with_header as fn() -> Response, sized, in_memory] {
        let trace = Trace::default();
        let mut body = answer(Method::GET, &trace, response).into_body();
        finish(body.frame()).unwrap().unwrap();
        drop(body);
        assert_eq!(ends(&trace), ["end 0 200 5 Complete /path"]);
    }
}

#[test]
fn a_body_nobody_wants_is_complete_when_it_is_dropped() {
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::GET, StatusCode::NO_CONTENT),
        (Method::GET, StatusCode::NOT_MODIFIED),
    ] {
        let trace = Trace::default();
        drop(answer(method, &trace, move || {
            let mut response = Response::new(Body::from("never sent"));
            *response.status_mut() = status;
            response
        }));
        assert_eq!(ends(&trace), [format!("end 0 {} 0 Complete /path", status.as_u16())]);
    }
    let trace = Trace::default();
    drop(answer(Method::GET, &trace, || Response::new(Body::empty())));
    assert_eq!(ends(&trace), ["end 0 200 0 Complete /path"]);
}

/// Puts the body of what is inside into a body of another kind, as compression does.
fn rewraps() -> Prepared {
    Prepared::around(|inner: Next, _: &WrapContext| {
        handler(move |request| {
            let call = inner.call(request);
            async move { call.wait().await.map(|body| Body::new(Wrapping(body))) }
        })
    })
}

struct Wrapping(Body);

impl http_body::Body for Wrapping {
    type Data = bytes::Bytes;
    type Error = flagstone_layers::kernel::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }
}

#[test]
fn groups_end_from_the_inside_out_with_or_without_a_body_of_another_kind_between() {
    let plain = Prepared::around(|inner: Next, _: &WrapContext| inner);
    for between in [plain, rewraps()] {
        for (reads, outcome) in [(true, "5 Complete"), (false, "0 Aborted")] {
            let trace = Trace::default();
            let instances = [
                recorder::<(), true>(0, Decision::Continue, false, &trace),
                recorder::<(), true>(1, Decision::Continue, false, &trace),
                instance(2, between.clone(), false),
                recorder::<(), true>(3, Decision::Continue, false, &trace),
            ];
            let next = chain(&instances, endpoint(&trace, || Response::new(Body::from("12345"))));
            let response = finish(next.call(request(Method::GET)).wait());
            if reads {
                finish(response.into_body().read()).unwrap();
            } else {
                drop(response);
            }
            assert_eq!(ends(&trace), [3, 1, 0].map(|number| format!("end {number} 200 {outcome} /path")));
        }
    }
}

#[test]
fn an_answer_that_is_thrown_away_for_another_is_aborted() {
    let replaces = Prepared::around(|inner: Next, _: &WrapContext| {
        handler(move |request| {
            let call = inner.call(request);
            async move {
                drop(call.wait().await);
                Response::new(Body::from("another"))
            }
        })
    });
    let trace = Trace::default();
    let instances = [
        recorder::<(), true>(0, Decision::Continue, false, &trace),
        instance(1, replaces, false),
        recorder::<(), true>(2, Decision::Continue, false, &trace),
    ];
    let next = chain(&instances, endpoint(&trace, || Response::new(Body::from("12345"))));
    let response = finish(next.call(request(Method::GET)).wait());
    finish(response.into_body().read()).unwrap();
    assert_eq!(ends(&trace), ["end 2 200 0 Aborted /path", "end 0 200 7 Complete /path"]);
}

#[test]
fn a_group_in_which_nobody_notes_the_end_puts_nothing_on_the_body() {
    let trace = Trace::default();
    let hook = recorder::<(), false>(0, Decision::Continue, false, &trace);
    let next = chain(&[hook], endpoint(&trace, || Response::new(Body::from("12345"))));
    let response = finish(next.call(request(Method::GET)).wait());
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert_eq!(finish(response.into_body().read()).unwrap(), "12345");
    assert!(ends(&trace).is_empty());
}

/// Panics when a request ends.
struct Fragile;

impl Hook for Fragile {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        panic!("cannot note the end");
    }
}

#[test]
fn a_hook_that_panics_at_the_end_keeps_nobody_from_noting_it() {
    let trace = Trace::default();
    let instances = [
        recorder::<(), true>(0, Decision::Continue, false, &trace),
        instance(1, Prepared::hook(Fragile), false),
        recorder::<(), true>(2, Decision::Continue, false, &trace),
    ];
    let next = chain(&instances, endpoint(&trace, || panic!("the handler")));
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| next.call(request(Method::GET))));
    assert!(caught.is_err());
    assert_eq!(ends(&trace), ["end 2 0 0 Failed /path", "end 0 0 0 Failed /path"]);
}
