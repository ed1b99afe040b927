//! Rows of `flags`, `flag_tags` and `flag_configs`.

use std::collections::HashMap;

use flagstone_engine::model::{Flag, FlagConfig};
use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::json;
use super::value::{Row, params};
use crate::flags::{FlagFilter, FlagRecord, VersionedConfig};

const INSERT: &str = "INSERT INTO flags \
    (id, project_id, key, definition, search, archived, version, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const UPDATE: &str = "UPDATE flags SET definition = $2, search = $3, archived = $4, version = $5, updated_at = $6 \
    WHERE id = $1";
const BY_KEY: &str = "SELECT id, definition, version, created_at, updated_at FROM flags \
    WHERE project_id = $1 AND key = $2";
const TEXTS_OF_PROJECT: &str = "SELECT id, definition, version FROM flags WHERE project_id = $1";
const INSERT_TAG: &str = "INSERT INTO flag_tags (flag_id, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const PUT_CONFIG: &str = "INSERT INTO flag_configs (flag_id, environment_id, config, version, updated_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (flag_id, environment_id) DO UPDATE SET \
    config = excluded.config, version = excluded.version, updated_at = excluded.updated_at";
const CONFIGS_BETWEEN: &str = "SELECT c.flag_id, c.environment_id, c.config, c.version, c.updated_at \
    FROM flag_configs c JOIN flags f ON f.id = c.flag_id \
    WHERE f.project_id = $1 AND f.key >= $2 AND f.key <= $3";
const TEXTS_OF_ENVIRONMENT: &str =
    "SELECT flag_id, config, version FROM flag_configs WHERE environment_id = $1";

/// The statement with the conditions of a [`FlagFilter`] in `$1` to `$4`.
macro_rules! filtered {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM flags WHERE project_id = $1 \
              AND (CAST($2 AS TEXT) IS NULL OR search LIKE $2 ESCAPE '\\') \
              AND (CAST($3 AS TEXT) IS NULL OR id IN (SELECT flag_id FROM flag_tags WHERE tag = $3)) \
              AND (CAST($4 AS BIGINT) IS NULL OR archived = $4)",
            $after
        )
    };
}

/// Configurations by flag and environment.
pub(crate) type Configs = HashMap<(Uuid, Uuid), VersionedConfig>;

/// A flag's own fields, or a configuration of it, as they are stored.
pub(crate) struct StoredText {
    pub(crate) flag: Uuid,
    /// A JSON object.
    pub(crate) text: String,
    pub(crate) version: u64,
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    project: Uuid,
    record: &FlagRecord,
) -> Result<(), StoreError> {
    let params = params![
        record.id,
        project,
        &record.flag.key,
        json::write(&*record.flag)?,
        search_text(&record.flag),
        record.flag.archived,
        record.version,
        record.created_at,
        record.updated_at
    ];
    transaction.execute(INSERT, params).await?;
    insert_tags(transaction, record).await
}

pub(crate) async fn update(transaction: &mut Transaction, record: &FlagRecord) -> Result<(), StoreError> {
    let params = params![
        record.id,
        json::write(&*record.flag)?,
        search_text(&record.flag),
        record.flag.archived,
        record.version,
        record.updated_at
    ];
    transaction.execute(UPDATE, params).await?;
    transaction.execute("DELETE FROM flag_tags WHERE flag_id = $1", params![record.id]).await?;
    insert_tags(transaction, record).await
}

async fn insert_tags(transaction: &mut Transaction, record: &FlagRecord) -> Result<(), StoreError> {
    for tag in &record.flag.tags {
        transaction.execute(INSERT_TAG, params![record.id, tag]).await?;
    }
    Ok(())
}

pub(crate) async fn delete(transaction: &mut Transaction, id: Uuid) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM flags WHERE id = $1", params![id]).await.map(drop)
}

pub(crate) async fn by_key(
    executor: &mut impl Executor,
    project: Uuid,
    key: &str,
) -> Result<Option<FlagRecord>, StoreError> {
    executor.query_optional(BY_KEY, params![project, key]).await?.as_ref().map(read).transpose()
}

/// The flags' own fields as they are stored.
pub(crate) async fn texts_of_project(
    executor: &mut impl Executor,
    project: Uuid,
) -> Result<Vec<StoredText>, StoreError> {
    executor.query(TEXTS_OF_PROJECT, params![project]).await?.into_iter().map(StoredText::read).collect()
}

/// One page in the order of their keys, and how many there are.
pub(crate) async fn list(
    executor: &mut impl Executor,
    project: Uuid,
    filter: &FlagFilter,
    limit: u32,
    offset: u32,
) -> Result<(Vec<FlagRecord>, u64), StoreError> {
    const COUNT: &str = filtered!("SELECT COUNT(*)", "");
    const LIST: &str = filtered!(
        "SELECT id, definition, version, created_at, updated_at",
        " ORDER BY key LIMIT $5 OFFSET $6"
    );
    let like = crate::page::like(filter.search.as_deref());
    let mut params = params![project, like, filter.tag.as_deref(), filter.archived];
    let total = executor.query_one(COUNT, params.clone()).await?.get(0)?;
    params.extend(params![limit, offset]);
    let rows = executor.query(LIST, params).await?;
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
}

/// The stored configurations of the flags whose keys are `first`, `last` or between them.
pub(crate) async fn configs_between(
    executor: &mut impl Executor,
    project: Uuid,
    first: &str,
    last: &str,
) -> Result<Configs, StoreError> {
    read_configs(&executor.query(CONFIGS_BETWEEN, params![project, first, last]).await?)
}

/// The configurations of one environment as they are stored.
pub(crate) async fn texts_of_environment(
    executor: &mut impl Executor,
    environment: Uuid,
) -> Result<Vec<StoredText>, StoreError> {
    let rows = executor.query(TEXTS_OF_ENVIRONMENT, params![environment]).await?;
    rows.into_iter().map(StoredText::read).collect()
}

pub(crate) async fn put_config(
    transaction: &mut Transaction,
    flag: Uuid,
    environment: Uuid,
    config: &VersionedConfig,
) -> Result<(), StoreError> {
    let text = json::write(&config.config)?;
    let params = params![flag, environment, text, config.version, config.updated_at];
    transaction.execute(PUT_CONFIG, params).await.map(drop)
}

impl StoredText {
    fn read(mut row: Row) -> Result<Self, StoreError> {
        Ok(Self { flag: row.get(0)?, text: row.take_text(1)?, version: row.get(2)? })
    }
}

fn read(row: &Row) -> Result<FlagRecord, StoreError> {
    Ok(FlagRecord {
        id: row.get(0)?,
        flag: std::sync::Arc::new(json::read::<Flag>(row, 1)?),
        version: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
    })
}

fn read_configs(rows: &[Row]) -> Result<Configs, StoreError> {
    rows.iter()
        .map(|row| {
            let config = VersionedConfig {
                config: json::read::<FlagConfig>(row, 2)?,
                version: row.get(3)?,
                updated_at: row.get(4)?,
            };
            Ok(((row.get(0)?, row.get(1)?), config))
        })
        .collect()
}

fn search_text(flag: &Flag) -> String {
    super::search_text(&flag.key, &flag.name, &flag.description)
}
