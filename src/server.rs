//! Sockets and connections: listen, serve, drain.

pub(crate) mod activity;
pub(crate) mod admin;
pub(crate) mod connection;
pub(crate) mod drain;
pub(crate) mod listen;
