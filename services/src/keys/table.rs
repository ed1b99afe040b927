//! The valid keys, in memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use uuid::Uuid;

use super::{KeyGrant, KeyKind};
use crate::token::{self, TokenHash};

/// All keys that are neither revoked nor expired; found without waiting.
#[derive(Default)]
pub(crate) struct KeyTable(ArcSwap<Table>);

#[derive(Clone, Default)]
struct Table {
    by_hash: HashMap<TokenHash, Arc<KeyGrant>, BuildHasherDefault<FirstBytes>>,
    by_id: HashMap<Uuid, Arc<KeyGrant>>,
}

/// The first bytes of a hash that nobody can choose: it need not be hashed again.
#[derive(Default)]
struct FirstBytes(u64);

impl KeyTable {
    /// What a presented key opens. Allocates nothing.
    pub(crate) fn verify(&self, text: &str, now: Timestamp) -> Option<Arc<KeyGrant>> {
        [KeyKind::Server, KeyKind::Client].iter().find(|kind| token::is_well_formed(text, kind.prefix()))?;
        let grant =
            self.0.load().by_hash.get(&token::hash(text)).filter(|grant| grant.is_valid(now)).cloned()?;
        grant.used_at.store(now.as_microsecond(), Ordering::Relaxed);
        Some(grant)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<KeyGrant>> {
        self.0.load().by_id.get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<KeyGrant>> {
        self.0.load().by_id.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.load().by_id.len()
    }

    pub(crate) fn add(&self, hash: TokenHash, grant: &Arc<KeyGrant>) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.by_hash.insert(hash, grant.clone());
            table.by_id.insert(grant.id, grant.clone());
            table
        });
    }

    /// Forgets the key and ends its streams.
    pub(crate) fn revoke(&self, grant: &KeyGrant) {
        self.retain(|other| other.id != grant.id);
        grant.revoked.store(true, Ordering::Release);
        grant.environment.channel.end_key(grant);
    }

    /// Forgets the keys of a deleted environment; its streams end by themselves.
    pub(crate) fn remove_environment(&self, id: Uuid) {
        for grant in self.all().iter().filter(|grant| grant.environment.id == id) {
            grant.revoked.store(true, Ordering::Release);
        }
        self.retain(|grant| grant.environment.id != id);
    }

    /// Forgets the keys that have expired and ends their streams.
    pub(crate) fn expire(&self, now: Timestamp) {
        for grant in self.all().iter().filter(|grant| !grant.is_valid(now)) {
            self.revoke(grant);
        }
    }

    /// When which keys were used, since the last call.
    pub(crate) fn take_used(&self) -> Vec<(Uuid, Timestamp)> {
        let table = self.0.load();
        let used = table.by_id.values().filter_map(|grant| {
            let at = grant.used_at.swap(0, Ordering::Relaxed);
            (at != 0).then(|| Timestamp::from_microsecond(at).ok().map(|at| (grant.id, at))).flatten()
        });
        used.collect()
    }

    fn retain(&self, keep: impl Fn(&KeyGrant) -> bool) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.by_hash.retain(|_, grant| keep(grant));
            table.by_id.retain(|_, grant| keep(grant));
            table
        });
    }
}

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, hash: &[u8]) {
        self.0 = hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }

    /// All hashes are of one length.
    fn write_usize(&mut self, _: usize) {}
}
