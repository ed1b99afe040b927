//! What the tests of several layers need.

use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use crate::kernel::{
    Body, Exchange, LayerSpec, Matched, PrepareContext, PrepareError, Prepared, Resources, Response,
    Standalone, StateSource,
};

/// What a layer did to one request.
pub(crate) struct Seen {
    /// What is known of the request.
    pub(crate) exchange: Arc<Exchange>,
    /// The headers the service got; `None` where the layer answered instead.
    pub(crate) inner: Option<HeaderMap>,
    /// The answer.
    pub(crate) response: Response,
}

impl Seen {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header of the answer, its lines joined by a comma; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.response.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(", ")
    }

    /// The answer's body as JSON.
    pub(crate) async fn json(self) -> serde_json::Value {
        serde_json::from_slice(&self.response.into_body().read().await.unwrap()).unwrap()
    }
}

/// Keeps states as a pipeline does.
#[derive(Default)]
pub(crate) struct States(HashMap<(String, &'static str, String), Arc<dyn Any + Send + Sync>>);

impl StateSource for States {
    fn get(&self, instance: &str, kind: &'static str, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.get(&(instance.to_owned(), kind, key.to_owned())).cloned()
    }

    fn put(&mut self, instance: &str, kind: &'static str, key: &str, state: Arc<dyn Any + Send + Sync>) {
        self.0.insert((instance.to_owned(), kind, key.to_owned()), state);
    }

    fn get_shared(&self, _: &str, kind: &'static str, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        self.get("", kind, key)
    }

    fn put_shared(&mut self, kind: &'static str, key: &str, state: Arc<dyn Any + Send + Sync>) {
        self.put("", kind, key, state);
    }
}

/// Settings from TOML.
pub(crate) fn config<C: DeserializeOwned>(text: &str) -> C {
    toml::from_str(text).unwrap()
}

/// Prepares an instance named `test` as a pipeline does.
pub(crate) fn prepare<L: LayerSpec>(
    text: &str,
    resources: &Resources,
    states: &mut States,
) -> Result<Prepared, PrepareError> {
    L::prepare(&config(text), &mut PrepareContext::new("test".into(), L::KIND, resources, states))
}

/// Sends a request with this exchange through a layer around a service that answers 200 with these headers.
pub(crate) async fn send_with<B>(
    layer: &Standalone,
    mut request: http::Request<B>,
    exchange: Exchange,
    answer: HeaderMap,
) -> Seen
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<crate::kernel::BoxError>,
{
    let exchange = Arc::new(exchange);
    request.extensions_mut().insert(exchange.clone());
    let (sender, receiver) = std::sync::mpsc::channel();
    let service = service_fn(move |request: http::Request<Body>| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            sender.send(request.headers().clone()).unwrap();
            let mut response = http::Response::new(Body::empty());
            *response.headers_mut() = answer;
            Ok::<_, Infallible>(response)
        }
    });
    let response = layer.layer(service).oneshot(request).await.unwrap();
    Seen { exchange, inner: receiver.try_recv().ok(), response }
}

/// Sends a request that came from this socket address.
pub(crate) async fn send_from(peer: &str, layer: &Standalone, request: http::Request<Body>) -> Seen {
    let exchange = Exchange::new(request.method().clone(), request.uri().path(), Matched::NotFound)
        .with_peer(peer.parse::<SocketAddr>().unwrap());
    send_with(layer, request, exchange, HeaderMap::new()).await
}

/// Sends a request that came from `192.0.2.1`.
pub(crate) async fn send(layer: &Standalone, request: http::Request<Body>) -> Seen {
    send_from("192.0.2.1:50000", layer, request).await
}

/// Runs a future and gathers the events it logs on this thread, each as its fields in `key=value` form.
pub(crate) async fn events<T>(future: impl Future<Output = T>) -> (T, Vec<String>) {
    let recorder = Recorder::default();
    let events = recorder.0.clone();
    let dispatch = tracing::Dispatch::new(recorder);
    let mut future = std::pin::pin!(future);
    let output = std::future::poll_fn(|context| {
        tracing::dispatcher::with_default(&dispatch, || future.as_mut().poll(context))
    })
    .await;
    let events = events.lock().unwrap().clone();
    (output, events)
}

/// Keeps what is logged.
#[derive(Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}
