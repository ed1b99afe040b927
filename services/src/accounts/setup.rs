//! The first administrator (R8): from the settings, or by a one-time set-up token. There is never a default
//! password, and two first administrators cannot be made.

use std::sync::atomic::Ordering;

use super::lockout::later;
use super::password::Password;
use super::sessions::SignedIn;
use super::sign_in::acting;
use super::users::{NewUser, User};
use super::{Accounts, detached};
use crate::actor::{Actor, Role};
use crate::audit::{self, Entry};
use crate::error::ServiceError;
use crate::store::{Transaction, setup, users};
use crate::token::{self, Token, TokenHash};

/// The first administrator as the settings name it: `ADMIN_EMAIL`, `ADMIN_PASSWORD`.
#[derive(Clone)]
pub struct AdminCredentials {
    /// The e-mail address.
    pub email: String,
    /// In clear text.
    pub password: Password,
}

impl AdminCredentials {
    /// The address where `ADMIN_EMAIL` is not set.
    pub const DEFAULT_EMAIL: &'static str = "admin@localhost";
}

/// Who administers after the start.
#[derive(Debug, Clone)]
pub enum FirstAdmin {
    /// There are users already.
    Present,
    /// The one of the settings was made.
    Created(User),
    /// Nobody: whoever has this token may make one. To be printed; it is stored hashed.
    SetupToken(Token),
}

/// A set-up as it is asked for.
#[derive(Clone)]
pub struct Setup {
    /// The set-up token in clear text.
    pub token: String,
    /// The administrator's e-mail address.
    pub email: String,
    /// What to call them.
    pub name: Option<String>,
    /// In clear text.
    pub password: Password,
}

impl Accounts {
    /// Sees to it at the start that somebody can administer.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where the rules refuse the e-mail address or the password of the settings: the
    /// start must stop and say why.
    pub async fn ensure_first_admin(
        &self,
        settings: Option<AdminCredentials>,
    ) -> Result<FirstAdmin, ServiceError> {
        if !self.setup_needed().await? {
            return Ok(FirstAdmin::Present);
        }
        let actor = Actor::system();
        let Some(AdminCredentials { email, password }) = settings else {
            return match self.new_setup_token(&actor).await {
                Ok(token) => Ok(FirstAdmin::SetupToken(token)),
                Err(ServiceError::Conflict { .. }) => Ok(FirstAdmin::Present),
                Err(error) => Err(error),
            };
        };
        let (user, password) =
            self.check_new_user(NewUser { email, name: None, role: Role::Admin, password })?;
        let hash = self.0.hasher.hash(password).await?;
        let accounts = self.clone();
        detached(async move {
            let mut transaction = accounts.0.db.begin().await?;
            if users::count(&mut transaction).await? > 0 {
                return Ok(FirstAdmin::Present);
            }
            accounts.insert_user(&mut transaction, &actor, &user, &hash, "user.setup").await?;
            transaction.commit().await?;
            accounts.0.set_up.store(true, Ordering::Relaxed);
            Ok(FirstAdmin::Created(user))
        })
        .await
    }

    /// Whether there is no user yet.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn setup_needed(&self) -> Result<bool, ServiceError> {
        if self.0.set_up.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let needed = self.user_count().await? == 0;
        // The last administrator cannot be deleted, so what is set up stays so.
        self.0.set_up.store(!needed, Ordering::Relaxed);
        Ok(needed)
    }

    /// Makes a new set-up token (`flagstone user setup-token`); older ones are void.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] `setup_done` where there are users.
    pub async fn new_setup_token(&self, actor: &Actor) -> Result<Token, ServiceError> {
        actor.require_admin()?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            let token = Token::generate("")?;
            let now = accounts.0.clock.now();
            let mut transaction = accounts.0.db.begin().await?;
            accounts.require_no_user(&mut transaction).await?;
            let expires_at = later(now, accounts.0.options.setup_token_lifetime);
            setup::replace(&mut transaction, &token.hash(), now, expires_at).await?;
            audit::record(&mut transaction, now, &actor, Entry::new("setup_token.create", "setup_token", ""))
                .await?;
            transaction.commit().await?;
            Ok(token)
        })
        .await
    }

    /// Makes the first administrator with a set-up token and signs them in.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] `setup_done` where there are users; [`ServiceError::Invalid`] at `/token`,
    /// `/email`, `/name`, `/password`.
    pub async fn setup(&self, actor: &Actor, request: Setup) -> Result<SignedIn, ServiceError> {
        if !self.setup_needed().await? {
            return Err(setup_done());
        }
        let hash = token::hash(&request.token);
        let mut read = self.0.db.read().await?;
        let valid = setup::is_valid(&mut read, &hash, self.0.clock.now()).await?;
        drop(read);
        if !valid {
            self.record_refused_setup(actor).await?;
            return Err(invalid_token());
        }
        let Setup { email, name, password, .. } = request;
        let (user, password) = self.check_new_user(NewUser { email, name, role: Role::Admin, password })?;
        self.check_delivery(&user.email).await?;
        let password_hash = self.0.hasher.hash(password).await?;
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move { accounts.claim(&actor, &hash, user, &password_hash).await }).await
    }

    /// Uses the token up and makes the administrator, in one transaction.
    async fn claim(
        &self,
        actor: &Actor,
        token: &TokenHash,
        mut user: User,
        password_hash: &str,
    ) -> Result<SignedIn, ServiceError> {
        let now = self.0.clock.now();
        let mut transaction = self.0.db.begin().await?;
        self.require_no_user(&mut transaction).await?;
        if !setup::consume(&mut transaction, token, now).await? {
            return Err(invalid_token());
        }
        user.last_sign_in_at = Some(now);
        let actor = acting(actor, &user);
        self.insert_user(&mut transaction, &actor, &user, password_hash, "user.setup").await?;
        let (signed_in, displaced) = self.open_session(&mut transaction, &actor, user).await?;
        let id = signed_in.session.id.to_string();
        let mut entry = Entry::new("session.sign_in", "session", &id);
        entry.after = Some(serde_json::json!({ "method": "setup" }));
        audit::record(&mut transaction, now, &actor, entry).await?;
        transaction.commit().await?;
        self.0.set_up.store(true, Ordering::Relaxed);
        self.opened(&displaced);
        Ok(signed_in)
    }

    async fn require_no_user(&self, transaction: &mut Transaction) -> Result<(), ServiceError> {
        if users::count(transaction).await? == 0 { Ok(()) } else { Err(setup_done()) }
    }

    async fn record_refused_setup(&self, actor: &Actor) -> Result<(), ServiceError> {
        let mut entry = Entry::new("user.setup", "setup_token", "");
        entry.success = false;
        let mut transaction = self.0.db.begin().await?;
        audit::record(&mut transaction, self.0.clock.now(), actor, entry).await?;
        Ok(transaction.commit().await?)
    }
}

fn setup_done() -> ServiceError {
    ServiceError::conflict(
        "setup_done",
        "there is an administrator already: sign in, or have the password set anew with \"flagstone user set-password\"",
    )
}

fn invalid_token() -> ServiceError {
    ServiceError::invalid(
        "/token",
        "invalid_setup_token",
        "the set-up token is wrong, used or too old: \"flagstone user setup-token\" prints a new one",
    )
}

#[cfg(test)]
mod tests;
