//! Secrets that all instances share: made by the first that asks, kept in the database.

use uuid::Uuid;

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::store::{self, Db};
use crate::token::random_bytes;

/// The secrets of a purpose with their ids, the newest first; there is at least one.
pub(crate) async fn of_purpose(
    db: &Db,
    clock: &Clock,
    purpose: &str,
) -> Result<Vec<(String, [u8; 32])>, ServiceError> {
    let mut transaction = db.begin().await?;
    let mut secrets = store::secrets::of_purpose(&mut transaction, purpose).await?;
    if secrets.is_empty() {
        let secret = random_bytes().map_err(|error| ServiceError::Internal(error.to_string()))?;
        let id = Uuid::now_v7().simple().to_string();
        store::secrets::insert(&mut transaction, &id, purpose, &secret, clock.now()).await?;
        secrets.push((id, secret));
        transaction.commit().await?;
    }
    Ok(secrets)
}
