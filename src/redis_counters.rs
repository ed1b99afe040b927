//! Rate limits that several servers share, counted in Redis (R81).
//!
//! One connection carries what all requests ask. Where an answer fails, or takes longer than the settings allow, the
//! connection is given up: from then on this server counts alone and no request waits, until a connection that answers
//! is made in the background.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use flagstone_layers::rate_limit::{SharedAnswer, SharedAsk, SharedCounters, Verdict};
use hmac::{Hmac, KeyInit, Mac};
use redis::{AsyncConnectionConfig, Client, RedisError, Script, aio::MultiplexedConnection};
use sha2::Sha256;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::settings::{BadSetting, Redis};

/// The arithmetic of the sliding window, done by Redis: one round trip, and nobody comes between.
const SCRIPT: &str = include_str!("redis_counters/sliding_window.lua");
/// How often Redis is asked whether it counts, and looked for where it is away.
const PROBE: Duration = Duration::from_secs(1);
/// The script's numbers are exact up to 2⁵³; nobody waits that many milliseconds.
const LARGEST: u64 = 1 << 52;
/// Questions on their way to the connection; further ones wait, within their time.
const QUEUE: usize = 1024;

/// Counts requests in Redis. Clones are the same.
#[derive(Clone)]
pub(crate) struct RedisCounters(Arc<Shared>);

/// How Redis is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// Whether the limits are shared at the moment; `None` before the first attempt.
    is_up: Option<bool>,
    /// What is wrong.
    pub(crate) error: Option<String>,
    /// How long its last answer, or the last attempt to get one, took.
    pub(crate) latency: Duration,
}

/// Why Redis did not count.
#[derive(Debug, thiserror::Error)]
enum Away {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("no answer within {} ms", .0.as_millis())]
    Slow(Duration),
    #[error("an answer of another shape than the script gives")]
    Shape,
}

struct Shared {
    client: Client,
    config: AsyncConnectionConfig,
    command_timeout: Duration,
    prefix: String,
    /// Keys are hashed with it: who reads Redis learns of nobody that called.
    secret: [u8; 32],
    script: Script,
    /// `None` while Redis is away.
    connection: ArcSwapOption<MultiplexedConnection>,
    health: Mutex<Health>,
    /// Requests that this server counted alone.
    fallbacks: AtomicU64,
}

/// What the script is run with.
struct Question {
    keys: Vec<String>,
    arguments: Vec<u64>,
}

// === impl RedisCounters ===

impl RedisCounters {
    /// Counters in the Redis of these settings; `None` where they name none. All servers need the same secret.
    pub(crate) fn new(settings: &Redis, secret: [u8; 32]) -> Result<Option<Self>, BadSetting> {
        let Some(client) = settings.client()? else { return Ok(None) };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout.0))
            // Each question has its own deadline.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        Ok(Some(Self(Arc::new(Shared {
            client,
            config,
            command_timeout: settings.command_timeout.0,
            prefix: settings.prefix.clone(),
            secret,
            script: Script::new(SCRIPT),
            connection: ArcSwapOption::empty(),
            health: Mutex::default(),
            fallbacks: AtomicU64::new(0),
        }))))
    }

    /// Makes a first attempt to connect, and stays connected from then on.
    pub(crate) async fn start(&self) {
        self.0.check().await;
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut ticks = interval(PROBE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                shared.check().await;
            }
        });
    }

    /// How Redis is.
    pub(crate) fn health(&self) -> Health {
        self.0.health().clone()
    }

    /// Requests that this server counted alone.
    pub(crate) fn fallbacks(&self) -> u64 {
        self.0.fallbacks.load(Ordering::Relaxed)
    }
}

impl SharedCounters for RedisCounters {
    fn ask(&self, asked: Vec<SharedAsk>) -> Option<SharedAnswer> {
        let Some(connection) = self.0.connection.load_full() else {
            self.0.fallbacks.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let shared = Arc::clone(&self.0);
        Some(Box::pin(async move {
            let question = shared.question(&asked);
            match shared.put(&connection, &question).await {
                Ok(verdicts) => Some(verdicts),
                Err(away) => {
                    shared.lose(&connection, &away);
                    shared.fallbacks.fetch_add(1, Ordering::Relaxed);
                    None
                }
            }
        }))
    }
}

// === impl Health ===

impl Health {
    /// Whether the limits are shared.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up == Some(true)
    }
}

// === impl Shared ===

impl Shared {
    /// Asks Redis whether it counts, or looks for it.
    async fn check(&self) {
        let began = Instant::now();
        let outcome = match self.connection.load_full() {
            Some(connection) => {
                self.probe(&connection).await.inspect_err(|away| self.lose(&connection, away))
            }
            None => self.connect().await.map(|connection| self.connection.store(Some(Arc::new(connection)))),
        };
        self.health().latency = began.elapsed();
        match outcome {
            Ok(()) => self.note_up(),
            Err(away) => self.note_away(&away),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Away> {
        let connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        timeout(self.command_timeout, self.script.load_async(&mut connection.clone()))
            .await
            .map_err(|_| Away::Slow(self.command_timeout))??;
        self.probe(&connection).await?;
        Ok(connection)
    }

    /// Counts once, as a request does: a Redis that answers may still take no changes.
    async fn probe(&self, connection: &MultiplexedConnection) -> Result<(), Away> {
        let question = Question { keys: vec![format!("{}probe", self.prefix)], arguments: vec![1, 1, 0, 1] };
        self.put(connection, &question).await.map(drop)
    }

    fn question(&self, asked: &[SharedAsk]) -> Question {
        let arguments = asked.iter().flat_map(|asked| {
            let quota = asked.quota;
            let numbers = [quota.requests, quota.window, quota.block_for, u64::from(asked.observe)];
            numbers.map(|number| number.min(LARGEST))
        });
        Question { keys: asked.iter().map(|asked| self.key(asked)).collect(), arguments: arguments.collect() }
    }

    /// The limit's name in clear text, for people who look; who called only as a hash.
    fn key(&self, asked: &SharedAsk) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key of 32 bytes");
        mac.update(asked.counters.as_bytes());
        if let Some(key) = &asked.key {
            mac.update(&[0]);
            mac.update(key);
        }
        let mut text = format!("{}limit:{}:", self.prefix, asked.counters);
        for byte in mac.finalize().into_bytes().iter().take(16) {
            // Writing into a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    async fn put(
        &self,
        connection: &MultiplexedConnection,
        question: &Question,
    ) -> Result<Vec<Verdict>, Away> {
        let mut connection = connection.clone();
        let mut invocation = self.script.prepare_invoke();
        for key in &question.keys {
            invocation.key(key);
        }
        for number in &question.arguments {
            invocation.arg(number);
        }
        let answer = timeout(self.command_timeout, invocation.invoke_async(&mut connection)).await;
        let numbers: Vec<u64> = answer.map_err(|_| Away::Slow(self.command_timeout))??;
        let verdicts = numbers.as_chunks::<3>().0.iter();
        let verdicts: Vec<Verdict> = verdicts
            .map(|&[allowed, remaining, reset]| Verdict { allowed: allowed == 1, remaining, reset })
            .collect();
        let all = verdicts.len() == question.keys.len() || verdicts.last().is_some_and(|last| !last.allowed);
        if all { Ok(verdicts) } else { Err(Away::Shape) }
    }

    /// Gives a connection up, unless another took its place.
    fn lose(&self, connection: &Arc<MultiplexedConnection>, away: &Away) {
        let before = self.connection.compare_and_swap(&Some(Arc::clone(connection)), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.note_away(away);
        }
    }

    fn note_up(&self) {
        let mut health = self.health();
        health.error = None;
        match health.is_up.replace(true) {
            Some(true) => {}
            Some(false) => tracing::info!("Redis is back: rate limits are shared again"),
            None => tracing::info!("rate limits can be shared through Redis"),
        }
    }

    fn note_away(&self, away: &Away) {
        let mut health = self.health();
        health.error = Some(away.to_string());
        if health.is_up.replace(false) != Some(false) {
            tracing::warn!(error = %away, "Redis is away: rate limits that are shared are counted by this server alone");
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
