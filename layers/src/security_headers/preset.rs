use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CrossDomainPolicies, DnsPrefetch, EmbedderPolicy, FrameOptions, Hsts, OpenerPolicy, ReferrerPolicy,
    ResourcePolicy, Text,
};
use crate::kernel::{Optional, Time};

/// A set of headers for one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// A JSON API: an answer that is opened as a page may do nothing.
    #[default]
    Api,
    /// Pages that load everything from their own origin, and run no script that is written into them.
    Dashboard,
    /// An API that pages of any origin call.
    Sdk,
    /// What the npm package `helmet` 8 sends by default.
    Helmet,
    /// As `api`, with the filter of old browsers on (`X-XSS-Protection: 1; mode=block`), which some audits ask for.
    Legacy,
}

/// What is sent, as [`Config`](super::Config) with the preset filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Headers {
    pub(super) content_security_policy: Optional<Text>,
    pub(super) content_type_options: bool,
    pub(super) frame_options: Optional<FrameOptions>,
    pub(super) referrer_policy: Optional<ReferrerPolicy>,
    pub(super) permissions_policy: Optional<Text>,
    pub(super) coop: Optional<OpenerPolicy>,
    pub(super) coep: Optional<EmbedderPolicy>,
    pub(super) corp: Optional<ResourcePolicy>,
    pub(super) xss_protection: Optional<Text>,
    pub(super) origin_agent_cluster: bool,
    pub(super) dns_prefetch: Optional<DnsPrefetch>,
    pub(super) cross_domain_policies: Optional<CrossDomainPolicies>,
    pub(super) download_options: bool,
    pub(super) hsts: Optional<Hsts>,
}

/// Everything from the page's own origin, nothing written into it, and no text taken for a script.
const PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// <https://github.com/helmetjs/helmet>, 8.3.0.
const HELMET: &str = "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
    frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';\
    style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests";

impl Preset {
    pub(super) fn headers(self) -> Headers {
        let api = Headers {
            content_security_policy: text("default-src 'none'; frame-ancestors 'none'"),
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
            download_options: false,
            hsts: Optional::of(Hsts::default()),
        };
        match self {
            Self::Api => api,
            Self::Dashboard => Headers { content_security_policy: text(PAGES), ..api },
            Self::Sdk => Headers { corp: Optional::of(ResourcePolicy::CrossOrigin), ..api },
            Self::Helmet => Headers {
                content_security_policy: text(HELMET),
                frame_options: Optional::of(FrameOptions::SameOrigin),
                permissions_policy: Optional::OFF,
                coep: Optional::OFF,
                download_options: true,
                hsts: Optional::of(Hsts {
                    max_age: Time::seconds(365 * 86_400),
                    include_subdomains: true,
                    preload: false,
                }),
                ..api
            },
            Self::Legacy => Headers { xss_protection: text("1; mode=block"), ..api },
        }
    }
}

fn text(text: &'static str) -> Optional<Text> {
    Optional::of(Text(HeaderValue::from_static(text)))
}
