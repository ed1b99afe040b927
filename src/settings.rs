//! `flagstone.toml` as types. Which setting takes which variable stands in the shipped file.

mod checks;
mod loaded;
mod reference;
mod secret;
mod setting;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use flagstone_layers::kernel::{Environment, List, Network, Size, Time};
use flagstone_pipeline::Variables;
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    loaded::Loaded,
    reference::reference,
    secret::{DatabaseAddress, Secret},
};
use crate::server::{
    activity::Timeouts, admin::AdminAddress, connection::Limits, proxy_protocol::ProxyProtocol,
    runtime::RuntimeKind,
};

/// What any setting can be overridden by: `FLAGSTONE_<SECTION>__<KEY>`.
const PREFIX: &str = "FLAGSTONE_";
/// The settings file in the configuration folder.
const FILE: &str = "flagstone.toml";
/// The pipeline file in the configuration folder.
const PIPELINE_FILE: &str = "pipeline.toml";

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What kind of place this is. `development` lets pages served from `localhost` call the server.
    pub(crate) environment: Environment,
    /// Where people reach the server, such as `https://flags.example.com`; empty where that is not known. Whether
    /// cookies are marked secure depends on it.
    pub(crate) public_url: String,
    /// Sockets and connections.
    pub(crate) server: Server,
    /// Where everything is kept.
    pub(crate) database: Database,
    /// Where several instances count requests together.
    pub(crate) redis: Redis,
    /// Logs.
    pub(crate) log: Log,
    /// The first administrator.
    pub(crate) admin: Admin,
    /// People's accounts.
    pub(crate) accounts: AccountSettings,
    /// Sessions.
    pub(crate) sessions: Sessions,
    /// Change streams.
    pub(crate) streams: Streams,
    /// The server's end.
    pub(crate) shutdown: Shutdown,
}

/// Sockets and connections.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The address to listen on.
    pub(crate) listen: String,
    /// The port to listen on in place of the one in `listen`; empty leaves that.
    pub(crate) port: String,
    /// The address of the admin listener: loopback, or `unix:/path`.
    pub(crate) admin_listen: String,
    /// The networks of proxies that begin each connection with the PROXY protocol (version 1 or 2). They have to, and
    /// nobody else may.
    pub(crate) proxy_protocol_from: List<Network>,
    /// How the threads that serve connections are arranged: `shared`, one runtime for everything, or `per_core`, a
    /// runtime of its own for each core, with a shared one for what waits for the database.
    pub(crate) runtime: RuntimeKind,
    /// The most open connections; further ones are closed at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: usize,
    /// How long a request's head may take, from its first byte.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) header_timeout: Time,
    /// How long a connection may be silent. Longer than the proxy's, which else meets a connection that just closed.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub(crate) idle_timeout: Time,
    /// How long a client may take nothing of an answer that waits for it.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) write_timeout: Time,
    /// The largest request head.
    #[schemars(extend("x-minimum" = "8KiB", "x-maximum" = "1MiB"))]
    pub(crate) max_header_size: Size,
    /// The most headers in a request.
    #[schemars(range(min = 8, max = 1_000))]
    pub(crate) max_headers: usize,
    /// The most concurrent requests on one HTTP/2 connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_http2_streams: u32,
}

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// `sqlite:` and the path of a file, or `postgres://USER:PASSWORD@HOST:5432/DATABASE`.
    pub(crate) url: DatabaseAddress,
    /// The longest wait for a connection, and for whoever changes something at the moment; afterwards the answer is
    /// 503.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub(crate) wait_timeout: Time,
    /// The longest wait for a statement; afterwards the answer is 503.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) statement_timeout: Time,
    /// SQLite: how long to wait for another process that holds its lock.
    #[schemars(extend("x-minimum" = "0ms", "x-maximum" = "1m"))]
    pub(crate) busy_timeout: Time,
    /// SQLite: connections that only read.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) readers: usize,
    /// PostgreSQL: the most connections of this instance.
    #[schemars(range(min = 2, max = 1_000))]
    pub(crate) connections: u32,
    /// PostgreSQL: the file with the certificates, in PEM, that the server's must come from; empty: those this machine
    /// trusts.
    pub(crate) tls_ca_file: String,
}

/// Where several instances count requests together: for `rate_limit` layers with `store = "redis"`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Redis {
    /// `redis://USER:PASSWORD@HOST:6379/0`, with `rediss` for TLS; empty: there is none.
    pub(crate) url: DatabaseAddress,
    /// What the names of its keys begin with.
    pub(crate) prefix: String,
    /// The longest wait for a connection, which is made in the background; at a start, once.
    #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "1m"))]
    pub(crate) connect_timeout: Time,
    /// The longest wait of a request; afterwards this server counts alone until Redis answers again.
    #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "1m"))]
    pub(crate) command_timeout: Time,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `json`, one object a line, or `text`.
    pub(crate) format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,flagstone=debug`.
    pub(crate) level: String,
    /// The file that lines are added to; empty is standard output.
    pub(crate) file: String,
    /// What waits to be written at most; what comes beyond is dropped and counted, so that no request waits.
    #[schemars(extend("x-minimum" = "64KiB", "x-maximum" = "1GiB"))]
    pub(crate) buffer: Size,
    /// The release, as every line says it; empty is this program's version.
    pub(crate) release: String,
    /// The instance, as every line says it; empty leaves it out.
    pub(crate) instance: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The first administrator (R8).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// Their e-mail address.
    pub(crate) email: String,
    /// Their password. Empty: a one-time set-up token is printed at the first start.
    pub(crate) password: Secret,
}

/// People's accounts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccountSettings {
    /// Whether the domain of a new e-mail address is looked up in DNS and refused where it takes no e-mail. Where DNS
    /// does not answer, the address is accepted.
    pub(crate) check_email_domain: bool,
}

/// Sessions (R19).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sessions {
    /// A session ends after that long without a request.
    #[schemars(extend("x-minimum" = "1m", "x-maximum" = "30d"))]
    pub(crate) idle: Time,
    /// A session ends that long after the sign-in.
    #[schemars(extend("x-minimum" = "1m", "x-maximum" = "30d"))]
    pub(crate) lifetime: Time,
    /// The most sessions of one person; who signs in once more ends the oldest.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) max_per_user: usize,
}

/// Change streams.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Streams {
    /// How long without an event before a comment is sent.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) heartbeat: Time,
}

/// The server's end (R74).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shutdown {
    /// How long the server goes on after readiness began to fail, so that load balancers notice.
    #[schemars(extend("x-minimum" = "0ms", "x-maximum" = "5m"))]
    pub(crate) pre_stop_delay: Time,
    /// How long all of the end may take from there.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub(crate) deadline: Time,
}

/// A setting that is of the right type and makes no sense all the same.
#[derive(Debug, thiserror::Error)]
#[error("the setting {name}: {problem}")]
pub(crate) struct BadSetting {
    name: &'static str,
    problem: String,
}

/// Looks variables up in the process's environment.
pub(crate) fn environment_variables() -> Variables {
    // An empty variable is as good as none: that is how compose files leave one out.
    Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The names of the process's variables.
pub(crate) fn environment_names() -> Vec<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

// === impl Settings ===

impl Settings {
    /// What is shown redacted, in clear text.
    fn secrets(&self) -> [(&'static str, &str); 3] {
        [
            ("admin.password", self.admin.password.reveal()),
            ("database.url", self.database.url.reveal()),
            ("redis.url", self.redis.url.reveal()),
        ]
    }

    /// Where to listen.
    pub(crate) fn listen(&self) -> Result<SocketAddr, BadSetting> {
        let bad = |problem| BadSetting { name: "server.listen", problem };
        let text = &self.server.listen;
        let mut address: SocketAddr = text
            .parse()
            .map_err(|_| bad(format!("`{text}` is no address: write `127.0.0.1:8080` or `[::]:8080`")))?;
        if !self.server.port.is_empty() {
            let port = self.server.port.trim().parse();
            address.set_port(port.map_err(|_| BadSetting {
                name: "server.port",
                problem: "it is to be a number from 0 to 65535".to_owned(),
            })?);
        }
        Ok(address)
    }

    /// Where the admin listener listens.
    pub(crate) fn admin_listen(&self) -> Result<AdminAddress, BadSetting> {
        let address = self.server.admin_listen.parse();
        address.map_err(|problem| BadSetting { name: "server.admin_listen", problem })
    }

    /// Where people reach the server.
    pub(crate) fn public_url(&self) -> Result<Option<Uri>, BadSetting> {
        if self.public_url.is_empty() {
            return Ok(None);
        }
        let url: Option<Uri> = self.public_url.parse().ok();
        let absolute = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        url.filter(absolute).map(Some).ok_or_else(|| BadSetting {
            name: "public_url",
            problem: format!("`{}` is no URL such as `https://flags.example.com`", self.public_url),
        })
    }

    /// What bounds a connection.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            timeouts: Timeouts {
                head: self.server.header_timeout.0,
                idle: self.server.idle_timeout.0,
                write: self.server.write_timeout.0,
            },
            head_bytes: usize::try_from(self.server.max_header_size.0).unwrap_or(usize::MAX),
            headers: self.server.max_headers,
            streams: self.server.max_http2_streams,
            proxy_protocol: ProxyProtocol::new(self.server.proxy_protocol_from.clone()),
        }
    }
}

// === impl Redis ===

impl Redis {
    /// What connects to it; `None` where there is none.
    pub(crate) fn client(&self) -> Result<Option<redis::Client>, BadSetting> {
        let url = self.url.reveal();
        if url.is_empty() {
            return Ok(None);
        }
        let client = redis::Client::open(url).map(Some);
        client.map_err(|error| BadSetting {
            name: "redis.url",
            problem: format!("it is no address such as `redis://:PASSWORD@localhost:6379/0`: {error}"),
        })
    }
}

// === defaults ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            environment: Environment::Production,
            public_url: String::new(),
            server: Server::default(),
            database: Database::default(),
            redis: Redis::default(),
            log: Log::default(),
            admin: Admin::default(),
            accounts: AccountSettings::default(),
            sessions: Sessions::default(),
            streams: Streams::default(),
            shutdown: Shutdown::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            port: String::new(),
            admin_listen: "127.0.0.1:8081".to_owned(),
            proxy_protocol_from: List::default(),
            runtime: RuntimeKind::default(),
            max_connections: 20_000,
            header_timeout: seconds(10),
            idle_timeout: seconds(75),
            write_timeout: seconds(30),
            max_header_size: Size(32 * 1024),
            max_headers: 64,
            max_http2_streams: 100,
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: "sqlite:data/flagstone.db".into(),
            statement_timeout: seconds(5),
            wait_timeout: seconds(5),
            busy_timeout: seconds(2),
            readers: 3,
            connections: 10,
            tls_ca_file: String::new(),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: "".into(),
            prefix: "flagstone:".to_owned(),
            connect_timeout: seconds(1),
            command_timeout: Time(Duration::from_millis(50)),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            level: "info".to_owned(),
            file: String::new(),
            buffer: Size(4 * 1024 * 1024),
            release: String::new(),
            instance: String::new(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        let email = flagstone_services::accounts::AdminCredentials::DEFAULT_EMAIL.to_owned();
        Self { email, password: Secret::default() }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { idle: seconds(60 * 60), lifetime: seconds(12 * 60 * 60), max_per_user: 20 }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self { heartbeat: seconds(15) }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { pre_stop_delay: seconds(0), deadline: seconds(10) }
    }
}

fn seconds(seconds: u64) -> Time {
    Time(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
