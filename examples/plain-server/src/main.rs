//! A small server that keeps notes, on `flagstone-pipeline` and `flagstone-layers`: what stands before its handlers is
//! declared in a file and can be changed while it runs.

mod clock;
mod keys;
mod notes;
mod server;
mod table;
mod user_agent;

use std::{
    env,
    error::Error,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink},
    kernel::{Authenticator, Registered, Resources},
};
use flagstone_pipeline::{Format, Host, Pipeline, Report, Trigger};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{keys::Keys, notes::Notes, server::Server, table::Table};

/// As the process exits where its pipeline is refused.
const REFUSED: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A person reads this: with the lines of the file and carets below them.
            match error.downcast_ref::<Report>() {
                Some(report) => eprint!("{}", report.render(Format::Human, false)),
                None => eprintln!("plain-server: {error}"),
            }
            ExitCode::from(if error.is::<Report>() { REFUSED } else { 1 })
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let keys = Keys::read(Path::new(&setting("KEYS_FILE", "keys.txt")))?;
    let (sink, log) = AccessLogSink::start(io::stderr(), &AccessLogOptions::default())?;

    let routes = [notes::routes(&Arc::new(Notes::default())), clock::routes()].concat();
    let table = Table::new(routes.iter().map(|(spec, _)| spec))?;
    let host = Host {
        registry: flagstone_layers::registry().with(&[Registered::of::<user_agent::Spec>()]),
        resources: Resources::new().with(sink).with(Arc::new(keys) as Arc<dyn Authenticator>),
        routes,
        fallback: table::fallback(),
        variables: Arc::new(|name| env::var(name).ok()),
        settings: None,
        background: None,
    };
    let pipeline = Pipeline::load(Path::new(&setting("PIPELINE", "pipeline.toml")), host)?;
    let _watcher = pipeline.watch();
    tokio::spawn(reload_on_hangup(pipeline.clone(), signal(SignalKind::hangup())?));

    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = Arc::new(Server::new(pipeline, table)).serve(listener) => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    log.close(Duration::from_secs(1));
    Ok(())
}

async fn reload_on_hangup(pipeline: Pipeline, mut hangup: tokio::signal::unix::Signal) {
    while hangup.recv().await.is_some() {
        pipeline.reload(Trigger::Signal).await;
    }
}
