//! People: users, passwords, sessions, the first administrator.

mod email;
mod email_domain;
#[cfg(test)]
mod fixture;
mod lockout;
mod password;
mod password_hasher;
mod password_rules;
mod revocation;
mod session_cache;
mod sessions;
mod setup;
mod sign_in;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

pub use email::is_email;
pub use email_domain::{EmailDomains, NoNameServers};
pub use lockout::LockoutPolicy;
pub use password::Password;
pub use password_hasher::{HashingError, HashingOptions, PasswordHasher, Verdict};
pub use password_rules::{
    MAXIMUM_PASSWORD_BYTES, MINIMUM_PASSWORD_CHARACTERS, PasswordFault, check_password,
};
pub use revocation::Revocation;
use session_cache::SessionCache;
pub use sessions::{ActiveSession, Session, SessionError, SignedIn};
pub use setup::{AdminCredentials, FirstAdmin, Setup};
pub use sign_in::{Refusal, SignIn, SignInError};
pub use users::{MAXIMUM_NAME_CHARACTERS, NewUser, User};

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::store::{self, Db};

/// How long a client waits where too many passwords are being hashed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What an operator may set about accounts.
#[derive(Debug, Clone)]
pub struct AccountOptions {
    /// How passwords are hashed.
    pub hashing: HashingOptions,
    /// On whose blocking threads; those of the caller's runtime where there is none.
    pub background: Option<Handle>,
    /// A session ends after that long without a request.
    pub session_idle: Duration,
    /// A session ends that long after the sign-in.
    pub session_lifetime: Duration,
    /// The most sessions of one user; who signs in once more ends the oldest.
    pub sessions_per_user: usize,
    /// A verified session is believed that long without asking the database. Sessions that end on this
    /// instance end at once; those that end elsewhere when that is heard of, and at the latest after that long: a second
    /// at most where instances share a database.
    pub session_cache: Duration,
    /// Waits after wrong passwords for one account.
    pub account_lockout: LockoutPolicy,
    /// Waits after wrong passwords from one client address.
    pub address_lockout: LockoutPolicy,
    /// How long a set-up token can be used.
    pub setup_token_lifetime: Duration,
    /// Where the domains of new e-mail addresses are looked up; `None` does without (R42).
    pub email_domains: Option<Arc<EmailDomains>>,
}

impl Default for AccountOptions {
    fn default() -> Self {
        Self {
            hashing: HashingOptions::default(),
            background: None,
            session_idle: Duration::from_secs(60 * 60),
            session_lifetime: Duration::from_secs(12 * 60 * 60),
            sessions_per_user: 20,
            session_cache: Duration::from_secs(5),
            account_lockout: LockoutPolicy::ACCOUNT,
            address_lockout: LockoutPolicy::ADDRESS,
            setup_token_lifetime: Duration::from_secs(24 * 60 * 60),
            email_domains: None,
        }
    }
}

/// The user service. Clones share everything.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Clock,
    options: AccountOptions,
    hasher: PasswordHasher,
    sessions: SessionCache,
    figures: Figures,
    /// There are users: the first administrator was made.
    set_up: AtomicBool,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountFigures {
    /// Sessions opened.
    pub sessions_created: u64,
    /// Sessions ended by somebody, not by time, in the order of [`Revocation::ALL`].
    pub sessions_revoked: [u64; Revocation::ALL.len()],
    /// Sessions that are not over. One that time ended counts until it is purged.
    pub sessions_active: u64,
    /// Password hashes computed.
    pub password_hashes: u64,
}

#[derive(Debug, Default)]
struct Figures {
    sessions_created: AtomicU64,
    sessions_revoked: [AtomicU64; Revocation::ALL.len()],
    /// Signed, because changes may be noted out of order.
    sessions_active: AtomicI64,
}

/// What [`Accounts::purge`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Sessions that were over.
    pub sessions: u64,
    /// Accounts and addresses whose failures are forgotten.
    pub failed_attempts: u64,
}

impl Accounts {
    /// The service on a database.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where argon2 does not take the options for hashing.
    pub fn new(db: Db, clock: Clock, options: AccountOptions) -> Result<Self, ServiceError> {
        Ok(Self(Arc::new(Inner {
            db,
            clock,
            hasher: PasswordHasher::new(&options.hashing)?.on(options.background.clone()),
            options,
            sessions: SessionCache::default(),
            figures: Figures::default(),
            set_up: AtomicBool::new(false),
        })))
    }

    /// Deletes what is over: to be called every few minutes.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`]: the next call does it.
    pub async fn purge(&self) -> Result<Purged, ServiceError> {
        let now = self.0.clock.now();
        let options = &self.0.options;
        let memory = options.account_lockout.forget_after.max(options.address_lockout.forget_after);
        let mut transaction = self.0.db.begin().await?;
        let seen_after = self.seen_after(now);
        let purged = Purged {
            sessions: store::sessions::delete_expired(&mut transaction, now, seen_after).await?,
            failed_attempts: store::failed_attempts::delete_old(
                &mut transaction,
                lockout::earlier(now, memory),
            )
            .await?,
        };
        let active = store::sessions::count(&mut transaction, now, seen_after).await?;
        transaction.commit().await?;
        self.0.figures.active(active);
        Ok(purged)
    }

    /// Counts the sessions there are already, for the figures.
    pub(crate) async fn count_active(&self) -> Result<(), ServiceError> {
        self.0.figures.active(self.session_count().await?);
        Ok(())
    }

    /// What was counted since the start.
    pub fn figures(&self) -> AccountFigures {
        AccountFigures {
            sessions_created: self.0.figures.sessions_created.load(Ordering::Relaxed),
            sessions_revoked: self
                .0
                .figures
                .sessions_revoked
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            sessions_active: self.0.figures.sessions_active.load(Ordering::Relaxed).try_into().unwrap_or(0),
            password_hashes: self.0.hasher.hashes(),
        }
    }
}

impl Figures {
    fn created(&self) {
        self.sessions_created.fetch_add(1, Ordering::Relaxed);
        self.sessions_active.fetch_add(1, Ordering::Relaxed);
    }

    fn revoked(&self, reason: Revocation, sessions: u64) {
        let [sign_out, user, replaced, displaced, changed, set] = &self.sessions_revoked;
        let counter = match reason {
            Revocation::SignOut => sign_out,
            Revocation::User => user,
            Revocation::Replaced => replaced,
            Revocation::Displaced => displaced,
            Revocation::PasswordChanged => changed,
            Revocation::PasswordSet => set,
        };
        counter.fetch_add(sessions, Ordering::Relaxed);
        self.sessions_active.fetch_sub(sessions.try_into().unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// So many are in the database.
    fn active(&self, sessions: u64) {
        self.sessions_active.store(sessions.try_into().unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl From<HashingError> for ServiceError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => Self::Unavailable { retry_after: RETRY_AFTER, reason: error.to_string() },
            _ => Self::Internal(error.to_string()),
        }
    }
}

/// Runs to the end even if the caller goes away: what follows a commit must not be lost.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ServiceError::Internal(format!("a change was interrupted: {error}"))),
    }
}
