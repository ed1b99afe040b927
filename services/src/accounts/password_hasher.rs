//! Password hashing with argon2id, off the async threads and never more than a few at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::Error as HashError;
use argon2::password_hash::phc::PasswordHash;
use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::password::Password;
use super::password_rules::MAXIMUM_PASSWORD_BYTES;
use crate::token::{self, RandomError};

/// Salt of the hash that is computed for an account which does not exist; its result is thrown away.
const NOBODY: &[u8] = b"flagstone nobody";

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingOptions {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes; they are computed one after the other.
    pub lanes: u32,
    /// Hashes computed at the same time: bounds memory and the share of the processor a flood of
    /// sign-ins can take.
    pub at_a_time: usize,
    /// How long a caller waits for its turn before it is told to come back.
    pub patience: Duration,
}

impl Default for HashingOptions {
    /// 64 MiB, 3 passes, 1 lane: 123 ms on one core as measured, above OWASP's minimum of 19 MiB and 2.
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            iterations: 3,
            lanes: 1,
            at_a_time: 2,
            patience: Duration::from_secs(10),
        }
    }
}

/// Why there is no hash and no answer.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// Too many others wait for a hash; to be tried again.
    #[error("too many passwords are being checked at this moment; try again")]
    Busy,
    /// The options are outside what argon2 allows.
    #[error("the password hashing options are out of range: {0}")]
    Options(argon2::Error),
    /// Hashing failed, or the stored hash is none.
    #[error("password hashing failed: {0}")]
    Failed(HashError),
    /// No salt could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The thread that hashed is gone.
    #[error("password hashing was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<HashError> for HashingError {
    fn from(error: HashError) -> Self {
        Self::Failed(error)
    }
}

/// What a password turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The password is the account's.
    pub matches: bool,
    /// The stored hash was made with other parameters than those of today.
    pub outdated: bool,
}

/// Hashes and verifies passwords. Clones share the places and the count.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    argon2: Argon2<'static>,
    params: Params,
    places: Arc<Semaphore>,
    patience: Duration,
    hashes: Arc<AtomicU64>,
    /// Whose threads hash; those of the caller's runtime where there is none.
    background: Option<Handle>,
}

impl PasswordHasher {
    /// A hasher; fails where argon2 does not take the options.
    pub fn new(options: &HashingOptions) -> Result<Self, HashingError> {
        let params = Params::new(options.memory_kib, options.iterations, options.lanes, Some(TAG_BYTES))
            .map_err(HashingError::Options)?;
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()),
            params,
            places: Arc::new(Semaphore::new(options.at_a_time.clamp(1, Semaphore::MAX_PERMITS))),
            patience: options.patience,
            hashes: Arc::default(),
            background: None,
        })
    }

    /// The same on the blocking threads of another runtime.
    pub fn on(self, background: Option<Handle>) -> Self {
        Self { background, ..self }
    }

    /// The PHC string of a new password with a fresh salt.
    pub async fn hash(&self, password: Password) -> Result<String, HashingError> {
        let salt = token::random_bytes::<SALT_BYTES>()?;
        self.run(move |hasher| hasher.hash_now(password.reveal(), &salt)).await
    }

    /// Whether `password` is the one of `stored` (a PHC string). Without a stored hash, as for an account
    /// that does not exist, the same work is done and nothing matches.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> Result<Verdict, HashingError> {
        self.run(move |hasher| hasher.verify_now(password.reveal(), stored.as_deref())).await
    }

    /// Hashes computed since the start.
    pub fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    fn hash_now(&self, password: &str, salt: &[u8]) -> Result<String, HashingError> {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        Ok(self.argon2.hash_password_with_salt(password.as_bytes(), salt)?.to_string())
    }

    fn verify_now(&self, password: &str, stored: Option<&str>) -> Result<Verdict, HashingError> {
        // No stored password is that long: only the work counts.
        let too_long = password.len() > MAXIMUM_PASSWORD_BYTES;
        let (password, stored) = if too_long { ("", None) } else { (password, stored) };
        let Some(stored) = stored else {
            self.hash_now(password, NOBODY)?;
            return Ok(Verdict { matches: false, outdated: false });
        };
        let stored = PasswordHash::new(stored).map_err(|_| HashError::EncodingInvalid)?;
        if stored.salt.is_none() || stored.hash.is_none() {
            // It would match nothing without any work.
            return Err(HashError::EncodingInvalid.into());
        }
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let matches = match self.argon2.verify_password(password.as_bytes(), &stored) {
            Ok(()) => true,
            Err(HashError::PasswordInvalid) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Verdict { matches, outdated: self.is_outdated(&stored) })
    }

    fn is_outdated(&self, stored: &PasswordHash) -> bool {
        let current = Params::try_from(stored).is_ok_and(|params| {
            params.m_cost() == self.params.m_cost()
                && params.t_cost() == self.params.t_cost()
                && params.p_cost() == self.params.p_cost()
                && stored.hash.is_some_and(|tag| tag.len() == TAG_BYTES)
        });
        stored.algorithm != ARGON2ID_IDENT || stored.version != Some(Version::V0x13.into()) || !current
    }

    /// Runs `work` on a blocking thread once there is a place. The place is given back when the work is
    /// done, not when the caller goes away: clients that hang up cannot start more hashes than there are
    /// places.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, HashingError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let place = self.place().await?;
        let hasher = self.clone();
        let background = self.background.clone().unwrap_or_else(Handle::current);
        background
            .spawn_blocking(move || {
                let result = work(&hasher);
                drop(place);
                result
            })
            .await?
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, HashingError> {
        let place = tokio::time::timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await;
        // The semaphore is never closed, so both failures mean that there was no place.
        place.ok().and_then(Result::ok).ok_or(HashingError::Busy)
    }
}

#[cfg(test)]
impl PasswordHasher {
    /// Takes the next place, as a hash in progress does.
    pub(super) async fn occupy(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_owned().await.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> HashingOptions {
        HashingOptions { memory_kib: 64, iterations: 1, ..HashingOptions::default() }
    }

    const PASSWORD: &str = "violin gravel otter seventeen";

    #[tokio::test]
    async fn a_hash_is_a_phc_string_of_its_parameters_and_matches_its_password_only() {
        let hasher = PasswordHasher::new(&options()).unwrap();
        let stored = hasher.hash(PASSWORD.into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert_ne!(stored, hasher.hash(PASSWORD.into()).await.unwrap(), "each hash has its own salt");
        let right = hasher.verify(PASSWORD.into(), Some(stored.clone())).await.unwrap();
        assert_eq!(right, Verdict { matches: true, outdated: false });
        let wrong = hasher.verify("violin gravel otter eighteen".into(), Some(stored)).await.unwrap();
        assert_eq!(wrong, Verdict { matches: false, outdated: false });
    }

    #[test]
    fn the_default_is_what_the_security_notes_ask_for() {
        let default = HashingOptions::default();
        assert_eq!(
            (default.memory_kib, default.iterations, default.lanes, default.at_a_time),
            (65_536, 3, 1, 2)
        );
    }

    #[tokio::test]
    async fn an_absent_account_and_a_huge_password_cost_one_hash_and_match_nothing() {
        let hasher = PasswordHasher::new(&options()).unwrap();
        let nobody = hasher.verify(PASSWORD.into(), None).await.unwrap();
        assert!(!nobody.matches);
        assert_eq!(hasher.hashes(), 1);
        let huge = "x".repeat(MAXIMUM_PASSWORD_BYTES + 1);
        for stored in [huge.clone(), String::new()] {
            let stored = hasher.hash(stored.into()).await.unwrap();
            let before = hasher.hashes();
            assert!(!hasher.verify(huge.clone().into(), Some(stored)).await.unwrap().matches);
            assert_eq!(hasher.hashes(), before + 1);
        }
    }

    #[tokio::test]
    async fn a_password_matches_however_its_letters_were_composed() {
        let hasher = PasswordHasher::new(&options()).unwrap();
        let stored = hasher.hash("une soir\u{e9}e tr\u{e8}s calme".into()).await.unwrap();
        let decomposed = "une soire\u{301}e tre\u{300}s calme".into();
        assert!(hasher.verify(decomposed, Some(stored)).await.unwrap().matches);
    }

    #[tokio::test]
    async fn other_parameters_are_outdated() {
        let old = PasswordHasher::new(&HashingOptions { iterations: 2, ..options() }).unwrap();
        let stored = old.hash(PASSWORD.into()).await.unwrap();
        let hasher = PasswordHasher::new(&options()).unwrap();
        let verdict = hasher.verify(PASSWORD.into(), Some(stored)).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: true });
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_a_failure_and_not_a_wrong_password() {
        let hasher = PasswordHasher::new(&options()).unwrap();
        for stored in
            ["", "plain text", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ"]
        {
            let answer = hasher.verify(PASSWORD.into(), Some(stored.to_owned())).await;
            assert!(matches!(answer, Err(HashingError::Failed(_))), "{stored}: {answer:?}");
        }
    }

    #[test]
    fn impossible_options_are_refused() {
        let answer = PasswordHasher::new(&HashingOptions { memory_kib: 1, ..options() });
        assert!(matches!(answer, Err(HashingError::Options(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_place_the_caller_is_told_to_come_back() {
        let hasher = PasswordHasher::new(&HashingOptions { at_a_time: 1, ..options() }).unwrap();
        let place = hasher.place().await.unwrap();
        let answer = hasher.hash(PASSWORD.into()).await;
        assert!(matches!(answer, Err(HashingError::Busy)), "{answer:?}");
        assert_eq!(hasher.hashes(), 0);
        drop(place);
        drop(hasher.place().await.unwrap());
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_keeps_its_place_until_the_hash_is_done() {
        let hasher = PasswordHasher::new(&HashingOptions { at_a_time: 1, ..options() }).unwrap();
        let (started, begun) = tokio::sync::oneshot::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let caller = tokio::spawn({
            let hasher = hasher.clone();
            async move {
                hasher
                    .run(move |_| {
                        started.send(()).unwrap();
                        finished.recv().unwrap();
                        Ok(())
                    })
                    .await
            }
        });
        begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.places.available_permits(), 0);
        finish.send(()).unwrap();
        drop(hasher.place().await.unwrap());
    }
}
