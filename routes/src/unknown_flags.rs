//! `/api/management/projects/{project}/unknown-flags`: keys that applications ask for in vain.

use flagstone_layers::kernel::{Problem, Response};

use crate::{auth::actor, context::Context, problem::from_service, reply};

/// `GET …/unknown-flags`
pub(crate) async fn list(context: Context) -> Result<Response, Problem> {
    let project = context.parameter("project")?;
    let page = context.state.services.flags.unknown(&project, context.page()?).await;
    Ok(reply::json(&page.map_err(from_service)?))
}

/// `DELETE …/unknown-flags/{flag}`: off the list, in all environments and for good.
pub(crate) async fn dismiss(context: Context) -> Result<Response, Problem> {
    let actor = actor(&context)?;
    let (project, flag) = (context.parameter("project")?, context.parameter("flag")?);
    context.state.services.flags.dismiss_unknown(&actor, &project, &flag).await.map_err(from_service)?;
    Ok(reply::no_content())
}
