//! Hardening concerns as standalone Tower layers, and the small kernel they share.
//!
//! Each module is one concern: usable alone in any Tower stack, and described to a pipeline by its
//! [`LayerSpec`](kernel::LayerSpec). The crate knows nothing of flags, users or databases.

pub mod access_log;
pub mod auth;
pub mod body_limit;
pub mod cache_control;
pub mod catch_panic;
pub mod client_ip;
pub mod compress;
pub mod concurrency;
pub mod cors;
pub mod csrf;
pub mod decompress;
pub mod ip_filter;
pub mod kernel;
pub mod metrics;
pub mod rate_limit;
pub mod request_id;
pub mod role;
pub mod security_headers;
mod sharded;
pub mod stream_timeout;
#[cfg(test)]
mod testing;
pub mod timeout;

use kernel::{Registered, Registry};

/// The kinds of layer this crate has.
pub static BUILT_IN: &[Registered] = &[
    Registered::of::<client_ip::Spec>(),
    Registered::of::<catch_panic::Spec>(),
    Registered::of::<request_id::Spec>(),
    Registered::of::<access_log::Spec>(),
    Registered::of::<metrics::Spec>(),
    Registered::of::<security_headers::Spec>(),
    Registered::of::<cache_control::Spec>(),
    Registered::of::<cors::Spec>(),
    Registered::of::<ip_filter::Spec>(),
    Registered::of::<csrf::Spec>(),
    Registered::of::<rate_limit::Spec>(),
    Registered::of::<concurrency::Spec>(),
    Registered::of::<auth::Spec>(),
    Registered::of::<role::Spec>(),
    Registered::of::<body_limit::Spec>(),
    Registered::of::<decompress::Spec>(),
    Registered::of::<timeout::Spec>(),
    Registered::of::<stream_timeout::Spec>(),
    Registered::of::<compress::Spec>(),
];

/// The registry of [`BUILT_IN`]; a third party adds its own with [`Registry::with`].
pub fn registry() -> Registry {
    Registry::new(BUILT_IN)
}
