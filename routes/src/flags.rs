//! `/api/management/projects/{project}/flags`

use flagstone_layers::kernel::{Problem, Response};
use flagstone_services::flags::FlagFilter;

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET …/flags`, filtered by `search`, `tag` and `archived`.
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let project = context.parameter("project")?;
    let filter = FlagFilter {
        search: context.query("search").map(Into::into),
        tag: context.query("tag").map(Into::into),
        archived: context.query("archived").map(|_| context.query_flag("archived")).transpose()?,
    };
    let page = context.state.services.flags.list(&project, &filter, context.page()?).await;
    Ok(reply::json(&page.map_err(from_service)?))
}

/// `POST …/flags`: off in every environment.
pub(crate) async fn create(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let actor = actor(&context)?;
    let project = context.parameter("project")?;
    let made =
        context.state.services.flags.create(&actor, &project, &document).await.map_err(from_service)?;
    let location = format!("/api/management/projects/{project}/flags/{}", made.flag.key);
    Ok(reply::with_version(reply::created(&location, &made), made.version))
}

/// `GET …/flags/{flag}`
pub(crate) async fn get(context: Context) -> Result<Response, Problem> {
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    let found = context.state.services.flags.get(&project, &flag).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&found), found.version))
}

/// `PUT …/flags/{flag}`: its own fields; archiving is one of them.
pub(crate) async fn update(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let (actor, expected) = (actor(&context)?, context.expected()?);
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    let flags = &context.state.services.flags;
    let changed = flags.update(&actor, &project, &flag, expected, &document).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&changed), changed.version))
}

/// `DELETE …/flags/{flag}`
pub(crate) async fn delete(context: Context) -> Result<Response, Problem> {
    let (actor, expected) = (actor(&context)?, context.expected_or_any()?);
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    context.state.services.flags.delete(&actor, &project, &flag, expected).await.map_err(from_service)?;
    Ok(reply::no_content())
}

/// `GET …/flags/{flag}/environments/{environment}`: its configuration there.
pub(crate) async fn config(context: Context) -> Result<Response, Problem> {
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    let environment = context.parameter("environment")?;
    let flags = &context.state.services.flags;
    let found = flags.config(&project, &flag, &environment).await.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&found), found.version))
}

/// `PUT …/flags/{flag}/environments/{environment}`
pub(crate) async fn update_config(mut context: Context) -> Result<Response, Problem> {
    let document = context.json().await?;
    let (actor, expected) = (actor(&context)?, context.expected()?);
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    let environment = context.parameter("environment")?;
    let flags = &context.state.services.flags;
    let changed = flags.put_config(&actor, &project, &flag, &environment, expected, document).await;
    let changed = changed.map_err(from_service)?;
    Ok(reply::with_version(reply::json(&changed), changed.version))
}
