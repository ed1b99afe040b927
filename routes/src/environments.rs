//! `/api/management/projects/{project}/environments`

use flagstone_layers::kernel::{Problem, Response};

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET …/environments`, in their order.
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let project = context.parameter("project")?;
    let found = context.state.services.projects.environments(&project).await.map_err(from_service)?;
    Ok(reply::whole_list(&found))
}

/// `POST …/environments`
pub(crate) async fn create(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let project = context.parameter("project")?;
    let projects = &context.state.services.projects;
    let made = projects.create_environment(&actor, &project, &document).await.map_err(from_service)?;
    let location = format!("/api/management/projects/{project}/environments/{}", made.key);
    Ok(reply::with_version(reply::created(&location, &made), made.version))
}

/// `PUT …/environments`: their order.
pub(crate) async fn reorder(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let project = context.parameter("project")?;
    let projects = &context.state.services.projects;
    let ordered = projects.reorder_environments(&actor, &project, &document).await.map_err(from_service)?;
    Ok(reply::whole_list(&ordered))
}

/// `GET …/environments/{environment}`
pub(crate) async fn get(context: Context) -> Result<Response, Problem> {
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let projects = &context.state.services.projects;
    let found = projects.environment(&project, &environment).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&found), found.version))
}

/// `PUT …/environments/{environment}`
pub(crate) async fn update(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let (actor, expected) = (actor(&context)?, context.expected()?);
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let projects = &context.state.services.projects;
    let changed = projects.update_environment(&actor, &project, &environment, expected, &document).await;
    let changed = changed.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&changed), changed.version))
}

/// `DELETE …/environments/{environment}`
pub(crate) async fn delete(context: Context) -> Result<Response, Problem> {
    let (actor, expected) = (actor(&context)?, context.expected_or_any()?);
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let projects = &context.state.services.projects;
    projects.delete_environment(&actor, &project, &environment, expected).await.map_err(from_service)?;
    Ok(reply::no_content())
}
