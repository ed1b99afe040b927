//! `flagstone explain METHOD PATH`

use std::path::Path;

use clap::Args;
use flagstone_pipeline::{explain, plan};
use http::Method;

use super::{Exit, ReportFormat, fail, load_settings, show_report};
use crate::settings::environment_variables;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The method, such as POST
    method: String,
    /// The path, such as /ofrep/v1/evaluate/flags
    path: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, config: &Path) -> Exit {
        let loaded = match load_settings(config, ReportFormat::Human) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let Ok(method) = Method::from_bytes(self.method.to_ascii_uppercase().as_bytes()) else {
            return fail(format_args!("`{}` is no method", self.method));
        };
        let specs: Vec<_> = flagstone_routes::specs().into_iter().map(|(spec, _)| spec).collect();
        let registry = flagstone_layers::registry();
        let planned = plan(&loaded.pipeline_file(), &registry, &specs, &environment_variables());
        let Some(plan) = planned.plan else {
            show_report(&planned.report, ReportFormat::Human);
            return Exit::Refused;
        };
        let explanation = explain(&plan, &method, &self.path);
        if self.json {
            say!("{:#}", serde_json::to_value(&explanation).unwrap_or_default());
        } else {
            say!("{explanation}");
        }
        Exit::Done
    }
}
