//! Rows of `changes`: what happened to an environment, one row for each revision.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{StoreError, Transaction};
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
