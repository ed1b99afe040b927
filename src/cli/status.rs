//! `flagstone status`

use std::path::Path;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{AdminUrl, Exit, admin_client, block_on, fail};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    admin: AdminUrl,
    /// Print the server's answer as it is
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, config: &Path) -> Exit {
        let address = match self.admin.address(config) {
            Ok(address) => address,
            Err(exit) => return exit,
        };
        block_on(async {
            let answer = match admin_client::send(&address, Method::GET, "/pipeline").await {
                Ok(answer) if answer.status == StatusCode::OK => answer,
                Ok(answer) => return fail(format_args!("the server answered {}", answer.status)),
                Err(error) => return fail(error),
            };
            match serde_json::from_slice::<Value>(&answer.body) {
                Ok(status) if self.json => say!("{status:#}"),
                Ok(status) => show(&status),
                Err(_) => return fail("the server's answer is not JSON: is it a Flagstone?"),
            }
            Exit::Done
        })
    }
}

fn show(status: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    say!("generation {} since {}", status["generation"], text(&status["applied_at"]));
    say!("digest     {}", text(&status["digest"]));
    let attempt = &status["last_attempt"];
    say!(
        "last       {} by {} at {}",
        text(&attempt["outcome"]),
        text(&attempt["trigger"]),
        text(&attempt["at"])
    );
    for found in attempt["diagnostics"].as_array().into_iter().flatten() {
        say!("           {}:{}: {}", text(&found["file"]), found["line"], text(&found["message"]));
    }
    for field in attempt["fields"].as_array().into_iter().flatten() {
        say!("           needs a restart: {}", text(field));
    }
    match (&status["redis"]["shared"], &status["redis"]["error"]) {
        (Value::Bool(true), _) => say!("redis      counts shared limits"),
        (Value::Bool(false), error) => {
            say!("redis      away, limits are counted here alone: {}", text(error))
        }
        _ => {}
    }
    for (layer, requests) in status["ignored_forwards"].as_object().into_iter().flatten() {
        say!("ignored    forwarded headers of {requests} requests, in `{layer}`: not from trusted_proxies");
    }
    let instances = status["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = instances.iter().map(|instance| text(&instance["name"]).len()).max().unwrap_or_default();
    say!("\n{:<width$} {:<18} {:>6} {:>9} {:>9}", "layer", "kind", "since", "refused", "observed");
    for instance in instances {
        say!(
            "{:<width$} {:<18} {:>6} {:>9} {:>9}",
            text(&instance["name"]),
            text(&instance["kind"]),
            instance["since_generation"].to_string(),
            instance["refused"].to_string(),
            instance["observed"].to_string()
        );
    }
    for draining in status["draining"].as_array().into_iter().flatten() {
        say!(
            "draining   generation {}: {} requests, {} streams",
            draining["generation"],
            draining["requests"],
            draining["streams"]
        );
    }
}
