//! How many rows there are.

use super::db::{Executor, StoreError};
use super::value::params;

/// Whether the database answers.
pub(crate) async fn ping(executor: &mut impl Executor) -> Result<(), StoreError> {
    executor
        .query_one("SELECT version FROM schema_migrations ORDER BY version LIMIT 1", params![])
        .await
        .map(drop)
}

/// Projects, flags and audit rows.
pub(crate) async fn count(executor: &mut impl Executor) -> Result<(u64, u64, u64), StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM projects), (SELECT COUNT(*) FROM flags), \
        (SELECT COALESCE(MAX(sequence), 0) FROM audit_logs)";
    let row = executor.query_one(sql, params![]).await?;
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
