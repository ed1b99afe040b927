//! Hardening concerns as standalone Tower layers, and the small kernel they share.
//!
//! Each module is one concern: usable alone in any Tower stack, and described to a pipeline by its
//! [`LayerSpec`](kernel::LayerSpec). The crate knows nothing of flags, users or databases.

pub mod kernel;
