use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of place the server runs in. Lent by the host; without it, [`Production`](Self::Production) is assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Others depend on it.
    #[default]
    Production,
    /// A developer's machine: pages served from `localhost` may call it.
    Development,
}
