//! Signing in with a password, and changing it.
//!
//! An unknown address, a wrong password and a locked account cost the same and look the same from outside.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::lockout::{self, Reservation, Subject};
use super::password::Password;
use super::revocation::Revocation;
use super::sessions::SignedIn;
use super::users::{User, check_new_password};
use super::{Accounts, detached, email};
use crate::actor::{Actor, Identity};
use crate::audit::{self, Entry};
use crate::error::ServiceError;
use crate::store::users::{self, Credentials};
use crate::store::{StoreError, Transaction, sessions};
use crate::token;

/// A sign-in as it is asked for.
#[derive(Clone)]
pub struct SignIn {
    /// The e-mail address in any spelling.
    pub email: String,
    /// In clear text.
    pub password: Password,
    /// The token of the session that the client had until now; it ends.
    pub previous: Option<String>,
}

/// Why a sign-in was refused. For figures and audit, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No account has this address, or it has no password.
    UnknownAccount,
    /// The password is another one.
    WrongPassword,
    /// The account or the client's address has to wait.
    Locked,
}

impl Refusal {
    /// The name in a figure's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::WrongPassword => "wrong_password",
            Self::Locked => "locked",
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// 401, whatever the reason.
    #[error("the e-mail address or the password is wrong, or there were too many attempts")]
    Refused(Refusal),
    /// It could not be found out.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<SignInError> for ServiceError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused(_) => Self::Unauthenticated,
            SignInError::Service(error) => error,
        }
    }
}

/// A password that was right.
struct Proven {
    credentials: Credentials,
    reservation: Reservation,
    /// The password's hash with the parameters of today, where the stored one has others.
    rehash: Option<String>,
}

/// An attempt that failed.
struct Refused {
    refusal: Refusal,
    /// The account that was tried, where there is one.
    account: Option<Uuid>,
    /// Until when the account or the address has to wait.
    locked_until: Option<Timestamp>,
}

impl Accounts {
    /// Signs in and opens a session with a new token. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`SignInError::Refused`] for wrong credentials, [`SignInError::Service`] where the database is away or
    /// the hasher is busy.
    pub async fn sign_in(&self, actor: &Actor, request: SignIn) -> Result<SignedIn, SignInError> {
        let (accounts, actor) = (self.clone(), actor.clone());
        let outcome = detached(async move {
            let refused = match accounts.check(&actor, &request.email, request.password).await? {
                Ok(proven) => match accounts.admit(&actor, proven, request.previous.as_deref()).await? {
                    Ok(signed_in) => return Ok(Ok(signed_in)),
                    Err(refused) => refused,
                },
                Err(refused) => refused,
            };
            accounts.record_refusal(&actor, "session.sign_in", &refused).await?;
            Ok(Err(refused.refusal))
        });
        outcome.await?.map_err(SignInError::Refused)
    }

    /// Gives the acting user another password. All their sessions end; the answer is a new one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] at `/current_password` or `/new_password`; [`ServiceError::TooManyAttempts`]
    /// where the current one was wrong too often.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: Password,
        new: Password,
    ) -> Result<SignedIn, ServiceError> {
        let Identity::User { id, .. } = actor.identity else { return Err(ServiceError::Forbidden) };
        let mut read = self.0.db.read().await?;
        let user = users::by_id(&mut read, id).await?.ok_or(ServiceError::Unauthenticated)?;
        drop(read);
        check_new_password("/new_password", &new, &user.email, &user.name)?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            match accounts.check(&actor, &user.email, current).await? {
                Ok(proven) => {
                    let hash = accounts.0.hasher.hash(new).await?;
                    accounts.replace_password(&actor, proven, &hash).await
                }
                Err(refused) => {
                    accounts.record_refusal(&actor, "user.change_password", &refused).await?;
                    Err(refused.told_to_the_user(accounts.0.clock.now()))
                }
            }
        })
        .await
    }

    /// Counts the attempt and checks the password; computes one hash whatever comes of it.
    async fn check(
        &self,
        actor: &Actor,
        email: &str,
        password: Password,
    ) -> Result<Result<Proven, Refused>, ServiceError> {
        let (found, reserved) = self.reserve(actor, email).await?;
        let account = found.as_ref().map(|credentials| credentials.user.id);
        let stored = found.as_ref().and_then(|credentials| credentials.password_hash.clone());
        let verdict = match self.0.hasher.verify(password.clone(), stored).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // Nothing was checked, so nothing failed.
                if let Ok(reservation) = reserved {
                    self.take_back(reservation).await?;
                }
                return Err(error.into());
            }
        };
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(until) => {
                return Ok(Err(Refused { refusal: Refusal::Locked, account, locked_until: Some(until) }));
            }
        };
        let refused = |refusal| Refused { refusal, account, locked_until: reservation.locked_until() };
        match found {
            Some(credentials) if verdict.matches => {
                let rehash = if verdict.outdated { self.rehash(password).await } else { None };
                Ok(Ok(Proven { credentials, reservation, rehash }))
            }
            Some(credentials) if credentials.password_hash.is_some() => {
                Ok(Err(refused(Refusal::WrongPassword)))
            }
            _ => Ok(Err(refused(Refusal::UnknownAccount))),
        }
    }

    /// The first transaction of an attempt: finds the account and counts the attempt as failed, or answers
    /// until when it is locked.
    async fn reserve(
        &self,
        actor: &Actor,
        email: &str,
    ) -> Result<(Option<Credentials>, Result<Reservation, Timestamp>), StoreError> {
        let normal = email::normalize(email);
        // What is no address is counted and hashed like one that nobody has.
        let name = normal.clone().unwrap_or_else(|| email.trim().to_lowercase());
        let options = &self.0.options;
        let mut subjects = vec![Subject::account(&name, options.account_lockout)];
        subjects.extend(actor.address.map(|address| Subject::address(address, options.address_lockout)));
        let mut transaction = self.0.db.begin().await?;
        let found = match &normal {
            Some(email) => users::credentials_by_email(&mut transaction, email).await?,
            None => None,
        };
        let reserved = lockout::reserve(&mut transaction, &subjects, self.0.clock.now()).await?;
        transaction.commit().await?;
        Ok((found, reserved))
    }

    async fn take_back(&self, reservation: Reservation) -> Result<(), StoreError> {
        let mut transaction = self.0.db.begin().await?;
        reservation.take_back(&mut transaction).await?;
        transaction.commit().await
    }

    /// A hash that could not be renewed is renewed at the next sign-in.
    async fn rehash(&self, password: Password) -> Option<String> {
        let hash = self.0.hasher.hash(password).await;
        hash.inspect_err(|error| tracing::warn!(%error, "the hash of a password could not be renewed")).ok()
    }

    /// The second transaction of a sign-in: opens the session.
    async fn admit(
        &self,
        actor: &Actor,
        proven: Proven,
        previous: Option<&str>,
    ) -> Result<Result<SignedIn, Refused>, ServiceError> {
        let now = self.0.clock.now();
        let mut transaction = self.0.db.begin().await?;
        let mut user = match proven.settle(&mut transaction).await? {
            Ok(user) => user,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(hash) = &proven.rehash {
            users::set_password(&mut transaction, user.id, hash, now).await?;
        }
        users::set_last_sign_in(&mut transaction, user.id, now).await?;
        user.last_sign_in_at = Some(now);
        let replaced = match previous {
            Some(token) => sessions::delete_by_token_hash(&mut transaction, &token::hash(token)).await?,
            None => None,
        };
        let actor = acting(actor, &user);
        let (signed_in, displaced) = self.open_session(&mut transaction, &actor, user).await?;
        let id = signed_in.session.id.to_string();
        let mut entry = Entry::new("session.sign_in", "session", &id);
        entry.after = Some(json!({ "method": "password", "replaces": replaced }));
        audit::record(&mut transaction, now, &actor, entry).await?;
        transaction.commit().await?;
        if let Some(session) = replaced {
            self.ended(session, Revocation::Replaced);
        }
        self.opened(&displaced);
        Ok(Ok(signed_in))
    }

    /// The second transaction of a change of password.
    async fn replace_password(
        &self,
        actor: &Actor,
        proven: Proven,
        hash: &str,
    ) -> Result<SignedIn, ServiceError> {
        let now = self.0.clock.now();
        let mut transaction = self.0.db.begin().await?;
        let mut user = match proven.settle(&mut transaction).await? {
            Ok(user) => user,
            Err(refused) => return Err(refused.told_to_the_user(now)),
        };
        users::set_password(&mut transaction, user.id, hash, now).await?;
        user.updated_at = now;
        let ended = sessions::delete_of_user(&mut transaction, user.id).await?;
        let (signed_in, displaced) = self.open_session(&mut transaction, actor, user).await?;
        let id = signed_in.user.id.to_string();
        let mut entry = Entry::new("user.change_password", "user", &id);
        entry.after = Some(json!({ "sessions_ended": ended, "session": signed_in.session.id }));
        audit::record(&mut transaction, now, actor, entry).await?;
        transaction.commit().await?;
        self.all_ended(signed_in.user.id, ended, Revocation::PasswordChanged);
        self.opened(&displaced);
        Ok(signed_in)
    }

    /// The audit row of an attempt that failed. An address that has no account is not written down: it may
    /// be a password typed into the wrong field.
    async fn record_refusal(
        &self,
        actor: &Actor,
        kind: &'static str,
        refused: &Refused,
    ) -> Result<(), StoreError> {
        let account = refused.account.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let mut entry = Entry::new(kind, "user", &account);
        entry.success = false;
        entry.after =
            Some(json!({ "reason": refused.refusal.as_str(), "locked_until": refused.locked_until }));
        let mut transaction = self.0.db.begin().await?;
        audit::record(&mut transaction, self.0.clock.now(), actor, entry).await?;
        transaction.commit().await
    }
}

impl Proven {
    /// Takes the counted failure back, unless the account or its password changed while it was checked.
    async fn settle(&self, transaction: &mut Transaction) -> Result<Result<User, Refused>, StoreError> {
        let checked = &self.credentials;
        let current = users::credentials_by_id(transaction, checked.user.id).await?;
        match current.filter(|current| current.password_hash == checked.password_hash) {
            Some(current) => {
                self.reservation.forgive(transaction).await?;
                Ok(Ok(current.user))
            }
            None => Ok(Err(Refused {
                refusal: Refusal::WrongPassword,
                account: Some(checked.user.id),
                locked_until: self.reservation.locked_until(),
            })),
        }
    }
}

impl Refused {
    /// What somebody who is signed in already may know.
    fn told_to_the_user(&self, now: Timestamp) -> ServiceError {
        match (self.refusal, self.locked_until) {
            (Refusal::Locked, Some(until)) => ServiceError::TooManyAttempts {
                retry_after: now.duration_until(until).try_into().unwrap_or_default(),
            },
            _ => ServiceError::invalid(
                "/current_password",
                "wrong_password",
                "this is not the current password",
            ),
        }
    }
}

/// The actor once it is known who it is.
pub(super) fn acting(actor: &Actor, user: &User) -> Actor {
    Actor { identity: user.identity(), ..actor.clone() }
}

#[cfg(test)]
mod tests;
