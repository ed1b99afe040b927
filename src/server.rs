//! Sockets and connections: listen, serve, drain.

pub(crate) mod activity;
pub(crate) mod admin;
mod answer_body;
pub(crate) mod background;
pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod drain;
mod linger;
pub(crate) mod listen;
pub(crate) mod proxy_protocol;
pub(crate) mod runtime;
mod when_woken;
