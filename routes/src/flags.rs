//! `/api/management/projects/{project}/flags`

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{
    engine::model::{Flag, FlagConfig},
    flags::{FlagDetails, FlagFilter, VersionedConfig},
    page::Page,
};
use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    DELETE, GET, POST, PUT, Routes,
    auth::actor,
    context::Context,
    openapi::{Members, Operation, Parameter, of},
    problem::from_service,
    reply,
};

const ALL: &str = "/api/management/projects/{project}/flags";
const ONE: &str = "/api/management/projects/{project}/flags/{flag}";
const CONFIG: &str = "/api/management/projects/{project}/flags/{flag}/environments/{environment}";
const TAG: &str = "Flags";

pub(crate) fn add(routes: &mut Routes) {
    use Access::Member;
    let filters = [
        Parameter::search("What key, name or description has in it, in any case.", "search"),
        Parameter::query("tag", "A tag they have.", json!({ "type": "string" }), json!("checkout")),
        Parameter::query(
            "archived",
            "Only archived ones, or only others; both where it is left out.",
            json!({ "type": "boolean" }),
            json!(false),
        ),
    ];
    routes.add(
        RouteSpec::new(GET, ALL, "list_flags", Member),
        Operation::new(TAG, "A project's flags, by key")
            .with(filters)
            .with(Parameter::page())
            .gives("A part of the list.", of::<Page<FlagDetails>>),
        list,
    );
    routes.add(
        RouteSpec::new(POST, ALL, "create_flag", Member),
        Operation::new(TAG, "Makes a flag, off in every environment")
            .described("A boolean flag may leave `variants` out: they are `on` and `off`.")
            .takes(
                wanted,
                json!({ "key": "button-text", "type": "string", "tags": ["checkout"], "variants": [
                    { "key": "short", "value": "Buy" },
                    { "key": "long", "value": "Buy it now" },
                ] }),
            )
            .creates("The flag.", of::<FlagDetails>)
            .with_header("ETag"),
        create,
    );
    routes.add(
        RouteSpec::new(GET, ONE, "get_flag", Member),
        Operation::new(TAG, "One flag with its configuration in every environment")
            .gives_version("The flag; the `ETag` is that of its own fields.", of::<FlagDetails>),
        get,
    );
    routes.add(
        RouteSpec::new(PUT, ONE, "update_flag", Member),
        Operation::new(TAG, "Changes a flag's own fields")
            .described("The whole of them is put; `archived` is one. Key and type stay.")
            .takes(
                changed,
                json!({ "key": "beta-search", "name": "Beta search", "type": "boolean", "tags": ["search"] }),
            )
            .replaces("The flag.", of::<FlagDetails>)
            .meets(&[409]),
        update,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "delete_flag", Member),
        Operation::new(TAG, "Deletes a flag and its configurations")
            .described("Not while another flag or a segment leans on it.")
            .deletes("It is gone.")
            .meets(&[409]),
        delete,
    );
    routes.add(
        RouteSpec::new(GET, CONFIG, "get_flag_config", Member),
        Operation::new(TAG, "A flag's configuration in one environment").gives_version(
            "The configuration; where none is stored, the implicit one of version 0.",
            of::<VersionedConfig>,
        ),
        config,
    );
    routes.add(
        RouteSpec::new(PUT, CONFIG, "update_flag_config", Member),
        Operation::new(TAG, "Puts a flag's configuration in one environment")
            .described("What is left out is as it is in a new flag.")
            .takes(
                configured,
                json!({
                    "enabled": true,
                    "off_variant": "off",
                    "rules": [{
                        "id": "paying",
                        "when": { "attribute": "plan", "op": "in", "values": ["pro", "team"] },
                        "serve": { "variant": "on" },
                    }],
                    "fallthrough": { "split": { "weights": [
                        { "variant": "on", "weight": 10_000 },
                        { "variant": "off", "weight": 90_000 },
                    ] } },
                }),
            )
            .replaces("The configuration.", of::<VersionedConfig>),
        update_config,
    );
}

fn wanted(generator: &mut SchemaGenerator) -> Schema {
    flag(generator).ignored(FlagDetails::READ_ONLY_IN_NEW).schema()
}

fn changed(generator: &mut SchemaGenerator) -> Schema {
    flag(generator).ignored(FlagDetails::READ_ONLY).schema()
}

fn flag(generator: &mut SchemaGenerator) -> Members {
    Members::of::<Flag>(generator).absent(&["name", "variants"])
}

fn configured(generator: &mut SchemaGenerator) -> Schema {
    Members::of::<FlagConfig>(generator)
        .absent(&["enabled", "off_variant", "fallthrough"])
        .ignored(VersionedConfig::READ_ONLY)
        .schema()
}

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
