use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_http::compression::CompressionLevel;

use super::Compress;
use crate::kernel::{Finding, LayerSpec, List, Order, PrepareContext, PrepareError, Prepared, Size};

pub(super) const KIND: &str = "compress";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which answers are compressed, and how. Answers that hold a secret never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What a client may ask for: `gzip`, `br`, `zstd`, `deflate`.
    pub codings: List<Coding>,
    /// Answers below this stay as they are.
    pub min_size: Size,
    /// How hard it tries.
    pub level: Level,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Known to every client.
    Gzip,
    /// Brotli: the smallest text, at the price of time.
    Br,
    /// Zstandard: small and quick.
    Zstd,
    /// As gzip, with less around it.
    Deflate,
}

/// How hard compression tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Answers are made anew for each request, so time counts.
    #[default]
    Fastest,
    /// What each coding does by itself.
    Default,
    /// The smallest answers.
    Best,
}

impl Coding {
    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

impl From<Level> for CompressionLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Fastest => Self::Fastest,
            Level::Default => Self::Default,
            Level::Best => Self::Best,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let codings = List(vec![Coding::Zstd, Coding::Br, Coding::Gzip, Coding::Deflate]);
        Self { codings, min_size: Size(1024), level: Level::default() }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "compresses answers for clients that ask for it";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order {
            once: true,
            breaks_streams: Some("it would hold events back until there is enough to compress"),
            ..Order::default()
        }
    }

    fn check(config: &Config) -> Vec<Finding> {
        if !config.codings.is_empty() {
            return Vec::new();
        }
        let finding = Finding::warning("codings", "without a coding nothing is compressed");
        vec![finding.help("name some, or remove the layer from its chains")]
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::around(Compress::new(config)))
    }
}
