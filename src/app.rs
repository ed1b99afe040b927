//! The parts of a server: started in order, stopped in reverse.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink},
    client_ip::IgnoredForwards,
    kernel::{Authenticator, Panic, PublicUrl, Resources},
    rate_limit::SharedCounters,
};
use flagstone_pipeline::{Host, Pipeline, Report, Trigger, Watcher};
use flagstone_routes::{Dependency, Figures as _, PipelineStatus, State, StreamOptions, Table};
use flagstone_services::{
    Options, Services,
    accounts::{AccountOptions, AdminCredentials, EmailDomains, FirstAdmin},
    demo::Demo,
    store::{DatabaseOptions, DatabaseUrl},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use crate::{
    cli::{say, write_out},
    demo::{self, Addresses},
    figures::{Figures, LayerFigures, Parts, QueryDurations},
    logging::Logging,
    principals::Principals,
    redis_counters::RedisCounters,
    server::{
        admin::{Admin, AdminAddress, AdminListener, Shown},
        connection::Connections,
        descriptors,
        drain::{Drain, Phase},
        listen,
        runtime::{self, DataPlane},
    },
    settings::{BadSetting, Loaded, Settings, environment_variables},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What the secret is for that shared counters' keys are hashed with.
const RATE_LIMIT_KEYS: &str = "rate_limit_keys";
/// The most of the shutdown's deadline that closing the database may take.
const DATABASE_CLOSE: Duration = Duration::from_secs(5);
/// How long connections that are dropped are waited for.
const ABORT: Duration = Duration::from_millis(100);

/// What a start is asked for beside the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    pub(crate) demo: bool,
    pub(crate) ready_file: Option<PathBuf>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error("the database: {0}")]
    Open(#[from] flagstone_services::OpenError),
    #[error("the database: {0}")]
    Store(#[from] flagstone_services::store::StoreError),
    #[error("the setting accounts.check_email_domain: {0}")]
    EmailDomains(#[from] flagstone_services::accounts::NoNameServers),
    #[error("the first administrator: {0}")]
    FirstAdmin(flagstone_services::error::ServiceError),
    #[error("the demonstration: {0}")]
    Demo(flagstone_services::error::ServiceError),
    #[error("the route table: {0}")]
    Table(#[from] flagstone_routes::TableError),
    #[error("the pipeline has faults")]
    Pipeline(Report),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("the ready file {path}: {source}")]
    ReadyFile { path: String, source: std::io::Error },
    #[error("a thread does not start: {0}")]
    Thread(std::io::Error),
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

/// A server that runs.
pub(crate) struct App {
    services: Arc<Services>,
    pipeline: Pipeline,
    drain: Drain,
    settings: Settings,
    signals: Signals,
    /// The accept loops: they end with the server, not before.
    listeners: JoinSet<()>,
    /// Connections end with it.
    data_plane: Arc<DataPlane>,
    _watcher: Watcher,
}

/// What handlers and the admin listener show of the parts; filled while these start.
struct Shared {
    figures: Figures,
    services: Arc<Services>,
    drain: Drain,
    log: AccessLogSink,
    counters: Option<RedisCounters>,
    pipeline: OnceLock<Pipeline>,
    connections: OnceLock<Arc<Connections>>,
    forwards: OnceLock<Arc<IgnoredForwards>>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

// === impl App ===

impl App {
    /// Starts all parts. What takes long is done on the blocking threads of `background`.
    pub(crate) async fn start(
        loaded: Loaded,
        start: &Start,
        logging: &Logging,
        background: &Handle,
    ) -> Result<Self, StartError> {
        let settings = loaded.settings.clone();
        tracing::info!(settings = %serde_json::to_value(&settings).unwrap_or_default(), version = VERSION, "starting");
        let signals = Signals::new().map_err(StartError::Signals)?;
        let layers = LayerFigures::default();
        let figures = Figures::new(&layers, QueryDurations::new(), VERSION);
        let mut options = service_options(&settings, &figures)?;
        options.accounts.background = Some(background.clone());
        // A flood of sign-ins leaves half of the cores alone.
        let at_a_time = &mut options.accounts.hashing.at_a_time;
        *at_a_time = (*at_a_time).min(runtime::cores() / 2).max(1);
        let services = Services::open(options).await?;
        tracing::info!(database = %settings.database.url, "the database is open and migrated");
        let demo = first_admin(&services, &settings, start).await?;
        let counters = redis_counters(&settings, &services).await?;

        let drain = Drain::new();
        let shared = Arc::new(Shared {
            figures,
            services: Arc::clone(&services),
            drain: drain.clone(),
            log: logging.sink.clone(),
            counters: counters.clone(),
            pipeline: OnceLock::new(),
            connections: OnceLock::new(),
            forwards: OnceLock::new(),
        });
        let routes = flagstone_routes::routes(&Arc::new(state(&settings, &shared)?));
        let table = Table::new(routes.iter().map(|(spec, _)| spec))?;
        let authenticator: Arc<dyn Authenticator> = Arc::new(Principals::new(Arc::clone(&services)));
        let resources = resources(&settings, authenticator, logging.sink.clone(), &layers, counters)?;
        if let Some(forwards) = resources.get() {
            let _ = shared.forwards.set(forwards);
        }
        let host = Host {
            registry: flagstone_layers::registry(),
            resources,
            routes,
            fallback: flagstone_routes::fallback(),
            variables: environment_variables(),
            settings: Some(Arc::new(loaded.clone())),
            background: Some(background.clone()),
        };
        let pipeline = Pipeline::load(&loaded.pipeline_file(), host).map_err(StartError::Pipeline)?;
        let _ = shared.pipeline.set(pipeline.clone());
        let data_plane = Arc::new(DataPlane::start(settings.server.runtime).map_err(StartError::Thread)?);
        let connections = Connections::new(pipeline.clone(), table, settings.limits(), data_plane.control());
        let _ = shared.connections.set(Arc::clone(&connections));

        let (addresses, listeners) =
            listen_on(&settings, &shared, connections, Arc::clone(&data_plane), &drain).await?;
        if let Some(demo) = &demo {
            write_out(format_args!("{}", demo::greeting(&addresses, demo)));
        }
        if let Some(path) = &start.ready_file {
            demo::write_ready_file(path, &addresses, demo.as_ref())
                .map_err(|source| StartError::ReadyFile { path: path.display().to_string(), source })?;
        }
        let watcher = pipeline.watch();
        tracing::info!(url = %addresses.url, admin = %addresses.admin_url, "ready");
        Ok(Self { services, pipeline, drain, settings, signals, listeners, data_plane, _watcher: watcher })
    }

    /// Serves until a signal says to stop, then stops in order. Returns whether all ended in time.
    pub(crate) async fn run(mut self) -> bool {
        let asked = Panic::catch_async(self.asked_to_stop()).await.unwrap_or_else(|panic| {
            tracing::error!(location = panic.location(), %panic, "the main task panicked: stopping");
            false
        });
        self.stop().await && asked
    }

    /// Waits for a reason to stop; whether it is that somebody asked for it.
    async fn asked_to_stop(&mut self) -> bool {
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => return true,
                _ = self.signals.interrupt.recv() => return true,
                Some(ended) = self.listeners.join_next() => {
                    tracing::error!(panicked = ended.is_err(), "a listener ended: stopping");
                    return false;
                }
                _ = self.signals.hangup.recv() => {
                    let pipeline = self.pipeline.clone();
                    // In a task of its own, so that a signal to stop is not kept waiting.
                    tokio::spawn(async move { pipeline.reload(Trigger::Signal).await });
                }
            }
        }
    }

    /// R74, step by step.
    async fn stop(self) -> bool {
        let Self {
            services, drain, settings, signals, listeners: _listeners, data_plane: _data_plane, ..
        } = self;
        let ignored = tokio::spawn(signals.ignore());
        drain.enter(Phase::NotReady);
        tracing::info!("stopping: not ready any more");
        tokio::time::sleep(settings.shutdown.pre_stop_delay.0).await;
        let deadline = tokio::time::Instant::now() + settings.shutdown.deadline.0;
        tracing::info!("stopping: accepting no more connections, ending streams");
        drain.enter(Phase::Draining);
        services.end_streams();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let database = DATABASE_CLOSE.min(left / 2);
        let drained = drain.finished(left.saturating_sub(database)).await;
        if !drained {
            tracing::warn!(connections = drain.running(), "stopping: time is up, dropping connections");
            drain.enter(Phase::Aborting);
            // They are gone at once; their requests' lines and their transactions end with them.
            drain.finished(ABORT).await;
        }
        tracing::info!("stopping: closing the database");
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let closed = services.close(database.max(left)).await;
        if let Err(error) = &closed {
            tracing::error!(%error, "stopping: the database did not close in time");
        }
        ignored.abort();
        let in_time = drained && closed.is_ok();
        tracing::info!(in_time, "stopped");
        in_time
    }
}

fn service_options(settings: &Settings, figures: &Figures) -> Result<Options, StartError> {
    let mut database = DatabaseOptions::new(DatabaseUrl::parse(settings.database.url.reveal())?);
    database.wait_timeout = settings.database.wait_timeout.0;
    database.statement_timeout = settings.database.statement_timeout.0;
    database.connections = settings.database.connections;
    let ca_file = &settings.database.tls_ca_file;
    database.tls_ca_file = (!ca_file.is_empty()).then(|| ca_file.into());
    database.busy_timeout = settings.database.busy_timeout.0;
    database.readers = settings.database.readers;
    database.observer = figures.queries().clone();
    let email_domains = match settings.accounts.check_email_domain {
        true => Some(Arc::new(EmailDomains::of_this_machine()?)),
        false => None,
    };
    let accounts = AccountOptions {
        email_domains,
        session_idle: settings.sessions.idle.0,
        session_lifetime: settings.sessions.lifetime.0,
        sessions_per_user: settings.sessions.max_per_user,
        ..AccountOptions::default()
    };
    Ok(Options { accounts, arrivals: figures.arrivals().clone(), ..Options::new(database) })
}

/// Opens the services alone, for commands that work on the database.
pub(crate) async fn open_services(settings: &Settings) -> Result<Arc<Services>, StartError> {
    let figures = Figures::new(&LayerFigures::default(), QueryDurations::new(), VERSION);
    Ok(Services::open(service_options(settings, &figures)?).await?)
}

/// Sees to it that somebody can administer (R8), or fills a demonstration.
async fn first_admin(
    services: &Services,
    settings: &Settings,
    start: &Start,
) -> Result<Option<Demo>, StartError> {
    if start.demo {
        return flagstone_services::demo::seed(services).await.map(Some).map_err(StartError::Demo);
    }
    let password = settings.admin.password.reveal();
    let credentials = (!password.is_empty())
        .then(|| AdminCredentials { email: settings.admin.email.clone(), password: password.into() });
    match services.accounts.ensure_first_admin(credentials).await.map_err(StartError::FirstAdmin)? {
        FirstAdmin::Present => {}
        FirstAdmin::Created(user) => tracing::info!(email = user.email, "made the first administrator"),
        FirstAdmin::SetupToken(token) => say!(
            "Nobody can sign in yet. Make the first administrator with this one-time token:\n\n  {}\n\n  \
             curl -s URL/api/auth/setup -H 'Content-Type: application/json' \\\n    \
             -d '{{\"token\":\"…\",\"email\":\"…\",\"password\":\"…\"}}'\n",
            token.reveal()
        ),
    }
    Ok(None)
}

fn state(settings: &Settings, shared: &Arc<Shared>) -> Result<State, StartError> {
    Ok(State {
        services: Arc::clone(&shared.services),
        figures: Arc::clone(shared) as _,
        pipeline: Arc::clone(shared) as _,
        readiness: Arc::clone(shared) as _,
        streams: StreamOptions { heartbeat: settings.streams.heartbeat.0 },
        public_url: settings.public_url()?.map(|url| url.to_string()),
        started: Timestamp::now(),
        version: VERSION,
    })
}

/// Counters that instances share, where the settings say through which Redis.
async fn redis_counters(
    settings: &Settings,
    services: &Services,
) -> Result<Option<RedisCounters>, StartError> {
    if settings.redis.client()?.is_none() {
        return Ok(None);
    }
    let secret = services.secret(RATE_LIMIT_KEYS).await.map_err(flagstone_services::OpenError::from)?;
    let counters = RedisCounters::new(&settings.redis, secret)?;
    if let Some(counters) = &counters {
        counters.start().await;
    }
    Ok(counters)
}

/// What layers can ask the server for.
pub(crate) fn resources(
    settings: &Settings,
    authenticator: Arc<dyn Authenticator>,
    access: AccessLogSink,
    layers: &LayerFigures,
    counters: Option<RedisCounters>,
) -> Result<Resources, BadSetting> {
    let resources = Resources::new()
        .with(authenticator)
        .with(access)
        .with(layers.http.clone())
        .with(layers.limits.clone())
        .with(IgnoredForwards::default())
        .with(settings.environment);
    let resources = match counters {
        Some(counters) => resources.with(Arc::new(counters) as Arc<dyn SharedCounters>),
        None => resources,
    };
    Ok(match settings.public_url()? {
        Some(url) => resources.with(PublicUrl::new(url)),
        None => resources,
    })
}

/// Binds both listeners and begins to serve.
async fn listen_on(
    settings: &Settings,
    shared: &Arc<Shared>,
    connections: Arc<Connections>,
    data_plane: Arc<DataPlane>,
    drain: &Drain,
) -> Result<(Addresses, JoinSet<()>), StartError> {
    let (address, admin_address) = (settings.listen()?, settings.admin_listen()?);
    let failed = |address: &dyn std::fmt::Display| {
        let address = address.to_string();
        move |source| StartError::Listen { address, source }
    };
    let listener: TcpListener = listen::bind(address).await.map_err(failed(&address))?;
    let admin_listener = AdminListener::bind(&admin_address).await.map_err(failed(&admin_address))?;
    let bound = listener.local_addr().map_err(failed(&address))?;
    let admin_bound = admin_listener.address().map_err(failed(&admin_address))?;
    let admin = Arc::new(Admin {
        pipeline: connections.pipeline().clone(),
        shown: Arc::clone(shared) as _,
        version: VERSION,
        port: match &admin_bound {
            AdminAddress::Tcp(address) => Some(address.port()),
            AdminAddress::Unix(_) => None,
        },
    });
    let max = descriptors::make_room(settings.server.max_connections);
    let mut listeners = JoinSet::new();
    listeners.spawn(admin_listener.serve(admin, drain.clone()));
    listeners.spawn(listen::accept(listener, connections, data_plane, max, drain.clone()));
    let addresses =
        Addresses { url: format!("http://{}", reachable(bound)), admin_url: admin_bound.to_string() };
    Ok((addresses, listeners))
}

/// An address to connect to for one that is listened on.
fn reachable(mut bound: std::net::SocketAddr) -> std::net::SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(match bound {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    bound
}

/// Checks settings and pipeline as a start would, without serving.
pub(crate) fn check(loaded: &Loaded) -> Result<Pipeline, StartError> {
    struct Nobody;
    impl Authenticator for Nobody {
        fn authenticate(
            &self,
            _: flagstone_layers::kernel::Credential<'_>,
        ) -> flagstone_layers::kernel::Authentication {
            flagstone_layers::kernel::Authentication::Refused(flagstone_layers::kernel::AuthFailure::Invalid)
        }
    }
    let settings = &loaded.settings;
    let routes = flagstone_routes::specs();
    Table::new(routes.iter().map(|(spec, _)| spec))?;
    let (access, writer) =
        AccessLogSink::start(std::io::sink(), &AccessLogOptions::default()).map_err(StartError::Thread)?;
    let counters = RedisCounters::new(&settings.redis, [0; 32])?;
    let host = Host {
        registry: flagstone_layers::registry(),
        resources: resources(settings, Arc::new(Nobody), access, &LayerFigures::default(), counters)?,
        routes,
        fallback: flagstone_routes::fallback(),
        variables: environment_variables(),
        settings: None,
        background: None,
    };
    let checked = Pipeline::load(&loaded.pipeline_file(), host).map_err(StartError::Pipeline);
    writer.close(Duration::from_secs(1));
    checked
}

// === impl Shared ===

impl Shared {
    /// R96: requests whose forwarded headers were ignored, because they came from no trusted proxy; by layer.
    fn ignored_forwards(&self) -> Vec<(Arc<str>, u64)> {
        self.forwards.get().map(|forwards| forwards.counts()).unwrap_or_default()
    }
}

impl flagstone_routes::Figures for Shared {
    fn encode(&self) -> String {
        self.figures.encode(&Parts {
            services: &self.services,
            pipeline: self.pipeline.get(),
            connections: self.connections.get().map(|connections| &**connections),
            ignored_forwards: self.ignored_forwards(),
            counters: self.counters.as_ref(),
            log_lines_dropped: self.log.dropped(),
        })
    }

    fn auth_attempt(&self, method: &'static str, status: &'static str, reason: &'static str) {
        self.figures.auth_attempt(method, status, reason);
    }

    fn evaluated(&self, protocol: flagstone_routes::Protocol, flags: u64) {
        self.figures.evaluated(protocol, flags);
    }
}

impl PipelineStatus for Shared {
    fn status(&self) -> Value {
        let status = self.pipeline.get().map(Pipeline::status);
        let mut status = status.and_then(|status| serde_json::to_value(status).ok()).unwrap_or_default();
        let ignored: serde_json::Map<String, Value> = self
            .ignored_forwards()
            .into_iter()
            .map(|(layer, count)| (layer.to_string(), count.into()))
            .collect();
        if let Some(members) = status.as_object_mut() {
            members.insert("ignored_forwards".to_owned(), ignored.into());
            if let Some(counters) = &self.counters {
                let health = counters.health();
                let shared = json!({ "shared": health.is_up(), "error": health.error });
                members.insert("redis".to_owned(), shared);
            }
        }
        status
    }
}

impl Shown for Shared {
    fn metrics(&self) -> String {
        self.encode()
    }

    fn status(&self) -> Value {
        PipelineStatus::status(self)
    }
}

impl flagstone_routes::Readiness for Shared {
    fn is_serving(&self) -> bool {
        self.drain.phase() == Phase::Serving
    }

    fn redis(&self) -> Option<Dependency> {
        let health = self.counters.as_ref()?.health();
        Some(Dependency { latency: health.latency, error: health.error })
    }
}

// === impl Signals ===

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Says that a second signal changes nothing.
    async fn ignore(mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hangup.recv() => continue,
            }
            tracing::warn!("stopping already: the signal is ignored");
        }
    }
}
