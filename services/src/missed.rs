//! What other instances did to an environment since its state in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::flags::VersionedConfig;
use crate::hub::{Event, EventKind};
use crate::projects::Environment;
use crate::snapshot::{FlagDefinition, Patch, Snapshot};
use crate::store::{self, Executor, StoreError};

/// The most changes that are told one by one.
const TOLD: u64 = 100;
/// The most flags that are read one by one.
const READ: usize = 10;

/// How a state in memory becomes the database's.
pub(crate) struct Missed {
    seen: Option<Arc<Snapshot>>,
    /// Each concerns one flag: its revision, what happened, the flag's key. `None` where they are many, or not all known,
    /// or concern more, or where the database forgot a part of what was seen.
    changes: Option<Vec<(u64, EventKind, String)>>,
}

// === impl Missed ===

impl Missed {
    /// What leads from `seen` to `row`; `seen` is `None` where it may be of another database.
    pub(crate) async fn read(
        executor: &mut impl Executor,
        row: &Environment,
        seen: Option<Arc<Snapshot>>,
    ) -> Result<Self, StoreError> {
        let changes = match &seen {
            Some(seen) => since(executor, row, seen).await?,
            None => None,
        };
        Ok(Self { seen, changes })
    }

    /// One event for each change, or one for all of them.
    pub(crate) fn events(&self, row: &Environment, now: Timestamp) -> Vec<Arc<Event>> {
        let Some(changes) = &self.changes else {
            return vec![Arc::new(Event::new(row.revision, EventKind::Refetch, None, now))];
        };
        let event =
            |(revision, kind, key): &(u64, EventKind, String)| Event::new(*revision, *kind, Some(key), now);
        changes.iter().map(|change| Arc::new(event(change))).collect()
    }

    /// The database's state, made of the one that was seen; `None` where it has to be read as a whole.
    pub(crate) async fn snapshot(
        &self,
        executor: &mut impl Executor,
        row: &Environment,
    ) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let (Some(seen), Some(changes)) = (&self.seen, &self.changes) else { return Ok(None) };
        let keys: BTreeSet<&str> = changes.iter().map(|(_, _, key)| key.as_str()).collect();
        if keys.len() > READ {
            return Ok(None);
        }
        let mut snapshot = seen.clone();
        for key in keys {
            let patch = flag(executor, row, key).await?;
            snapshot = Arc::new(snapshot.patched(row.revision, row.changed_at, &patch));
        }
        Ok(Some(snapshot).filter(|snapshot| snapshot.is_current(row)))
    }
}

async fn since(
    executor: &mut impl Executor,
    row: &Environment,
    seen: &Snapshot,
) -> Result<Option<Vec<(u64, EventKind, String)>>, StoreError> {
    let Some(count) = row.revision.checked_sub(seen.revision).filter(|count| *count <= TOLD) else {
        return Ok(None);
    };
    let made_at = store::changes::made_at(executor, row.id, seen.revision).await?;
    if seen.revision > 0 && made_at != Some(seen.changed_at) {
        return Ok(None);
    }
    let rows = store::changes::since(executor, row.id, seen.revision).await?;
    let of_one_flag = |(revision, kind, key): (u64, String, String)| {
        let kind = EventKind::parse(&kind).filter(|kind| *kind != EventKind::Refetch)?;
        Some((revision, kind, key))
    };
    let changes: Option<Vec<_>> = rows.into_iter().map(of_one_flag).collect();
    Ok(changes.filter(|changes| changes.len() as u64 == count))
}

/// A flag as the database has it.
async fn flag(executor: &mut impl Executor, row: &Environment, key: &str) -> Result<Patch, StoreError> {
    let Some(record) = store::flags::by_key(executor, row.project_id, key).await? else {
        return Ok(Patch::RemoveFlag(key.into()));
    };
    let mut configs = store::flags::configs_between(executor, row.project_id, key, key).await?;
    let config = configs.remove(&(record.id, row.id));
    let config = config.unwrap_or_else(|| VersionedConfig::implicit(&record.flag));
    let definition = FlagDefinition::new(&record, &config)?;
    Ok(Patch::PutFlag(record.flag, Box::new(config.config), definition))
}
