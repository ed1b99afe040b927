//! Where connections run: on the runtime that the whole server shares, or each on one of a runtime per core.
//!
//! With a runtime per core a connection stays on its thread, with what is answered in memory: evaluation, streams. What
//! waits for the database or for a hash runs on the shared runtime, so that it takes no time from the others.

use std::{
    future::Future,
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use flagstone_layers::kernel::Panic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::drain::Drain;

/// How the threads that serve connections are arranged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuntimeKind {
    /// One runtime for everything; its threads take work from each other.
    Shared,
    /// One runtime of its own for each core; a connection stays where it began.
    #[default]
    PerCore,
}

/// Where connections run. Those of a core end with it.
pub(crate) enum DataPlane {
    Shared,
    PerCore(Vec<Core>),
}

/// A thread with a runtime of its own.
pub(crate) struct Core {
    handle: Handle,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

/// Counts a connection of a core for as long as it lives.
struct Counted(Arc<AtomicUsize>);

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

// === impl DataPlane ===

impl DataPlane {
    /// Starts the threads it needs.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor for its events.
    pub(crate) fn start(kind: RuntimeKind) -> io::Result<Self> {
        match kind {
            RuntimeKind::Shared => Ok(Self::Shared),
            RuntimeKind::PerCore => {
                (0..cores()).map(Core::start).collect::<Result<_, _>>().map(Self::PerCore)
            }
        }
    }

    /// The runtime for what may wait, where that is another than the connection's.
    pub(crate) fn control(&self) -> Option<Handle> {
        match self {
            Self::Shared => None,
            Self::PerCore(_) => Handle::try_current().ok(),
        }
    }

    /// Serves a connection where there are the fewest; the drain waits for it.
    pub(crate) fn spawn<F>(
        &self,
        drain: &Drain,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let least = match self {
            Self::Shared => None,
            // One that ended has none, so that all new ones would go there.
            Self::PerCore(cores) => cores
                .iter()
                .filter(|core| !core.thread.is_finished())
                .min_by_key(|core| core.connections.load(Ordering::Relaxed)),
        };
        let Some(core) = least else { return drain.spawn(serve(stream)) };
        let counted = Counted::new(&core.connections);
        let moved = stream.into_std();
        let task = async move {
            let _counted = counted;
            match moved.and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection cannot be handed to its core"),
            }
        };
        drain.spawn_on(task, &core.handle);
    }
}

// === impl Core ===

impl Core {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("core-{index}")).spawn(move || {
            // Nothing is ever sent: it ends as the sender is dropped.
            if let Err(panic) = Panic::catch(|| runtime.block_on(stopped)) {
                tracing::error!(core = index, %panic, "a core is lost, with its connections; the others go on");
            }
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, connections: Arc::default(), thread, _stop: stop })
    }
}

// === impl Counted ===

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Mutex};

    use tokio::{net::TcpListener, sync::Barrier};

    use super::*;

    /// The threads that as many connections as there are cores, all open at the same time, are served on.
    async fn threads(data_plane: &DataPlane) -> HashSet<Option<String>> {
        let drain = Drain::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cores = thread::available_parallelism().unwrap().get();
        let all_there = Arc::new(Barrier::new(cores));
        let names = Arc::new(Mutex::new(HashSet::new()));
        let mut clients = Vec::new();
        for _ in 0..cores {
            clients.push(TcpStream::connect(address).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let (all_there, names) = (Arc::clone(&all_there), Arc::clone(&names));
            data_plane.spawn(&drain, stream, |stream| async move {
                stream.writable().await.unwrap();
                all_there.wait().await;
                names.lock().unwrap().insert(thread::current().name().map(str::to_owned));
            });
        }
        assert!(drain.finished(std::time::Duration::from_secs(30)).await);
        let names = names.lock().unwrap();
        names.clone()
    }

    #[tokio::test]
    async fn each_core_gets_its_share() {
        let cores = thread::available_parallelism().unwrap().get();
        let expected: HashSet<_> = (0..cores).map(|index| Some(format!("core-{index}"))).collect();
        let data_plane = DataPlane::start(RuntimeKind::PerCore).unwrap();
        assert_eq!(threads(&data_plane).await, expected);
    }

    #[tokio::test]
    async fn shared_they_stay_where_they_are() {
        let here = thread::current().name().map(str::to_owned);
        let data_plane = DataPlane::start(RuntimeKind::Shared).unwrap();
        assert_eq!(threads(&data_plane).await, HashSet::from([here]));
    }

    #[tokio::test]
    async fn a_core_that_is_lost_gets_no_more_connections() {
        let mut data_plane = DataPlane::start(RuntimeKind::PerCore).unwrap();
        let DataPlane::PerCore(cores) = &mut data_plane else { panic!("there are none") };
        let lost = cores.first_mut().unwrap();
        lost._stop = oneshot::channel().0;
        while !lost.thread.is_finished() {
            tokio::task::yield_now().await;
        }
        let names = threads(&data_plane).await;
        let cores = thread::available_parallelism().unwrap().get();
        let mut others: HashSet<_> = (1..cores).map(|index| Some(format!("core-{index}"))).collect();
        if others.is_empty() {
            others.insert(thread::current().name().map(str::to_owned));
        }
        assert_eq!(names, others);
    }

    #[tokio::test]
    async fn a_core_ends_with_the_data_plane() {
        let data_plane = DataPlane::start(RuntimeKind::PerCore).unwrap();
        let DataPlane::PerCore(cores) = &data_plane else { panic!("there are none") };
        let (dropped, done) = oneshot::channel::<()>();
        cores[0].handle.spawn(async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        });
        drop(data_plane);
        assert!(done.await.is_err(), "what ran there ended");
    }
}
