//! Listening sockets and the accept loop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{
    connection::Connections,
    drain::{self, Drain, Phase},
    runtime::DataPlane,
};

/// How long to wait after an accept that failed for want of resources, before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds a socket; port 0 takes any that is free.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Accepts connections until the drain begins; never more than `max` at a time.
pub(crate) async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    data_plane: Arc<DataPlane>,
    max: usize,
    drain: Drain,
) {
    let permits = Arc::new(Semaphore::new(max));
    let mut phase = drain.watch();
    let (mut refused, mut failed) = (Doubling::default(), Doubling::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain::reached(&mut phase, Phase::Draining) => return,
            accepted = accept_one(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(times) = failed.is_due() {
                    tracing::warn!(%error, times, "cannot accept a connection; trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            // Over the cap the socket is closed at once: cheaper for both than to let it wait.
            if let Some(refused) = refused.is_due() {
                tracing::warn!(max_connections = max, refused, "too many connections: refusing new ones");
            }
            connections.count_refused();
            continue;
        };
        let (connections, phase) = (Arc::clone(&connections), drain.watch());
        // What a future takes over from outside and what it waits for are two places in it, so what is large is made within.
        data_plane.spawn(&drain, stream, move |stream| async move {
            connections.serve(stream, peer, phase).await;
            drop(permit);
        });
    }
}

/// Accepts one connection; those that their client gave up already are passed over.
async fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Ok((stream, peer));
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// What is said at the 1st, 2nd, 4th … time, so that a flood does not fill the log.
#[derive(Default)]
struct Doubling {
    times: usize,
}

impl Doubling {
    /// How often it was by now, where that is to be said.
    fn is_due(&mut self) -> Option<usize> {
        self.times += 1;
        self.times.is_power_of_two().then_some(self.times)
    }
}
