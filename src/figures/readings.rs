//! Figures that are read off the parts when somebody looks.

use std::{fmt, sync::Arc};

use flagstone_layers::kernel::{MetricKind, MetricLabel, MetricSpec};
use flagstone_pipeline::{OutcomeKind, Pipeline, Status, Trigger};
use flagstone_services::{
    FollowingFigures, Services,
    accounts::{AccountFigures, Revocation},
    store::PoolFigures,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    registry::Registry,
};

use super::process::Process;
use crate::{redis_counters::RedisCounters, server::connection::Connections};

/// The parts whose state is shown; `None` for those that have not started.
pub(crate) struct Parts<'a> {
    pub(crate) services: &'a Services,
    pub(crate) pipeline: Option<&'a Pipeline>,
    pub(crate) connections: Option<&'a Connections>,
    /// Requests whose forwarded headers were ignored, by layer.
    pub(crate) ignored_forwards: Vec<(Arc<str>, u64)>,
    /// Counters that instances share, where they do.
    pub(crate) counters: Option<&'a RedisCounters>,
    pub(crate) log_lines_dropped: u64,
}

/// What the parts said at one moment.
struct Moment {
    accounts: AccountFigures,
    pool: Option<PoolFigures>,
    following: Option<FollowingFigures>,
    revisions: u64,
    streams: u64,
    stream_events: u64,
    stream_overflows: u64,
    connections: u64,
    connections_refused: u64,
    requests_unreadable: u64,
    ignored_forwards: Vec<(Arc<str>, u64)>,
    /// Whether Redis counts, and how many requests it did not.
    shared_counters: Option<(bool, u64)>,
    log_lines_dropped: u64,
    pipeline: Option<Status>,
    process: Option<Process>,
}

/// A metric, and how it is read off.
struct Reading {
    spec: MetricSpec,
    read: fn(&Moment) -> Vec<Sample>,
}

/// One series' value.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

/// What was read off, on its way to the reader.
#[derive(Debug)]
struct Taken(Vec<(MetricSpec, Vec<Sample>)>);

const LAYER: [MetricLabel; 2] = [
    MetricLabel::named("layer", "the name in `pipeline.toml`"),
    MetricLabel::named("kind", "the layer's kind"),
];
const REVOCATIONS: [&str; Revocation::ALL.len()] = {
    let [sign_out, user, replaced, displaced, changed, set] = Revocation::ALL;
    [sign_out.as_str(), user.as_str(), replaced.as_str(), displaced.as_str(), changed.as_str(), set.as_str()]
};
const TRIGGERS: [&str; Trigger::ALL.len()] = {
    let [start, watch, signal, admin] = Trigger::ALL;
    [start.as_str(), watch.as_str(), signal.as_str(), admin.as_str()]
};
const OUTCOMES: [&str; OutcomeKind::ALL.len()] = {
    let [applied, unchanged, rejected, restart_required] = OutcomeKind::ALL;
    [applied.as_str(), unchanged.as_str(), rejected.as_str(), restart_required.as_str()]
};

static READINGS: &[Reading] = &[
    Reading {
        spec: MetricSpec::counter("sessions_created", &[], "Sessions opened by a sign-in"),
        read: |moment| one(moment.accounts.sessions_created),
    },
    Reading {
        spec: MetricSpec::counter(
            "sessions_revoked",
            &[MetricLabel::one_of("reason", &REVOCATIONS)],
            "Sessions ended by somebody, not by time",
        ),
        read: |moment| {
            let counts = Revocation::ALL.into_iter().zip(moment.accounts.sessions_revoked);
            counts.map(|(reason, count)| labelled("reason", reason.as_str(), count)).collect()
        },
    },
    Reading {
        spec: MetricSpec::gauge(
            "active_sessions",
            &[],
            "Sessions that are not over; one that time ended counts until it is purged, five minutes at most",
        ),
        read: |moment| one(moment.accounts.sessions_active),
    },
    Reading {
        spec: MetricSpec::counter(
            "password_hashes",
            &[],
            "Passwords hashed, each of which costs tens of milliseconds",
        ),
        read: |moment| one(moment.accounts.password_hashes),
    },
    Reading {
        spec: MetricSpec::gauge(
            "db_pool_connections",
            &[MetricLabel::one_of("state", &["idle", "used"])],
            "Connections to PostgreSQL",
        ),
        read: |moment| {
            let counts = moment
                .pool
                .iter()
                .flat_map(|pool| [("idle", pool.idle), ("used", pool.connections.saturating_sub(pool.idle))]);
            counts.map(|(state, count)| labelled("state", state, count.into())).collect()
        },
    },
    Reading {
        spec: MetricSpec::gauge(
            "db_pool_max_connections",
            &[],
            "The most connections to PostgreSQL: the setting `database.connections`",
        ),
        read: |moment| of_pool(moment, |pool| u64::from(pool.max_connections).into()),
    },
    Reading {
        spec: MetricSpec::counter(
            "db_pool_waits",
            &[],
            "Operations that had to wait for a connection to PostgreSQL",
        ),
        read: |moment| of_pool(moment, |pool| pool.waits.into()),
    },
    Reading {
        spec: MetricSpec::counter(
            "db_pool_wait_seconds",
            &[],
            "Time that operations waited for a connection to PostgreSQL",
        ),
        read: |moment| of_pool(moment, |pool| Value::Real(pool.wait_time.as_secs_f64())),
    },
    Reading {
        spec: MetricSpec::counter(
            "db_pool_timeouts",
            &[],
            "Operations that got no connection to PostgreSQL in time, or found too many waiting",
        ),
        read: |moment| of_pool(moment, |pool| pool.timeouts.into()),
    },
    Reading {
        spec: MetricSpec::gauge(
            "change_listener_up",
            &[],
            "Whether the connection that hears of other instances' changes answers: 1, or 0 while they are looked for once a second",
        ),
        read: |moment| of_following(moment, |following| u64::from(following.listener.is_ok()).into()),
    },
    Reading {
        spec: MetricSpec::counter(
            "change_listener_reconnects",
            &[],
            "How often the connection that hears of other instances' changes was made anew",
        ),
        read: |moment| of_following(moment, |following| following.reconnects.into()),
    },
    Reading {
        spec: MetricSpec::gauge(
            "change_look_age_seconds",
            &[],
            "How long ago the database was last asked for other instances' changes and answered",
        ),
        read: |moment| of_following(moment, |following| Value::Real(following.looked.as_secs_f64())),
    },
    Reading {
        spec: MetricSpec::gauge(
            "flag_revisions",
            &[],
            "Revisions of all environments in memory, added up: the same on instances that are at the same state",
        ),
        read: |moment| one(moment.revisions),
    },
    Reading {
        spec: MetricSpec::gauge("flag_streams", &[], "Change streams that are open, of SDKs and of OFREP"),
        read: |moment| one(moment.streams),
    },
    Reading {
        spec: MetricSpec::counter(
            "flag_stream_events",
            &[],
            "Changes published to the streams of an environment, each counted once however many read it",
        ),
        read: |moment| one(moment.stream_events),
    },
    Reading {
        spec: MetricSpec::counter(
            "flag_stream_overflows",
            &[],
            "Streams whose client read too slowly: what waited for it became one `refetch`",
        ),
        read: |moment| one(moment.stream_overflows),
    },
    Reading {
        spec: MetricSpec::gauge("http_connections", &[], "Connections that are open"),
        read: |moment| one(moment.connections),
    },
    Reading {
        spec: MetricSpec::counter(
            "http_connections_refused",
            &[],
            "Connections closed at once because `server.max_connections` were open",
        ),
        read: |moment| one(moment.connections_refused),
    },
    Reading {
        spec: MetricSpec::counter(
            "http_requests_unreadable",
            &[],
            "Requests whose head was no HTTP or too large: no layer saw them, and the access log has no line of them",
        ),
        read: |moment| one(moment.requests_unreadable),
    },
    Reading {
        spec: MetricSpec::counter(
            "forwarded_headers_ignored",
            &[MetricLabel::named("layer", "the name in `pipeline.toml` of a `client_ip` layer")],
            "Requests with forwarded headers from a peer that is no trusted proxy: is one missing in `trusted_proxies`?",
        ),
        read: |moment| {
            let ignored = moment.ignored_forwards.iter();
            ignored.map(|(layer, count)| labelled("layer", layer, *count)).collect()
        },
    },
    Reading {
        spec: MetricSpec::gauge(
            "rate_limit_shared_up",
            &[],
            "Whether the limits that instances share are counted in Redis: 1, or 0 while each counts alone",
        ),
        read: |moment| of_shared(moment, |(is_up, _)| u64::from(is_up)),
    },
    Reading {
        spec: MetricSpec::counter(
            "rate_limit_shared_fallbacks",
            &[],
            "Requests that this instance counted alone because Redis was away",
        ),
        read: |moment| of_shared(moment, |(_, fallbacks)| fallbacks),
    },
    Reading {
        spec: MetricSpec::counter(
            "log_lines_dropped",
            &[],
            "Log lines dropped because whoever reads the log, or the disk, was too slow",
        ),
        read: |moment| one(moment.log_lines_dropped),
    },
    Reading {
        spec: MetricSpec::gauge(
            "pipeline_generation",
            &[],
            "The generation of the pipeline that runs; the first is 1",
        ),
        read: |moment| of_pipeline(moment, |status| status.generation.into()),
    },
    Reading {
        spec: MetricSpec::counter(
            "pipeline_reloads",
            &[MetricLabel::one_of("trigger", &TRIGGERS), MetricLabel::one_of("outcome", &OUTCOMES)],
            "Attempts to load the pipeline",
        ),
        read: reloads,
    },
    Reading {
        spec: MetricSpec::gauge(
            "pipeline_last_reload_success",
            &[],
            "Whether the last attempt to load the pipeline went well: 1 or 0",
        ),
        read: |moment| {
            of_pipeline(moment, |status| u64::from(status.last_attempt.outcome.is_success()).into())
        },
    },
    Reading {
        spec: MetricSpec::gauge(
            "pipeline_last_reload_success_timestamp_seconds",
            &[],
            "When an attempt to load the pipeline last went well, in seconds since 1970",
        ),
        read: |moment| of_pipeline(moment, |status| Value::Real(seconds(status.last_success_at))),
    },
    Reading {
        spec: MetricSpec::gauge(
            "pipeline_draining_requests",
            &[],
            "Requests that still run on a generation that was replaced",
        ),
        read: |moment| {
            of_pipeline(moment, |status| {
                status.draining.iter().map(|old| old.requests as u64).sum::<u64>().into()
            })
        },
    },
    Reading {
        spec: MetricSpec::gauge(
            "pipeline_draining_streams",
            &[],
            "Streams that began on a generation that was replaced, and go on",
        ),
        read: |moment| {
            of_pipeline(moment, |status| {
                status.draining.iter().map(|old| old.streams as u64).sum::<u64>().into()
            })
        },
    },
    Reading {
        spec: MetricSpec::counter(
            "pipeline_streams_ended",
            &[],
            "Streams ended because a reload made rules on callers or addresses that refuse them",
        ),
        read: |moment| of_pipeline(moment, |status| status.streams_ended.into()),
    },
    Reading {
        spec: MetricSpec::counter(
            "layer_refusals",
            &LAYER,
            "Requests a layer answered instead of the handler",
        ),
        read: |moment| instances(moment, |instance| instance.refused),
    },
    Reading {
        spec: MetricSpec::counter(
            "layer_observed_refusals",
            &LAYER,
            "Requests a layer in observe mode would have refused",
        ),
        read: |moment| instances(moment, |instance| instance.observed),
    },
    Reading {
        spec: MetricSpec::counter("process_cpu_seconds", &[], "Time the processors worked for the process"),
        read: |moment| of_process(moment, |process| Value::Real(process.cpu_seconds)),
    },
    Reading {
        spec: MetricSpec::gauge("process_resident_memory_bytes", &[], "Memory the process has in RAM"),
        read: |moment| of_process(moment, |process| process.resident_bytes.into()),
    },
    Reading {
        spec: MetricSpec::gauge("process_virtual_memory_bytes", &[], "Address space of the process"),
        read: |moment| of_process(moment, |process| process.virtual_bytes.into()),
    },
    Reading {
        spec: MetricSpec::gauge("process_threads", &[], "Threads of the process"),
        read: |moment| of_process(moment, |process| process.threads.into()),
    },
    Reading {
        spec: MetricSpec::gauge("process_open_fds", &[], "Files, sockets and pipes the process has open"),
        read: |moment| of_process(moment, |process| process.open_files.into()),
    },
    Reading {
        spec: MetricSpec::gauge("process_max_fds", &[], "The most it may have open (`ulimit -n`)"),
        read: |moment| of_process(moment, |process| process.file_limit.into()),
    },
    Reading {
        spec: MetricSpec::gauge(
            "process_start_time_seconds",
            &[],
            "When the process started, in seconds since 1970",
        ),
        read: |moment| of_process(moment, |process| Value::Real(process.started_seconds)),
    },
];

/// All of them, as they describe themselves.
pub(super) fn specs() -> impl Iterator<Item = MetricSpec> {
    READINGS.iter().map(|reading| reading.spec)
}

fn one(value: impl Into<Value>) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: value.into() }]
}

fn labelled(name: &'static str, label: &str, value: u64) -> Sample {
    Sample { labels: vec![(name, label.to_owned())], value: value.into() }
}

fn of_pipeline(moment: &Moment, read: impl Fn(&Status) -> Value) -> Vec<Sample> {
    moment.pipeline.as_ref().map(|status| one(read(status))).unwrap_or_default()
}

fn of_pool(moment: &Moment, read: impl Fn(&PoolFigures) -> Value) -> Vec<Sample> {
    moment.pool.as_ref().map(|pool| one(read(pool))).unwrap_or_default()
}

fn of_following(moment: &Moment, read: impl Fn(&FollowingFigures) -> Value) -> Vec<Sample> {
    moment.following.as_ref().map(|following| one(read(following))).unwrap_or_default()
}

fn of_shared(moment: &Moment, read: impl Fn((bool, u64)) -> u64) -> Vec<Sample> {
    moment.shared_counters.map(|shared| one(read(shared))).unwrap_or_default()
}

fn of_process(moment: &Moment, read: impl Fn(&Process) -> Value) -> Vec<Sample> {
    moment.process.as_ref().map(|process| one(read(process))).unwrap_or_default()
}

fn instances(moment: &Moment, read: impl Fn(&flagstone_pipeline::InstanceStatus) -> u64) -> Vec<Sample> {
    let instances = moment.pipeline.iter().flat_map(|status| &status.instances);
    instances
        .map(|instance| Sample {
            labels: vec![("layer", instance.name.clone()), ("kind", instance.kind.to_owned())],
            value: read(instance).into(),
        })
        .collect()
}

/// All that there can be: what rises from zero is seen by a rate, what begins at one is not.
fn reloads(moment: &Moment) -> Vec<Sample> {
    let Some(status) = &moment.pipeline else { return Vec::new() };
    let all = Trigger::ALL.into_iter().flat_map(|trigger| OutcomeKind::ALL.map(|outcome| (trigger, outcome)));
    all.map(|(trigger, outcome)| {
        let counted =
            status.reloads.iter().find(|counted| (counted.trigger, counted.outcome) == (trigger, outcome));
        Sample {
            labels: vec![("trigger", trigger.as_str().to_owned()), ("outcome", outcome.as_str().to_owned())],
            value: counted.map_or(0, |counted| counted.count).into(),
        }
    })
    .collect()
}

fn seconds(time: jiff::Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1_000.0
}

// === impl Parts ===

impl Parts<'_> {
    /// What is read off them now, ready to be written out.
    pub(super) fn registry(&self) -> Registry {
        let moment = self.moment();
        let taken = READINGS.iter().map(|reading| (reading.spec, (reading.read)(&moment))).collect();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Taken(taken)));
        registry
    }

    fn moment(&self) -> Moment {
        let streams = &self.services.streams;
        Moment {
            accounts: self.services.accounts.figures(),
            pool: self.services.pool(),
            following: self.services.following(),
            revisions: self.services.revisions(),
            streams: streams.open(),
            stream_events: streams.events(),
            stream_overflows: streams.overflows(),
            connections: self.connections.map_or(0, |connections| connections.open() as u64),
            connections_refused: self.connections.map_or(0, Connections::refused),
            requests_unreadable: self.connections.map_or(0, Connections::unreadable),
            ignored_forwards: self.ignored_forwards.clone(),
            shared_counters: self.counters.map(|counters| (counters.health().is_up(), counters.fallbacks())),
            log_lines_dropped: self.log_lines_dropped,
            pipeline: self.pipeline.map(Pipeline::status),
            process: Process::read(),
        }
    }
}

// === impl Taken ===

impl Collector for Taken {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (spec, samples) in &self.0 {
            let mut metric = spec.describe(&mut encoder)?;
            for Sample { labels, value } in samples {
                match labels.is_empty() {
                    true => value.write(&mut metric, spec.kind)?,
                    false => value.write(&mut metric.encode_family(labels)?, spec.kind)?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.labels, self.value)
    }
}

// === impl Value ===

impl Value {
    fn write(self, encoder: &mut MetricEncoder<'_>, kind: MetricKind) -> fmt::Result {
        type NoLabels = [(&'static str, &'static str); 0];
        match (kind, self) {
            (MetricKind::Counter, Self::Whole(value)) => {
                encoder.encode_counter::<NoLabels, _, f64>(&value, None)
            }
            (MetricKind::Counter, Self::Real(value)) => {
                encoder.encode_counter::<NoLabels, _, f64>(&value, None)
            }
            (_, Self::Whole(value)) => encoder.encode_gauge(&value),
            (_, Self::Real(value)) => encoder.encode_gauge(&value),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}
