//! Lets only callers of a role pass; others are answered with 403. It stands inside whatever authenticates.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     kernel::Body,
//!     role::{Config, Role, RequiredRole},
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(Role::layer(&Config { role: RequiredRole::Admin }))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! // Nobody was authenticated.
//! assert_eq!(service.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 403);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use http::StatusCode;

pub use self::spec::{Config, RequiredRole, Spec};
use crate::kernel::{Exchange, Flow, Hook, PrincipalSet, Problem, RequestHead, Standalone};

/// The hook.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    admits: PrincipalSet,
}

impl Role {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config))
    }

    fn new(config: &Config) -> Self {
        Self { admits: config.role.principals() }
    }
}

impl Hook for Role {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        if self.readmits(head.exchange()) {
            return Flow::Continue(());
        }
        let problem = Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", "You are not allowed to do this.");
        Flow::refuse(head, problem)
    }

    fn readmits(&self, stream: &Exchange) -> bool {
        stream.principal().is_some_and(|principal| self.admits.contains(principal.kind()))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Request};

    use super::*;
    use crate::{
        kernel::{Body, Exchange, Matched, Principal, PrincipalKind},
        testing,
    };

    async fn status(role: RequiredRole, caller: Option<PrincipalKind>) -> u16 {
        let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
        if let Some(kind) = caller {
            exchange.set_principal(Principal::new(kind, "caller"));
        }
        let request = Request::get("/").body(Body::empty()).unwrap();
        let seen =
            testing::send_with(&Role::layer(&Config { role }), request, exchange, HeaderMap::new()).await;
        assert_eq!(seen.inner.is_some(), seen.status() == 200);
        seen.status().as_u16()
    }

    #[tokio::test]
    async fn an_admin_is_a_member_too_and_nobody_else_is_either() {
        use PrincipalKind::{Admin, Anonymous, ClientKey, Member, ServerKey, StreamToken};
        assert_eq!(status(RequiredRole::Admin, Some(Admin)).await, 200);
        assert_eq!(status(RequiredRole::Member, Some(Admin)).await, 200);
        assert_eq!(status(RequiredRole::Member, Some(Member)).await, 200);
        assert_eq!(status(RequiredRole::Admin, Some(Member)).await, 403);
        for other in [None, Some(Anonymous), Some(ClientKey), Some(ServerKey), Some(StreamToken)] {
            assert_eq!(status(RequiredRole::Member, other).await, 403, "{other:?}");
        }
    }
}
