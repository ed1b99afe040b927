//! The settings of a process, and whether their files still say the same.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use flagstone_pipeline::{
    Fingerprint, Report, SettingsEnvironment, SettingsSource, Variables, read_settings,
};

use super::{FILE, PIPELINE_FILE, PREFIX, Settings, checks};

/// The settings of a process: read once, watched for changes that take a restart.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// The settings, with what the command line put over them.
    pub(crate) settings: Settings,
    /// What is doubtful about them.
    pub(crate) warnings: Report,
    /// The settings as they were read.
    read: Settings,
    folder: PathBuf,
    sources: Vec<PathBuf>,
    /// The names of all variables.
    names: Vec<String>,
    variables: Variables,
    /// The faults of the file that were logged last, so that those of one save are logged once.
    said: Arc<Mutex<String>>,
    /// What the last look found; nothing where the files had faults.
    looked: Arc<Mutex<Option<Look>>>,
}

/// What the files held, and the settings that it changes. A process's variables stay as they are.
struct Look {
    files: Fingerprint,
    changed: Vec<String>,
}

// === impl Loaded ===

impl Loaded {
    /// Reads the settings of a configuration folder. The names of all variables are asked for since one that is no
    /// setting is a fault.
    pub(crate) fn read(folder: &Path, names: &[String], variables: &Variables) -> Result<Self, Report> {
        let environment = SettingsEnvironment { prefix: PREFIX, names, variables };
        let loaded = read_settings(&folder.join(FILE), environment, checks::check)?;
        let (settings, sources) = (loaded.values, loaded.sources);
        Ok(Self {
            read: Settings::clone(&settings),
            settings,
            warnings: loaded.warnings,
            folder: folder.to_owned(),
            sources,
            names: names.to_vec(),
            variables: Arc::clone(variables),
            said: Arc::default(),
            looked: Arc::default(),
        })
    }

    /// The pipeline file.
    pub(crate) fn pipeline_file(&self) -> PathBuf {
        self.folder.join(PIPELINE_FILE)
    }
}

impl SettingsSource for Loaded {
    fn paths(&self) -> Vec<PathBuf> {
        self.sources.clone()
    }

    fn changed(&self) -> Vec<String> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looked.as_ref().filter(|look| look.files == look.files.again()) {
            return look.changed.clone();
        }
        *looked = self.look();
        looked.as_ref().map(|look| look.changed.clone()).unwrap_or_default()
    }
}

impl Loaded {
    /// Reads the files anew. With faults they change nothing: they are read at the next start, which they would stop.
    fn look(&self) -> Option<Look> {
        let paths = |sources: &[PathBuf]| Fingerprint::of(sources.iter().map(PathBuf::as_path));
        // Taken before they are read: a change since then is seen.
        let mut files = paths(&self.sources);
        let mut now = self.read_again()?;
        while !files.covers(&now.sources) {
            files = paths(&now.sources);
            now = self.read_again()?;
        }
        let mut changed = Vec::new();
        differences("", &shown(&self.read), &shown(&now.settings), &mut changed);
        let secrets = self.read.secrets().into_iter().zip(now.settings.secrets());
        for ((name, before), (_, now)) in secrets {
            if before != now && !changed.iter().any(|known| known == name) {
                changed.push(name.to_owned());
            }
        }
        Some(Look { files, changed })
    }

    fn read_again(&self) -> Option<Self> {
        let read = Self::read(&self.folder, &self.names, &self.variables);
        self.say(read.as_ref().err().map(Report::to_string).unwrap_or_default());
        read.ok()
    }

    fn say(&self, faults: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != faults && !faults.is_empty() {
            tracing::warn!(faults, "{FILE} has faults: the next start would be refused");
        }
        *said = faults;
    }
}

fn shown(settings: &Settings) -> serde_json::Value {
    serde_json::to_value(settings).unwrap_or_default()
}

/// The names of the settings in which two documents differ.
fn differences(prefix: &str, before: &serde_json::Value, after: &serde_json::Value, names: &mut Vec<String>) {
    if let (serde_json::Value::Object(before), serde_json::Value::Object(after)) = (before, after) {
        for (key, value) in before {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            differences(&name, value, after.get(key).unwrap_or(&serde_json::Value::Null), names);
        }
    } else if before != after {
        names.push(prefix.to_owned());
    }
}
