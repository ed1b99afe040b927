//! `flagstone healthcheck`: for containers that have no curl.

use std::path::Path;

use clap::Args;
use http::{Method, StatusCode};

use super::{AdminUrl, Exit, admin_client, block_on, fail};

/// Arguments of `healthcheck`.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    admin: AdminUrl,
}

impl Healthcheck {
    pub(super) fn run(self, config: &Path) -> Exit {
        let address = match self.admin.address(config) {
            Ok(address) => address,
            Err(exit) => return exit,
        };
        block_on(async {
            match admin_client::send(&address, Method::GET, "/health").await {
                Ok(answer) if answer.status == StatusCode::OK => Exit::Done,
                Ok(answer) => {
                    fail(format_args!("the server is not ready: {}", String::from_utf8_lossy(&answer.body)))
                }
                Err(error) => fail(error),
            }
        })
    }
}
