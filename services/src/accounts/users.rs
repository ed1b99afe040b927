//! Users and their passwords, as the command line and the first set-up make them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::email_domain::Delivery;
use super::password::Password;
use super::password_rules::check_password;
use super::revocation::Revocation;
use super::{Accounts, detached, email, lockout};
use crate::actor::{Actor, Identity, Role};
use crate::audit::{self, Entry};
use crate::error::{Fault, ServiceError};
use crate::store::{StoreError, Transaction, sessions, users};

/// Longest name in characters.
pub const MAXIMUM_NAME_CHARACTERS: usize = 100;

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct User {
    /// UUID v7.
    pub id: Uuid,
    /// In lower case; nobody else has it.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the account or its password was last changed.
    pub updated_at: Timestamp,
    /// When they last signed in.
    pub last_sign_in_at: Option<Timestamp>,
}

impl User {
    /// The user as one who acts.
    pub fn identity(&self) -> Identity {
        Identity::User { id: self.id, email: self.email.clone(), role: self.role }
    }

    /// What an audit row says of the user.
    pub(super) fn summary(&self) -> serde_json::Value {
        json!({ "email": self.email, "name": self.name, "role": self.role })
    }
}

/// A user to be made.
#[derive(Clone)]
pub struct NewUser {
    /// Any spelling; it is kept in lower case.
    pub email: String,
    /// What to call them; by default the part of the address before the `@`.
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// In clear text; checked by [`check_password`].
    pub password: Password,
}

impl Accounts {
    /// Makes a user (`flagstone user create`).
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] but for admins and the command line; [`ServiceError::Invalid`] with pointers
    /// `/email`, `/name`, `/password`; [`ServiceError::Conflict`] `exists` where the address is taken.
    pub async fn create_user(&self, actor: &Actor, new: NewUser) -> Result<User, ServiceError> {
        actor.require_admin()?;
        let (user, password) = self.check_new_user(new)?;
        self.check_delivery(&user.email).await?;
        let hash = self.0.hasher.hash(password).await?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            let mut transaction = accounts.0.db.begin().await?;
            accounts.insert_user(&mut transaction, &actor, &user, &hash, "user.create").await?;
            transaction.commit().await?;
            Ok(user)
        })
        .await
    }

    /// Gives a user another password, ends all their sessions and unlocks the account
    /// (`flagstone user set-password`).
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] but for admins and the command line; [`ServiceError::NotFound`];
    /// [`ServiceError::Invalid`] at `/password`.
    pub async fn set_password(
        &self,
        actor: &Actor,
        email: &str,
        password: Password,
    ) -> Result<User, ServiceError> {
        actor.require_admin()?;
        let email = email::normalize(email).ok_or(ServiceError::NotFound("user"))?;
        let mut read = self.0.db.read().await?;
        let found = users::credentials_by_email(&mut read, &email).await?;
        drop(read);
        let mut user = found.ok_or(ServiceError::NotFound("user"))?.user;
        check_new_password("/password", &password, &user.email, &user.name)?;
        let hash = self.0.hasher.hash(password).await?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            let now = accounts.0.clock.now();
            let mut transaction = accounts.0.db.begin().await?;
            users::set_password(&mut transaction, user.id, &hash, now).await?;
            let ended = sessions::delete_of_user(&mut transaction, user.id).await?;
            lockout::clear_account(&mut transaction, &user.email).await?;
            let id = user.id.to_string();
            let mut entry = Entry::new("user.set_password", "user", &id);
            entry.after = Some(json!({ "sessions_ended": ended }));
            audit::record(&mut transaction, now, &actor, entry).await?;
            transaction.commit().await?;
            accounts.all_ended(user.id, ended, Revocation::PasswordSet);
            user.updated_at = now;
            Ok(user)
        })
        .await
    }

    /// Lifts the lock of a user's account.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] but for admins and the command line; [`ServiceError::NotFound`].
    pub async fn unlock(&self, actor: &Actor, user_id: Uuid) -> Result<(), ServiceError> {
        actor.require_admin()?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            let mut transaction = accounts.0.db.begin().await?;
            let user =
                users::by_id(&mut transaction, user_id).await?.ok_or(ServiceError::NotFound("user"))?;
            lockout::clear_account(&mut transaction, &user.email).await?;
            let id = user.id.to_string();
            let entry = Entry::new("user.unlock", "user", &id);
            audit::record(&mut transaction, accounts.0.clock.now(), &actor, entry).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn user(&self, id: Uuid) -> Result<User, ServiceError> {
        users::by_id(&mut self.0.db.read().await?, id).await?.ok_or(ServiceError::NotFound("user"))
    }

    /// How many users there are.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn user_count(&self) -> Result<u64, ServiceError> {
        Ok(users::count(&mut self.0.db.read().await?).await?)
    }

    /// Checks what a new user is made of and answers all faults at once; the password comes back in clear text.
    pub(super) fn check_new_user(&self, new: NewUser) -> Result<(User, Password), ServiceError> {
        let mut faults = Vec::new();
        let fault = |pointer: &str, code, detail: String| Fault { pointer: pointer.to_owned(), code, detail };
        let email = email::normalize(&new.email);
        if email.is_none() {
            faults.push(fault(
                "/email",
                "invalid_email",
                "this is no e-mail address; write one in ASCII".to_owned(),
            ));
        }
        let email = email.unwrap_or_default();
        let local = email.split('@').next().unwrap_or_default();
        let name = new.name.as_deref().map_or(local, str::trim).to_owned();
        if name.chars().count() > MAXIMUM_NAME_CHARACTERS || name.chars().any(char::is_control) {
            let detail =
                format!("a name has at most {MAXIMUM_NAME_CHARACTERS} characters and no control characters");
            faults.push(fault("/name", "invalid_name", detail));
        }
        if let Err(error) = check_password(new.password.reveal(), &[&email, &name]) {
            faults.push(fault("/password", error.code(), error.to_string()));
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let now = self.0.clock.now();
        let user = User {
            id: Uuid::now_v7(),
            email,
            name,
            role: new.role,
            created_at: now,
            updated_at: now,
            last_sign_in_at: None,
        };
        Ok((user, new.password))
    }

    /// Refuses an address whose domain is known to take no e-mail, where that is looked up at all (R42).
    pub(super) async fn check_delivery(&self, email: &str) -> Result<(), ServiceError> {
        let Some(domains) = &self.0.options.email_domains else { return Ok(()) };
        match domains.delivery(email).await {
            Delivery::Possible => Ok(()),
            Delivery::Impossible => Err(ServiceError::invalid(
                "/email",
                "undeliverable_email",
                "the domain of this address takes no e-mail: is it spelt right?",
            )),
            Delivery::Unknown => {
                tracing::warn!("DNS does not answer: the domain of a new e-mail address was not checked");
                Ok(())
            }
        }
    }

    /// The row of a new user and its audit row.
    pub(super) async fn insert_user(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        user: &User,
        password_hash: &str,
        kind: &'static str,
    ) -> Result<(), ServiceError> {
        let taken = |error: StoreError| {
            if error.is_unique() {
                ServiceError::conflict("exists", "there is a user with this e-mail address already")
            } else {
                error.into()
            }
        };
        users::insert(transaction, user, password_hash).await.map_err(taken)?;
        let id = user.id.to_string();
        let mut entry = Entry::new(kind, "user", &id);
        entry.after = Some(user.summary());
        Ok(audit::record(transaction, user.created_at, actor, entry).await?)
    }
}

/// Refuses a password with a fault at `pointer`.
pub(super) fn check_new_password(
    pointer: &str,
    password: &Password,
    email: &str,
    name: &str,
) -> Result<(), ServiceError> {
    check_password(password.reveal(), &[email, name])
        .map_err(|fault| ServiceError::invalid(pointer, fault.code(), fault.to_string()))
}

#[cfg(test)]
mod tests;
