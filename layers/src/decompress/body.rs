use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use tower_http::decompression::DecompressionBody;

use crate::kernel::{Body, BodyError, BoxError, Exchange, WrapContext};

/// What any body may become, however little was sent.
const FREE: u64 = 64 * 1024;

/// A body as it is sent; what came of it is counted.
pub(super) struct Counted {
    inner: Body,
    sent: Arc<AtomicU64>,
}

/// A decompressed body that may be so many times as large as what was sent.
pub(super) struct Capped {
    inner: Pin<Box<DecompressionBody<Counted>>>,
    sent: Arc<AtomicU64>,
    made: u64,
    max_ratio: u32,
    exchange: Arc<Exchange>,
    place: WrapContext,
}

impl Counted {
    pub(super) fn new(inner: Body, sent: Arc<AtomicU64>) -> Self {
        Self { inner, sent }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.sent.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}

impl Capped {
    pub(super) fn new(
        inner: DecompressionBody<Counted>,
        sent: Arc<AtomicU64>,
        max_ratio: u32,
        exchange: Arc<Exchange>,
        place: WrapContext,
    ) -> Self {
        Self { inner: Box::pin(inner), sent, made: 0, max_ratio, exchange, place }
    }

    /// Whether more came of it than may, and that is refused; in observe mode it is only noted, once.
    fn exceeds(&mut self, length: usize) -> bool {
        self.made = self.made.saturating_add(length as u64);
        let sent = self.sent.load(Ordering::Relaxed);
        if self.made <= FREE.saturating_add(sent.saturating_mul(u64::from(self.max_ratio))) {
            return false;
        }
        if self.place.refuses(&self.exchange, StatusCode::PAYLOAD_TOO_LARGE) {
            return true;
        }
        self.max_ratio = u32::MAX;
        false
    }
}

impl http_body::Body for Capped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.inner.as_mut().poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if self.exceeds(length) {
                return Poll::Ready(Some(Err(BodyError::TooDense(self.max_ratio).into())));
            }
        }
        Poll::Ready(frame)
    }
}
