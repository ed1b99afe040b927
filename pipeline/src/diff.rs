//! What changed from one generation to the next.

use std::{collections::BTreeSet, fmt};

use flagstone_layers::kernel::RouteSpec;
use serde::Serialize;

use crate::snapshot::Snapshot;

/// What a reload changed. Layers have their names in the file, routes are written `GET /path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Layers that were not there before.
    pub added: Vec<String>,
    /// Layers that are gone.
    pub removed: Vec<String>,
    /// Layers whose kind, settings or mode changed.
    pub changed: Vec<String>,
    /// Layers whose state goes on.
    pub carried: Vec<String>,
    /// Layers whose state was given up.
    pub reset: Vec<Reset>,
    /// Routes that run other layers, or the same in another order, or none any more.
    pub routes: Vec<String>,
    /// Whether the fallback runs other layers.
    pub fallback: bool,
    /// Whether the aliases changed.
    pub aliases: bool,
}

/// A layer whose state was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// Its name.
    pub layer: String,
    /// Why.
    pub reason: &'static str,
}

impl Changes {
    /// `routes` are those of the host, in the order of the snapshots' chains.
    pub(crate) fn between<'a>(
        old: &Snapshot,
        new: &Snapshot,
        routes: impl IntoIterator<Item = &'a RouteSpec>,
    ) -> Self {
        let mut changes = Self {
            removed: removed(old, new),
            routes: routes
                .into_iter()
                .enumerate()
                .filter(|(route, _)| old.layers(*route) != new.layers(*route))
                .map(|(_, spec)| format!("{} {}", spec.method, spec.path))
                .collect(),
            fallback: old.fallback.layers() != new.fallback.layers(),
            aliases: old.aliases != new.aliases,
            ..Self::default()
        };
        for instance in &new.instances {
            let name = instance.name.to_string();
            if instance.carried {
                changes.carried.push(name.clone());
            }
            if let Some(reason) = instance.reset {
                changes.reset.push(Reset { layer: name.clone(), reason });
            }
            match old.instance(&instance.name) {
                None => changes.added.push(name),
                Some(before) if !instance.same(before) => changes.changed.push(name),
                Some(_) => {}
            }
        }
        changes
    }
}

fn removed(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let present: BTreeSet<&str> = new.instances.iter().map(|instance| &*instance.name).collect();
    old.instances
        .iter()
        .filter(|instance| !present.contains(&*instance.name))
        .map(|instance| instance.name.to_string())
        .collect()
}

/// In one line, for logs. State that goes on is not news.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
            ("routes", &self.routes),
        ];
        let mut parts: Vec<String> = named
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        parts.extend(self.reset.iter().map(|reset| format!("reset {} ({})", reset.layer, reset.reason)));
        let flags = [("fallback", self.fallback), ("aliases", self.aliases)];
        parts.extend(flags.iter().filter(|(_, changed)| *changed).map(|(what, _)| (*what).to_owned()));
        if parts.is_empty() { f.write_str("no layer or route") } else { f.write_str(&parts.join("; ")) }
    }
}
