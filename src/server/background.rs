//! Threads that step back behind those that serve: for what takes long and is to delay nobody.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// By how much of the 19 there are these threads step back: they get about a tenth of a core that others want all of,
/// and the whole of one that is free. With more they might not get on.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// A runtime for blocking work alone.
///
/// # Errors
/// The system does not give what a runtime takes.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().thread_name("background").on_thread_start(step_back).build()
}

/// Lowers the priority of this thread. Other systems know only that of a process.
#[cfg(target_os = "linux")]
fn step_back() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "background work has the priority of all other");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn its_threads_step_back_and_others_do_not() {
        let priority = || getpriority_process(None).unwrap();
        let background = runtime().unwrap();
        let before = priority();
        let there = background.handle().spawn_blocking(priority).await.unwrap();
        assert_eq!((there, priority()), ((before + NICE).min(19), before));
        background.shutdown_background();
    }
}
