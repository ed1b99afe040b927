//! Rows of `setup_tokens`: one that is valid at most.

use jiff::Timestamp;

use super::db::{Executor, StoreError, Transaction};
use super::value::params;
use crate::token::TokenHash;

/// Makes this the only valid token.
pub(crate) async fn replace(
    transaction: &mut Transaction,
    token_hash: &TokenHash,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM setup_tokens WHERE used_at IS NULL", params![]).await?;
    transaction
        .execute(
            "INSERT INTO setup_tokens (token_hash, created_at, expires_at) VALUES ($1, $2, $3)",
            params![token_hash, now, expires_at],
        )
        .await?;
    Ok(())
}

/// Whether the token could be used.
pub(crate) async fn is_valid(
    executor: &mut impl Executor,
    token_hash: &TokenHash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM setup_tokens WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(executor.query_optional(sql, params![token_hash, now]).await?.is_some())
}

/// Uses the token up; false where it is not valid, or was used by somebody else meanwhile.
pub(crate) async fn consume(
    transaction: &mut Transaction,
    token_hash: &TokenHash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql =
        "UPDATE setup_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(transaction.execute(sql, params![token_hash, now]).await? == 1)
}
