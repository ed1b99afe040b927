//! Refuses what a page of another site made a browser send.
//!
//! Only methods that change something are looked at. A current browser says in `Sec-Fetch-Site` whose page asks: the
//! server's own (`same-origin`) and the person's own doing (`none`) pass, another site and another host of the same site
//! do not. An older one sends `Origin`, or `Referer`, which has to be the server's. A request with none of these comes
//! from no browser, so nobody's cookie can be abused by it, and it passes.
//!
//! The server's own origin is its public URL. Where that is not known, the origin's host and port have to be those the
//! request was sent to.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//!
//! use flagstone_layers::{
//!     csrf::{Config, Csrf},
//!     kernel::Body,
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(Csrf::layer(&Config::default()))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
//!
//! let request = Request::post("/flags").header("Sec-Fetch-Site", "cross-site").body(Body::empty())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 403);
//! let request = Request::post("/flags").body(Body::empty())?;
//! assert_eq!(service.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod spec;

use http::{
    HeaderName, Method, StatusCode,
    header::{HOST, ORIGIN, REFERER},
};

pub use self::spec::{Config, Spec};
use crate::{
    cors::OriginPattern,
    kernel::{Flow, Hook, Problem, PublicUrl, RequestHead, Standalone},
};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hook.
#[derive(Debug)]
pub struct Csrf {
    own: Option<OriginPattern>,
    trusted: Box<[OriginPattern]>,
}

/// What a browser says of where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// Nothing: it is no browser, or one that was told to hide it.
    Unsaid,
    /// This origin, or the address of a page of it.
    Said(&'a str),
    /// Something that no browser sends.
    Unreadable,
}

impl Csrf {
    /// A Tower layer that does this alone, for a server whose public URL is not known.
    pub fn layer(config: &Config) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config, None))
    }

    fn new(config: &Config, public_url: Option<&PublicUrl>) -> Self {
        let own = public_url.and_then(|url| {
            let url = url.url();
            format!("{}://{}", url.scheme()?, url.authority()?).parse().ok()
        });
        Self { own, trusted: config.trusted_origins.iter().cloned().collect() }
    }

    /// Why the request is refused, if it is.
    fn fault(&self, head: &RequestHead) -> Option<&'static str> {
        if matches!(*head.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let origin = said(head, &ORIGIN);
        if let Origin::Said(origin) = origin
            && self.trusted.iter().any(|trusted| trusted.matches(origin.as_bytes()))
        {
            return None;
        }
        match said(head, &SEC_FETCH_SITE) {
            Origin::Said("same-origin" | "none") => return None,
            Origin::Said("same-site" | "cross-site") => {
                return Some("This came from a page of another site, which may not change anything here.");
            }
            Origin::Said(_) | Origin::Unreadable => return Some("Its Sec-Fetch-Site header cannot be read."),
            Origin::Unsaid => {}
        }
        let origin = if origin == Origin::Unsaid { said(head, &REFERER) } else { origin };
        match origin {
            Origin::Unsaid => None,
            Origin::Said(origin) if self.is_own(origin, head) => None,
            Origin::Said(_) => {
                Some("This came from a page of another origin, which may not change anything here.")
            }
            Origin::Unreadable => Some("Its Origin or Referer header cannot be read."),
        }
    }

    /// Whether an `Origin` or a `Referer` is this server's.
    fn is_own(&self, text: &str, head: &RequestHead) -> bool {
        let Some((scheme, rest)) = text.split_once("://") else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A page's address never has a user's name in it, and a host with one is not what it seems.
        if authority.is_empty() || authority.contains('@') {
            return false;
        }
        match &self.own {
            Some(own) => own.matches(format!("{scheme}://{authority}").to_ascii_lowercase().as_bytes()),
            None => {
                let host = match head.uri().authority() {
                    Some(authority) => Some(authority.as_str()),
                    None => head.single_header(&HOST),
                };
                host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
            }
        }
    }
}

fn said<'a>(head: &'a RequestHead, name: &HeaderName) -> Origin<'a> {
    if !head.headers().contains_key(name) {
        return Origin::Unsaid;
    }
    head.single_header(name).map_or(Origin::Unreadable, Origin::Said)
}

impl Hook for Csrf {
    type State = ();

    fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
        match self.fault(head) {
            None => Flow::Continue(()),
            Some(detail) => {
                Flow::refuse(head, Problem::new(StatusCode::FORBIDDEN, "CROSS_SITE_REQUEST", detail))
            }
        }
    }
}

#[cfg(test)]
mod tests;
