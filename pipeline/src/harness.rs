//! A server in miniature for the tests of running pipelines: two routes, some small layers, a file on the disk.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flagstone_layers::kernel::{
    Access, Body, Carry, Ended, Exchange, Flow, Hook, LayerSpec, Matched, Order, PrepareContext,
    PrepareError, Prepared, Problem, Registered, Registry, Request, RequestHead, Resources, Response,
    ResponseHead, RouteSpec, handler,
};
use http::{HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

use crate::{Attempt, Host, Outcome, Pipeline, SettingsSource, Trigger};

/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const HELLO: usize = 0;
pub(crate) const STREAM: usize = 1;
pub(crate) const SLOW: usize = 2;
pub(crate) const EXTRA: usize = 3;

/// A pipeline file with one limit on all routes.
pub(crate) fn limited(limit: u64) -> String {
    chained(&format!("[layers.limit]\nkind = \"count\"\nlimit = {limit}\n"), &["limit"])
}

/// A pipeline file with these layers, of which these make the chain of all routes.
pub(crate) fn chained(layers: &str, chain: &[&str]) -> String {
    format!(
        "version = 1\n{layers}\n[chains]\nall = {chain:?}\n[[routes]]\npath = \"/{{*rest}}\"\nchain = \"all\"\n\
         [fallback]\nchain = \"all\"\n"
    )
}

/// A pipeline over a file in a folder of its own.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) pipeline: Pipeline,
    /// How many instances were prepared so far.
    pub(crate) prepared: Arc<AtomicUsize>,
    /// How many exchanges the `header` layers saw end.
    pub(crate) ended: Arc<AtomicUsize>,
    /// Requests to [`SLOW`] wait for one permit each.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) variables: Arc<Mutex<HashMap<String, String>>>,
}

/// Settings that say what a test tells them to.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) path: Mutex<Option<PathBuf>>,
}

impl SettingsSource for Settings {
    fn paths(&self) -> Vec<PathBuf> {
        self.path.lock().unwrap().iter().cloned().collect()
    }

    /// Each line of the file is the name of a setting that changed.
    fn changed(&self) -> Vec<String> {
        let read = self.path.lock().unwrap().as_ref().and_then(|path| fs::read_to_string(path).ok());
        read.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

struct Prepares(Arc<AtomicUsize>);
struct Ends(Arc<AtomicUsize>);

impl Server {
    pub(crate) fn start(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pipeline.toml"), file).unwrap();
        Self::start_in(folder, "pipeline.toml")
    }

    pub(crate) fn start_in(folder: TempDir, name: &str) -> Self {
        let prepared = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let settings = Arc::new(Settings::default());
        let variables = Arc::new(Mutex::new(HashMap::<String, String>::new()));
        let known = Arc::clone(&variables);
        let host = Host {
            registry: Registry::new(TEST_LAYERS),
            resources: Resources::new().with(Prepares(prepared.clone())).with(Ends(ended.clone())),
            routes: routes(&gate),
            fallback: handler(|_| async { answer(StatusCode::NOT_FOUND, Body::empty()) }),
            variables: Arc::new(move |name| known.lock().unwrap().get(name).cloned()),
            settings: Some(settings.clone()),
            background: None,
        };
        let pipeline = match Pipeline::load(&folder.path().join(name), host) {
            Ok(pipeline) => pipeline,
            Err(report) => panic!("{report}"),
        };
        Self { folder, pipeline, prepared, ended, gate, settings, variables }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("pipeline.toml")
    }

    pub(crate) fn save(&self, file: &str) {
        fs::write(self.path(), file).unwrap();
    }

    pub(crate) async fn reload(&self) -> Outcome {
        self.pipeline.reload(Trigger::Admin).await
    }

    /// Routes a request as a connection does, and begins to answer it.
    pub(crate) fn call(&self, route: usize) -> impl Future<Output = Response> + use<> {
        let snapshot = self.pipeline.current();
        let matched = Matched::Route { id: route, pattern: "/", parameters: Default::default() };
        let exchange =
            Exchange::new(Method::GET, "/", matched).with_generation(Arc::clone(snapshot.generation()));
        let (parts, ()) = http::Request::new(()).into_parts();
        let request = Request::new(parts, Body::empty(), Arc::new(exchange));
        snapshot.chain(route).unwrap().call(request).wait()
    }

    pub(crate) async fn status(&self, route: usize) -> StatusCode {
        self.call(route).await.status()
    }

    /// Waits for an attempt of this sort, made or yet to come.
    pub(crate) async fn attempt(&self, wanted: impl FnMut(&Arc<Attempt>) -> bool) -> Attempt {
        let mut attempts = self.pipeline.attempts();
        let attempt = tokio::time::timeout(SOON, attempts.wait_for(wanted)).await;
        Attempt::clone(&attempt.expect("the attempt should have come by now").unwrap())
    }
}

/// Waits until a value is what it must become.
pub(crate) async fn becomes<T: PartialEq + std::fmt::Debug>(mut value: watch::Receiver<T>, wanted: T) {
    let waited = tokio::time::timeout(SOON, value.wait_for(|value| *value == wanted)).await.is_ok();
    assert!(waited, "{:?} should have become {wanted:?}", *value.borrow());
}

fn routes(gate: &Arc<Semaphore>) -> Vec<(RouteSpec, flagstone_layers::kernel::Next)> {
    let gate = Arc::clone(gate);
    let get = |path, name| RouteSpec::new(Method::GET, path, name, Access::Public);
    vec![
        (get("/hello", "hello"), handler(|_| async { answer(StatusCode::OK, Body::from("hello")) })),
        (get("/stream", "stream").streaming(), handler(stream)),
        (
            get("/slow", "slow"),
            handler(move |_| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    answer(StatusCode::OK, Body::from("slow"))
                }
            }),
        ),
        (get("/extra", "extra").optional(), handler(|_| async { answer(StatusCode::OK, Body::empty()) })),
    ]
}

async fn stream(request: Request) -> Response {
    request.exchange().mark_stream();
    answer(StatusCode::OK, Body::from("a stream that nobody reads to its end"))
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

// === The layers ===

static TEST_LAYERS: &[Registered] = &[
    Registered::of::<CountSpec>(),
    Registered::of::<OtherCountSpec>(),
    Registered::of::<HeaderSpec>(),
    Registered::of::<FaultySpec>(),
];

/// Lets so many requests through, for ever.
struct Count {
    limit: u64,
    counted: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountConfig {
    limit: u64,
    #[serde(default)]
    key: String,
}

impl Hook for Count {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if self.counted.fetch_add(1, Ordering::Relaxed) < self.limit {
            return Flow::Continue(());
        }
        Flow::refuse(head, Problem::new(StatusCode::TOO_MANY_REQUESTS, "LIMITED", "No more."))
    }
}

struct CountSpec;

impl LayerSpec for CountSpec {
    const KIND: &'static str = "count";
    const ABOUT: &'static str = "Counts.";
    type Config = CountConfig;

    fn order(_: &CountConfig) -> Order {
        Order { refuses: true, ..Order::default() }
    }

    fn prepare(config: &CountConfig, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        if let Some(prepares) = context.resource::<Prepares>() {
            prepares.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Prepared::hook(Count {
            limit: config.limit,
            counted: context.state("counted", AtomicU64::default),
        }))
    }

    fn carry(old: &CountConfig, new: &CountConfig) -> Carry {
        if old.key == new.key { Carry::Keep } else { Carry::Reset("it counts by another key") }
    }
}

/// The same by another name.
struct OtherCountSpec;

impl LayerSpec for OtherCountSpec {
    const KIND: &'static str = "other_count";
    const ABOUT: &'static str = "Counts, too.";
    type Config = CountConfig;

    fn order(config: &CountConfig) -> Order {
        CountSpec::order(config)
    }

    fn prepare(config: &CountConfig, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        CountSpec::prepare(config, context)
    }
}

/// Sets a header, and counts the ends.
struct Header {
    value: HeaderValue,
    ends: Option<Arc<Ends>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HeaderConfig {
    value: String,
}

impl Hook for Header {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_response(&self, (): (), response: &mut ResponseHead<'_>) {
        response.headers_mut().insert("x-test", self.value.clone());
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        if let Some(ends) = &self.ends {
            ends.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct HeaderSpec;

impl LayerSpec for HeaderSpec {
    const KIND: &'static str = "header";
    const ABOUT: &'static str = "Sets a header.";
    type Config = HeaderConfig;

    fn order(_: &HeaderConfig) -> Order {
        Order::default()
    }

    fn prepare(config: &HeaderConfig, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let value = HeaderValue::from_str(&config.value);
        let value =
            value.map_err(|_| PrepareError::new("value", format!("{:?} is no header", config.value)))?;
        Ok(Prepared::hook(Header { value, ends: context.resource() }))
    }
}

/// Asks for state, and then fails.
struct FaultySpec;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FaultyConfig {
    panics: bool,
}

impl LayerSpec for FaultySpec {
    const KIND: &'static str = "faulty";
    const ABOUT: &'static str = "Fails.";
    type Config = FaultyConfig;

    fn order(_: &FaultyConfig) -> Order {
        Order::default()
    }

    fn prepare(config: &FaultyConfig, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        context.state("unused", AtomicU64::default);
        assert!(!config.panics, "a bug in a layer");
        Err(PrepareError::new("panics", "it never can").help("leave it out"))
    }
}
