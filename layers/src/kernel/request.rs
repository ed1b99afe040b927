use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Uri, Version, request::Parts};
use http_body::Body as _;

use super::{
    body::{Body, BodyLimit, Limiter, Limiting, Limits},
    exchange::Exchange,
};

/// A request on its way through a chain: its head and its body.
pub struct Request {
    head: RequestHead,
    body: Body,
}

/// What a hook sees of a request: everything but the body.
pub struct RequestHead {
    parts: Parts,
    exchange: Arc<Exchange>,
    body_size: http_body::SizeHint,
    limits: Limits,
}

/// What a hook sees of a response: everything but the body.
pub struct ResponseHead<'a> {
    exchange: &'a Exchange,
    response: &'a mut http::Response<Body>,
}

// === impl Request ===

impl Request {
    /// A request that has been routed.
    pub fn new(parts: Parts, body: Body, exchange: Arc<Exchange>) -> Self {
        let body_size = body.size_hint();
        Self { head: RequestHead { parts, exchange, body_size, limits: Limits::new() }, body }
    }

    /// Its head.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Its head, to be changed.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// What is known of it.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.head.exchange
    }

    /// Its head and its body, with the limits that layers put on it in force.
    pub fn into_parts(mut self) -> (RequestHead, Body) {
        self.apply_limit();
        (self.head, self.body)
    }

    /// Puts another body in place, such as a decompressed one. A limit that was asked for stays asked for.
    #[must_use]
    pub fn map_body(mut self, map: impl FnOnce(Body) -> Body) -> Self {
        self.apply_limit();
        self.body = map(self.body);
        self.head.body_size = self.body.size_hint();
        self
    }

    /// As `http` knows it, with the exchange among its extensions; for services that are not of the kernel.
    pub fn into_http(self) -> http::Request<Body> {
        let (mut head, body) = self.into_parts();
        head.parts.extensions.insert(head.exchange);
        http::Request::from_parts(head.parts, body)
    }

    pub(super) fn apply_limit(&mut self) {
        self.body.limit_all(&mut self.head.limits);
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The request's target.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The request's HTTP version.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The request's headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// The text of a header that occurs once; `None` where it is absent, repeated or not visible ASCII.
    pub fn single_header(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.parts.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }

    /// The request's extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// What is known of the request.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// The size of the body as far as its head tells: from `Content-Length`, or unknown.
    pub fn body_size(&self) -> &http_body::SizeHint {
        &self.body_size
    }

    /// Limits the body that those inside read. Of several limits the tightest holds. Asked for by a hook, a limit that is
    /// exceeded counts as the hook's refusal, and in observe mode is only noted.
    pub fn limit_body(&mut self, limit: BodyLimit) {
        if self.body_size.exact() != Some(0) {
            self.limits.push(Limiting::new(limit));
        }
    }

    /// The limits asked for since the last claim are this limiter's.
    pub(super) fn claim_limits(&mut self, limiter: impl Fn(&Arc<Exchange>) -> Limiter) {
        for limit in &mut self.limits {
            limit.claim(|| limiter(&self.exchange));
        }
    }
}

// === impl ResponseHead ===

impl<'a> ResponseHead<'a> {
    /// The head of a response to this exchange.
    pub fn new(exchange: &'a Exchange, response: &'a mut http::Response<Body>) -> Self {
        Self { exchange, response }
    }

    /// What is known of the request.
    pub fn exchange(&self) -> &'a Exchange {
        self.exchange
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The response's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The response's headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }
}
