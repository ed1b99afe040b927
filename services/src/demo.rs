//! What `--demo` begins with: a project to play with, and everything needed to do so.

use flagstone_engine::model::{Flag, FlagConfig};
use serde::Serialize;
use serde_json::{Value, json};

use crate::accounts::{AdminCredentials, FirstAdmin};
use crate::actor::Actor;
use crate::changes::Change;
use crate::error::ServiceError;
use crate::flags::{self, FlagRecord, VersionedConfig};
use crate::keys::{self, KeyKind, WantedKey};
use crate::page::PageRequest;
use crate::projects;
use crate::services::Services;
use crate::store;
use crate::token::Token;

const PROJECT: &str = "demo";
const EMAIL: &str = "admin@localhost";

/// The secrets of a demonstration, in clear text, to be printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Demo {
    /// The project's key.
    pub project: String,
    /// The admin's e-mail address.
    pub email: String,
    /// The admin's password, made for this demonstration.
    pub password: String,
    /// By environment, in the project's order.
    pub keys: Vec<DemoKeys>,
}

/// The SDK keys of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoKeys {
    /// The environment's key.
    pub environment: String,
    /// A server key.
    pub server: String,
    /// A client key.
    pub client: String,
}

/// Fills an empty database.
///
/// # Errors
/// [`ServiceError::Conflict`] (`not_empty`) where there are users or projects already.
pub async fn seed(services: &Services) -> Result<Demo, ServiceError> {
    let refused = || {
        ServiceError::conflict("not_empty", "a demonstration begins with an empty database: this one is not")
    };
    if services.projects.list(None, PageRequest::default()).await?.total > 0 {
        return Err(refused());
    }
    let password =
        Token::generate("").map_err(|error| ServiceError::Internal(error.to_string()))?.into_text();
    let credentials = AdminCredentials { email: EMAIL.to_owned(), password: password.as_str().into() };
    if matches!(services.accounts.ensure_first_admin(Some(credentials)).await?, FirstAdmin::Present) {
        return Err(refused());
    }
    let keys =
        services.changes.run(&Actor::system(), |change| Box::pin(async move { fill(change).await })).await?;
    Ok(Demo { project: PROJECT.to_owned(), email: EMAIL.to_owned(), password, keys })
}

async fn fill(change: &mut Change) -> Result<Vec<DemoKeys>, ServiceError> {
    let description = "Made by --demo; thrown away when the server stops.".to_owned();
    projects::create(change, PROJECT.to_owned(), "Demo".to_owned(), description).await?;
    for (flag, config) in flags() {
        let flag = Flag::read(&flag, &[]).map_err(ServiceError::Invalid)?;
        let config = FlagConfig::read(&config, &flag, &[]).map_err(ServiceError::Invalid)?;
        let key = flag.key.clone();
        flags::create(change, PROJECT, flag).await?;
        switch_on(change, &key, config).await?;
    }
    let project = change.project(PROJECT).await?;
    let mut made = Vec::new();
    for environment in change.environments(&project).await? {
        let wanted = |kind| WantedKey { kind, name: "demo".to_owned(), expires_at: None };
        let server = keys::create(change, PROJECT, &environment, wanted(KeyKind::Server)).await?;
        let client = keys::create(change, PROJECT, &environment, wanted(KeyKind::Client)).await?;
        made.push(DemoKeys {
            environment: environment.row.key,
            server: server.secret.into_text(),
            client: client.secret.into_text(),
        });
    }
    Ok(made)
}

/// Puts a configuration in `development`.
async fn switch_on(change: &mut Change, key: &str, config: FlagConfig) -> Result<(), ServiceError> {
    let project = change.project(PROJECT).await?;
    let record: FlagRecord = store::flags::by_key(&mut change.transaction, project.id, key)
        .await?
        .ok_or(ServiceError::NotFound("flag"))?;
    let mut environments = change.environments(&project).await?;
    let development = environments.first_mut().ok_or(ServiceError::NotFound("environment"))?;
    let before = VersionedConfig::implicit(&record.flag);
    flags::put(change, PROJECT, &record, development, before, config).await.map(drop)
}

/// The flags and their configurations in `development`.
fn flags() -> [(Value, Value); 5] {
    [
        (
            json!({"key": "beta-search", "name": "Beta search", "type": "boolean", "tags": ["search"],
                "description": "The new search, for those who pay."}),
            json!({"enabled": true, "fallthrough": {"variant": "off"}, "rules": [{
                "id": "paying", "description": "Plans pro and team",
                "when": {"attribute": "plan", "op": "in", "values": ["pro", "team"]},
                "serve": {"variant": "on"},
            }]}),
        ),
        (
            json!({"key": "new-checkout", "name": "New checkout", "type": "boolean", "tags": ["checkout"],
                "description": "A quarter of all users get it."}),
            json!({"enabled": true, "fallthrough": {"variant": "off"}, "rules": [{
                "id": "rollout", "description": "A quarter of those who have a targeting key",
                "when": {"all": []},
                "serve": {"split": {"rollout": 25_000, "weights": [{"variant": "on", "weight": 1}]}},
            }]}),
        ),
        (
            json!({"key": "banner-text", "name": "Banner text", "type": "string",
            "description": "What the page's banner says.",
            "variants": [
                {"key": "welcome", "value": "Welcome to Flagstone"},
                {"key": "sale", "value": "Everything must go"},
            ]}),
            json!({"enabled": true, "off_variant": "welcome", "fallthrough": {"variant": "welcome"}}),
        ),
        (
            json!({"key": "max-items", "name": "Most items", "type": "integer", "kind": "operational",
                "description": "How many items a list shows.",
                "variants": [{"key": "few", "value": 10}, {"key": "many", "value": 50}]}),
            json!({"enabled": true, "off_variant": "few", "fallthrough": {"variant": "many"}}),
        ),
        (
            json!({"key": "theme", "name": "Theme", "type": "object",
            "description": "The page's colours.",
            "variants": [
                {"key": "light", "value": {"background": "#ffffff", "text": "#1a1a1a"}},
                {"key": "dark", "value": {"background": "#1a1a1a", "text": "#ffffff"}},
            ]}),
            json!({"enabled": true, "off_variant": "light", "fallthrough": {"variant": "light"}}),
        ),
    ]
}
