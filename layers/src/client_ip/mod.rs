//! Finds out which address a request really comes from.
//!
//! The address of the socket counts, unless the socket's other end is a trusted proxy: then the header it forwards is
//! read from right to left, past other trusted proxies, to the first address that is none. What anybody else forwards
//! is ignored, and taken out of the request so that nothing inside can be misled by it.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{convert::Infallible, net::SocketAddr, sync::Arc};
//!
//! use flagstone_layers::{
//!     client_ip::{ClientIp, Config},
//!     kernel::{Body, Exchange, List},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let trusted_proxies = List(vec!["10.0.0.0/8".parse()?]);
//! let service = ServiceBuilder::new()
//!     .layer(ClientIp::layer(&Config { trusted_proxies, ..Config::default() }))
//!     .service(service_fn(async |request: Request<Body>| {
//!         let exchange = request.extensions().get::<Arc<Exchange>>().and_then(|exchange| exchange.address());
//!         Ok::<_, Infallible>(Response::new(Body::from(format!("{exchange:?}"))))
//!     }));
//!
//! // The server puts the socket's other end among the request's extensions.
//! let request = Request::get("/")
//!     .extension("10.0.0.1:4711".parse::<SocketAddr>()?)
//!     .header("x-forwarded-for", "203.0.113.7")
//!     .body(Body::empty())?;
//! let body = service.oneshot(request).await?.into_body().read().await?;
//! assert_eq!(body, "Some(203.0.113.7)");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod forwarded;
mod ignored;
mod spec;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header::FORWARDED};

use self::{forwarded::Origin, ignored::Counter};
pub use self::{
    ignored::IgnoredForwards,
    spec::{Config, ForwardedHeader, Spec},
};
use crate::kernel::{Client, Flow, Hook, Network, RequestHead, Standalone};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hook.
#[derive(Debug)]
pub struct ClientIp {
    trusted_proxies: Box<[Network]>,
    header: ForwardedHeader,
    /// Whether people reach the server over https, where no proxy says otherwise.
    secure: bool,
    ignored: Arc<Counter>,
}

impl ClientIp {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config, false, Arc::default()))
    }

    fn new(config: &Config, secure: bool, ignored: Arc<Counter>) -> Self {
        Self {
            trusted_proxies: config.trusted_proxies.0.clone().into(),
            header: config.header,
            secure,
            ignored,
        }
    }

    /// Whether a header says something of an earlier hop that is not to be believed.
    fn is_misleading(&self, name: &HeaderName, trusted: bool) -> bool {
        let name = name.as_str();
        if name.starts_with("x-forwarded-") {
            !trusted || self.header != ForwardedHeader::XForwardedFor
        } else if name == FORWARDED {
            !trusted || self.header != ForwardedHeader::Forwarded
        } else {
            name == "x-real-ip"
        }
    }

    /// Takes out what is not to be believed; whether there was anything.
    fn strip(&self, headers: &mut HeaderMap, trusted: bool) -> bool {
        let mut found = false;
        while let Some(name) = headers.keys().find(|name| self.is_misleading(name, trusted)).cloned() {
            headers.remove(name);
            found = true;
        }
        found
    }
}

impl Hook for ClientIp {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        let peer = head.exchange().peer().map(|peer| peer.ip().to_canonical());
        let trusted =
            peer.is_some_and(|peer| self.trusted_proxies.iter().any(|network| network.contains(peer)));
        if self.strip(head.headers_mut(), trusted) && !trusted {
            self.ignored.count(peer);
        }
        let Some(peer) = peer else { return Flow::Continue(()) };
        let client = if trusted {
            let origin = Origin::find(self.header, head.headers(), &self.trusted_proxies);
            Client {
                address: origin.address.unwrap_or(peer),
                secure: origin.secure.unwrap_or(self.secure),
                through_proxy: true,
            }
        } else {
            Client { address: peer, secure: self.secure, through_proxy: false }
        };
        head.exchange().set_client(client);
        Flow::Continue(())
    }
}

#[cfg(test)]
mod tests;
