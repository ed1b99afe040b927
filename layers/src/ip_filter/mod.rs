//! Lets only some addresses pass, or keeps some out.
//!
//! An address on `block` is refused. Where `allow` names any, an address that is not on it is refused too. A list may
//! be long: it is merged into ranges once, and looking an address up takes about as many steps as the number of ranges
//! has binary digits.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     client_ip::{self, ClientIp},
//!     ip_filter::{Config, IpFilter},
//!     kernel::{Body, List},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let config = Config { allow: List(vec!["10.0.0.0/8".parse()?]), ..Config::default() };
//! let service = ServiceBuilder::new()
//!     .layer(ClientIp::layer(&client_ip::Config::default()))
//!     .layer(IpFilter::layer(&config))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! // Nobody knows where this request comes from.
//! assert_eq!(service.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 403);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod ranges;
mod spec;

use std::net::IpAddr;

use http::StatusCode;

use self::ranges::Ranges;
pub use self::spec::{Config, Spec};
use crate::kernel::{Exchange, Flow, Hook, Problem, RequestHead, Standalone};

/// The hook.
#[derive(Debug)]
pub struct IpFilter {
    /// `None` allows everybody.
    allow: Option<Ranges>,
    block: Ranges,
}

impl IpFilter {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self {
            allow: (!config.allow.is_empty()).then(|| Ranges::new(&config.allow)),
            block: Ranges::new(&config.block),
        }
    }

    /// Who cannot be told apart from those kept out is kept out.
    fn admits(&self, exchange: &Exchange) -> bool {
        exchange.address().is_some_and(|address| self.lets_pass(address))
    }

    fn lets_pass(&self, address: IpAddr) -> bool {
        !self.block.contains(address) && self.allow.as_ref().is_none_or(|allow| allow.contains(address))
    }
}

impl Hook for IpFilter {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if self.admits(head.exchange()) {
            return Flow::Continue(());
        }
        let detail = "Your address may not call this.";
        Flow::refuse(head, Problem::new(StatusCode::FORBIDDEN, "ADDRESS_REFUSED", detail))
    }

    fn readmits(&self, stream: &Exchange) -> bool {
        self.admits(stream)
    }
}

#[cfg(test)]
mod tests;
