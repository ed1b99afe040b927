//! Sessions (R19): opaque, stored hashed, ended by idleness, by age or by somebody.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::lockout::{earlier, later};
use super::revocation::Revocation;
use super::session_cache::Generation;
use super::users::User;
use super::{Accounts, detached};
use crate::actor::{Actor, Identity};
use crate::audit::{self, Entry};
use crate::error::ServiceError;
use crate::store::{StoreError, Transaction, sessions};
use crate::token::{self, Token, TokenHash};

/// `last_seen_at` is written at most that often.
const TOUCH_AFTER: Duration = Duration::from_secs(60);

/// Longest `User-Agent` kept, in characters.
const MAXIMUM_USER_AGENT: usize = 256;

/// A sign-in on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Session {
    /// The public id, for lists; the token cannot be found from it.
    pub id: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub user_id: Uuid,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When it was last used, a minute at most behind the truth.
    pub last_seen_at: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
    /// The client's address at the sign-in.
    pub address: Option<String>,
    /// The client's `User-Agent` at the sign-in.
    pub user_agent: Option<String>,
}

/// A session that is valid, and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSession {
    /// The session.
    pub session: Session,
    /// Its user as the database had it when the session was verified.
    pub user: User,
    /// How logs and limits call the user: `user:` and the id.
    pub principal_id: Arc<str>,
}

/// A session just made, and the token that only its owner gets.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// For the cookie.
    pub token: Token,
    /// The session.
    pub session: Session,
    /// Who signed in.
    pub user: User,
}

/// Why a token is not that of a valid session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no such session, or there is none any more: 401.
    #[error("there is no such session")]
    Invalid,
    /// The session was idle or alive for too long: 401.
    #[error("the session has expired")]
    Expired,
    /// It could not be found out; nobody is logged out by that: 503.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl From<SessionError> for ServiceError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Invalid | SessionError::Expired => Self::Unauthenticated,
            SessionError::Service(error) => error,
        }
    }
}

impl Accounts {
    /// Whether this is the token of a valid session, as far as memory knows: `None` means that the database
    /// has to be asked ([`Accounts::verify`]). Neither waits nor allocates.
    pub fn verify_cached(&self, token: &str) -> Option<Result<Arc<ActiveSession>, SessionError>> {
        if !token::is_well_formed(token, "") {
            return Some(Err(SessionError::Invalid));
        }
        let now = self.0.clock.now();
        let active = self.0.sessions.get(&token::hash(token), now)?;
        Some(if self.is_over(&active.session, now) { Err(SessionError::Expired) } else { Ok(active) })
    }

    /// Whether this is the token of a valid session. The future borrows nothing and holds no clear text; the
    /// database's deadline is its own.
    ///
    /// # Errors
    /// [`SessionError`]; an unavailable database is [`SessionError::Service`] and never
    /// [`SessionError::Invalid`].
    pub fn verify(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Arc<ActiveSession>, SessionError>> + Send + 'static + use<> {
        let cached = self.verify_cached(token);
        let (accounts, hash) = (self.clone(), token::hash(token));
        async move {
            match cached {
                Some(answer) => answer,
                None => accounts.verify_stored(&hash).await,
            }
        }
    }

    async fn verify_stored(&self, hash: &TokenHash) -> Result<Arc<ActiveSession>, SessionError> {
        let generation = self.0.sessions.generation();
        // What ends elsewhere from here on may not be seen: the answer ages from here on.
        let asked_at = self.0.clock.now();
        let mut read = self.0.db.read().await?;
        let (mut session, user) =
            sessions::by_token_hash(&mut read, hash).await?.ok_or(SessionError::Invalid)?;
        drop(read);
        let now = self.0.clock.now();
        if self.is_over(&session, now) {
            return Err(SessionError::Expired);
        }
        if later(session.last_seen_at, TOUCH_AFTER) <= now {
            match self.touch(session.id, now).await {
                Ok(true) => session.last_seen_at = now,
                Ok(false) => return Err(SessionError::Invalid),
                // The session is valid all the same; the next request tries again.
                Err(error) => tracing::warn!(%error, "the last use of a session could not be written"),
            }
        }
        let principal_id = format!("user:{}", user.id).into();
        let active = Arc::new(ActiveSession { session, user, principal_id });
        self.keep(generation, hash, &active, asked_at);
        Ok(active)
    }

    fn keep(
        &self,
        generation: Generation,
        hash: &TokenHash,
        active: &Arc<ActiveSession>,
        asked_at: Timestamp,
    ) {
        let fresh_until = later(asked_at, self.0.options.session_cache);
        self.0.sessions.insert(generation, *hash, Arc::clone(active), asked_at, fresh_until);
    }

    async fn touch(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.0.db.begin().await?;
        let alive = sessions::touch(&mut transaction, id, now).await?;
        transaction.commit().await?;
        Ok(alive)
    }

    /// Ends the session of this token. One that is over already stays so.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`]: the session goes on.
    pub async fn sign_out(&self, actor: &Actor, token: &str) -> Result<(), ServiceError> {
        let (accounts, actor, hash) = (self.clone(), actor.clone(), token::hash(token));
        detached(async move {
            let mut transaction = accounts.0.db.begin().await?;
            let Some(id) = sessions::delete_by_token_hash(&mut transaction, &hash).await? else {
                return Ok(());
            };
            accounts.record_end(&mut transaction, &actor, "session.sign_out", id).await?;
            transaction.commit().await?;
            accounts.ended(id, Revocation::SignOut);
            Ok(())
        })
        .await
    }

    /// A user's sessions that are not over, the newest first.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn sessions(&self, user_id: Uuid) -> Result<Vec<Session>, ServiceError> {
        let now = self.0.clock.now();
        let mut read = self.0.db.read().await?;
        Ok(sessions::of_user(&mut read, user_id, now, self.seen_after(now)).await?)
    }

    /// Ends one of the acting user's own sessions.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the acting user has no such session.
    pub async fn end_session(&self, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
        let Identity::User { id: user_id, .. } = actor.identity else { return Err(ServiceError::Forbidden) };
        let (accounts, actor) = (self.clone(), actor.clone());
        detached(async move {
            let mut transaction = accounts.0.db.begin().await?;
            if !sessions::delete(&mut transaction, id, user_id).await? {
                return Err(ServiceError::NotFound("session"));
            }
            accounts.record_end(&mut transaction, &actor, "session.end", id).await?;
            transaction.commit().await?;
            accounts.ended(id, Revocation::User);
            Ok(())
        })
        .await
    }

    /// How many sessions are not over.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn session_count(&self) -> Result<u64, ServiceError> {
        let now = self.0.clock.now();
        Ok(sessions::count(&mut self.0.db.read().await?, now, self.seen_after(now)).await?)
    }

    /// A new session of `user` from where `actor` is, and its row. Where the user has as many as one may have, the oldest
    /// end: [`Self::opened`] is to be told which.
    pub(super) async fn open_session(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        user: User,
    ) -> Result<(SignedIn, Vec<Uuid>), ServiceError> {
        let now = self.0.clock.now();
        let token = Token::generate("")?;
        let session = Session {
            id: Uuid::now_v7(),
            user_id: user.id,
            created_at: now,
            last_seen_at: now,
            expires_at: later(now, self.0.options.session_lifetime),
            address: actor.address.map(|address| address.to_canonical().to_string()),
            user_agent: actor.user_agent.as_ref().map(|text| text.chars().take(MAXIMUM_USER_AGENT).collect()),
        };
        sessions::insert(transaction, &session, &token.hash()).await?;
        let all = sessions::of_user(transaction, user.id, now, self.seen_after(now)).await?;
        let displaced: Vec<Uuid> =
            all.iter().skip(self.0.options.sessions_per_user.max(1)).map(|session| session.id).collect();
        for id in &displaced {
            sessions::delete(transaction, *id, user.id).await?;
            self.record_end(transaction, actor, "session.displace", *id).await?;
        }
        Ok((SignedIn { token, session, user }, displaced))
    }

    /// To be called once a new session, and the end of those it displaced, is committed.
    pub(super) fn opened(&self, displaced: &[Uuid]) {
        self.0.figures.created();
        for session in displaced {
            self.ended(*session, Revocation::Displaced);
        }
    }

    async fn record_end(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        kind: &'static str,
        session: Uuid,
    ) -> Result<(), StoreError> {
        let id = session.to_string();
        audit::record(transaction, self.0.clock.now(), actor, Entry::new(kind, "session", &id)).await
    }

    /// To be called once the end of a session is committed.
    pub(super) fn ended(&self, session: Uuid, reason: Revocation) {
        self.0.sessions.forget(session);
        self.0.figures.revoked(reason, 1);
    }

    /// To be called once the end of all sessions of a user is committed.
    pub(super) fn all_ended(&self, user: Uuid, sessions: u64, reason: Revocation) {
        self.0.sessions.forget_user(user);
        self.0.figures.revoked(reason, sessions);
    }

    /// To be called where another instance ended a session.
    pub(crate) fn ended_elsewhere(&self, session: Uuid) {
        self.0.sessions.forget(session);
    }

    /// To be called where another instance ended all sessions of a user.
    pub(crate) fn all_ended_elsewhere(&self, user: Uuid) {
        self.0.sessions.forget_user(user);
    }

    /// Sessions not used since then are over.
    pub(super) fn seen_after(&self, now: Timestamp) -> Timestamp {
        earlier(now, self.0.options.session_idle)
    }

    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        session.expires_at <= now || session.last_seen_at <= self.seen_after(now)
    }
}

#[cfg(test)]
mod tests;
