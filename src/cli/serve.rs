//! `flagstone serve`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, ReportFormat, fail, load_settings, show_report};
use crate::{
    app::{self, App, Start, StartError},
    logging::Logging,
    settings::environment_variables,
};

/// Arguments of `serve`.
#[derive(Debug, Default, Args)]
pub(super) struct Serve {
    /// Start with a throw-away database, a demonstration project and keys, and print them
    #[arg(long)]
    demo: bool,
    /// The address to listen on; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The address of the admin listener: loopback, or `unix:/path`
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Write the server's addresses, and the demonstration's secrets, to this file once it listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self, config: &Path) -> Exit {
        let mut loaded = match load_settings(config, ReportFormat::Human) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        if self.demo {
            app::for_demo(&mut loaded.settings, environment_variables()("DATABASE_URL").as_deref());
        }
        if let Some(listen) = self.listen {
            loaded.settings.server.listen = listen;
            loaded.settings.server.port = String::new();
        }
        if let Some(admin_listen) = self.admin_listen {
            loaded.settings.server.admin_listen = admin_listen;
        }
        let logging = match Logging::start(&loaded.settings.log) {
            Ok(logging) => logging,
            Err(error) => return fail(error),
        };
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(format_args!("the runtime does not start: {error}")),
        };
        let start = Start { demo: self.demo, ready_file: self.ready_file };
        let exit = runtime.block_on(async {
            match App::start(loaded, &start, &logging).await {
                Ok(app) => match app.run().await {
                    true => Exit::Done,
                    false => Exit::Failed,
                },
                Err(StartError::Pipeline(report)) => {
                    show_report(&report, ReportFormat::Human);
                    Exit::Refused
                }
                Err(error) => fail(error),
            }
        });
        runtime.shutdown_timeout(std::time::Duration::from_millis(100));
        logging.close(std::time::Duration::from_secs(1));
        exit
    }
}
