//! `/api/management/projects/{project}/environments/{environment}/keys`: SDK keys.

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use flagstone_services::{
    engine::limits,
    error::ServiceError,
    keys::{KeyKind, NewKey, SdkKey},
    page::Page,
};
use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    DELETE, GET, POST, Routes,
    auth::actor,
    context::Context,
    openapi::{Members, Operation, of},
    problem::from_service,
    reply,
};

const ALL: &str = "/api/management/projects/{project}/environments/{environment}/keys";
const ONE: &str = "/api/management/projects/{project}/environments/{environment}/keys/{id}";
const TAG: &str = "SDK keys";

pub(crate) fn add(routes: &mut Routes) {
    use Access::Admin;
    routes.add(
        RouteSpec::new(GET, ALL, "list_keys", Admin),
        Operation::new(TAG, "An environment's SDK keys, never the keys themselves")
            .gives("All of them, revoked ones too.", of::<Page<SdkKey>>),
        list,
    );
    routes.add(
        RouteSpec::new(POST, ALL, "create_key", Admin),
        Operation::new(TAG, "Makes an SDK key")
            .described("The answer is the one time it is shown. Two of a kind may be valid at a time.")
            .takes(wanted, json!({ "kind": "server", "name": "backend", "expires_at": null }))
            .creates("The key.", of::<NewKey>),
        create,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "revoke_key", Admin),
        Operation::new(TAG, "Revokes an SDK key and ends its streams")
            .gives_nothing("It opens nothing any more.")
            .meets(&[409]),
        revoke,
    );
}

fn wanted(generator: &mut SchemaGenerator) -> Schema {
    let kind = generator.subschema_for::<KeyKind>();
    Members::new()
        .required("kind", kind.to_value())
        .optional(
            "name",
            json!({ "type": ["string", "null"], "minLength": 1, "maxLength": limits::NAME_BYTES }),
        )
        .optional("expires_at", json!({ "type": ["string", "null"], "format": "date-time" }))
        .schema()
}

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
