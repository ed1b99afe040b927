//! Two servers on one database whose global limit is counted in one Redis.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Answer, PATIENCE, Request, Server, Setup};

/// A path that only the global limit limits.
const LIMITED: &str = "/api/openapi.json";
/// For what is about exactness: a loaded machine is no Redis that is away.
const PATIENT: Duration = Duration::from_secs(5);

/// How servers are started. They share its database, which goes with it.
pub(crate) struct Site {
    url: String,
    requests: u64,
    window: Duration,
    timeout: Duration,
    /// More about the global limit.
    settings: &'static str,
    database: PathBuf,
    _folder: TempDir,
}

// === impl Site ===

impl Site {
    pub(crate) fn new(url: String, requests: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url,
            requests,
            window: Duration::from_secs(3600),
            timeout: PATIENT,
            settings: "",
            database: folder.path().join("shared.db"),
            _folder: folder,
        }
    }

    pub(crate) fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// The longest that a request waits for Redis.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// More about the global limit.
    pub(crate) fn with(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    pub(crate) fn setup(&self) -> Setup {
        let limit = "[layers.global-limit]\nkind = \"rate_limit\"\n";
        let shared = format!("{limit}store = \"redis\"\n{}", self.settings);
        Setup::shipped()
            .database(&self.database)
            .variable("REDIS_URL", &self.url)
            .variable("FLAGSTONE_REDIS__COMMAND_TIMEOUT", &self.timeout.as_millis().to_string())
            .variable("RATE_LIMIT_MAX", &self.requests.to_string())
            .variable("RATE_LIMIT_WINDOW_MS", &self.window.as_millis().to_string())
            .pipeline(|text| {
                assert!(text.contains(limit));
                text.replace(limit, &shared)
            })
    }

    pub(crate) fn server(&self) -> Server {
        self.setup().start()
    }

    /// One that writes its log into `log.json`.
    pub(crate) fn logging(&self) -> Server {
        self.setup().variable("LOG_FILE", "log.json").start()
    }
}

/// One request that the global limit counts.
pub(crate) fn ask(server: &Server) -> Answer {
    asker(server)()
}

/// The same, for threads that ask on their own.
pub(crate) fn asker(server: &Server) -> impl Fn() -> Answer + Send + 'static {
    let (agent, url) = (server.agent(), format!("{}{LIMITED}", server.url));
    move || Request::new(&agent, "GET", url.clone()).send()
}

/// How many requests are allowed at once.
pub(crate) fn allowed(server: &Server) -> u64 {
    let mut allowed = 0;
    loop {
        match ask(server).status {
            200 => allowed += 1,
            429 => return allowed,
            status => panic!("{status}"),
        }
    }
}

/// What readiness says of Redis, and of the server.
pub(crate) fn readiness(server: &Server) -> (u16, Value) {
    let answer = server.get("/health/ready").send();
    (answer.status, answer.json()["checks"]["redis"].clone())
}

/// Waits until the server counts in Redis again, or alone.
pub(crate) fn wait_until_shared(server: &Server, shared: bool) {
    let deadline = Instant::now() + PATIENCE;
    while server.figure("rate_limit_shared_up") != u64::from(shared) {
        assert!(Instant::now() < deadline, "{}", readiness(server).1);
        thread::yield_now();
    }
}
