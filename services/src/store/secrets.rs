//! Rows of `secrets`: keys that this server signs with.

use jiff::Timestamp;

use super::db::{Executor, StoreError, Transaction};
use super::value::params;

/// The keys of a purpose with their ids, the newest first.
pub(crate) async fn of_purpose(
    executor: &mut impl Executor,
    purpose: &str,
) -> Result<Vec<(String, [u8; 32])>, StoreError> {
    let sql = "SELECT id, secret FROM secrets WHERE purpose = $1 ORDER BY created_at DESC, id DESC";
    let rows = executor.query(sql, params![purpose]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    id: &str,
    purpose: &str,
    secret: &[u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO secrets (id, purpose, secret, created_at) VALUES ($1, $2, $3, $4)";
    transaction.execute(sql, params![id, purpose, secret, now]).await.map(drop)
}
