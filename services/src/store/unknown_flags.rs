//! Rows of `unknown_flags`: keys that clients asked for and that do not exist.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::params;
use crate::flags::UnknownFlag;

/// Rows kept for one environment: keys are chosen by whoever has a client key.
const ROWS: i64 = 1_000;

const COUNT_UP: &str = "UPDATE unknown_flags SET requests = requests + $3, last_seen_at = $4 \
    WHERE environment_id = $1 AND key = $2";
const INSERT: &str = "INSERT INTO unknown_flags \
    (environment_id, key, requests, first_seen_at, last_seen_at, dismissed) SELECT $1, $2, $3, $4, $4, 0 \
    WHERE (SELECT COUNT(*) FROM unknown_flags WHERE environment_id = $1) < $5 \
    AND EXISTS (SELECT 1 FROM environments WHERE id = $1)";
const LIST: &str = "SELECT e.key, u.key, u.requests, u.first_seen_at, u.last_seen_at \
    FROM unknown_flags u JOIN environments e ON e.id = u.environment_id \
    WHERE e.project_id = $1 AND u.dismissed = 0 \
    ORDER BY u.last_seen_at DESC, u.key, e.position LIMIT $2 OFFSET $3";
const COUNT: &str = "SELECT COUNT(*) FROM unknown_flags u JOIN environments e ON e.id = u.environment_id \
    WHERE e.project_id = $1 AND u.dismissed = 0";
const DISMISS: &str = "UPDATE unknown_flags SET dismissed = 1 WHERE key = $2 \
    AND environment_id IN (SELECT id FROM environments WHERE project_id = $1)";
const DELETE: &str = "DELETE FROM unknown_flags WHERE key = $2 \
    AND environment_id IN (SELECT id FROM environments WHERE project_id = $1)";

/// Adds `requests` to a key's count; a new key is passed over where there are too many already.
pub(crate) async fn count_up(
    transaction: &mut Transaction,
    environment: Uuid,
    key: &str,
    requests: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    if transaction.execute(COUNT_UP, params![environment, key, requests, now]).await? == 0 {
        transaction.execute(INSERT, params![environment, key, requests, now, ROWS]).await?;
    }
    Ok(())
}

/// One page, the last seen first, and how many there are.
pub(crate) async fn list(
    executor: &mut impl Executor,
    project: Uuid,
    limit: u32,
    offset: u32,
) -> Result<(Vec<UnknownFlag>, u64), StoreError> {
    let total = executor.query_one(COUNT, params![project]).await?.get(0)?;
    let rows = executor.query(LIST, params![project, limit, offset]).await?;
    let read = rows.iter().map(|row| {
        Ok(UnknownFlag {
            environment: row.get(0)?,
            key: row.get(1)?,
            requests: row.get(2)?,
            first_seen_at: row.get(3)?,
            last_seen_at: row.get(4)?,
        })
    });
    Ok((read.collect::<Result<_, StoreError>>()?, total))
}

/// Hides a key in all environments of the project; answers how many rows that were.
pub(crate) async fn dismiss(
    transaction: &mut Transaction,
    project: Uuid,
    key: &str,
) -> Result<u64, StoreError> {
    transaction.execute(DISMISS, params![project, key]).await
}

/// Forgets a key that exists now.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    project: Uuid,
    key: &str,
) -> Result<(), StoreError> {
    transaction.execute(DELETE, params![project, key]).await.map(drop)
}
