use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep};

use crate::kernel::{Body, BodyError};

/// A body that ends in time. It has one timer, which is moved only when it rings.
pub(super) struct Timed {
    /// `None` once it is over.
    inner: Option<Body>,
    ends_at: Instant,
    idle: Option<Duration>,
    last_frame: Instant,
    timer: Pin<Box<Sleep>>,
    farewell: Option<Bytes>,
}

impl Timed {
    pub(super) fn new(
        body: Body,
        lifetime: Duration,
        idle: Option<Duration>,
        farewell: Option<Bytes>,
    ) -> Self {
        let now = Instant::now();
        let mut timed = Self {
            inner: Some(body),
            ends_at: now + lifetime,
            idle,
            last_frame: now,
            timer: Box::pin(tokio::time::sleep_until(now)),
            farewell,
        };
        let rings_at = timed.rings_at();
        timed.timer.as_mut().reset(rings_at);
        timed
    }

    fn rings_at(&self) -> Instant {
        match self.idle {
            Some(idle) => self.ends_at.min(self.last_frame + idle),
            None => self.ends_at,
        }
    }

    /// Ready when the time is over.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let rings_at = self.rings_at();
            if Instant::now() >= rings_at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(rings_at);
        }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // Also while there is always a next frame.
        if Instant::now() < this.ends_at
            && let Poll::Ready(frame) = Pin::new(inner).poll_frame(context)
        {
            this.last_frame = Instant::now();
            return Poll::Ready(frame);
        }
        ready!(this.poll_over(context));
        this.inner = None;
        Poll::Ready(this.farewell.take().map(|farewell| Ok(Frame::data(farewell))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none() && self.farewell.is_none()
    }
}
