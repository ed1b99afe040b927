//! Hears what other instances announce.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Config};

use super::session::{connect_error, store_error};
use super::tls::Tls;
use crate::store::announcement::Announcement;
use crate::store::db::StoreError;

/// A connection of its own on which the server says what other instances, and this one, announce.
pub(crate) struct Listener {
    heard: mpsc::UnboundedReceiver<Announcement>,
    /// The connection lives as long as this does.
    client: Client,
    /// The longest wait for an answer.
    limit: Duration,
}

// === impl Listener ===

impl Listener {
    /// Connects. What is announced from here on is heard.
    pub(super) async fn open(config: &Config, tls: Tls, limit: Duration) -> Result<Self, StoreError> {
        let connect = async {
            let (client, mut connection) = config.connect(tls).await?;
            let (tell, heard) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                let conversation = async {
                    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                        if let AsyncMessage::Notification(notification) = message {
                            // Where nobody listens any more it ends in a moment.
                            let _ = tell.send(Announcement::parse(notification.payload()));
                        }
                    }
                };
                // A connection that owes an answer would wait for it, also once nobody does.
                tokio::select! { () = conversation => {}, () = tell.closed() => {} }
            });
            client.batch_execute("LISTEN flagstone").await?;
            Ok(Self { heard, client, limit })
        };
        match timeout(limit, connect).await {
            Ok(connected) => connected.map_err(|error| connect_error(&error)),
            Err(_) => Err(silent()),
        }
    }

    /// Waits for the next announcement. It may be given up at any time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the connection is gone: begin anew.
    pub(crate) async fn heard(&mut self) -> Result<Announcement, StoreError> {
        let gone = || StoreError::Unavailable("the connection that hears of changes is gone".to_owned());
        self.heard.recv().await.ok_or_else(gone)
    }

    /// Asks whether the server is still there, which the connection would not notice otherwise. Answers how long it
    /// took.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it does not answer in time: begin anew.
    pub(crate) async fn ask(&self) -> Result<Duration, StoreError> {
        let began = Instant::now();
        match timeout(self.limit, self.client.batch_execute("")).await {
            Ok(Ok(())) => Ok(began.elapsed()),
            Ok(Err(error)) => Err(store_error(&error)),
            Err(_) => Err(silent()),
        }
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable("it does not answer in time".to_owned())
}
