//! `/api/management/projects/{project}/segments`

use flagstone_layers::kernel::{Problem, Response};

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET …/segments`, filtered by `search`.
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let project = context.parameter("project")?;
    let search = context.query("search");
    let page = context.state.services.segments.list(&project, search.as_deref(), context.page()?).await;
    Ok(reply::json(&page.map_err(from_service)?))
}

/// `POST …/segments`
pub(crate) async fn create(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let project = context.parameter("project")?;
    let segments = &context.state.services.segments;
    let made = segments.create(&actor, &project, &document).await.map_err(from_service)?;
    let location = format!("/api/management/projects/{project}/segments/{}", made.segment.key);
    Ok(reply::with_version(reply::created(&location, &made), made.version))
}

/// `GET …/segments/{segment}`
pub(crate) async fn get(context: Context) -> Result<Response, Problem> {
    let (project, segment) = (context.parameter("project")?, context.parameter("segment")?);
    let found = context.state.services.segments.get(&project, &segment).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&found), found.version))
}

/// `PUT …/segments/{segment}`
pub(crate) async fn update(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let (actor, expected) = (actor(&context)?, context.expected()?);
    let (project, segment) = (context.parameter("project")?, context.parameter("segment")?);
    let segments = &context.state.services.segments;
    let changed =
        segments.update(&actor, &project, &segment, expected, &document).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&changed), changed.version))
}

/// `DELETE …/segments/{segment}`
pub(crate) async fn delete(context: Context) -> Result<Response, Problem> {
    let (actor, expected) = (actor(&context)?, context.expected_or_any()?);
    let (project, segment) = (context.parameter("project")?, context.parameter("segment")?);
    let segments = &context.state.services.segments;
    segments.delete(&actor, &project, &segment, expected).await.map_err(from_service)?;
    Ok(reply::no_content())
}
