//! Rows of `projects`.

use super::db::{Executor, StoreError, Transaction};
use super::value::{Row, params};
use crate::projects::Project;

const INSERT: &str = "INSERT INTO projects (id, key, name, description, version, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const BY_KEY: &str =
    "SELECT id, key, name, description, version, created_at, updated_at FROM projects WHERE key = $1";
const LIST: &str = "SELECT id, key, name, description, version, created_at, updated_at FROM projects \
    WHERE CAST($1 AS TEXT) IS NULL OR LOWER(key || ' ' || name) LIKE $1 ESCAPE '\\' \
    ORDER BY key LIMIT $2 OFFSET $3";
const COUNT: &str = "SELECT COUNT(*) FROM projects \
    WHERE CAST($1 AS TEXT) IS NULL OR LOWER(key || ' ' || name) LIKE $1 ESCAPE '\\'";
const UPDATE: &str =
    "UPDATE projects SET name = $2, description = $3, version = $4, updated_at = $5 WHERE id = $1";

pub(crate) async fn insert(transaction: &mut Transaction, project: &Project) -> Result<(), StoreError> {
    let params = params![
        project.id,
        &project.key,
        &project.name,
        &project.description,
        project.version,
        project.created_at,
        project.updated_at
    ];
    transaction.execute(INSERT, params).await.map(drop)
}

pub(crate) async fn by_key(executor: &mut impl Executor, key: &str) -> Result<Option<Project>, StoreError> {
    executor.query_optional(BY_KEY, params![key]).await?.as_ref().map(read).transpose()
}

pub(crate) async fn list(
    executor: &mut impl Executor,
    like: Option<String>,
    limit: u32,
    offset: u32,
) -> Result<(Vec<Project>, u64), StoreError> {
    let total = executor.query_one(COUNT, params![like.clone()]).await?.get(0)?;
    let rows = executor.query(LIST, params![like, limit, offset]).await?;
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
}

pub(crate) async fn update(transaction: &mut Transaction, project: &Project) -> Result<(), StoreError> {
    let params =
        params![project.id, &project.name, &project.description, project.version, project.updated_at];
    transaction.execute(UPDATE, params).await.map(drop)
}

pub(crate) async fn delete(transaction: &mut Transaction, project: &Project) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM projects WHERE id = $1", params![project.id]).await.map(drop)
}

fn read(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: row.get(0)?,
        key: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        version: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}
