//! Rows of `users`.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::{Row, params};
use crate::accounts::User;
use crate::actor::Role;

/// A statement about the columns that [`user`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, email, name, role, created_at, updated_at, last_sign_in_at", $rest)
    };
}

/// How many columns [`user`] reads.
pub(crate) const COLUMN_COUNT: usize = 7;

/// A user and what a password is checked against.
pub(crate) struct Credentials {
    pub(crate) user: User,
    /// A PHC string; `None` for an account that signs in by other means.
    pub(crate) password_hash: Option<String>,
}

/// Adds a user. An e-mail address that is taken is a unique constraint.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    user: &User,
    password_hash: &str,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO users (id, email, name, role, password_hash, created_at, updated_at, last_sign_in_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                user.id,
                &user.email,
                &user.name,
                user.role.as_str(),
                password_hash,
                user.created_at,
                user.updated_at,
                user.last_sign_in_at,
            ],
        )
        .await?;
    Ok(())
}

/// The user with this id.
pub(crate) async fn by_id(executor: &mut impl Executor, id: Uuid) -> Result<Option<User>, StoreError> {
    let row = executor.query_optional(select!(" FROM users WHERE id = $1"), params![id]).await?;
    row.map(|row| user(&row, 0)).transpose()
}

/// The user with this e-mail address, which is in lower case.
pub(crate) async fn credentials_by_email(
    executor: &mut impl Executor,
    email: &str,
) -> Result<Option<Credentials>, StoreError> {
    let sql = select!(", password_hash FROM users WHERE email = $1");
    executor.query_optional(sql, params![email]).await?.map(|row| credentials(&row)).transpose()
}

/// The user with this id and its password's hash.
pub(crate) async fn credentials_by_id(
    executor: &mut impl Executor,
    id: Uuid,
) -> Result<Option<Credentials>, StoreError> {
    let sql = select!(", password_hash FROM users WHERE id = $1");
    executor.query_optional(sql, params![id]).await?.map(|row| credentials(&row)).transpose()
}

/// How many users there are.
pub(crate) async fn count(executor: &mut impl Executor) -> Result<u64, StoreError> {
    executor.query_one("SELECT COUNT(*) FROM users", params![]).await?.get(0)
}

/// Gives a user another password.
pub(crate) async fn set_password(
    transaction: &mut Transaction,
    id: Uuid,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1",
            params![id, password_hash, now],
        )
        .await?;
    Ok(())
}

/// Notes a sign-in.
pub(crate) async fn set_last_sign_in(
    transaction: &mut Transaction,
    id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction.execute("UPDATE users SET last_sign_in_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Reads the columns of a user, beginning at `first`.
pub(crate) fn user(row: &Row, first: usize) -> Result<User, StoreError> {
    let role: String = row.get(first + 3)?;
    Ok(User {
        id: row.get(first)?,
        email: row.get(first + 1)?,
        name: row.get(first + 2)?,
        role: Role::parse(&role).ok_or_else(|| StoreError::Statement(format!("no such role: {role}")))?,
        created_at: row.get(first + 4)?,
        updated_at: row.get(first + 5)?,
        last_sign_in_at: row.get(first + 6)?,
    })
}

fn credentials(row: &Row) -> Result<Credentials, StoreError> {
    Ok(Credentials { user: user(row, 0)?, password_hash: row.get(COLUMN_COUNT)? })
}
