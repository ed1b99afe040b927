//! The flag service, the user service, audit, streams, and their stores.

pub mod accounts;
pub mod actor;
pub mod audit;
pub mod clock;
pub mod error;
pub mod store;
pub mod token;

pub use flagstone_engine as engine;
