use std::borrow::Cow;

use http::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::SecurityHeaders;
use crate::kernel::{Finding, LayerSpec, Optional, Order, PrepareContext, PrepareError, Prepared, Time};

pub(super) const KIND: &str = "security_headers";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// The headers that tell browsers what a page or an answer may do. The defaults are those of a JSON API; each header can
/// be given another value, or `false` to leave it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `Content-Security-Policy`: what a page may load, run and be framed by.
    pub content_security_policy: Optional<Text>,
    /// `Strict-Transport-Security`, sent over https only.
    pub hsts: Optional<Hsts>,
    /// `X-Content-Type-Options: nosniff`: a browser takes the content type as it is said.
    pub content_type_options: bool,
    /// `X-Frame-Options`: who may show a page within a page, for browsers that do not know `frame-ancestors`.
    pub frame_options: Optional<FrameOptions>,
    /// `Referrer-Policy`: how much of a page's address is sent on to others.
    pub referrer_policy: Optional<ReferrerPolicy>,
    /// `Permissions-Policy`: which features of the device a page may ask for.
    pub permissions_policy: Optional<Text>,
    /// `Cross-Origin-Opener-Policy`: whether a page shares its window with those that opened it.
    pub coop: Optional<OpenerPolicy>,
    /// `Cross-Origin-Embedder-Policy`: what a page may embed.
    pub coep: Optional<EmbedderPolicy>,
    /// `Cross-Origin-Resource-Policy`: which pages may embed the answer. What browsers of other origins are meant to
    /// call needs `cross-origin`.
    pub corp: Optional<ResourcePolicy>,
    /// `X-XSS-Protection`. `0` turns off a filter of old browsers that did more harm than good.
    pub xss_protection: Optional<Text>,
    /// `Origin-Agent-Cluster: ?1`: the origin has a process of its own.
    pub origin_agent_cluster: bool,
    /// `X-DNS-Prefetch-Control`: whether names of links are looked up before anybody follows them.
    pub dns_prefetch: Optional<DnsPrefetch>,
    /// `X-Permitted-Cross-Domain-Policies`: which policy files of Flash and PDF readers count.
    pub cross_domain_policies: Optional<CrossDomainPolicies>,
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

macro_rules! tokens {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $token:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$meaning])* #[serde(rename = $token)] $variant,)+
        }

        impl $name {
            /// The value as it is sent.
            pub(super) const fn value(self) -> HeaderValue {
                HeaderValue::from_static(match self {
                    $(Self::$variant => $token,)+
                })
            }
        }
    };
}

tokens! {
    /// Who may show a page within a page.
    FrameOptions {
        /// Nobody.
        Deny = "DENY",
        /// Pages of the same origin.
        SameOrigin = "SAMEORIGIN",
    }
}

tokens! {
    /// How much of a page's address is sent on to others.
    ReferrerPolicy {
        /// Nothing.
        NoReferrer = "no-referrer",
        /// All of it, but from https to http.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// The origin.
        Origin = "origin",
        /// All of it within the origin, else the origin.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// All of it within the origin, else nothing.
        SameOrigin = "same-origin",
        /// The origin, but from https to http.
        StrictOrigin = "strict-origin",
        /// All of it within the origin, else the origin, but from https to http.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        /// All of it, always.
        UnsafeUrl = "unsafe-url",
    }
}

tokens! {
    /// Whether a page shares its window with those that opened it.
    OpenerPolicy {
        /// With those of the same origin.
        SameOrigin = "same-origin",
        /// With those, and with what it opens itself.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// With nobody that opens it.
        NoopenerAllowPopups = "noopener-allow-popups",
        /// With everybody.
        UnsafeNone = "unsafe-none",
    }
}

tokens! {
    /// What a page may embed.
    EmbedderPolicy {
        /// What says that it may be embedded.
        RequireCorp = "require-corp",
        /// Anything, asked for without cookies.
        Credentialless = "credentialless",
        /// Anything.
        UnsafeNone = "unsafe-none",
    }
}

tokens! {
    /// Which pages may embed an answer.
    ResourcePolicy {
        /// Pages of the same origin.
        SameOrigin = "same-origin",
        /// Pages of the same site.
        SameSite = "same-site",
        /// Any page.
        CrossOrigin = "cross-origin",
    }
}

tokens! {
    /// Whether names of links are looked up before anybody follows them.
    DnsPrefetch {
        /// They are.
        On = "on",
        /// They are not.
        Off = "off",
    }
}

tokens! {
    /// Which policy files of Flash and PDF readers count.
    CrossDomainPolicies {
        /// None.
        None = "none",
        /// The one at the root.
        MasterOnly = "master-only",
        /// Those with the right content type.
        ByContentType = "by-content-type",
        /// All.
        All = "all",
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        let text = |text| Optional::of(Text(HeaderValue::from_static(text)));
        Self {
            content_security_policy: text("default-src 'none'; frame-ancestors 'none'"),
            hsts: Optional::of(Hsts::default()),
            content_type_options: true,
            frame_options: Optional::of(FrameOptions::Deny),
            referrer_policy: Optional::of(ReferrerPolicy::NoReferrer),
            permissions_policy: text(
                "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
            ),
            coop: Optional::of(OpenerPolicy::SameOrigin),
            coep: Optional::of(EmbedderPolicy::RequireCorp),
            corp: Optional::of(ResourcePolicy::SameOrigin),
            xss_protection: text("0"),
            origin_agent_cluster: true,
            dns_prefetch: Optional::of(DnsPrefetch::Off),
            cross_domain_policies: Optional::of(CrossDomainPolicies::None),
        }
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

    fn order(_: &Config) -> Order {
        Order { sees_refusals: true, ..Order::default() }
    }

    fn check(config: &Config) -> Vec<Finding> {
        config
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
