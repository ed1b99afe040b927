//! Making, listing and revoking SDK keys.

use std::sync::Arc;

use flagstone_engine::limits::NAME_BYTES;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{KeyGrant, KeyKind, KeyTable, SdkKey};
use crate::actor::Actor;
use crate::audit::Entry;
use crate::changes::{Change, ChangedEnvironment, Changes};
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::fields::Fields;
use crate::store::{self, Db};
use crate::token::Token;

/// Keys of one kind that may be valid in an environment at a time: the one in use and the one that follows it (R67).
const VALID: usize = 2;
/// Characters of a key that its hint shows: the prefix and a few, of 43.
const HINT: usize = 11;

/// The SDK keys.
pub struct Keys {
    db: Db,
    clock: Clock,
    changes: Changes,
    table: Arc<KeyTable>,
}

/// A key just made: the only time it is seen.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewKey {
    /// What is kept of it.
    #[serde(flatten)]
    pub key: SdkKey,
    /// The key itself.
    #[serde(rename = "key", serialize_with = "reveal")]
    #[schemars(with = "String")]
    pub secret: Token,
}

fn reveal<S: serde::Serializer>(token: &Token, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.reveal())
}

impl Keys {
    pub(crate) fn new(db: Db, clock: Clock, changes: Changes, table: Arc<KeyTable>) -> Self {
        Self { db, clock, changes, table }
    }

    /// What a presented key opens; `None` where it is unknown, revoked or expired. No database, no allocation.
    pub fn verify(&self, key: &str) -> Option<Arc<KeyGrant>> {
        self.table.verify(key, self.clock.now())
    }

    /// How many keys are valid.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// The keys of an environment, revoked and expired ones too, the oldest first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn list(&self, project: &str, environment: &str) -> Result<Vec<SdkKey>, ServiceError> {
        let mut reader = self.db.read().await?;
        let found =
            store::projects::by_key(&mut reader, project).await?.ok_or(ServiceError::NotFound("project"))?;
        let environments = store::environments::of_project(&mut reader, found.id).await?;
        let environment = environments
            .into_iter()
            .find(|other| other.key == environment)
            .ok_or(ServiceError::NotFound("environment"))?;
        Ok(store::keys::of_environment(&mut reader, environment.id).await?)
    }

    /// Makes a key from `{"kind", "name", "expires_at"}`.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`key_limit`) where two of the kind are valid already;
    /// [`ServiceError::Forbidden`], [`ServiceError::NotFound`], [`ServiceError::Invalid`].
    pub async fn create(
        &self,
        actor: &Actor,
        project: &str,
        environment: &str,
        document: &Value,
    ) -> Result<NewKey, ServiceError> {
        actor.require_admin()?;
        let wanted = read(document, self.clock.now())?;
        let (project, environment) = (project.to_owned(), environment.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let found = find_environment(change, &project, &environment).await?;
                    create(change, &project, &found, wanted).await
                })
            })
            .await
    }

    /// Revokes a key and ends its streams.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where it is not a key of this environment; [`ServiceError::Conflict`]
    /// (`already_revoked`); [`ServiceError::Forbidden`].
    pub async fn revoke(
        &self,
        actor: &Actor,
        project: &str,
        environment: &str,
        id: Uuid,
    ) -> Result<(), ServiceError> {
        actor.require_admin()?;
        let (project, environment) = (project.to_owned(), environment.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let found = find_environment(change, &project, &environment).await?;
                    let keys = store::keys::of_environment(&mut change.transaction, found.row.id).await?;
                    let before = keys.into_iter().find(|key| key.id == id);
                    let before = before.ok_or(ServiceError::NotFound("SDK key"))?;
                    if before.revoked_at.is_some() {
                        return Err(ServiceError::conflict(
                            "already_revoked",
                            "the SDK key is revoked already",
                        ));
                    }
                    let after = SdkKey { revoked_at: Some(change.now), ..before.clone() };
                    store::keys::revoke(&mut change.transaction, id, change.now).await?;
                    let id_text = id.to_string();
                    let entry = Entry {
                        project: Some(&project),
                        environment: Some(&environment),
                        before: Some(crate::audit::json(&before)),
                        after: Some(crate::audit::json(&after)),
                        ..Entry::new("sdk_key.revoke", "sdk_key", &id_text)
                    };
                    change.record(entry).await?;
                    change.revoke_key(id);
                    Ok(())
                })
            })
            .await
    }

    /// Forgets expired keys and writes down when which were used.
    pub(crate) async fn flush(&self) -> Result<(), ServiceError> {
        self.table.expire(self.clock.now());
        let used = self.table.take_used();
        if used.is_empty() {
            return Ok(());
        }
        let mut transaction = self.db.begin().await?;
        for (id, at) in used {
            store::keys::used(&mut transaction, id, at).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What a key is made of.
pub(crate) struct WantedKey {
    pub(crate) kind: KeyKind,
    pub(crate) name: String,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Makes a key inside a change.
pub(crate) async fn create(
    change: &mut Change,
    project: &str,
    environment: &ChangedEnvironment,
    wanted: WantedKey,
) -> Result<NewKey, ServiceError> {
    let keys = store::keys::of_environment(&mut change.transaction, environment.row.id).await?;
    let valid = keys.iter().filter(|key| key.kind == wanted.kind && key.is_valid(change.now)).count();
    if valid >= VALID {
        return Err(ServiceError::conflict(
            "key_limit",
            format!(
                "the environment has {valid} valid {} keys already: revoke one of them first",
                wanted.kind.as_str()
            ),
        ));
    }
    let secret =
        Token::generate(wanted.kind.prefix()).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let key = SdkKey {
        id: Uuid::now_v7(),
        environment_id: environment.row.id,
        kind: wanted.kind,
        name: wanted.name,
        hint: secret.reveal().chars().take(HINT).collect(),
        created_by: change.actor.name().to_owned(),
        created_at: change.now,
        expires_at: wanted.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    store::keys::insert(&mut change.transaction, &key, &secret.hash()).await?;
    let id_text = key.id.to_string();
    let entry = Entry {
        project: Some(project),
        environment: Some(&environment.row.key),
        after: Some(crate::audit::json(&key)),
        ..Entry::new("sdk_key.create", "sdk_key", &id_text)
    };
    change.record(entry).await?;
    change.add_key(secret.hash(), Arc::new(KeyGrant::new(&key, environment.handle().clone())));
    Ok(NewKey { key, secret })
}

async fn find_environment(
    change: &mut Change,
    project: &str,
    environment: &str,
) -> Result<ChangedEnvironment, ServiceError> {
    let project = change.project(project).await?;
    let environments = change.environments(&project).await?;
    environments
        .into_iter()
        .find(|other| other.row.key == environment)
        .ok_or(ServiceError::NotFound("environment"))
}

fn read(document: &Value, now: Timestamp) -> Result<WantedKey, ServiceError> {
    let mut fields = Fields::new(document);
    let kind = fields.text("kind");
    let wanted = WantedKey {
        kind: kind.and_then(KeyKind::parse).unwrap_or(KeyKind::Client),
        name: fields.name(""),
        expires_at: fields.time("expires_at"),
    };
    match kind {
        None => fields.required("kind"),
        Some(kind) if KeyKind::parse(kind).is_none() => {
            fields.member_fault("kind", "bad_value", "a key is \"server\" or \"client\"".to_owned());
        }
        Some(_) => {}
    }
    if wanted.name.len() > NAME_BYTES {
        fields.member_fault("name", "too_large", format!("this may have {NAME_BYTES} bytes"));
    }
    if wanted.expires_at.is_some_and(|expiry| expiry <= now) {
        fields.member_fault(
            "expires_at",
            "bad_time",
            "a key cannot have expired before it is made".to_owned(),
        );
    }
    fields.finish(wanted)
}
