//! Sessions verified moments ago, so that a burst of requests asks the database once.
//!
//! Bounded in number and, by its user, in time. A session that ends here is gone at once: whoever read it
//! before it ended cannot put it back, as every removal starts a new generation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

use super::sessions::ActiveSession;
use crate::token::TokenHash;

/// Parts with a lock each. A lock is held for one look-up.
const SHARDS: usize = 16;

/// Sessions kept in each part.
const SHARD_CAPACITY: usize = 256;

/// What was read of the database.
#[derive(Debug, Clone)]
struct Entry {
    session: Arc<ActiveSession>,
    read_at: Timestamp,
    fresh_until: Timestamp,
}

impl Entry {
    /// A clock that was set back keeps nobody in memory for longer.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.read_at <= now && now < self.fresh_until
    }
}

type Shard = HashMap<TokenHash, Entry>;

/// The state of the cache before the database is asked. An answer is kept only if nothing was removed since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Generation(u64);

#[derive(Debug, Default)]
pub(super) struct SessionCache {
    shards: [Mutex<Shard>; SHARDS],
    generation: AtomicU64,
}

impl SessionCache {
    /// The session with this token, if it was read a moment ago.
    pub(super) fn get(&self, token: &TokenHash, now: Timestamp) -> Option<Arc<ActiveSession>> {
        let shard = self.shard(token);
        shard.get(token).filter(|entry| entry.is_fresh(now)).map(|entry| Arc::clone(&entry.session))
    }

    /// To be taken before the database is asked.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// Keeps what the database answered, unless a session was removed since `generation`.
    pub(super) fn insert(
        &self,
        generation: Generation,
        token: TokenHash,
        session: Arc<ActiveSession>,
        now: Timestamp,
        fresh_until: Timestamp,
    ) {
        let mut shard = self.shard(&token);
        if self.generation.load(Ordering::SeqCst) != generation.0 {
            return;
        }
        if shard.len() >= SHARD_CAPACITY && !shard.contains_key(&token) {
            shard.retain(|_, entry| entry.is_fresh(now));
            if shard.len() >= SHARD_CAPACITY {
                shard.clear();
            }
        }
        shard.insert(token, Entry { session, read_at: now, fresh_until });
    }

    /// Forgets one session.
    pub(super) fn forget(&self, session: Uuid) {
        self.remove(|active| active.session.id == session);
    }

    /// Forgets all sessions of a user.
    pub(super) fn forget_user(&self, user: Uuid) {
        self.remove(|active| active.user.id == user);
    }

    fn remove(&self, matches: impl Fn(&ActiveSession) -> bool) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).retain(|_, entry| !matches(&entry.session));
        }
    }

    fn shard(&self, token: &TokenHash) -> MutexGuard<'_, Shard> {
        // A hash's byte is as good as a hash of it.
        let [first, ..] = token;
        let [shard, ..] = &self.shards;
        lock(self.shards.get(usize::from(*first) % SHARDS).unwrap_or(shard))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing panics while it is held; a poisoned map would still be whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Session, User};
    use crate::actor::Role;
    use crate::token;

    fn active_session() -> Arc<ActiveSession> {
        let user = User {
            id: Uuid::now_v7(),
            email: "ada@example.com".to_owned(),
            name: "Ada".to_owned(),
            role: Role::Member,
            created_at: at(0),
            updated_at: at(0),
            last_sign_in_at: None,
        };
        let session = Session {
            id: Uuid::now_v7(),
            user_id: user.id,
            created_at: at(0),
            last_seen_at: at(0),
            expires_at: at(60),
            address: None,
            user_agent: None,
        };
        Arc::new(ActiveSession { session, user, principal_id: "user:ada".into() })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_entry_is_fresh_for_its_time() {
        let cache = SessionCache::default();
        let hash = token::hash("one");
        cache.insert(cache.generation(), hash, active_session(), at(0), at(5));
        assert!(cache.get(&hash, at(4)).is_some());
        assert!(cache.get(&hash, at(5)).is_none());
        assert!(cache.get(&token::hash("other"), at(4)).is_none());
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_kept() {
        let cache = SessionCache::default();
        let (hash, session) = (token::hash("one"), active_session());
        let generation = cache.generation();
        cache.forget(session.session.id);
        cache.insert(generation, hash, Arc::clone(&session), at(0), at(5));
        assert!(cache.get(&hash, at(1)).is_none());
        cache.insert(cache.generation(), hash, session, at(0), at(5));
        assert!(cache.get(&hash, at(1)).is_some());
    }

    #[test]
    fn a_user_s_sessions_go_together_and_others_stay() {
        let cache = SessionCache::default();
        let (one, other) = (active_session(), active_session());
        cache.insert(cache.generation(), token::hash("one"), Arc::clone(&one), at(0), at(5));
        cache.insert(cache.generation(), token::hash("other"), other, at(0), at(5));
        cache.forget_user(one.user.id);
        assert!(cache.get(&token::hash("one"), at(1)).is_none());
        assert!(cache.get(&token::hash("other"), at(1)).is_some());
    }

    #[test]
    fn it_is_bounded_and_drops_what_is_stale_first() {
        let cache = SessionCache::default();
        let session = active_session();
        let fill = |numbers: std::ops::Range<u32>, now, fresh_until| {
            for number in numbers {
                let hash = token::hash(&number.to_string());
                cache.insert(cache.generation(), hash, Arc::clone(&session), now, fresh_until);
            }
        };
        let held = || cache.shards.iter().map(|shard| lock(shard).len()).sum::<usize>();
        fill(0..20_000, at(0), at(5));
        assert!(held() <= SHARDS * SHARD_CAPACITY, "{}", held());

        let kept = token::hash("kept");
        cache.insert(cache.generation(), kept, Arc::clone(&session), at(6), at(11));
        fill(20_000..21_000, at(6), at(11));
        assert!(cache.get(&kept, at(7)).is_some(), "what was stale made room");
        assert!(held() <= SHARDS * SHARD_CAPACITY, "{}", held());
    }
}
