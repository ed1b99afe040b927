//! `flagstone reload`

use std::path::Path;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::{AdminUrl, Exit, admin_client, block_on, fail};

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    admin: AdminUrl,
    /// Only say what a reload would come to
    #[arg(long)]
    dry_run: bool,
    /// Print the server's answer as it is
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(self, config: &Path) -> Exit {
        let address = match self.admin.address(config) {
            Ok(address) => address,
            Err(exit) => return exit,
        };
        let path = if self.dry_run { "/pipeline/reload?dry_run=true" } else { "/pipeline/reload" };
        block_on(async {
            match admin_client::send(&address, Method::POST, path).await {
                Ok(answer) => self.show(&answer.body),
                Err(error) => fail(error),
            }
        })
    }

    fn show(&self, body: &[u8]) -> Exit {
        let Ok(outcome) = serde_json::from_slice::<Value>(body) else {
            return fail("the server's answer is not JSON: is it a Flagstone?");
        };
        if self.json {
            say!("{outcome:#}");
        }
        let name = outcome["outcome"].as_str().unwrap_or_default();
        if !self.json {
            say!("{name}");
            for found in diagnostics(&outcome) {
                let at = |key: &str| found[key].as_u64().unwrap_or_default();
                let text = |key: &str| found[key].as_str().unwrap_or_default();
                say!(
                    "{}:{}:{}: {}[{}]: {}",
                    text("file"),
                    at("line"),
                    at("column"),
                    text("severity"),
                    text("code"),
                    text("message")
                );
                if let Some(help) = found["help"].as_str() {
                    say!("  help: {help}");
                }
            }
            for field in outcome["fields"].as_array().into_iter().flatten() {
                say!("needs a restart: {}", field.as_str().unwrap_or_default());
            }
        }
        match name {
            "applied" | "unchanged" => Exit::Done,
            "rejected" => Exit::Refused,
            "restart_required" => Exit::RestartRequired,
            _ => fail(format_args!("the server refused: {}", outcome["detail"].as_str().unwrap_or_default())),
        }
    }
}

/// The diagnostics of an outcome, wherever it has them.
fn diagnostics(outcome: &Value) -> impl Iterator<Item = &Value> {
    let own = outcome["diagnostics"].as_array();
    let applied = outcome["applied"]["diagnostics"].as_array();
    own.into_iter().chain(applied).flatten()
}
