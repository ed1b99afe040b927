use std::borrow::Cow;

use http::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    CrossDomainPolicies, DnsPrefetch, EmbedderPolicy, FrameOptions, OpenerPolicy, Preset, ReferrerPolicy,
    ResourcePolicy, SecurityHeaders, preset::Headers,
};
use crate::kernel::{
    Fact, Finding, LayerSpec, Optional, Order, PrepareContext, PrepareError, Prepared, Time,
};

pub(super) const KIND: &str = "security_headers";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// The headers that tell browsers what a page or an answer may do: those of a preset, of which each can be given another
/// value, or `false` to leave it out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The headers as they are where nothing else is said.
    pub preset: Preset,
    /// `Content-Security-Policy`: what a page may load, run and be framed by.
    pub content_security_policy: Option<Optional<Text>>,
    /// `Strict-Transport-Security`, sent over https only, which `client_ip` finds out.
    pub hsts: Option<Optional<Hsts>>,
    /// `X-Content-Type-Options: nosniff`: a browser takes the content type as it is said.
    pub content_type_options: Option<bool>,
    /// `X-Frame-Options`: who may show a page within a page, for browsers that do not know `frame-ancestors`.
    pub frame_options: Option<Optional<FrameOptions>>,
    /// `Referrer-Policy`: how much of a page's address is sent on to others.
    pub referrer_policy: Option<Optional<ReferrerPolicy>>,
    /// `Permissions-Policy`: which features of the device a page may ask for.
    pub permissions_policy: Option<Optional<Text>>,
    /// `Cross-Origin-Opener-Policy`: whether a page shares its window with those that opened it.
    pub coop: Option<Optional<OpenerPolicy>>,
    /// `Cross-Origin-Embedder-Policy`: what a page may embed.
    pub coep: Option<Optional<EmbedderPolicy>>,
    /// `Cross-Origin-Resource-Policy`: which pages may embed the answer. What browsers of other origins are meant to
    /// call needs `cross-origin`.
    pub corp: Option<Optional<ResourcePolicy>>,
    /// `X-XSS-Protection`. `0` turns off a filter of old browsers that did more harm than good.
    pub xss_protection: Option<Optional<Text>>,
    /// `Origin-Agent-Cluster: ?1`: the origin has a process of its own.
    pub origin_agent_cluster: Option<bool>,
    /// `X-DNS-Prefetch-Control`: whether names of links are looked up before anybody follows them.
    pub dns_prefetch: Option<Optional<DnsPrefetch>>,
    /// `X-Permitted-Cross-Domain-Policies`: which policy files of Flash and PDF readers count.
    pub cross_domain_policies: Option<Optional<CrossDomainPolicies>>,
    /// `X-Download-Options: noopen`: an old browser saves a download before it opens it.
    pub download_options: Option<bool>,
}

/// `Strict-Transport-Security`: browsers use https only from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hsts {
    /// For how long. Less than six months is little.
    pub max_age: Time,
    /// For names below this one too.
    pub include_subdomains: bool,
    /// Whether the name may be put into the list that browsers are shipped with.
    pub preload: bool,
}

/// The value of a header, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub HeaderValue);

// === impl Config ===

impl Config {
    /// What is sent.
    pub(super) fn headers(&self) -> Headers {
        let mut headers = self.preset.headers();
        macro_rules! overridden {
            ($($field:ident),+) => { $(if let Some(value) = &self.$field { headers.$field = value.clone(); })+ };
        }
        overridden!(
            content_security_policy,
            hsts,
            content_type_options,
            frame_options,
            referrer_policy,
            permissions_policy,
            coop,
            coep,
            corp,
            xss_protection,
            origin_agent_cluster,
            dns_prefetch,
            cross_domain_policies,
            download_options
        );
        headers
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: Time::seconds(63_072_000), include_subdomains: true, preload: true }
    }
}

impl Hsts {
    /// The lists that browsers are shipped with take a name from one year on.
    const PRELOAD_SECONDS: u64 = 31_536_000;

    pub(super) fn text(self) -> String {
        let mut text = format!("max-age={}", self.max_age.0.as_secs());
        if self.include_subdomains {
            text.push_str("; includeSubDomains");
        }
        if self.preload {
            text.push_str("; preload");
        }
        text
    }

    fn is_unfit_for_preload(self) -> bool {
        self.preload && (!self.include_subdomains || self.max_age.0.as_secs() < Self::PRELOAD_SECONDS)
    }
}

// === impl Text ===

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !visible || text.trim().is_empty() {
            return Err(de::Error::custom(
                "a header's value is one line of visible ASCII, and not empty; `false` leaves the header out",
            ));
        }
        HeaderValue::from_str(text.trim()).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_str().unwrap_or_default())
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeaderText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[ -~]*[!-~][ -~]*$" })
    }
}

// === impl Spec ===

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "tells browsers what an answer may do, on every answer";
    type Config = Config;

    fn order(config: &Config) -> Order {
        // Without a layer that finds out whether it is https, the header would never be sent.
        let needs = if config.headers().hsts.0.is_some() { vec![Fact::ClientIp] } else { Vec::new() };
        Order { needs, sees_refusals: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        config
            .headers()
            .hsts
            .0
            .filter(|hsts| hsts.is_unfit_for_preload())
            .map(|_| {
                Finding::warning("hsts", "browsers' preload lists refuse this header")
                    .help("`preload` needs `include_subdomains = true` and a `max_age` of at least \"365d\"")
            })
            .into_iter()
            .collect()
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(SecurityHeaders::new(config)))
    }
}
