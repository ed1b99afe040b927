//! An answer's body, which notes whether its client takes it: on a connection that carries several, the socket does not
//! show that.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use flagstone_layers::kernel::Body;
use http_body::{Frame, SizeHint};

use super::activity::Activity;

/// hyper asks for a part, keeps it until the client takes of it, and then asks for the next or lets the body go. So a
/// client owes it to take something from when a part was handed out until then.
pub(crate) struct AnswerBody {
    inner: Body,
    /// Only of HTTP/2.
    activity: Option<Arc<Activity>>,
    owed: bool,
}

impl AnswerBody {
    pub(super) fn new(inner: Body, activity: Option<Arc<Activity>>) -> Self {
        Self { inner, activity, owed: false }
    }

    fn owe(&mut self) {
        if let Some(activity) = &self.activity {
            self.owed = true;
            activity.owes();
        }
    }

    fn owe_no_more(&mut self) {
        if let Some(activity) = &self.activity
            && std::mem::take(&mut self.owed)
        {
            activity.owes_no_more();
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.owe_no_more();
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.owe();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.inner)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.owe_no_more();
    }
}
