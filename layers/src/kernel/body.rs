use std::{
    any::Any,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode, header::CONTENT_LENGTH};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use smallvec::SmallVec;
use tokio::{runtime::Handle, time::Sleep};

use super::{
    chain::Ends,
    exchange::Exchange,
    hook::{Ended, Outcome},
    next::{BoxError, Response},
    spec::WrapContext,
};

/// The body of requests and responses.
///
/// It is one of a few kinds without an allocation, or anything else boxed; it can be limited, and it can carry a tail
/// that runs the end hooks once it is done or dropped.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    limits: Limits,
    tail: Option<Tail>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

/// Reads a body to its end. It may be polled where it stands and moved after that.
pub struct Reading {
    body: Body,
    first: Bytes,
    rest: Vec<u8>,
}

/// How much of a body may be read, and how long that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// The most bytes.
    pub bytes: u64,
    /// The longest time from the first wait for data to the end; `None` is as long as it takes.
    pub time: Option<Duration>,
}

/// The limits of a body, each of which holds.
pub(super) type Limits = SmallVec<[Limiting; 1]>;

/// A limit and what is left of it.
pub(super) struct Limiting {
    limit: BodyLimit,
    remaining: u64,
    deadline: Option<Pin<Box<Sleep>>>,
    limiter: Option<Limiter>,
}

/// Whose limit it is, to be told when it is exceeded.
pub(super) struct Limiter {
    pub(super) place: Arc<WrapContext>,
    pub(super) exchange: Arc<Exchange>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// It took too long.
    #[error("the body took longer than {0:?}")]
    TooSlow(Duration),
    /// It decompresses to more than so many times its size.
    #[error("the body decompresses to more than {0} times its size")]
    TooDense(u32),
    /// The connection or what makes the body failed.
    #[error("the body ended early: {0}")]
    Broken(#[source] BoxError),
}

/// Runs end hooks when it is dropped. It holds no group, chain or snapshot, so an open stream pins none.
pub(super) struct Tail {
    ends: Arc<Ends>,
    mask: u64,
    exchange: Arc<Exchange>,
    status: Option<StatusCode>,
    /// How long the body is, where that was known before it was sent.
    length: Option<u64>,
    bytes: u64,
    outcome: Outcome,
    /// The tail of a group further in, which ends first.
    inner: Option<Box<Tail>>,
}

// === impl Body ===

impl Body {
    /// The most of a request's body that is read for nobody, in bytes. With more of it unread its connection ends.
    pub const DISCARDED: u64 = 64 << 10;

    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Any other body. One that is a [`Body`] or an [`Incoming`] already is taken as it is.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        if let Some(body) = any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return body;
        }
        if let Some(incoming) = any.downcast_mut::<Option<Incoming>>().and_then(Option::take) {
            return Self::from(incoming);
        }
        match body {
            Some(body) => Self::from(Kind::Boxed(Box::pin(body.map_err(Into::into)))),
            None => Self::empty(),
        }
    }

    /// Reads all of it. A body in one piece is not copied.
    pub fn read(self) -> Reading {
        Reading { body: self, first: Bytes::new(), rest: Vec::new() }
    }

    /// Whether all of it is in memory: then nothing can wait, fail or panic while it is sent.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Full(_))
    }

    /// Limits what is read from here on. Of several limits the tightest holds.
    pub fn limit(&mut self, limit: BodyLimit) {
        self.limits.push(Limiting::new(limit));
    }

    pub(super) fn limit_all(&mut self, limits: &mut Limits) {
        if self.limits.is_empty() {
            std::mem::swap(&mut self.limits, limits);
        } else {
            self.limits.append(limits);
        }
    }

    /// Hands the end of an answer to its body.
    pub(super) fn attach(response: &mut Response, mut tail: Tail) {
        use http_body::Body as _;
        let promised = || response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        tail.status = Some(response.status());
        tail.length = response.body().size_hint().exact().or_else(promised);
        let body = response.body_mut();
        tail.inner = body.tail.take().map(Box::new);
        body.tail = Some(tail);
    }

    fn poll_limited(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = this.kind.poll_frame(context);
        let exceeded = match &polled {
            Poll::Pending => this.limits.iter_mut().find_map(|limit| limit.wait(context)),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.limits.iter_mut().find_map(|limit| limit.take(length))
            }
            Poll::Ready(_) => None,
        };
        if let Some(error) = exceeded {
            this.kind = Kind::Empty;
            return Poll::Ready(Some(Err(error)));
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::from_source)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(self.as_mut().poll_limited(context));
        if let Some(tail) = &mut self.tail {
            match &polled {
                Some(Ok(frame)) => tail.count(frame.data_ref().map_or(0, |data| data.len() as u64)),
                Some(Err(_)) => self.end(Outcome::Failed),
                None => self.end(Outcome::Complete),
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.kind.size_hint()
    }
}

impl Body {
    /// The end hooks note this outcome now.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if let Some(mut tail) = self.tail.take() {
            tail.finish(outcome);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.kind.is_left_over()
            && let Kind::Incoming(rest) = std::mem::take(&mut self.kind)
        {
            discard(rest);
        }
        let Some(tail) = &self.tail else { return };
        if std::thread::panicking() {
            return self.end(Outcome::Failed);
        }
        // The connection need not poll a body to its end that says it is there, that gave all the bytes it promised, or
        // whose bytes nobody wants.
        let bodiless = *tail.exchange.method() == Method::HEAD
            || matches!(tail.status, Some(StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED));
        let whole = self.kind.is_end_stream() || tail.length == Some(tail.bytes) || bodiless;
        // A body further in may carry a tail of its own, which ends first.
        self.kind = Kind::Empty;
        self.end(if whole { Outcome::Complete } else { Outcome::Aborted });
    }
}

/// Reads what is still to come of a body that nobody wants.
fn discard(mut rest: Incoming) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { while rest.frame().await.is_some_and(|frame| frame.is_ok()) {} });
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, limits: Limits::new(), tail: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::from(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::from(Kind::Incoming(incoming))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Incoming(_) => "incoming",
            Kind::Boxed(_) => "boxed",
        };
        f.debug_struct("Body")
            .field("kind", &kind)
            .field("limited", &!self.limits.is_empty())
            .finish_non_exhaustive()
    }
}

// === impl Reading ===

impl Reading {
    fn add(&mut self, data: Bytes) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&data);
    }
}

impl Future for Reading {
    type Output = Result<Bytes, BodyError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        use http_body::Body as _;
        while !self.body.kind.is_end_stream()
            && let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?)
        {
            if let Ok(data) = frame.into_data() {
                self.add(data);
            }
        }
        // Its tail notes the end now.
        self.body = Body::empty();
        let (first, rest) = (mem::take(&mut self.first), mem::take(&mut self.rest));
        Poll::Ready(Ok(if rest.is_empty() { first } else { rest.into() }))
    }
}

// === impl BodyError ===

impl BodyError {
    /// The error of a body within a body is that of both.
    fn from_source(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => Self::Broken(error),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Whether a short body is still to come, such as that of a request that was refused. If it were left unread, the
    /// connection would be closed under a client that means to go on with it, and its next request lost.
    fn is_left_over(&self) -> bool {
        use http_body::Body as _;
        let Self::Incoming(incoming) = self else { return false };
        incoming.size_hint().exact().is_some_and(|bytes| (1..=Body::DISCARDED).contains(&bytes))
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        use http_body::Body as _;
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Incoming(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Self::Boxed(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        use http_body::Body as _;
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        use http_body::Body as _;
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

// === impl Limiting ===

impl Limiting {
    pub(super) fn new(limit: BodyLimit) -> Self {
        Self { limit, remaining: limit.bytes, deadline: None, limiter: None }
    }

    /// The limiter, unless it has one.
    pub(super) fn claim(&mut self, limiter: impl FnOnce() -> Limiter) {
        self.limiter.get_or_insert_with(limiter);
    }

    /// Counts bytes that came.
    fn take(&mut self, bytes: u64) -> Option<BodyError> {
        match self.remaining.checked_sub(bytes) {
            Some(remaining) => {
                self.remaining = remaining;
                None
            }
            None => self.exceeded(BodyError::TooLarge(self.limit.bytes), StatusCode::PAYLOAD_TOO_LARGE),
        }
    }

    /// Nothing came yet. The timer is made only when the body is first waited for.
    fn wait(&mut self, context: &mut Context<'_>) -> Option<BodyError> {
        let time = self.limit.time?;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        match deadline.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(()) => self.exceeded(BodyError::TooSlow(time), StatusCode::REQUEST_TIMEOUT),
        }
    }

    /// Tells the limiter; in observe mode the body goes on without this limit.
    fn exceeded(&mut self, error: BodyError, status: StatusCode) -> Option<BodyError> {
        let Some(limiter) = &self.limiter else { return Some(error) };
        if limiter.place.refuses(&limiter.exchange, status) {
            return Some(error);
        }
        *self = Self::new(BodyLimit { bytes: u64::MAX, time: None });
        None
    }
}

// === impl Tail ===

impl Tail {
    /// The tail of a group's way through a request, before any of its hooks ran.
    pub(super) fn new(ends: Arc<Ends>, exchange: Arc<Exchange>) -> Self {
        Self {
            ends,
            mask: 0,
            exchange,
            status: None,
            length: None,
            bytes: 0,
            outcome: Outcome::Aborted,
            inner: None,
        }
    }

    /// The hook at this place of the group continued: it notes the end.
    pub(super) fn cover(&mut self, index: usize) {
        self.mask |= 1 << index;
    }

    /// Whether anybody would note the end.
    pub(super) fn covers_any(&self) -> bool {
        self.ends.any(self.mask)
    }

    fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(inner) = &mut self.inner {
            inner.count(bytes);
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if let Some(inner) = &mut self.inner {
            inner.finish(outcome);
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.inner = None;
        // The client is not to blame.
        if self.outcome == Outcome::Aborted && std::thread::panicking() {
            self.outcome = Outcome::Failed;
        }
        let ended = Ended {
            status: self.status,
            bytes: self.bytes,
            duration: self.exchange.started().elapsed(),
            outcome: self.outcome,
        };
        self.ends.run(self.mask, &self.exchange, &ended);
    }
}
