//! Hooks that do as they are told and write down what happens.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use flagstone_layers::kernel::{
    Body, BoxError, Call, Ended, Exchange, Flow, Hook, HookState, Instance, Matched, Next, Prepared, Request,
    RequestHead, Response, ResponseHead, Stats,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body::Frame;

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<String>>>);

/// What a hook does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Continue,
    Stop,
    /// Answers, which is no refusal.
    Answer,
    /// Pends this often, then continues.
    WaitContinue(u8),
    /// Pends this often, then stops.
    WaitStop(u8),
    /// Pends this often, then answers.
    WaitAnswer(u8),
    /// Pends this often, then waits for something else, then continues.
    WaitTwice(u8),
    Panic,
}

/// A hook that records; `S` is what it remembers, `ENDS` whether it notes the end.
pub(crate) struct Recorder<S, const ENDS: bool> {
    pub(crate) number: usize,
    pub(crate) decision: Decision,
    pub(crate) trace: Trace,
    pub(crate) state: std::marker::PhantomData<fn() -> S>,
}

/// What a recorder can remember of a number.
pub(crate) trait Memory: HookState + Unpin {
    fn of(number: usize) -> Self;
    fn shown(&self) -> String;
}

/// Pends a number of times before it gives its value.
pub(crate) struct After<T> {
    pub(crate) polls: u8,
    pub(crate) value: Option<T>,
}

/// A body in pieces. It does not say how long it is.
#[derive(Default)]
pub(crate) struct Pieces {
    pub(crate) pieces: VecDeque<Piece>,
    /// The exact size it tells of, if any.
    pub(crate) size: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    Data(&'static str),
    Pend,
    Fail,
}

impl Trace {
    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<S, const ENDS: bool> Recorder<S, ENDS> {
    pub(crate) fn new(number: usize, decision: Decision, trace: &Trace) -> Self {
        Self { number, decision, trace: trace.clone(), state: std::marker::PhantomData }
    }
}

impl<S: Memory, const ENDS: bool> Recorder<S, ENDS> {
    fn refusal(number: usize) -> Flow<S> {
        let mut response = Response::new(Body::from(format!("stopped by {number}")));
        *response.status_mut() = StatusCode::from_u16(400 + number as u16).unwrap();
        Flow::Stop(Box::new(response))
    }

    fn answer(number: usize) -> Flow<S> {
        Flow::Answer(Box::new(Response::new(Body::from(format!("answered by {number}")))))
    }
}

impl<S: Memory, const ENDS: bool> Hook for Recorder<S, ENDS> {
    type State = S;
    const ENDS: bool = ENDS;

    fn on_request(&self, head: &mut RequestHead) -> Flow<S> {
        let number = self.number;
        self.trace.push(format!("request {number}"));
        let name = HeaderName::from_static("x-passed");
        head.headers_mut().append(name, HeaderValue::from(number));
        let after = |polls, value| Flow::wait(After { polls, value: Some(value) });
        match self.decision {
            Decision::Continue => Flow::Continue(S::of(number)),
            Decision::Stop => Self::refusal(number),
            Decision::Answer => Self::answer(number),
            Decision::WaitContinue(polls) => after(polls, Flow::Continue(S::of(number))),
            Decision::WaitStop(polls) => after(polls, Self::refusal(number)),
            Decision::WaitAnswer(polls) => after(polls, Self::answer(number)),
            Decision::WaitTwice(polls) => after(polls, after(1, Flow::Continue(S::of(number)))),
            Decision::Panic => panic!("hook {number}"),
        }
    }

    fn on_response(&self, state: S, response: &mut ResponseHead<'_>) {
        self.trace.push(format!("response {} {} {}", self.number, state.shown(), response.status()));
        response.headers_mut().append("x-seen-by", HeaderValue::from(self.number));
    }

    fn on_end(&self, exchange: &Exchange, ended: &Ended) {
        let status = ended.status.map_or(0, |status| status.as_u16());
        let Ended { bytes, outcome, .. } = ended;
        self.trace.push(format!("end {} {status} {bytes} {outcome:?} {}", self.number, exchange.path()));
    }
}

impl Memory for () {
    fn of(_: usize) -> Self {}

    fn shown(&self) -> String {
        "nothing".to_owned()
    }
}

impl Memory for [u64; 3] {
    fn of(number: usize) -> Self {
        [number as u64; 3]
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Memory for Option<HeaderValue> {
    fn of(number: usize) -> Self {
        (!number.is_multiple_of(3)).then(|| HeaderValue::from(number))
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Memory for Box<String> {
    fn of(number: usize) -> Self {
        Box::new(format!("text {number}"))
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl<T: Unpin> Future for After<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        context.waker().wake_by_ref();
        match self.polls.checked_sub(1) {
            Some(polls) => {
                self.polls = polls;
                Poll::Pending
            }
            None => Poll::Ready(self.value.take().unwrap()),
        }
    }
}

impl Pieces {
    pub(crate) fn body(pieces: &[Piece]) -> Body {
        Body::new(Self { pieces: pieces.iter().copied().collect(), size: None })
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        context.waker().wake_by_ref();
        match self.pieces.pop_front() {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(data))))),
            Some(Piece::Pend) => Poll::Pending,
            Some(Piece::Fail) => Poll::Ready(Some(Err("the body broke".into()))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.size.map(http_body::SizeHint::with_exact).unwrap_or_default()
    }
}

/// A recording hook under its number as name.
pub(crate) fn recorder<S: Memory, const ENDS: bool>(
    number: usize,
    decision: Decision,
    observe: bool,
    trace: &Trace,
) -> Instance {
    instance(number, Prepared::hook(Recorder::<S, ENDS>::new(number, decision, trace)), observe)
}

pub(crate) fn instance(number: usize, prepared: Prepared, observe: bool) -> Instance {
    Instance { name: number.to_string().into(), prepared, observe, stats: Arc::new(Stats::default()) }
}

/// An endpoint that records and answers at once.
pub(crate) fn endpoint(trace: &Trace, answer: impl Fn() -> Response + Send + Sync + 'static) -> Next {
    let trace = trace.clone();
    Next::new(move |request: Request| {
        let passed = request.head().headers().get_all("x-passed").iter().count();
        trace.push(format!("handler after {passed}"));
        Call::Ready(answer())
    })
}

pub(crate) fn request(method: Method) -> Request {
    let (parts, ()) = http::Request::builder().method(method.clone()).body(()).unwrap().into_parts();
    Request::new(parts, Body::empty(), Arc::new(Exchange::new(method, "/path", Matched::NotFound)))
}

/// Polls at most so often. `None` if there is no answer by then; what was polled is dropped.
pub(crate) fn poll_up_to<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Polls to the end, which must not be far.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    poll_up_to(10_000, future).unwrap()
}
