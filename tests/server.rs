//! Whole-server tests: the real binary, spoken to over real sockets.
//!
//! The binary is the one `FLAGSTONE_BIN` names, or the one built beside the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the other test targets too")]
#[path = "server/harness.rs"]
mod harness;

// The raw-socket cases, which are sent through proxies too.
#[expect(dead_code, reason = "it says what may come of a case behind a proxy, too")]
#[path = "edge/cases.rs"]
mod cases;
#[path = "edge/socket.rs"]
mod socket;

#[path = "server/access_log.rs"]
mod access_log;
#[path = "server/accounts.rs"]
mod accounts;
#[path = "server/background.rs"]
mod background;
#[path = "server/bad_input.rs"]
mod bad_input;
#[path = "server/bodies.rs"]
mod bodies;
#[path = "server/commands.rs"]
mod commands;
#[path = "server/documents.rs"]
mod documents;
#[path = "server/edge.rs"]
mod edge;
#[path = "server/evaluation.rs"]
mod evaluation;
#[path = "server/hardening.rs"]
mod hardening;
#[path = "server/headers.rs"]
mod headers;
#[path = "server/http2.rs"]
mod http2;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/logs.rs"]
mod logs;
#[path = "server/management.rs"]
mod management;
#[path = "server/metrics.rs"]
mod metrics;
#[path = "server/problems.rs"]
mod problems;
#[path = "server/reload.rs"]
mod reload;
#[path = "server/settings.rs"]
mod settings;
#[path = "server/shipped_pipeline.rs"]
mod shipped_pipeline;
#[path = "server/shutdown.rs"]
mod shutdown;
#[path = "server/streams.rs"]
mod streams;
