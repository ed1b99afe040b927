//! Change streams as Server-Sent Events, on both wires.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use flagstone_layers::kernel::{Access, Body, BoxError, Problem, Response, RouteSpec};
use flagstone_services::{
    hub::{EndReason, Event, StreamItem, Subscription},
    keys::KeyGrant,
};
use http::{
    HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body::Frame;
use jiff::Timestamp;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    GET, Routes,
    context::Context,
    openapi::{Operation, Parameter},
    state::StreamOptions,
};

/// Tells nginx not to gather the stream's events.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The longest time a client is told to wait before it comes back.
const RETRY_SPREAD: Duration = Duration::from_secs(5);

/// Which wire a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Sdk,
    Ofrep,
}

/// The body of a stream.
struct EventStream {
    subscription: Subscription,
    wire: Wire,
    heartbeat: Duration,
    /// Rings when a heartbeat is due.
    timer: Pin<Box<Sleep>>,
    state: State,
    /// A reload made rules that would not let it in.
    refused: Pin<Box<WaitForCancellationFutureOwned>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Done,
}

pub(crate) fn add(routes: &mut Routes) {
    use Access::{AnyKey, StreamToken};
    let last = || {
        let description = "The `id` of the last event that was read: what came since is told first.";
        Parameter::header("Last-Event-ID", description, json!({ "type": "string" }), json!("42"))
    };
    routes.add(
        RouteSpec::new(GET, "/api/v1/stream", "stream", AnyKey).streaming(),
        Operation::new("Streams", "Changes of the key's environment, as they happen")
            .described("The answer goes on for as long as the client stays.")
            .with([last()])
            .answers(200, "Server-Sent Events.", "text/event-stream", events),
        sdk,
    );
    routes.add(
        RouteSpec::new(GET, "/ofrep/v1/events", "ofrep_events", StreamToken).streaming(),
        Operation::new("Streams", "Changes of an environment, for OFREP clients")
            .described("A bulk answer's `eventStreams` has the whole address. The answer goes on for as long as the client stays.")
            .with([last()])
            .answers(200, "Server-Sent Events.", "text/event-stream", ofrep_events),
        ofrep,
    );
}

/// The events' data, each a JSON document on one line.
fn events(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "Events are `flag_update`, `flag_create`, `flag_deleted` and `refetch`; the `id` is the revision.",
        "x-event-data": {
            "type": "object",
            "properties": {
                "type": { "enum": ["flag_update", "flag_create", "flag_deleted", "refetch"] },
                "flagKey": { "type": "string", "description": "The flag; none for `refetch`, which is about many." },
                "revision": { "type": "integer", "minimum": 0 },
            },
            "required": ["type", "revision"],
        },
    })
}

fn ofrep_events(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "Events are `message`; the `id` is the revision.",
        "x-event-data": {
            "type": "object",
            "properties": {
                "type": { "const": "refetchEvaluation" },
                "lastModified": { "type": "integer", "description": "Seconds since 1970." },
            },
            "required": ["type", "lastModified"],
        },
    })
}

/// `GET /api/v1/stream`
pub(crate) async fn sdk(context: Context) -> Result<Response, Problem> {
    open(&context, Wire::Sdk)
}

/// `GET /ofrep/v1/events`
pub(crate) async fn ofrep(context: Context) -> Result<Response, Problem> {
    open(&context, Wire::Ofrep)
}

fn open(context: &Context, wire: Wire) -> Result<Response, Problem> {
    let key: Arc<KeyGrant> = context.attached()?;
    // An id that is no revision of ours is as good as one that is no longer known: the client refetches.
    let last = context
        .head
        .headers()
        .get(&LAST_EVENT_ID)
        .map(|id| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(u64::MAX));
    let subscription = Subscription::open(&key, last, Timestamp::now());
    let refused = context.exchange().mark_stream();
    let stream = EventStream::new(subscription, wire, context.state.streams, refused);
    let mut response = Response::new(Body::new(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

// === impl EventStream ===

impl EventStream {
    fn new(
        subscription: Subscription,
        wire: Wire,
        options: StreamOptions,
        refused: CancellationToken,
    ) -> Self {
        Self {
            subscription,
            wire,
            heartbeat: options.heartbeat,
            timer: Box::pin(tokio::time::sleep(options.heartbeat)),
            state: State::Opening,
            refused: Box::pin(refused.cancelled_owned()),
        }
    }

    fn frame(&self, event: &Event) -> Bytes {
        match self.wire {
            Wire::Sdk => event.sdk.clone(),
            Wire::Ofrep => event.ofrep.clone(),
        }
    }

    /// The last frame: when to come back, so that not everybody does at once.
    fn last(&mut self) -> Bytes {
        self.state = State::Done;
        Bytes::from(format!("retry: {}\n\n", spread(RETRY_SPREAD).as_millis()))
    }

    fn poll(&mut self, context: &mut TaskContext<'_>) -> Poll<Option<Bytes>> {
        match self.state {
            State::Done => return Poll::Ready(None),
            State::Opening => {
                self.state = State::Open;
                return Poll::Ready(Some(Bytes::from_static(b": connected\n\n")));
            }
            State::Open => {}
        }
        if self.refused.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(self.last()));
        }
        match self.subscription.poll_next(context) {
            Poll::Ready(StreamItem::Event(event)) => return Poll::Ready(Some(self.frame(&event))),
            Poll::Ready(StreamItem::Ended(EndReason::Shutdown)) => return Poll::Ready(Some(self.last())),
            Poll::Ready(StreamItem::Ended(EndReason::KeyRevoked | EndReason::EnvironmentDeleted)) => {
                self.state = State::Done;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let next = Instant::now() + self.heartbeat;
        self.timer.as_mut().reset(next);
        Poll::Ready(Some(Bytes::from_static(b":\n\n")))
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Done
    }
}

/// A time from zero up to `most`, spread evenly; not for secrets.
fn spread(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.checked_rem(millis.saturating_add(1)).unwrap_or_default())
}
