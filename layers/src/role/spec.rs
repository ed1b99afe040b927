use schemars::JsonSchema;
use serde::Deserialize;

use super::Role;
use crate::kernel::{Access, Fact, LayerSpec, Order, PrepareContext, PrepareError, Prepared, PrincipalSet};

pub(super) const KIND: &str = "role";

/// Describes the layer to a pipeline.
#[derive(Debug)]
pub struct Spec;

/// Its settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who may pass: `admin`, or `member`, which admins are too.
    pub role: RequiredRole,
}

/// Who may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequiredRole {
    /// Administrators.
    Admin,
    /// Everybody who signed in.
    Member,
}

impl RequiredRole {
    pub(super) fn principals(self) -> PrincipalSet {
        match self {
            Self::Admin => Access::Admin.principals(),
            Self::Member => Access::Member.principals(),
        }
    }
}

impl LayerSpec for Spec {
    const KIND: &'static str = KIND;
    const ABOUT: &'static str = "lets only callers of a role pass";
    type Config = Config;

    fn order(config: &Config) -> Order {
        Order {
            needs: vec![Fact::Principal],
            admits: Some(config.role.principals()),
            refuses: true,
            ..Order::default()
        }
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(Prepared::hook(Role::new(config)))
    }
}
