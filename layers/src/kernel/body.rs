use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::{
    chain::Ends,
    exchange::Exchange,
    hook::{Ended, Outcome},
    next::BoxError,
};

/// The body of requests and responses.
///
/// It is one of a few kinds without an allocation, or anything else boxed; it can be limited, and it can carry a tail
/// that runs the end hooks once it is done or dropped.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    limit: Option<Limiting>,
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

/// How much of a body may be read, and how long that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// The most bytes.
    pub bytes: u64,
    /// The longest time from the first wait for data to the end; `None` is as long as it takes.
    pub time: Option<Duration>,
}

struct Limiting {
    limit: BodyLimit,
    remaining: u64,
    deadline: Option<Pin<Box<Sleep>>>,
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
    bytes: u64,
    outcome: Outcome,
    /// The tail of a group further in, which ends first.
    inner: Option<Box<Tail>>,
}

// === impl Body ===

impl Body {
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
            Some(body) => Self::from(Kind::Boxed(Box::pin(Foreign(Box::pin(body))))),
            None => Self::empty(),
        }
    }

    /// Reads all of it. A body in one piece is not copied.
    pub async fn read(mut self) -> Result<Bytes, BodyError> {
        let mut first = Bytes::new();
        let mut rest = Vec::new();
        while let Some(frame) =
            std::future::poll_fn(|context| Pin::new(&mut self).poll_limited(context)).await
        {
            let Ok(data) = frame?.into_data() else { continue };
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.into() })
    }

    /// Limits what is read from here on. Of several limits the tightest holds.
    pub fn limit(&mut self, limit: BodyLimit) {
        let limit = match &self.limit {
            Some(before) => before.limit.tightest(limit),
            None => limit,
        };
        self.limit = Some(Limiting { limit, remaining: limit.bytes, deadline: None });
    }

    pub(super) fn attach(&mut self, mut tail: Tail, status: StatusCode) {
        tail.status = Some(status);
        tail.inner = self.tail.take().map(Box::new);
        self.tail = Some(tail);
    }

    fn poll_limited(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = this.kind.poll_frame(context);
        let Some(limiting) = &mut this.limit else {
            return polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::Broken)));
        };
        let frame = match polled {
            Poll::Pending => {
                ready!(limiting.poll_deadline(context));
                this.kind = Kind::Empty;
                return Poll::Ready(Some(Err(BodyError::TooSlow(limiting.limit.time.unwrap_or_default()))));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => frame.map_err(BodyError::Broken)?,
        };
        let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match limiting.remaining.checked_sub(length) {
            Some(remaining) => {
                limiting.remaining = remaining;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                this.kind = Kind::Empty;
                Poll::Ready(Some(Err(BodyError::TooLarge(limiting.limit.bytes))))
            }
        }
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
    fn end(&mut self, outcome: Outcome) {
        if let Some(mut tail) = self.tail.take() {
            tail.finish(outcome);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(tail) = &self.tail else { return };
        // The connection need not poll a body that says it is at its end, or whose bytes nobody wants.
        let bodiless = *tail.exchange.method() == Method::HEAD
            || matches!(tail.status, Some(StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED));
        let whole = self.kind.is_end_stream() || bodiless;
        self.end(if whole { Outcome::Complete } else { Outcome::Aborted });
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, limit: None, tail: None }
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
            .field("limited", &self.limit.is_some())
            .finish_non_exhaustive()
    }
}

// === impl Kind ===

impl Kind {
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

/// A foreign body with its error boxed.
struct Foreign<B>(Pin<Box<B>>);

impl<B> http_body::Body for Foreign<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

// === impl BodyLimit ===

impl BodyLimit {
    /// What both limits allow.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        let time = match (self.time, other.time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { bytes: self.bytes.min(other.bytes), time }
    }
}

impl Limiting {
    /// Ready once the time is over. The timer is made only when the body is first waited for.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(time) = self.limit.time else { return Poll::Pending };
        self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(context)
    }
}

// === impl Tail ===

impl Tail {
    pub(super) fn new(ends: Arc<Ends>, mask: u64, exchange: Arc<Exchange>) -> Self {
        Self { ends, mask, exchange, status: None, bytes: 0, outcome: Outcome::Aborted, inner: None }
    }

    /// The hooks of this mask note the end.
    pub(super) fn cover(mut self, mask: u64) -> Self {
        self.mask = mask;
        self
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
        let ended = Ended {
            status: self.status,
            bytes: self.bytes,
            duration: self.exchange.started().elapsed(),
            outcome: self.outcome,
        };
        self.ends.run(self.mask, &self.exchange, &ended);
    }
}
