//! Rows of `environments`.

use uuid::Uuid;

use super::db::{Executor, StoreError, Transaction};
use super::value::{Row, params};
use crate::projects::Environment;

const INSERT: &str = "INSERT INTO environments \
    (id, project_id, key, name, position, revision, version, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const OF_PROJECT: &str = "SELECT e.id, e.project_id, e.key, e.name, e.position, e.revision, e.version, \
    e.created_at, e.updated_at, COALESCE(c.created_at, e.created_at) FROM environments e \
    LEFT JOIN changes c ON c.environment_id = e.id AND c.revision = e.revision \
    WHERE e.project_id = $1 ORDER BY e.position, e.key";
const WITH_PROJECTS: &str = "SELECT e.id, e.project_id, e.key, e.name, e.position, e.revision, e.version, \
    e.created_at, e.updated_at, COALESCE(c.created_at, e.created_at), p.key FROM environments e \
    JOIN projects p ON p.id = e.project_id \
    LEFT JOIN changes c ON c.environment_id = e.id AND c.revision = e.revision ORDER BY p.key";
const UPDATE: &str =
    "UPDATE environments SET name = $2, position = $3, version = $4, updated_at = $5 WHERE id = $1";
const NEXT_REVISION: &str =
    "UPDATE environments SET revision = revision + 1 WHERE id = $1 RETURNING revision";

pub(crate) async fn insert(
    transaction: &mut Transaction,
    environment: &Environment,
) -> Result<(), StoreError> {
    let params = params![
        environment.id,
        environment.project_id,
        &environment.key,
        &environment.name,
        environment.position,
        environment.revision,
        environment.version,
        environment.created_at,
        environment.updated_at
    ];
    transaction.execute(INSERT, params).await.map(drop)
}

/// All of a project, in their order.
pub(crate) async fn of_project(
    executor: &mut impl Executor,
    project: Uuid,
) -> Result<Vec<Environment>, StoreError> {
    executor.query(OF_PROJECT, params![project]).await?.iter().map(read).collect()
}

/// All there are, each with its project's key.
pub(crate) async fn with_projects(
    executor: &mut impl Executor,
) -> Result<Vec<(String, Environment)>, StoreError> {
    let rows = executor.query(WITH_PROJECTS, params![]).await?;
    rows.iter().map(|row| Ok((row.get(10)?, read(row)?))).collect()
}

pub(crate) async fn update(
    transaction: &mut Transaction,
    environment: &Environment,
) -> Result<(), StoreError> {
    let params = params![
        environment.id,
        &environment.name,
        environment.position,
        environment.version,
        environment.updated_at
    ];
    transaction.execute(UPDATE, params).await.map(drop)
}

pub(crate) async fn delete(transaction: &mut Transaction, id: Uuid) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM environments WHERE id = $1", params![id]).await.map(drop)
}

/// Counts the revision up and answers the new one.
pub(crate) async fn next_revision(transaction: &mut Transaction, id: Uuid) -> Result<u64, StoreError> {
    transaction.query_one(NEXT_REVISION, params![id]).await?.get(0)
}

fn read(row: &Row) -> Result<Environment, StoreError> {
    Ok(Environment {
        id: row.get(0)?,
        project_id: row.get(1)?,
        key: row.get(2)?,
        name: row.get(3)?,
        position: row.get(4)?,
        revision: row.get(5)?,
        version: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
        changed_at: row.get(9)?,
    })
}
