//! Databases for tests: an SQLite file each, or, where [`SERVER`] names a PostgreSQL server, a database each.

use std::str::FromStr;
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use super::db::{DatabaseOptions, DatabaseUrl, Db, Executor, StoreError};
use super::value::{Row, Value};

/// The variable that names a PostgreSQL server on which tests may make databases.
pub const SERVER: &str = "FLAGSTONE_TEST_POSTGRES";

/// The longest that closing a handle may take.
const CLOSE: Duration = Duration::from_secs(5);

/// A new, empty database, removed after it is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    address: String,
    /// Of the SQLite file.
    _folder: Option<TempDir>,
    /// The PostgreSQL server and the database's name on it.
    server: Option<(Config, String)>,
}

// === impl TestDatabase ===

impl TestDatabase {
    /// Makes one.
    ///
    /// # Errors
    /// [`StoreError`] where there is no folder or the server does not make one.
    pub async fn new() -> Result<Self, StoreError> {
        match std::env::var(SERVER) {
            Ok(server) => Self::on_server(&server).await,
            Err(_) => {
                let folder = TempDir::new().map_err(|error| StoreError::Unavailable(error.to_string()))?;
                let address = format!("sqlite:{}", folder.path().join("flagstone.db").display());
                Ok(Self { address, _folder: Some(folder), server: None })
            }
        }
    }

    async fn on_server(address: &str) -> Result<Self, StoreError> {
        let wrong = |error: String| StoreError::Refused(format!("{SERVER}: {error}"));
        let server = Config::from_str(address).map_err(|error| wrong(error.to_string()))?;
        let Some((prefix, _)) = address.rsplit_once('/') else {
            return Err(wrong("it names no database".to_owned()));
        };
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        command(&server, &format!("CREATE DATABASE {name}")).await?;
        let address = format!("{prefix}/{name}?sslmode=disable");
        Ok(Self { address, _folder: None, server: Some((server, name)) })
    }

    /// As settings name it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is PostgreSQL's, for the few statements that differ.
    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    /// How it is opened: with few connections.
    ///
    /// # Errors
    /// None that a test expects.
    pub fn options(&self) -> Result<DatabaseOptions, StoreError> {
        let mut options = DatabaseOptions::new(DatabaseUrl::parse(&self.address)?);
        options.connections = 4;
        Ok(options)
    }

    /// Another handle on it, as another process has one.
    ///
    /// # Errors
    /// Those of [`Db::open`].
    pub async fn outside(&self) -> Result<Db, StoreError> {
        Db::open(self.options()?).await
    }

    /// Runs statements from outside and commits them.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        let db = self.outside().await?;
        let mut transaction = db.begin().await?;
        transaction.batch(sql).await?;
        transaction.commit().await?;
        db.close(CLOSE).await
    }

    /// What a statement answers from outside, once no other transaction that changes anything is open.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn rows(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let db = self.outside().await?;
        let mut transaction = db.begin().await?;
        let rows = transaction.query(sql, params).await?;
        transaction.commit().await?;
        db.close(CLOSE).await?;
        Ok(rows)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = &self.server else { return };
        let (server, drop_it) = (server.clone(), format!("DROP DATABASE {name} WITH (FORCE)"));
        // On a thread of its own that nobody waits for: the server drops no database while a connection to it is being
        // made, and the one who makes it may be the test's runtime, which goes on only after this. What the end of
        // the process leaves behind goes with the cluster.
        std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                let _ = runtime.block_on(command(&server, &drop_it));
            }
        });
    }
}

/// Runs one statement on the server, outside of any transaction.
async fn command(server: &Config, sql: &str) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::Unavailable(error.to_string());
    let (client, connection) = server.connect(NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let outcome = client.batch_execute(sql).await.map_err(failed);
    drop(client);
    // Ends with its client.
    let _ = connection.await;
    outcome
}
