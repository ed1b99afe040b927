//! Writes one line for each request, when its answer's body is done.
//!
//! A line has the time, level, method, path (without its query, which may hold secrets), route, status, duration, bytes,
//! request id, principal and what is known of it, client address, how the request ended, which layer stopped it, which would have, the pipeline's
//! generation, and whatever the host adds to every line.
//!
//! Lines are formatted by hand into buffers in memory, one for each group of threads, and a thread of its own writes them
//! out: see [`AccessLogSink`]. A request never waits for the log; where the reader is too slow, or the disk full, lines are
//! dropped, counted, and reported once writing works again. The host's own lines can go the same way.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{convert::Infallible, time::Duration};
//!
//! use flagstone_layers::{
//!     access_log::{AccessLog, AccessLogOptions, AccessLogSink, Config},
//!     kernel::Body,
//! };
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let (sink, writer) = AccessLogSink::start(std::io::stdout(), &AccessLogOptions::default())?;
//! let service = ServiceBuilder::new()
//!     .layer(AccessLog::layer(&Config::default(), &sink))
//!     .service(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("hello")))));
//!
//! let response = service.oneshot(Request::get("/").body(Body::empty())?).await?;
//! response.into_body().read().await?;
//! assert!(writer.close(Duration::from_secs(10)));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod escape;
mod event;
mod line;
mod output;
mod sink;
mod spec;
mod writer;

use std::time::SystemTime;

use self::line::Line;
pub use self::{
    sink::{AccessLogOptions, AccessLogSink},
    spec::{Config, Format, Spec},
    writer::AccessLogWriter,
};
use crate::kernel::{Ended, Exchange, Flow, Hook, RequestHead, Standalone};

/// The hook.
#[derive(Debug)]
pub struct AccessLog {
    sink: AccessLogSink,
    format: Format,
}

impl AccessLog {
    /// A Tower layer that does this alone.
    pub fn layer(config: &Config, sink: &AccessLogSink) -> Standalone {
        Standalone::hook(spec::KIND, Self::new(config, sink))
    }

    fn new(config: &Config, sink: &AccessLogSink) -> Self {
        Self { sink: sink.clone(), format: config.format.unwrap_or(sink.format()) }
    }
}

impl Hook for AccessLog {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }

    fn on_end(&self, exchange: &Exchange, ended: &Ended) {
        let line = Line { time: SystemTime::now(), exchange, ended };
        self.sink.write(|buffer, clock| {
            line.write(self.format, self.sink.context(self.format), clock, buffer);
        });
    }
}

#[cfg(test)]
mod tests;
