//! Databases for tests.

use super::db::{DatabaseOptions, DatabaseUrl, StoreError};

/// The variable that names a PostgreSQL server on which tests may make databases.
pub const SERVER: &str = "FLAGSTONE_TEST_POSTGRES";

/// A new, empty database: on the PostgreSQL server that [`SERVER`] names, or a temporary SQLite file where it is not
/// set.
///
/// # Errors
/// [`StoreError`] where the server does not make one.
pub async fn database() -> Result<DatabaseOptions, StoreError> {
    let Ok(server) = std::env::var(SERVER) else {
        return Ok(DatabaseOptions::new(DatabaseUrl::SqliteTemporary));
    };
    let DatabaseUrl::Postgres(mut config) = DatabaseUrl::parse(&server)? else {
        return Err(StoreError::Refused(format!("{SERVER} is no address of a PostgreSQL server")));
    };
    let failed = |error: tokio_postgres::Error| StoreError::Unavailable(error.to_string());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.map_err(failed)?;
    drop(client);
    let _ = connection.await;
    config.dbname(name);
    let mut options = DatabaseOptions::new(DatabaseUrl::Postgres(config));
    options.connections = 4;
    Ok(options)
}
