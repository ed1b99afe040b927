//! Hears of what other instances changed.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Config};

use super::session::connect_error;
use super::tls::Tls;
use crate::store::db::StoreError;

/// A connection of its own on which the server says that something was changed.
pub(in crate::store) struct Listener {
    heard: watch::Receiver<()>,
    /// The connection lives as long as this does.
    _client: Client,
}

impl Listener {
    /// Connects. What is changed from here on is heard of.
    pub(super) async fn open(config: &Config, tls: Tls, limit: Duration) -> Result<Self, StoreError> {
        let connect = async {
            let (client, mut connection) = config.connect(tls).await?;
            let (told, heard) = watch::channel(());
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                    if let AsyncMessage::Notification(_) = message {
                        told.send_replace(());
                    }
                }
            });
            client.batch_execute("LISTEN flagstone").await?;
            Ok(Self { heard, _client: client })
        };
        match timeout(limit, connect).await {
            Ok(connected) => connected.map_err(|error| connect_error(&error)),
            Err(_) => Err(StoreError::Unavailable("it does not answer in time".to_owned())),
        }
    }

    /// Waits until something was changed since this was last asked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the connection is gone.
    pub(in crate::store) async fn changed(&mut self) -> Result<(), StoreError> {
        self.heard
            .changed()
            .await
            .map_err(|_| StoreError::Unavailable("the connection that hears of changes is gone".to_owned()))
    }
}
