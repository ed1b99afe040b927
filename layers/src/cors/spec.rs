use std::{borrow::Cow, fmt, marker::PhantomData};

use http::{HeaderName, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Cors, OriginPattern};
use crate::kernel::{
    Environment, Finding, LayerSpec, List, Order, PrepareContext, PrepareError, Prepared, Time,
};

pub(super) const KIND: &str = "cors";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Which pages of other origins may call, and what they may send and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The origins whose pages may call: `"https://app.example.com"`, any port of a host (`"http://localhost:*"`), or
    /// `"*"` for any origin. Where the server runs in `development`, `http://localhost:*` and `capacitor://localhost` may
    /// call too.
    pub origins: List<OriginPattern>,
    /// Whether they may send cookies and other credentials. Not together with `"*"`.
    pub credentials: bool,
    /// The methods they may use.
    pub methods: List<Token<Method>>,
    /// The headers they may send.
    pub headers: List<Token<HeaderName>>,
    /// The headers they may read, beyond those any page may.
    pub expose: List<Token<HeaderName>>,
    /// For how long a browser may remember the answer to a preflight; `0` asks each time. Browsers have limits of their
    /// own, two hours and less.
    pub max_age: Time,
}

/// A method or the name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<T>(pub T);

const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

const HEADERS: [&str; 7] = [
    "content-type",
    "authorization",
    "x-api-key",
    "x-request-id",
    "if-match",
    "if-none-match",
    "last-event-id",
];

const EXPOSE: [&str; 8] = [
    "x-request-id",
    "etag",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
];

/// What a page of the developer's own machine, or an app in a shell around one, calls itself.
pub(super) const DEVELOPMENT: [&str; 2] = ["http://localhost:*", "capacitor://localhost"];

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        let names =
            |names: &[&'static str]| names.iter().map(|name| Token(HeaderName::from_static(name))).collect();
        Self {
            origins: List::default(),
            credentials: false,
            methods: METHODS.into_iter().map(Token).collect(),
            headers: names(&HEADERS),
            expose: names(&EXPOSE),
            max_age: Time::seconds(7_200),
        }
    }
}

// === impl Token ===

/// A kind of [`Token`].
pub trait Name: Sized {
    /// What it is, for a person.
    const WHAT: &'static str;
    /// Reads it.
    fn read(text: &str) -> Option<Self>;
    /// How it is written.
    fn text(&self) -> &str;
}

impl Name for Method {
    const WHAT: &'static str = "a method such as \"GET\"";

    fn read(text: &str) -> Option<Self> {
        text.to_ascii_uppercase().parse().ok()
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Name for HeaderName {
    const WHAT: &'static str = "the name of a header such as \"Content-Type\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl<'de, T: Name> Deserialize<'de> for Token<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: Name> de::Visitor<'_> for Text<T> {
            type Value = Token<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::WHAT)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Token<T>, E> {
                T::read(text.trim())
                    .filter(|_| !text.contains('*'))
                    .map(Token)
                    .ok_or_else(|| E::custom(format_args!("`{text}` is not {}", T::WHAT)))
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<T: Name> Serialize for Token<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.text())
    }
}

impl<T: Name> JsonSchema for Token<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9!#$%&'+.^_`|~-]+$" })
    }
}

// === impl Spec ===

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "lets pages of other origins call, and answers their preflights";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order { sees_refusals: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        let any = config.origins.contains(&OriginPattern::Any);
        if any && config.credentials {
            findings.push(
                Finding::error(
                    "origins",
                    "`*` with `credentials = true` lets any page act as whoever is signed in",
                )
                .help("name the origins, or set `credentials = false`"),
            );
        }
        if any && config.origins.len() > 1 {
            findings.push(
                Finding::warning("origins", "`*` is any origin: the others on the list change nothing")
                    .help("remove `*`, or the others"),
            );
        }
        if config.methods.is_empty() {
            findings.push(Finding::warning(
                "methods",
                "without a method only what a plain form could send is allowed",
            ));
        }
        findings
    }

    fn prepare(config: &Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        let environment = context.resource::<Environment>().map_or_else(Environment::default, |lent| *lent);
        Ok(Prepared::hook(Cors::new(config, environment)?))
    }
}
