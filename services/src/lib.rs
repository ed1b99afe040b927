//! The flag service, the user service, audit, streams, and their stores.

pub mod accounts;
pub mod actor;
pub mod audit;
mod changes;
pub mod clock;
pub mod demo;
pub mod error;
mod fields;
pub mod flags;
mod following;
pub mod hub;
pub mod keys;
mod missed;
pub mod page;
pub mod projects;
mod secrets;
mod services;
pub mod snapshot;
pub mod store;
pub mod token;
pub mod version;

pub use flagstone_engine as engine;
pub use following::{ArrivalObserver, FollowingFigures};
pub use services::{OpenError, Options, Services, Stats};
