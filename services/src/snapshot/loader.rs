//! Reads environments from the database, project by project.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{self as engine, Change};
use uuid::Uuid;

use super::{FlagDefinition, Snapshot};
use crate::projects::Environment;
use crate::store::{Executor, StoreError, flags, json, segments};

/// The flags and segments of a project as its environments have them where nothing is configured: what these share.
pub(crate) struct Loader {
    project: Uuid,
    keys: HashMap<Uuid, String>,
    flags: Vec<FlagDefinition>,
    segments: BTreeMap<Arc<str>, Arc<str>>,
    compiled: engine::Environment,
    configs: Texts,
}

/// Texts that many have alike, each once.
#[derive(Default)]
struct Texts(HashSet<Arc<str>>);

impl Loader {
    pub(crate) async fn of_project(executor: &mut impl Executor, project: Uuid) -> Result<Self, StoreError> {
        let mut draft = engine::Environment::default().draft();
        let (mut keys, mut configs) = (HashMap::new(), Texts::default());
        let mut definitions = BTreeMap::new();
        for stored in flags::texts_of_project(executor, project).await? {
            let flag: Flag = json::parse(&stored.text)?;
            let implicit = FlagConfig::implicit(&flag);
            draft.apply(Change::Flag(&flag, &implicit));
            let definition = FlagDefinition {
                flag: stored.text.into(),
                version: stored.version,
                config: configs.shared(json::write(&implicit)?),
                config_version: 0,
            };
            definitions.insert(flag.key.clone(), definition);
            keys.insert(stored.flag, flag.key);
        }
        let mut texts = BTreeMap::new();
        for record in segments::of_project(executor, project).await? {
            let segment: &Segment = &record.segment;
            draft.apply(Change::Segment(segment));
            texts.insert(segment.key.as_str().into(), json::write(segment)?.into());
        }
        let flags = definitions.into_values().collect();
        Ok(Self { project, keys, flags, segments: texts, compiled: draft.finish(), configs })
    }

    pub(crate) fn is_of(&self, project: Uuid) -> bool {
        self.project == project
    }

    /// The state of one of the project's environments as the transaction sees it.
    pub(crate) async fn environment(
        &mut self,
        executor: &mut impl Executor,
        environment: &Environment,
    ) -> Result<Snapshot, StoreError> {
        let mut draft = self.compiled.draft();
        let mut flags = self.flags.clone();
        for stored in flags::texts_of_environment(executor, environment.id).await? {
            let Some(key) = self.keys.get(&stored.flag) else { continue };
            let place = self.compiled.flag_position(key);
            if let Some(definition) = place.and_then(|place| flags.get_mut(place)) {
                let config: FlagConfig = json::parse(&stored.text)?;
                draft.apply(Change::Config(key, &config));
                definition.config = self.configs.shared(stored.text);
                definition.config_version = stored.version;
            }
        }
        Ok(Snapshot {
            revision: environment.revision,
            changed_at: environment.changed_at,
            flags,
            segments: self.segments.clone(),
            compiled: draft.finish(),
            written: Default::default(),
        })
    }
}

impl Texts {
    fn shared(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.0.get(text.as_str()) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.0.insert(text.clone());
        text
    }
}
