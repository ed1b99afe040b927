//! What a server lends to its pipeline.

use std::{path::PathBuf, sync::Arc};

use flagstone_layers::kernel::{Next, Registry, Resources, RouteSpec};
use tokio::runtime::Handle;

use crate::Variables;

/// What a server lends to its pipeline, once for the whole process.
pub struct Host {
    /// The kinds of layer a file may use.
    pub registry: Registry,
    /// What layers ask for by type.
    pub resources: Resources,
    /// The handler routes; a route's place is its id.
    pub routes: Vec<(RouteSpec, Next)>,
    /// What answers where no route does: unknown paths with 404, wrong methods with 405.
    pub fallback: Next,
    /// How environment variables are looked up.
    pub variables: Variables,
    /// The server's own settings, if they come from files that are to be watched too.
    pub settings: Option<Arc<dyn SettingsSource>>,
    /// Whose blocking threads read and build pipelines; those of the caller's runtime where there is none. Threads that
    /// step back behind those that serve keep a reload from being felt.
    pub background: Option<Handle>,
}

/// Settings of the server itself, which take a restart to change. Asked on threads that may block.
pub trait SettingsSource: Send + Sync + 'static {
    /// The files they come from.
    fn paths(&self) -> Vec<PathBuf>;
    /// The names of those that are no longer what the process started with, read anew.
    fn changed(&self) -> Vec<String>;
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}
