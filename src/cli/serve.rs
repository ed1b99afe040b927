//! `flagstone serve`

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use flagstone_layers::kernel::Panic;

use flagstone_pipeline::Variables;

use super::{Exit, ReportFormat, fail, show_report};
use crate::{
    app::{App, Start, StartError},
    logging::Logging,
    server::{admin::AdminAddress, background},
    settings::{Loaded, environment_names, environment_variables},
};

/// Arguments of `serve`.
#[derive(Debug, Default, Args)]
pub(super) struct Serve {
    /// Start with a throw-away database, a demonstration project and keys, and print them
    #[arg(long)]
    demo: bool,
    /// The address to listen on; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The address of the admin listener: loopback, or `unix:/path`
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address)]
    admin_listen: Option<String>,
    /// Write the server's addresses, and the demonstration's secrets, to this file once it listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self, config: &Path) -> Exit {
        let (mut names, mut variables) = (environment_names(), environment_variables());
        if self.demo {
            for_demo(&mut names, &mut variables);
        }
        let mut loaded = match Loaded::read(config, &names, &variables) {
            Ok(loaded) => loaded,
            Err(report) => {
                show_report(&report, ReportFormat::Human);
                return Exit::Refused;
            }
        };
        if let Some(listen) = self.listen {
            loaded.settings.server.listen = listen.to_string();
            loaded.settings.server.port = String::new();
        }
        if let Some(admin_listen) = self.admin_listen {
            loaded.settings.server.admin_listen = admin_listen;
        }
        let logging = match Logging::start(&loaded.settings.log) {
            Ok(logging) => logging,
            Err(error) => return fail(error),
        };
        for found in &loaded.warnings.diagnostics {
            let place = format_args!("{}:{}", found.file, found.line);
            tracing::warn!(code = found.code, %place, help = found.help, "{}", found.message);
        }
        let runtimes = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .and_then(|runtime| Ok((runtime, background::runtime()?)));
        let (runtime, background) = match runtimes {
            Ok(runtimes) => runtimes,
            Err(error) => return fail(format_args!("the runtime does not start: {error}")),
        };
        let start = Start { demo: self.demo, ready_file: self.ready_file };
        let serving = async {
            match App::start(loaded, &start, &logging, background.handle()).await {
                Ok(app) => match app.run().await {
                    true => Exit::Done,
                    false => Exit::Failed,
                },
                Err(StartError::Pipeline(report)) => {
                    tracing::error!("the server does not start: the pipeline has faults");
                    show_report(&report, ReportFormat::Human);
                    Exit::Refused
                }
                Err(error) => {
                    tracing::error!(%error, "the server does not start");
                    fail(error)
                }
            }
        };
        let exit = runtime.block_on(Panic::catch_async(serving)).unwrap_or_else(|panic| {
            tracing::error!(location = panic.location(), %panic, "the server panicked");
            fail(format_args!("the server panicked: {panic}"))
        });
        runtime.shutdown_timeout(std::time::Duration::from_millis(100));
        background.shutdown_background();
        logging.close(std::time::Duration::from_secs(1));
        exit
    }
}

/// Variables of `--demo`: the rules of a developer's machine, and a throw-away database unless the environment names one.
fn for_demo(names: &mut Vec<String>, variables: &mut Variables) {
    const ENVIRONMENT: &str = "FLAGSTONE_ENVIRONMENT";
    const DATABASE: &str = "FLAGSTONE_DATABASE__URL";
    let given = ["DATABASE_URL", DATABASE]
        .into_iter()
        .any(|name| variables(name).is_some() || variables(&format!("{name}_FILE")).is_some());
    names.push(ENVIRONMENT.to_owned());
    if !given {
        names.push(DATABASE.to_owned());
    }
    let others = Arc::clone(variables);
    *variables = Arc::new(move |name| match name {
        ENVIRONMENT => Some("development".to_owned()),
        "FLAGSTONE_ENVIRONMENT_FILE" => None,
        DATABASE if !given => Some("sqlite::temporary:".to_owned()),
        _ => others(name),
    });
}

fn admin_address(text: &str) -> Result<String, String> {
    text.parse::<AdminAddress>().map(|_| text.to_owned())
}
