//! Finds out who calls.
//!
//! A credential is taken from where its method has it and handed to the host's
//! [`Authenticator`], which is lent as `Arc<dyn Authenticator>`. Without one, and with one
//! that is not valid, the answer is 401; where it could not be checked, 503, because a database that is away must log
//! nobody out. Those inside find the caller as the exchange's [`principal`](crate::kernel::Exchange::principal).
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{convert::Infallible, sync::Arc};
//!
//! use flagstone_layers::{
//!     auth::{Auth, Config, Method},
//!     kernel::{
//!         AuthFailure, Authentication, Authenticator, Body, Credential, Principal, PrincipalKind,
//!     },
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! struct OneKey;
//!
//! impl Authenticator for OneKey {
//!     fn authenticate(&self, credential: Credential<'_>) -> Authentication {
//!         match credential {
//!             Credential::SdkKey("open sesame") => {
//!                 Authentication::Accepted(Principal::new(PrincipalKind::ServerKey, "key:1"))
//!             }
//!             _ => Authentication::Refused(AuthFailure::Invalid),
//!         }
//!     }
//! }
//!
//! let service = ServiceBuilder::new()
//!     .layer(Auth::layer(&Config::of(Method::SdkKey), Arc::new(OneKey)))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let request = Request::get("/").header("x-api-key", "open sesame").body(Body::empty())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//! assert_eq!(service.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 401);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod credential;
mod spec;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE};

use self::credential::Found;
pub use self::spec::{Config, Keys, Method, Spec};
use crate::kernel::{
    AuthFailure, Authentication, Authenticator, Exchange, Flow, Hook, Principal, PrincipalSet, Problem,
    RequestHead, Standalone,
};

/// When to try again where the authenticator was too slow to say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The hook.
pub struct Auth {
    config: Config,
    admits: PrincipalSet,
    challenge: Option<HeaderValue>,
    authenticator: Arc<dyn Authenticator>,
}

/// What to answer instead of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No credential was sent.
    Missing,
    /// One was sent in a way that cannot be right: twice, or not as text.
    Malformed,
    /// It is not valid or could not be checked.
    Failed(AuthFailure),
    /// It is valid, and of a kind that this layer lets nobody in with.
    WrongKind,
}

impl Auth {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config, authenticator: Arc<dyn Authenticator>) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config, authenticator))
    }

    fn new(config: &Config, authenticator: Arc<dyn Authenticator>) -> Self {
        let bearer = config.methods.contains(&Method::SdkKey);
        Self {
            admits: config.admits(),
            // A browser would show a dialogue for a challenge it knows; `Bearer` it does not.
            challenge: bearer.then(|| HeaderValue::from_static("Bearer")),
            config: config.clone(),
            authenticator,
        }
    }
}

impl Hook for Auth {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        let authentication = match credential::find(head, &self.config) {
            Found::Credential(credential) => self.authenticator.authenticate(credential),
            Found::None => return refuse(head.exchange(), self.challenge.as_ref(), Refusal::Missing),
            Found::Malformed => return refuse(head.exchange(), self.challenge.as_ref(), Refusal::Malformed),
        };
        let found = match authentication {
            Authentication::Accepted(principal) => Ok(principal),
            Authentication::Refused(failure) => Err(failure),
            Authentication::Wait(future) => {
                let exchange = Arc::clone(head.exchange());
                let (admits, challenge) = (self.admits, self.challenge.clone());
                let deadline = self.config.timeout.0;
                return Flow::wait(async move {
                    let found = tokio::time::timeout(deadline, future).await;
                    let late = Err(AuthFailure::Unavailable { retry_after: RETRY_AFTER });
                    settle(&exchange, admits, challenge.as_ref(), found.unwrap_or(late))
                });
            }
        };
        settle(head.exchange(), self.admits, self.challenge.as_ref(), found)
    }

    /// By the kind of the caller: a token that opened a stream may have expired since, and whoever revokes a credential
    /// ends its streams.
    fn readmits(&self, stream: &Exchange) -> bool {
        stream.principal().is_some_and(|principal| self.admits.contains(principal.kind()))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Notes who calls, or refuses.
fn settle(
    exchange: &Arc<Exchange>,
    admits: PrincipalSet,
    challenge: Option<&HeaderValue>,
    found: Result<Principal, AuthFailure>,
) -> Flow<()> {
    match found {
        Ok(principal) if admits.contains(principal.kind()) => {
            exchange.set_principal(principal);
            Flow::Continue(())
        }
        Ok(_) => refuse(exchange, challenge, Refusal::WrongKind),
        Err(failure) => refuse(exchange, challenge, Refusal::Failed(failure)),
    }
}

fn refuse(exchange: &Exchange, challenge: Option<&HeaderValue>, refusal: Refusal) -> Flow<()> {
    let unauthenticated = |detail: &'static str| {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", detail);
        match challenge {
            Some(challenge) => problem.header(WWW_AUTHENTICATE, challenge.clone()),
            None => problem,
        }
    };
    let problem = match refusal {
        Refusal::Missing => unauthenticated("Credentials are required and none were sent."),
        Refusal::Malformed => unauthenticated("The credentials were sent in a way that cannot be read."),
        Refusal::Failed(AuthFailure::Invalid) => unauthenticated("The credentials are not valid."),
        Refusal::Failed(AuthFailure::Expired) => unauthenticated("The credentials have expired."),
        Refusal::Failed(AuthFailure::Unavailable { retry_after }) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "The credentials cannot be checked at the moment.",
        )
        .retry_after(retry_after.as_secs().max(1)),
        Refusal::WrongKind => {
            Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", "These credentials are not for this path.")
        }
    };
    Flow::Stop(Box::new(problem.into_response(exchange)))
}
