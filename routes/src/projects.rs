//! `/api/management/projects` and what belongs to a project but flags and segments.

use flagstone_layers::kernel::{Problem, Response};

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET /api/management/projects`
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let search = context.query("search");
    let page = context.state.services.projects.list(search.as_deref(), context.page()?).await;
    Ok(reply::json(&page.map_err(from_service)?))
}

/// `POST /api/management/projects`
pub(crate) async fn create(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let made = context.state.services.projects.create(&actor, &document).await.map_err(from_service)?;
    let location = format!("/api/management/projects/{}", made.project.key);
    Ok(reply::with_version(reply::created(&location, &made), made.project.version))
}

/// `GET /api/management/projects/{project}`
pub(crate) async fn get(context: Context) -> Result<Response, Problem> {
    let project = context.parameter("project")?;
    let found = context.state.services.projects.get(&project).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&found), found.project.version))
}

/// `PUT /api/management/projects/{project}`
pub(crate) async fn update(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let (actor, expected) = (actor(&context)?, context.expected()?);
    let project = context.parameter("project")?;
    let projects = &context.state.services.projects;
    let changed = projects.update(&actor, &project, expected, &document).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&changed), changed.project.version))
}

/// `DELETE /api/management/projects/{project}`
pub(crate) async fn delete(context: Context) -> Result<Response, Problem> {
    let (actor, expected) = (actor(&context)?, context.expected_or_any()?);
    let project = context.parameter("project")?;
    context.state.services.projects.delete(&actor, &project, expected).await.map_err(from_service)?;
    Ok(reply::no_content())
}
