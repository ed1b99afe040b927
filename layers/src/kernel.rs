//! The vocabulary every layer speaks.
//!
//! - [`Exchange`]: what is known of one request, shared by all who see it.
//! - [`Hook`]: a layer that decides on the request's head, touches the response's head or notes the end.
//!   Neighbouring hooks run in one loop and one future ([`chain`]).
//! - [`Next`] and [`Handler`]: what a layer that needs the whole service wraps.
//! - [`Body`]: one body type, with an inline tail that runs the end hooks.
//! - [`LayerSpec`], [`Registry`]: how a layer describes itself to a pipeline;
//!   [`RouteSpec`], [`Access`], [`Principal`]: how routes and authenticators do; [`MetricSpec`]: how a metric does.

mod body;
mod chain;
mod environment;
mod exchange;
mod generation;
mod hook;
mod metric;
mod next;
mod optional;
mod panic;
mod principal;
mod problem;
mod public_url;
mod request;
mod resources;
mod route;
mod spec;
mod standalone;
mod stats;
mod value;

pub use self::{
    body::{Body, BodyError, BodyLimit, Reading},
    chain::{Instance, chain, chain_unfused},
    environment::Environment,
    exchange::{Client, Exchange, Matched, RequestId, Stopped},
    generation::{Generation, Readmission},
    hook::{Ended, Flow, Hook, HookState, Outcome, Slot},
    metric::{LabelValues, MetricKind, MetricLabel, MetricSpec},
    next::{BoxError, Call, Handler, Next, Response, handler},
    optional::Optional,
    panic::Panic,
    principal::{
        AuthFailure, Authentication, Authenticator, Credential, Principal, PrincipalKind, PrincipalSet,
    },
    problem::{Fault, Problem},
    public_url::PublicUrl,
    request::{Request, RequestHead, ResponseHead},
    resources::Resources,
    route::{Access, RouteSpec, Run},
    spec::{
        Around, Carry, Fact, Finding, LayerSpec, Order, Parsed, PrepareContext, PrepareError, Prepared,
        PreparedHook, Registered, Registry, Severity, StateSource, WrapContext,
    },
    standalone::{Standalone, StandaloneService},
    stats::Stats,
    value::{List, Network, Size, Time, ValueError},
};
