//! Lets pages of other origins call (cross-origin resource sharing, as the Fetch standard has it).
//!
//! An origin on the list gets the headers that let its pages read the answer; any other gets none of them. A preflight is
//! answered here with 204, whatever the origin, and goes no further: what stands inside need not expect one.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     cors::{Config, Cors},
//!     kernel::{Body, List},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let origins = List(vec!["https://app.example.com".parse()?]);
//! let service = ServiceBuilder::new()
//!     .layer(Cors::layer(&Config { origins, ..Config::default() })?)
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let request = Request::get("/").header("origin", "https://app.example.com").body(Body::empty())?;
//! let response = service.clone().oneshot(request).await?;
//! assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example.com");
//!
//! let request = Request::get("/").header("origin", "https://other.example").body(Body::empty())?;
//! let response = service.oneshot(request).await?;
//! assert!(!response.headers().contains_key("access-control-allow-origin"));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod origin;
mod spec;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

pub use self::{
    origin::{OriginError, OriginPattern},
    spec::{Config, Name, Spec, Token},
};
use crate::kernel::{
    Environment, Flow, Hook, List, PrepareError, RequestHead, Response, ResponseHead, Standalone,
};

/// The hook.
#[derive(Debug)]
pub struct Cors {
    origins: Box<[OriginPattern]>,
    /// Any origin may call, without credentials: all answers are alike.
    any: bool,
    credentials: bool,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Result<Standalone, PrepareError> {
        Ok(Standalone::hook(spec::KIND, Self::new(config, Environment::Production)?))
    }

    fn new(config: &Config, environment: Environment) -> Result<Self, PrepareError> {
        let mut origins = config.origins.0.clone();
        let any = origins.contains(&OriginPattern::Any);
        if any && config.credentials {
            return Err(PrepareError::new("origins", "`*` is not allowed with credentials"));
        }
        if environment == Environment::Development {
            origins.extend(spec::DEVELOPMENT.iter().filter_map(|origin| origin.parse().ok()));
        }
        Ok(Self {
            origins: origins.into(),
            any,
            credentials: config.credentials,
            methods: joined(&config.methods),
            headers: joined(&config.headers),
            expose: joined(&config.expose),
            max_age: HeaderValue::from(config.max_age.0.as_secs()),
        })
    }

    /// What `Access-Control-Allow-Origin` says to a request, if anything.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let mut origins = request.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        self.origins.iter().any(|pattern| pattern.matches(origin.as_bytes())).then(|| origin.clone())
    }

    /// Sets what preflights and other answers have in common; whether the origin may read the answer. What a handler said
    /// of it does not count.
    fn share(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) -> bool {
        if !self.any {
            vary_by_origin(headers);
        }
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        let Some(origin) = allowed else {
            headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
            return false;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    fn preflight(&self, allowed: Option<HeaderValue>) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if self.share(allowed, headers) {
            headers.extend(self.methods.clone().map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
            headers.extend(self.headers.clone().map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }
}

impl Hook for Cors {
    type State = Option<HeaderValue>;

    fn on_request(&self, head: &mut RequestHead) -> Flow<Self::State> {
        let allowed = self.allowed(head.headers());
        if head.exchange().is_preflight() || is_preflight(head) {
            return Flow::Answer(Box::new(self.preflight(allowed)));
        }
        Flow::Continue(allowed)
    }

    fn on_response(&self, allowed: Self::State, response: &mut ResponseHead<'_>) {
        let headers = response.headers_mut();
        if self.share(allowed, headers)
            && let Some(expose) = &self.expose
        {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

/// Whether a browser asks what it may send, as the Fetch standard tells such a request from others.
fn is_preflight(head: &RequestHead) -> bool {
    *head.method() == Method::OPTIONS
        && head.headers().contains_key(ORIGIN)
        && head.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells caches that the answer depends on the origin, unless they know already.
fn vary_by_origin(headers: &mut HeaderMap) {
    let known = headers.get_all(VARY).iter().any(|line| {
        let names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
    });
    if !known {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// The names with commas between; `None` where there are none.
fn joined<T: Name>(names: &List<Token<T>>) -> Option<HeaderValue> {
    let names: Vec<_> = names.iter().map(|name| name.0.text()).collect();
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

#[cfg(test)]
mod tests;
