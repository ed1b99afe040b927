//! Rows of `failed_attempts`: how often an account or an address got a password wrong.

use jiff::Timestamp;

use super::db::{Executor, StoreError, Transaction};
use super::value::params;

/// Whom attempts are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One e-mail address, whether there is such an account or not.
    Account,
    /// One client address.
    Address,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedAttempts {
    pub(crate) failures: u32,
    pub(crate) first_failed_at: Timestamp,
    pub(crate) last_failed_at: Timestamp,
    pub(crate) locked_until: Option<Timestamp>,
}

/// The row of a subject.
pub(crate) async fn find(
    executor: &mut impl Executor,
    kind: Kind,
    subject: &str,
) -> Result<Option<FailedAttempts>, StoreError> {
    let sql = "SELECT failures, first_failed_at, last_failed_at, locked_until FROM failed_attempts \
               WHERE kind = $1 AND subject = $2";
    let row = executor.query_optional(sql, params![kind.as_str(), subject]).await?;
    row.map(|row| {
        Ok(FailedAttempts {
            failures: row.get(0)?,
            first_failed_at: row.get(1)?,
            last_failed_at: row.get(2)?,
            locked_until: row.get(3)?,
        })
    })
    .transpose()
}

/// Writes the row of a subject.
pub(crate) async fn save(
    transaction: &mut Transaction,
    kind: Kind,
    subject: &str,
    attempts: &FailedAttempts,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO failed_attempts (kind, subject, failures, first_failed_at, last_failed_at, locked_until) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, subject) DO UPDATE SET \
             failures = excluded.failures, first_failed_at = excluded.first_failed_at, \
             last_failed_at = excluded.last_failed_at, locked_until = excluded.locked_until",
            params![
                kind.as_str(),
                subject,
                attempts.failures,
                attempts.first_failed_at,
                attempts.last_failed_at,
                attempts.locked_until,
            ],
        )
        .await?;
    Ok(())
}

/// Forgets a subject.
pub(crate) async fn clear(
    transaction: &mut Transaction,
    kind: Kind,
    subject: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM failed_attempts WHERE kind = $1 AND subject = $2";
    transaction.execute(sql, params![kind.as_str(), subject]).await?;
    Ok(())
}

/// Forgets every subject whose last failure is not after `before`.
pub(crate) async fn delete_old(transaction: &mut Transaction, before: Timestamp) -> Result<u64, StoreError> {
    transaction.execute("DELETE FROM failed_attempts WHERE last_failed_at <= $1", params![before]).await
}
