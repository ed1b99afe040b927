//! Rows of `segments`.

use std::sync::Arc;

use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::{Row, params};
use super::{json, search_text};
use crate::flags::SegmentRecord;

const INSERT: &str = "INSERT INTO segments \
    (id, project_id, key, definition, search, version, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const UPDATE: &str =
    "UPDATE segments SET definition = $2, search = $3, version = $4, updated_at = $5 WHERE id = $1";
const BY_KEY: &str = "SELECT id, definition, version, created_at, updated_at FROM segments \
    WHERE project_id = $1 AND key = $2";
const OF_PROJECT: &str =
    "SELECT id, definition, version, created_at, updated_at FROM segments WHERE project_id = $1 ORDER BY key";
const LIST: &str = "SELECT id, definition, version, created_at, updated_at FROM segments \
    WHERE project_id = $1 AND (CAST($2 AS TEXT) IS NULL OR search LIKE $2 ESCAPE '\\') \
    ORDER BY key LIMIT $3 OFFSET $4";
const COUNT: &str = "SELECT COUNT(*) FROM segments \
    WHERE project_id = $1 AND (CAST($2 AS TEXT) IS NULL OR search LIKE $2 ESCAPE '\\')";

pub(crate) async fn insert(
    transaction: &mut Transaction,
    project: Uuid,
    record: &SegmentRecord,
) -> Result<(), StoreError> {
    let segment = &record.segment;
    let params = params![
        record.id,
        project,
        &segment.key,
        json::write(&**segment)?,
        search_text(&segment.key, &segment.name, &segment.description),
        record.version,
        record.created_at,
        record.updated_at
    ];
    transaction.execute(INSERT, params).await.map(drop)
}

pub(crate) async fn update(transaction: &mut Transaction, record: &SegmentRecord) -> Result<(), StoreError> {
    let segment = &record.segment;
    let params = params![
        record.id,
        json::write(&**segment)?,
        search_text(&segment.key, &segment.name, &segment.description),
        record.version,
        record.updated_at
    ];
    transaction.execute(UPDATE, params).await.map(drop)
}

pub(crate) async fn delete(transaction: &mut Transaction, id: Uuid) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM segments WHERE id = $1", params![id]).await.map(drop)
}

pub(crate) async fn by_key(
    executor: &mut impl Executor,
    project: Uuid,
    key: &str,
) -> Result<Option<SegmentRecord>, StoreError> {
    executor.query_optional(BY_KEY, params![project, key]).await?.as_ref().map(read).transpose()
}

pub(crate) async fn of_project(
    executor: &mut impl Executor,
    project: Uuid,
) -> Result<Vec<SegmentRecord>, StoreError> {
    executor.query(OF_PROJECT, params![project]).await?.iter().map(read).collect()
}

/// One page in the order of their keys, and how many there are.
pub(crate) async fn list(
    executor: &mut impl Executor,
    project: Uuid,
    search: Option<&str>,
    limit: u32,
    offset: u32,
) -> Result<(Vec<SegmentRecord>, u64), StoreError> {
    let like = crate::page::like(search);
    let total = executor.query_one(COUNT, params![project, like.clone()]).await?.get(0)?;
    let rows = executor.query(LIST, params![project, like, limit, offset]).await?;
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
}

fn read(row: &Row) -> Result<SegmentRecord, StoreError> {
    Ok(SegmentRecord {
        id: row.get(0)?,
        segment: Arc::new(json::read(row, 1)?),
        version: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
    })
}
