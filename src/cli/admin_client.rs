//! Speaks to a running server's admin listener.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{AdminUrl, Exit, ReportFormat, fail, load_settings};
use crate::server::admin::AdminAddress;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error("no server answers at {address}: {source}")]
    Connect { address: AdminAddress, source: std::io::Error },
    #[error("the server at {address} broke off: {source}")]
    Http { address: AdminAddress, source: hyper::Error },
    #[error("the server at {0} does not answer")]
    Timeout(AdminAddress),
}

impl AdminUrl {
    /// The admin listener's address: the one given, or the one of the settings.
    pub(super) fn address(&self, config: &Path) -> Result<AdminAddress, Exit> {
        match &self.admin {
            Some(url) => {
                let text = url.trim_start_matches("http://").trim_end_matches('/');
                text.parse().map_err(|problem| fail(format_args!("--admin: {problem}")))
            }
            None => load_settings(config, ReportFormat::Human)?.settings.admin_listen().map_err(fail),
        }
    }
}

/// Sends a request without a body.
pub(super) async fn send(address: &AdminAddress, method: Method, path: &str) -> Result<Answer, AdminError> {
    let sent = async {
        let connected = |source| AdminError::Connect { address: address.clone(), source };
        match address {
            AdminAddress::Tcp(socket) => {
                let stream = TcpStream::connect(socket).await.map_err(connected)?;
                exchange(address, stream, method, path, &socket.to_string()).await
            }
            AdminAddress::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(connected)?;
                exchange(address, stream, method, path, "localhost").await
            }
        }
    };
    match tokio::time::timeout(TIMEOUT, sent).await {
        Ok(answer) => answer,
        Err(_) => Err(AdminError::Timeout(address.clone())),
    }
}

async fn exchange<S>(
    address: &AdminAddress,
    stream: S,
    method: Method,
    path: &str,
    host: &str,
) -> Result<Answer, AdminError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |source| AdminError::Http { address: address.clone(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(HOST, host);
    }
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
