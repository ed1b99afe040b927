//! `/api/management/projects/{project}/unknown-flags`: keys that applications ask for in vain.

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};

use flagstone_services::{flags::UnknownFlag, page::Page};

use crate::{
    DELETE, GET, Routes,
    auth::actor,
    context::Context,
    openapi::{Operation, Parameter, of},
    problem::from_service,
    reply,
};

pub(crate) fn add(routes: &mut Routes) {
    use Access::Member;
    const ALL: &str = "/api/management/projects/{project}/unknown-flags";
    const ONE: &str = "/api/management/projects/{project}/unknown-flags/{flag}";
    const TAG: &str = "Flags";
    routes.add(
        RouteSpec::new(GET, ALL, "list_unknown_flags", Member),
        Operation::new(TAG, "Keys that applications ask for in vain, the last seen first")
            .with(Parameter::page())
            .gives("A part of the list.", of::<Page<UnknownFlag>>),
        list,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "dismiss_unknown_flag", Member),
        Operation::new(TAG, "Takes a key off the list of unknown ones, for good")
            .gives_nothing("It is off the list."),
        dismiss,
    );
}

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
