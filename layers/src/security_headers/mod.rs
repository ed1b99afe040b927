//! Tells browsers what an answer may do.
//!
//! A preset names the headers for a purpose, and single settings differ from it. One step on the way back sets all, on
//! errors and refusals of those inside too. A header that a handler has set already stays as it is. `Server` and
//! `X-Powered-By` are taken out. `Strict-Transport-Security` is sent only over https, which
//! [`client_ip`](crate::client_ip) finds out.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::{Body, Optional},
//!     security_headers::{Config, Preset, SecurityHeaders},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let config = Config { preset: Preset::Sdk, coep: Some(Optional::OFF), ..Config::default() };
//! let service = ServiceBuilder::new()
//!     .layer(SecurityHeaders::layer(&config))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.headers()["x-content-type-options"], "nosniff");
//! assert_eq!(response.headers()["cross-origin-resource-policy"], "cross-origin");
//! assert!(!response.headers().contains_key("cross-origin-embedder-policy"));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod preset;
mod spec;
mod tokens;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONTENT_SECURITY_POLICY, REFERRER_POLICY, SERVER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
        X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS, X_XSS_PROTECTION,
    },
};
use smallvec::SmallVec;

pub use self::{
    preset::Preset,
    spec::{Config, Hsts, Spec, Text},
    tokens::{
        CrossDomainPolicies, DnsPrefetch, EmbedderPolicy, FrameOptions, OpenerPolicy, ReferrerPolicy,
        ResourcePolicy,
    },
};
use crate::kernel::{Flow, Hook, RequestHead, ResponseHead, Standalone};

static PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
static OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
static EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
static RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
static ORIGIN_AGENT_CLUSTER: HeaderName = HeaderName::from_static("origin-agent-cluster");
static CROSS_DOMAIN_POLICIES: HeaderName = HeaderName::from_static("x-permitted-cross-domain-policies");
static X_DOWNLOAD_OPTIONS: HeaderName = HeaderName::from_static("x-download-options");
static X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// The hook.
#[derive(Debug)]
pub struct SecurityHeaders {
    headers: Box<[(HeaderName, HeaderValue)]>,
    hsts: Option<HeaderValue>,
}

impl SecurityHeaders {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        let config = config.headers();
        let flag = |on: bool, value| on.then(|| HeaderValue::from_static(value));
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.0.clone());
        let headers = [
            (CONTENT_SECURITY_POLICY, text(&config.content_security_policy.0)),
            (X_CONTENT_TYPE_OPTIONS, flag(config.content_type_options, "nosniff")),
            (X_FRAME_OPTIONS, config.frame_options.0.map(FrameOptions::value)),
            (REFERRER_POLICY, config.referrer_policy.0.map(ReferrerPolicy::value)),
            (PERMISSIONS_POLICY.clone(), text(&config.permissions_policy.0)),
            (OPENER_POLICY.clone(), config.coop.0.map(OpenerPolicy::value)),
            (EMBEDDER_POLICY.clone(), config.coep.0.map(EmbedderPolicy::value)),
            (RESOURCE_POLICY.clone(), config.corp.0.map(ResourcePolicy::value)),
            (X_XSS_PROTECTION, text(&config.xss_protection.0)),
            (ORIGIN_AGENT_CLUSTER.clone(), flag(config.origin_agent_cluster, "?1")),
            (X_DNS_PREFETCH_CONTROL, config.dns_prefetch.0.map(DnsPrefetch::value)),
            (X_DOWNLOAD_OPTIONS.clone(), flag(config.download_options, "noopen")),
            (CROSS_DOMAIN_POLICIES.clone(), config.cross_domain_policies.0.map(CrossDomainPolicies::value)),
        ];
        let hsts = config.hsts.0.and_then(|hsts| HeaderValue::try_from(hsts.text()).ok());
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Self { headers: headers.collect(), hsts }
    }
}

impl Hook for SecurityHeaders {
    type State = ();

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_response(&self, (): (), response: &mut ResponseHead<'_>) {
        let hsts = self.hsts.as_ref().filter(|_| response.exchange().is_secure());
        let headers = response.headers_mut();
        headers.remove(SERVER);
        headers.remove(&X_POWERED_BY);
        // One growth instead of several.
        headers.reserve(self.headers.len() + 1);
        for (name, value) in &self.headers {
            set_default(headers, name, value);
        }
        if let Some(hsts) = hsts {
            set_default(headers, &STRICT_TRANSPORT_SECURITY, hsts);
        }
    }
}

/// Sets a header unless it is there. Nearly always it is not: to add it costs much less than to look first.
fn set_default(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if headers.append(name, value.clone()) {
        let mut values: SmallVec<[HeaderValue; 4]> = headers.get_all(name).iter().cloned().collect();
        // What was added is the last.
        values.pop();
        headers.remove(name);
        for theirs in values {
            headers.append(name, theirs);
        }
    }
}

#[cfg(test)]
mod tests;
