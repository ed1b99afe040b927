//! The flag service, the user service, audit, streams, and their stores.

pub mod token;
