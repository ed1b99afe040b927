//! `/api/management/projects/{project}/environments`

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};

use flagstone_services::{page::Page, projects::Environment};
use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    DELETE, GET, POST, PUT, Routes,
    auth::actor,
    context::Context,
    openapi::{Members, Operation, of},
    problem::from_service,
    projects::{key, name},
    reply,
};

const ALL: &str = "/api/management/projects/{project}/environments";
const ONE: &str = "/api/management/projects/{project}/environments/{environment}";
const TAG: &str = "Environments";

pub(crate) fn add(routes: &mut Routes) {
    use Access::{Admin, Member};
    routes.add(
        RouteSpec::new(GET, ALL, "list_environments", Member),
        Operation::new(TAG, "A project's environments, in their order")
            .gives("All of them.", of::<Page<Environment>>),
        list,
    );
    routes.add(
        RouteSpec::new(POST, ALL, "create_environment", Admin),
        Operation::new(TAG, "Makes an environment, after the others")
            .described("Every flag is off in it.")
            .takes(wanted, json!({ "key": "preview", "name": "Preview" }))
            .creates("The environment.", of::<Environment>)
            .with_header("ETag"),
        create,
    );
    routes.add(
        RouteSpec::new(PUT, ALL, "reorder_environments", Admin),
        Operation::new(TAG, "Puts the environments into another order")
            .takes(order, json!({ "environments": ["development", "staging", "production"] }))
            .gives("All of them, in the new order.", of::<Page<Environment>>),
        reorder,
    );
    routes.add(
        RouteSpec::new(GET, ONE, "get_environment", Member),
        Operation::new(TAG, "One environment").gives_version("The environment.", of::<Environment>),
        get,
    );
    routes.add(
        RouteSpec::new(PUT, ONE, "update_environment", Admin),
        Operation::new(TAG, "Changes an environment's name")
            .takes(changed, json!({ "key": "development", "name": "Development" }))
            .replaces("The environment.", of::<Environment>),
        update,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "delete_environment", Admin),
        Operation::new(TAG, "Deletes an environment")
            .described("Its configurations and SDK keys go with it and its streams end. A project keeps one.")
            .deletes("It is gone.")
            .meets(&[409]),
        delete,
    );
}

fn wanted(_: &mut SchemaGenerator) -> Schema {
    Members::new().required("key", key()).optional("name", name()).schema()
}

fn changed(_: &mut SchemaGenerator) -> Schema {
    let members = Members::new().optional("key", key()).optional("name", name());
    members.ignored(Environment::READ_ONLY).schema()
}

/// All keys, each once.
fn order(_: &mut SchemaGenerator) -> Schema {
    let keys = json!({ "type": "array", "items": { "type": "string" } });
    Members::new().required("environments", keys).schema()
}

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
