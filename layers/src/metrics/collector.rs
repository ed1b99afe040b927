use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::series::{BOUNDS, Key, METHODS, Series, SeriesMap};
use crate::{
    kernel::{MetricLabel, MetricSpec},
    sharded::Sharded,
};

const DURATION: MetricSpec = MetricSpec::histogram(
    "http_request_duration_seconds",
    &[
        MetricLabel::one_of("method", &METHODS),
        MetricLabel::named("path", "the route's pattern; `unknown` where there is no route"),
        MetricLabel::named(
            "status",
            "the answer's status code; `aborted` where the client went away before it",
        ),
    ],
    "Time from a request's beginning to its end, or to the head of its answer if that is a stream",
);
const IN_FLIGHT: MetricSpec =
    MetricSpec::gauge("http_requests_in_flight", &[], "Requests that have not ended, streams among them");
const STREAMS: MetricSpec = MetricSpec::gauge("http_streams_open", &[], "Streams that have not ended");
const DENIALS: MetricSpec = MetricSpec::counter(
    "authz_denials",
    &[MetricLabel::named(
        "layer",
        "the name in `pipeline.toml` of the layer that refused; `handler` where none did",
    )],
    "Requests answered with 403: the caller is known, or the address, and not allowed to do this",
);

/// What `metrics` counts: a resource that the host lends, one for the process. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    shards: Arc<Sharded<Shard>>,
    denials: Family<ByLayer, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLayer {
    layer: String,
}

/// What the requests of one group of threads counted.
#[derive(Debug, Default)]
struct Shard {
    in_flight: AtomicI64,
    streams: AtomicI64,
    series: Mutex<SeriesMap>,
}

// === impl HttpMetrics ===

impl Default for HttpMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpMetrics {
    /// What [`register`](Self::register) adds.
    pub const METRICS: [MetricSpec; 4] = [DURATION, IN_FLIGHT, STREAMS, DENIALS];

    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self { shards: Arc::new(Sharded::new(Shard::default)), denials: Family::default() }
    }

    /// Has a registry read it out.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
        const { &DENIALS }.register(registry, self.denials.clone());
    }

    /// Requests that have not ended, streams among them.
    pub fn in_flight(&self) -> u64 {
        self.total(|shard| &shard.in_flight)
    }

    /// Streams that have not ended.
    pub fn streams(&self) -> u64 {
        self.total(|shard| &shard.streams)
    }

    /// A request may end on another thread than it began on: only the sum of all shards means something, and while it
    /// is taken it may even be negative.
    fn total(&self, gauge: impl Fn(&Shard) -> &AtomicI64) -> u64 {
        let sum: i64 = self.shards.iter().map(|shard| gauge(shard).load(Ordering::Relaxed)).sum();
        u64::try_from(sum).unwrap_or(0)
    }

    pub(super) fn begin(&self) {
        self.shards.local().in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.shards.local().in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn open_stream(&self) {
        self.shards.local().streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close_stream(&self) {
        self.shards.local().streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn observe(&self, key: Key, duration: Duration) {
        let mut series = self.shards.local().series.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry(key).or_default().observe(duration);
    }

    /// Counts a 403, for which there may be an allocation.
    pub(super) fn deny(&self, layer: Option<&str>) {
        self.denials.get_or_create(&ByLayer { layer: layer.unwrap_or("handler").to_owned() }).inc();
    }

    /// All histograms, those of different shards put together, by their labels.
    fn gather(&self) -> BTreeMap<[(&'static str, String); 3], Series> {
        let mut all = BTreeMap::<_, Series>::new();
        for shard in self.shards.iter() {
            for (key, series) in &*shard.series.lock().unwrap_or_else(PoisonError::into_inner) {
                let status = key.status.map_or("aborted".to_owned(), |status| status.as_str().to_owned());
                let labels =
                    [("method", key.method.to_owned()), ("path", key.path.to_owned()), ("status", status)];
                all.entry(labels).or_default().add(series);
            }
        }
        all
    }
}

impl Collector for HttpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut histograms = DURATION.describe(&mut encoder)?;
        for (labels, series) in self.gather() {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(series.buckets).collect();
            let count = series.buckets.iter().sum();
            histograms.encode_family(&labels)?.encode_histogram::<[(&str, &str); 0]>(
                series.sum.as_secs_f64(),
                count,
                &buckets,
                None,
            )?;
        }
        IN_FLIGHT.describe(&mut encoder)?.encode_gauge(&self.in_flight())?;
        STREAMS.describe(&mut encoder)?.encode_gauge(&self.streams())
    }
}
