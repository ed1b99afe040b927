use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::log;
use crate::kernel::{Body, BoxError, Exchange, Outcome, Panic};

/// An answer's body whose panic is an error: the connection or the HTTP/2 stream ends, and nothing else does.
pub(super) struct CaughtBody {
    inner: Option<Body>,
    exchange: Arc<Exchange>,
}

impl CaughtBody {
    pub(super) fn new(body: Body, exchange: Arc<Exchange>) -> Self {
        Self { inner: Some(body), exchange }
    }
}

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match Panic::catch(|| Pin::new(inner).poll_frame(context)) {
            Ok(polled) => polled.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Err(panic) => {
                log(&panic, &self.exchange, "the body of an answer panicked");
                if let Some(mut inner) = self.inner.take() {
                    inner.end(Outcome::Failed);
                    Panic::drop_quietly(inner);
                }
                Poll::Ready(Some(Err("the body of the answer panicked".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
