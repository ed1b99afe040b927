//! Rows of `changes`: what happened to an environment, one row for each revision.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::params;

pub(crate) async fn insert(
    transaction: &mut Transaction,
    environment: Uuid,
    revision: u64,
    kind: &str,
    key: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO changes (environment_id, revision, kind, key, created_at) VALUES ($1, $2, $3, $4, $5)",
            params![environment, revision, kind, key, now],
        )
        .await
        .map(drop)
}

/// When the environment came to `revision`; `None` where it never did, and for 0.
pub(crate) async fn made_at(
    executor: &mut impl Executor,
    environment: Uuid,
    revision: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT created_at FROM changes WHERE environment_id = $1 AND revision = $2";
    let row = executor.query_optional(sql, params![environment, revision]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Revision, kind and key of what happened after `revision`, in order.
pub(crate) async fn since(
    executor: &mut impl Executor,
    environment: Uuid,
    revision: u64,
) -> Result<Vec<(u64, String, String)>, StoreError> {
    let sql = "SELECT revision, kind, key FROM changes WHERE environment_id = $1 AND revision > $2 ORDER BY revision";
    let rows = executor.query(sql, params![environment, revision]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect()
}
