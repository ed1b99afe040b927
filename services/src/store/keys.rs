//! Rows of `sdk_keys`.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::{Row, params};
use crate::keys::{KeyKind, SdkKey};
use crate::token::TokenHash;

const INSERT: &str = "INSERT INTO sdk_keys \
    (id, environment_id, kind, name, secret_hash, hint, created_by, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const OF_ENVIRONMENT: &str = "SELECT id, environment_id, kind, name, hint, created_by, created_at, expires_at, \
    last_used_at, revoked_at FROM sdk_keys WHERE environment_id = $1 ORDER BY created_at, id";
const VALID: &str = "SELECT id, environment_id, kind, name, hint, created_by, created_at, expires_at, \
    last_used_at, revoked_at, secret_hash FROM sdk_keys \
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";

pub(crate) async fn insert(
    transaction: &mut Transaction,
    key: &SdkKey,
    hash: &TokenHash,
) -> Result<(), StoreError> {
    let params = params![
        key.id,
        key.environment_id,
        key.kind.as_str(),
        &key.name,
        hash,
        &key.hint,
        &key.created_by,
        key.created_at,
        key.expires_at
    ];
    transaction.execute(INSERT, params).await.map(drop)
}

/// All of an environment, revoked and expired ones too, the oldest first.
pub(crate) async fn of_environment(
    executor: &mut impl Executor,
    environment: Uuid,
) -> Result<Vec<SdkKey>, StoreError> {
    executor.query(OF_ENVIRONMENT, params![environment]).await?.iter().map(read).collect()
}

/// Every key that is neither revoked nor expired.
pub(crate) async fn valid(
    executor: &mut impl Executor,
    now: Timestamp,
) -> Result<Vec<(TokenHash, SdkKey)>, StoreError> {
    let rows = executor.query(VALID, params![now]).await?;
    rows.iter().map(|row| Ok((row.get(10)?, read(row)?))).collect()
}

pub(crate) async fn revoke(
    transaction: &mut Transaction,
    id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction.execute("UPDATE sdk_keys SET revoked_at = $2 WHERE id = $1", params![id, now]).await.map(drop)
}

pub(crate) async fn used(transaction: &mut Transaction, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    transaction
        .execute("UPDATE sdk_keys SET last_used_at = $2 WHERE id = $1", params![id, at])
        .await
        .map(drop)
}

fn read(row: &Row) -> Result<SdkKey, StoreError> {
    let kind: String = row.get(2)?;
    Ok(SdkKey {
        id: row.get(0)?,
        environment_id: row.get(1)?,
        kind: KeyKind::parse(&kind)
            .ok_or_else(|| StoreError::Statement(format!("an SDK key of kind {kind}")))?,
        name: row.get(3)?,
        hint: row.get(4)?,
        created_by: row.get(5)?,
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
        last_used_at: row.get(8)?,
        revoked_at: row.get(9)?,
    })
}
