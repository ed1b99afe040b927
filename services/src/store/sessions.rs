//! Rows of `sessions`.

use jiff::Timestamp;
use uuid::Uuid;

use super::announcement::Announcement;
use super::db::{Executor, StoreError, Transaction};
use super::users;
use super::value::{Row, params};
use crate::accounts::{Session, User};
use crate::token::TokenHash;

/// A statement about the columns that [`session`] reads.
macro_rules! select {
    ($first:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $first,
            "sessions.id, sessions.user_id, sessions.created_at, sessions.last_seen_at, sessions.expires_at, \
             sessions.address, sessions.user_agent ",
            $rest
        )
    };
}

/// Adds a session.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    session: &Session,
    token_hash: &TokenHash,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at, address, user_agent) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                session.id,
                token_hash,
                session.user_id,
                session.created_at,
                session.last_seen_at,
                session.expires_at,
                session.address.as_ref(),
                session.user_agent.as_ref(),
            ],
        )
        .await?;
    Ok(())
}

/// The session with this token and its user, expired or not.
pub(crate) async fn by_token_hash(
    executor: &mut impl Executor,
    token_hash: &TokenHash,
) -> Result<Option<(Session, User)>, StoreError> {
    let sql = select!(
        "users.id, users.email, users.name, users.role, users.created_at, users.updated_at, \
         users.last_sign_in_at, ",
        "FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.token_hash = $1"
    );
    let row = executor.query_optional(sql, params![token_hash]).await?;
    row.map(|row| Ok((session(&row, users::COLUMN_COUNT)?, users::user(&row, 0)?))).transpose()
}

/// A user's sessions that are not over, the newest first.
pub(crate) async fn of_user(
    executor: &mut impl Executor,
    user_id: Uuid,
    now: Timestamp,
    seen_after: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let sql = select!(
        "",
        "FROM sessions WHERE user_id = $1 AND expires_at > $2 AND last_seen_at > $3 \
         ORDER BY created_at DESC, id DESC"
    );
    let rows = executor.query(sql, params![user_id, now, seen_after]).await?;
    rows.iter().map(|row| session(row, 0)).collect()
}

/// How many sessions are not over.
pub(crate) async fn count(
    executor: &mut impl Executor,
    now: Timestamp,
    seen_after: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND last_seen_at > $2";
    executor.query_one(sql, params![now, seen_after]).await?.get(0)
}

/// Notes that a session was used; false where it is gone by now.
pub(crate) async fn touch(
    transaction: &mut Transaction,
    id: Uuid,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let touched =
        transaction.execute("UPDATE sessions SET last_seen_at = $2 WHERE id = $1", params![id, now]);
    Ok(touched.await? > 0)
}

/// Deletes the session with this token and answers its id.
pub(crate) async fn delete_by_token_hash(
    transaction: &mut Transaction,
    token_hash: &TokenHash,
) -> Result<Option<Uuid>, StoreError> {
    let sql = "DELETE FROM sessions WHERE token_hash = $1 RETURNING id";
    let row = transaction.query_optional(sql, params![token_hash]).await?;
    let session = row.map(|row| row.get(0)).transpose()?;
    if let Some(session) = session {
        transaction.announce(Announcement::SessionEnd(session)).await?;
    }
    Ok(session)
}

/// Deletes a user's session; false where that user has no such one.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    id: Uuid,
    user_id: Uuid,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2";
    let deleted = transaction.execute(sql, params![id, user_id]).await? > 0;
    if deleted {
        transaction.announce(Announcement::SessionEnd(id)).await?;
    }
    Ok(deleted)
}

/// Deletes all sessions of a user and answers how many there were.
pub(crate) async fn delete_of_user(transaction: &mut Transaction, user_id: Uuid) -> Result<u64, StoreError> {
    transaction.announce(Announcement::SessionsEnd(user_id)).await?;
    transaction.execute("DELETE FROM sessions WHERE user_id = $1", params![user_id]).await
}

/// Deletes the sessions that are over.
pub(crate) async fn delete_expired(
    transaction: &mut Transaction,
    now: Timestamp,
    seen_after: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2";
    transaction.execute(sql, params![now, seen_after]).await
}

fn session(row: &Row, first: usize) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get(first)?,
        user_id: row.get(first + 1)?,
        created_at: row.get(first + 2)?,
        last_seen_at: row.get(first + 3)?,
        expires_at: row.get(first + 4)?,
        address: row.get(first + 5)?,
        user_agent: row.get(first + 6)?,
    })
}
