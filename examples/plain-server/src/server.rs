//! Sockets, and the way of a request onto its chain.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use flagstone_layers::kernel::{Body, Call, Exchange, Matched, Request};
use flagstone_pipeline::Pipeline;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::table::Table;

/// What all connections share.
pub(crate) struct Server {
    pipeline: Pipeline,
    table: Table,
}

impl Server {
    pub(crate) fn new(pipeline: Pipeline, table: Table) -> Self {
        Self { pipeline, table }
    }

    /// Accepts connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream, peer));
                }
                // Such as too many open files: some will be closed soon.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(|request| {
            let call = self.call(request, peer);
            async { Ok::<_, Infallible>(call.wait().await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        // Whatever went wrong went wrong with the client: it is gone.
        if let Err(error) = served.await {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }

    /// Routes a request, notes what is known of it, and calls the chain of its route. The snapshot is loaded for each
    /// request and let go at the end of this function, so that a connection keeps no old pipeline.
    fn call(&self, request: hyper::Request<Incoming>, peer: SocketAddr) -> Call {
        let snapshot = self.pipeline.current();
        let (parts, body) = request.into_parts();
        let mut path = parts.uri.path().to_owned();
        let mut matched = self.table.find(&parts.method, &path);
        if matched == Matched::NotFound
            && let Some(target) = snapshot.resolve_alias(&path)
        {
            matched = self.table.find(&parts.method, &target);
            path = target;
        }
        let chain = match &matched {
            Matched::Route { id, .. } => snapshot.chain(*id),
            Matched::MethodNotAllowed { .. } | Matched::NotFound => None,
        };
        // A route that the pipeline leaves out does not exist.
        let (chain, matched) = match (chain, matched) {
            (Some(chain), matched) => (chain, matched),
            (None, Matched::Route { .. }) => (snapshot.fallback(), Matched::NotFound),
            (None, matched) => (snapshot.fallback(), matched),
        };
        let exchange = Exchange::new(parts.method.clone(), path, matched)
            .with_peer(peer)
            .with_generation(Arc::clone(snapshot.generation()));
        chain.call(Request::new(parts, Body::from(body), Arc::new(exchange)))
    }
}
