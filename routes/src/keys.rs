//! `/api/management/projects/{project}/environments/{environment}/keys`: SDK keys.

use flagstone_layers::kernel::{Problem, Response};
use flagstone_services::error::ServiceError;

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET …/keys`: never the keys themselves.
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let found = context.state.services.keys.list(&project, &environment).await.map_err(from_service)?;
    Ok(reply::whole_list(&found))
}

/// `POST …/keys`: the one time the key itself is shown.
pub(crate) async fn create(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let keys = &context.state.services.keys;
    let made = keys.create(&actor, &project, &environment, &document).await.map_err(from_service)?;
    let location =
        format!("/api/management/projects/{project}/environments/{environment}/keys/{}", made.key.id);
    Ok(reply::secret(context.exchange(), reply::created(&location, &made)))
}

/// `DELETE …/keys/{id}`: revokes it and ends its streams.
pub(crate) async fn revoke(context: Context) -> Result<Response, Problem> {
    let actor = actor(&context)?;
    let (project, environment) = (context.parameter("project")?, context.parameter("environment")?);
    let id = context.parameter("id")?.parse().map_err(|_| from_service(ServiceError::NotFound("SDK key")))?;
    let keys = &context.state.services.keys;
    keys.revoke(&actor, &project, &environment, id).await.map_err(from_service)?;
    Ok(reply::no_content())
}
