use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::MetricType,
    registry::Registry,
};

/// One metric, as it describes itself to whoever reads it and to the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// Its name, without the `_total` that a counter's series have behind it.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What tells its series apart.
    pub labels: &'static [MetricLabel],
    /// What it measures, in a sentence without its full stop.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only up, from zero at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts of what was at most so large.
    Histogram,
}

/// What tells the series of a metric apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub values: LabelValues,
}

/// What a label can be. No client can add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelValues {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// One of what the configuration or the program names, in words.
    Named(&'static str),
}

/// A metric with its description, which is shown even while there is no series.
#[derive(Debug)]
struct Described<M> {
    spec: &'static MetricSpec,
    metric: M,
}

// === impl MetricSpec ===

impl MetricSpec {
    /// A counter.
    pub const fn counter(name: &'static str, labels: &'static [MetricLabel], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, labels, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, labels: &'static [MetricLabel], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, labels, help }
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, labels: &'static [MetricLabel], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram, labels, help }
    }

    /// The name to ask for: a counter's ends in `_total`.
    pub fn full_name(&self) -> String {
        match self.kind {
            MetricKind::Counter => format!("{}_total", self.name),
            MetricKind::Gauge | MetricKind::Histogram => self.name.to_owned(),
        }
    }

    /// Its unit, which its name ends in.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| self.name.ends_with(unit))
    }

    /// Has a registry read the metric out.
    pub fn register<M>(&'static self, registry: &mut Registry, metric: M)
    where
        M: EncodeMetric + fmt::Debug + Send + Sync + 'static,
    {
        registry.register_collector(Box::new(Described { spec: self, metric }));
    }

    /// Begins the metric's part of what is read out.
    ///
    /// # Errors
    ///
    /// That of the writer behind the encoder.
    pub fn describe<'e>(
        &self,
        encoder: &'e mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'e>, fmt::Error> {
        let kind = match self.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        encoder.encode_descriptor(self.name, self.help, None, kind)
    }
}

// === impl MetricKind ===

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

// === impl MetricLabel ===

impl MetricLabel {
    /// A label that is one of a few values.
    pub const fn one_of(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: LabelValues::OneOf(values) }
    }

    /// A label whose values the configuration or the program names.
    pub const fn named(name: &'static str, values: &'static str) -> Self {
        Self { name, values: LabelValues::Named(values) }
    }
}

// === impl Described ===

impl<M> Collector for Described<M>
where
    M: EncodeMetric + fmt::Debug + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.metric.encode(self.spec.describe(&mut encoder)?)
    }
}
