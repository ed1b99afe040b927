//! `/api/management/projects` and what belongs to a project but flags and segments.

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};

use flagstone_services::{
    engine::{PROJECT_KEY_PATTERN, limits},
    page::Page,
    projects::ProjectDetails,
};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::{
    DELETE, GET, POST, PUT, Routes,
    auth::actor,
    context::Context,
    openapi::{Members, Operation, Parameter, of},
    problem::from_service,
    reply,
};

const ALL: &str = "/api/management/projects";
const ONE: &str = "/api/management/projects/{project}";
const TAG: &str = "Projects";

pub(crate) fn add(routes: &mut Routes) {
    use Access::{Admin, Member};
    routes.add(
        RouteSpec::new(GET, ALL, "list_projects", Member),
        Operation::new(TAG, "The projects, by key")
            .with([Parameter::search("What key or name has in it, in any case.", "demo")])
            .with(Parameter::page())
            .gives("A part of the list.", of::<Page<ProjectDetails>>),
        list,
    );
    routes.add(
        RouteSpec::new(POST, ALL, "create_project", Admin),
        Operation::new(TAG, "Makes a project with its three environments")
            .takes(wanted, json!({ "key": "shop", "name": "Shop", "description": "What customers see." }))
            .creates("The project.", of::<ProjectDetails>)
            .with_header("ETag"),
        create,
    );
    routes.add(
        RouteSpec::new(GET, ONE, "get_project", Member),
        Operation::new(TAG, "One project").gives_version("The project.", of::<ProjectDetails>),
        get,
    );
    routes.add(
        RouteSpec::new(PUT, ONE, "update_project", Admin),
        Operation::new(TAG, "Changes a project's name and description")
            .takes(changed, json!({ "key": "demo", "name": "Demonstration", "description": "" }))
            .replaces("The project.", of::<ProjectDetails>),
        update,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "delete_project", Admin),
        Operation::new(TAG, "Deletes a project and all that is in it")
            .described("Its SDK keys open nothing any more and its streams end.")
            .deletes("It is gone."),
        delete,
    );
}

fn wanted(_: &mut SchemaGenerator) -> Schema {
    named(Members::new().required("key", key())).schema()
}

fn changed(_: &mut SchemaGenerator) -> Schema {
    named(Members::new().optional("key", key())).ignored(ProjectDetails::READ_ONLY).schema()
}

fn named(members: Members) -> Members {
    let description = json!({ "type": ["string", "null"], "maxLength": limits::DESCRIPTION_BYTES });
    members.optional("name", name()).optional("description", description)
}

/// The key of a project or an environment.
pub(crate) fn key() -> Value {
    json!({ "type": "string", "pattern": PROJECT_KEY_PATTERN })
}

/// The name of a project or an environment.
pub(crate) fn name() -> Value {
    json!({ "type": ["string", "null"], "minLength": 1, "maxLength": limits::NAME_BYTES })
}

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
