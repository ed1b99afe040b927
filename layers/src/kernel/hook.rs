use std::{any::Any, future::Future, pin::Pin, time::Duration};

use http::{HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::{
    exchange::Exchange,
    next::Response,
    problem::Problem,
    request::{RequestHead, ResponseHead},
};

/// A layer that decides on the request's head, touches the response's head, or notes the end.
///
/// Hooks that stand next to each other are run in one loop and one future. `on_response` runs, in reverse order, for
/// those whose `on_request` continued: a refusal is seen by every layer outside the one that refused and by none inside.
/// `on_end` runs once for each of those, when the answer's body is done, failed or dropped, or when the client went
/// away before there was an answer.
pub trait Hook: Send + Sync + 'static {
    /// What it remembers from the request to the response.
    type State: HookState;
    /// Whether [`on_end`](Self::on_end) does anything.
    const ENDS: bool = false;

    /// Decides on a request.
    fn on_request(&self, head: &mut RequestHead) -> Flow<Self::State>;

    /// Touches the response's head.
    fn on_response(&self, _state: Self::State, _response: &mut ResponseHead<'_>) {}

    /// Notes the end. Must not block.
    fn on_end(&self, _exchange: &Exchange, _ended: &Ended) {}

    /// Whether a stream that is open while a reload puts this hook in its way may go on. All that is known is what was
    /// learned when it began. To be said by those who decide by who calls and from where.
    fn readmits(&self, _stream: &Exchange) -> bool {
        true
    }
}

/// What a hook decides.
pub enum Flow<S> {
    /// The request goes on.
    Continue(S),
    /// The hook refuses: it answers instead, which is counted and logged; in observe mode the request goes on.
    Stop(Box<Response>),
    /// The hook is what answers this request, such as a preflight: it is no refusal.
    Answer(Box<Response>),
    /// It has to ask somebody first. The future borrows nothing and has its own deadline.
    Wait(Pin<Box<dyn Future<Output = Flow<S>> + Send>>),
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The answer's status; `None` where the client went away before there was one.
    pub status: Option<StatusCode>,
    /// Bytes of the body that were handed to the connection, before any transfer coding.
    pub bytes: u64,
    /// Since the request began.
    pub duration: Duration,
    /// What ended it.
    pub outcome: Outcome,
}

/// What ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The body was sent whole.
    Complete,
    /// The body failed.
    Failed,
    /// The client went away, or the connection was closed, before all was sent.
    Aborted,
}

/// State a hook can keep inline. Anything else goes into [`Slot::Boxed`].
pub trait HookState: Sized + Send + 'static {
    /// Whether there is anything to keep.
    const KEPT: bool = true;
    /// Puts it away.
    fn store(self) -> Slot;
    /// Takes it back; `None` cannot happen within a chain.
    fn load(slot: Slot) -> Option<Self>;
}

/// Where a hook's state is kept between request and response.
#[derive(Debug)]
pub enum Slot {
    /// Nothing.
    Empty,
    /// Up to three numbers.
    Words([u64; 3]),
    /// A header's value.
    Header(HeaderValue),
    /// Anything else, at the price of an allocation.
    Boxed(Box<dyn Any + Send>),
}

/// The states of those hooks of a group that continued, in order: a stack.
pub(super) type Slots = SmallVec<[Slot; 4]>;

/// A [`Hook`] with its state type erased.
pub(super) trait ErasedHook: Send + Sync {
    fn on_request(&self, head: &mut RequestHead, slots: &mut Slots) -> ErasedFlow;
    fn on_response(&self, slots: &mut Slots, response: &mut ResponseHead<'_>);
    fn on_end(&self, exchange: &Exchange, ended: &Ended);
    fn readmits(&self, stream: &Exchange) -> bool;
    fn ends(&self) -> bool;
}

pub(super) enum ErasedFlow {
    Continue,
    Stop(Box<Response>),
    Answer(Box<Response>),
    Wait(Pin<Box<dyn Future<Output = Waited> + Send>>),
}

pub(super) enum Waited {
    Continue(Option<Slot>),
    Stop(Box<Response>),
    Answer(Box<Response>),
}

// === impl Flow ===

impl<S> Flow<S> {
    /// Answers instead of the handler, with a problem.
    pub fn refuse(head: &RequestHead, problem: Problem) -> Self {
        Self::Stop(Box::new(problem.into_response(head.exchange())))
    }

    /// Waits for the decision.
    pub fn wait(future: impl Future<Output = Self> + Send + 'static) -> Self {
        Self::Wait(Box::pin(future))
    }
}

// === impl ErasedHook ===

impl<H: Hook> ErasedHook for H {
    fn on_request(&self, head: &mut RequestHead, slots: &mut Slots) -> ErasedFlow {
        match Hook::on_request(self, head) {
            Flow::Continue(state) => {
                if H::State::KEPT {
                    slots.push(state.store());
                }
                ErasedFlow::Continue
            }
            Flow::Stop(response) => ErasedFlow::Stop(response),
            Flow::Answer(response) => ErasedFlow::Answer(response),
            Flow::Wait(future) => ErasedFlow::Wait(Box::pin(waited(future))),
        }
    }

    fn on_response(&self, slots: &mut Slots, response: &mut ResponseHead<'_>) {
        let slot = if H::State::KEPT { slots.pop().unwrap_or(Slot::Empty) } else { Slot::Empty };
        if let Some(state) = H::State::load(slot) {
            Hook::on_response(self, state, response);
        }
    }

    fn on_end(&self, exchange: &Exchange, ended: &Ended) {
        Hook::on_end(self, exchange, ended);
    }

    fn readmits(&self, stream: &Exchange) -> bool {
        Hook::readmits(self, stream)
    }

    fn ends(&self) -> bool {
        H::ENDS
    }
}

async fn waited<S: HookState>(mut future: Pin<Box<dyn Future<Output = Flow<S>> + Send>>) -> Waited {
    loop {
        match future.await {
            Flow::Continue(state) => return Waited::Continue(S::KEPT.then(|| state.store())),
            Flow::Stop(response) => return Waited::Stop(response),
            Flow::Answer(response) => return Waited::Answer(response),
            Flow::Wait(next) => future = next,
        }
    }
}

// === impl HookState ===

impl HookState for () {
    const KEPT: bool = false;

    fn store(self) -> Slot {
        Slot::Empty
    }

    fn load(_: Slot) -> Option<Self> {
        Some(())
    }
}

impl HookState for [u64; 3] {
    fn store(self) -> Slot {
        Slot::Words(self)
    }

    fn load(slot: Slot) -> Option<Self> {
        match slot {
            Slot::Words(words) => Some(words),
            _ => None,
        }
    }
}

impl HookState for bool {
    fn store(self) -> Slot {
        Slot::Words([u64::from(self), 0, 0])
    }

    fn load(slot: Slot) -> Option<Self> {
        <[u64; 3]>::load(slot).map(|[word, ..]| word != 0)
    }
}

impl HookState for Option<HeaderValue> {
    fn store(self) -> Slot {
        self.map_or(Slot::Empty, Slot::Header)
    }

    fn load(slot: Slot) -> Option<Self> {
        match slot {
            Slot::Empty => Some(None),
            Slot::Header(value) => Some(Some(value)),
            _ => None,
        }
    }
}

impl<T: Send + 'static> HookState for Box<T> {
    fn store(self) -> Slot {
        Slot::Boxed(self)
    }

    fn load(slot: Slot) -> Option<Self> {
        match slot {
            Slot::Boxed(state) => state.downcast().ok(),
            _ => None,
        }
    }
}
