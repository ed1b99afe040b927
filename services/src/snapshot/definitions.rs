//! The definitions of an environment as text, beside what is compiled of them: for server SDKs, and to be read again
//! where a change is checked against them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use flagstone_engine::check::Surroundings;
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{self as engine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentHandle, Snapshot};
use crate::flags::{FlagRecord, VersionedConfig};
use crate::store::{StoreError, json};

/// A flag as one environment has it. Environments share the texts that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagDefinition {
    /// Its own fields: a JSON object.
    pub(super) flag: Arc<str>,
    /// The version of its own fields.
    pub(super) version: u64,
    /// Its configuration here: a JSON object; the implicit one where none is stored.
    pub(super) config: Arc<str>,
    /// The configuration's version; 0 where none is stored.
    pub(super) config_version: u64,
}

/// The definitions of one environment.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Definitions {
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// Counts the changes of the environment's flags.
    pub revision: u64,
    /// In the order of their keys, archived ones too.
    pub flags: Vec<DefinedFlag>,
    /// In the order of their keys.
    pub segments: Vec<Segment>,
}

/// A flag as the management API shows it, with its configuration in this environment only.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DefinedFlag {
    /// Its own fields.
    #[serde(flatten)]
    pub flag: Flag,
    /// The version of its own fields.
    pub version: u64,
    /// One member: the environment's key.
    pub environments: BTreeMap<String, DefinedConfig>,
}

/// A flag's configuration in the environment.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DefinedConfig {
    /// The configuration; the implicit one where none is stored.
    #[serde(flatten)]
    pub config: FlagConfig,
    /// Its version; 0 where none is stored.
    pub version: u64,
}

impl FlagDefinition {
    pub(crate) fn new(record: &FlagRecord, config: &VersionedConfig) -> Result<Self, StoreError> {
        Ok(Self {
            flag: json::write(&*record.flag)?.into(),
            version: record.version,
            config: json::write(&config.config)?.into(),
            config_version: config.version,
        })
    }

    /// Appends what [`DefinedFlag`] says.
    fn write(&self, environment: &str, to: &mut String) {
        push_with_version(&self.flag, self.version, to);
        to.push_str(",\"environments\":{");
        to.push_str(environment);
        to.push(':');
        push_with_version(&self.config, self.config_version, to);
        to.push_str("}}}");
    }
}

/// Appends an object that goes on after its version.
fn push_with_version(object: &str, version: u64, to: &mut String) {
    to.push_str(object.strip_suffix('}').unwrap_or(object));
    to.push_str(",\"version\":");
    to.push_str(&version.to_string());
}

impl EnvironmentHandle {
    /// The present snapshot's [`Definitions`] as JSON, written once for all who ask for them.
    pub fn definitions(&self, snapshot: &Snapshot) -> Bytes {
        let mut written = snapshot.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get_or_insert_with(|| snapshot.write(&self.project, &self.environment).into()).clone()
    }
}

impl Snapshot {
    /// Lets go of what was written for those who asked for the definitions: nobody may ask any more.
    pub(crate) fn forget_written(&self) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn write(&self, project: &str, environment: &str) -> String {
        let (project, environment) = (quoted(project), quoted(environment));
        let of_flag = |flag: &FlagDefinition| flag.flag.len() + flag.config.len() + environment.len() + 64;
        let flags: usize = self.flags.iter().map(of_flag).sum();
        let segments: usize = self.segments.values().map(|segment| segment.len() + 1).sum();
        let mut text = String::with_capacity(flags + segments + project.len() + environment.len() + 96);
        text.push_str(&format!(
            "{{\"project\":{project},\"environment\":{environment},\"revision\":{},\"flags\":[",
            self.revision
        ));
        for (index, flag) in self.flags.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            flag.write(&environment, &mut text);
        }
        text.push_str("],\"segments\":[");
        for (index, segment) in self.segments.values().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(segment);
        }
        text.push_str("]}");
        text
    }
}

/// What is kept was read once, so that it can be read again.
impl Surroundings for Snapshot {
    fn environment(&self) -> &engine::Environment {
        &self.compiled
    }

    fn flag(&self, key: &str) -> Option<(Cow<'_, Flag>, Cow<'_, FlagConfig>)> {
        let definition = self.flags.get(self.compiled.flag_position(key)?)?;
        let (flag, config) = (json::parse(&definition.flag).ok()?, json::parse(&definition.config).ok()?);
        Some((Cow::Owned(flag), Cow::Owned(config)))
    }

    fn segment(&self, key: &str) -> Option<Cow<'_, Segment>> {
        json::parse(self.segments.get(key)?).ok().map(Cow::Owned)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
