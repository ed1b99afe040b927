//! All environments, found without waiting.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use uuid::Uuid;

use super::EnvironmentHandle;

/// The environments of all projects.
#[derive(Default)]
pub struct Snapshots(ArcSwap<Table>);

#[derive(Clone, Default)]
struct Table {
    by_id: HashMap<Uuid, Arc<EnvironmentHandle>>,
    by_key: HashMap<Box<str>, HashMap<Box<str>, Arc<EnvironmentHandle>>>,
}

impl Snapshots {
    /// The environment of these keys.
    pub fn get(&self, project: &str, environment: &str) -> Option<Arc<EnvironmentHandle>> {
        self.0.load().by_key.get(project)?.get(environment).cloned()
    }

    /// The environment of this id.
    pub fn by_id(&self, id: Uuid) -> Option<Arc<EnvironmentHandle>> {
        self.0.load().by_id.get(&id).cloned()
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<EnvironmentHandle>> {
        self.0.load().by_id.values().cloned().collect()
    }

    pub(crate) fn add(&self, handle: &Arc<EnvironmentHandle>) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.by_id.insert(handle.id, handle.clone());
            let project = table.by_key.entry(handle.project.clone()).or_default();
            project.insert(handle.environment.clone(), handle.clone());
            table
        });
    }

    pub(crate) fn remove(&self, handle: &EnvironmentHandle) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.by_id.remove(&handle.id);
            if let Some(project) = table.by_key.get_mut(&handle.project) {
                // The same key may have been made anew.
                if project.get(&handle.environment).is_some_and(|other| other.id == handle.id) {
                    project.remove(&handle.environment);
                }
                if project.is_empty() {
                    table.by_key.remove(&handle.project);
                }
            }
            table
        });
    }
}
