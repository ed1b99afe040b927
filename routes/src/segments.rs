//! `/api/management/projects/{project}/segments`

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};

use flagstone_services::{engine::model::Segment, flags::SegmentRecord, page::Page};
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

const ALL: &str = "/api/management/projects/{project}/segments";
const ONE: &str = "/api/management/projects/{project}/segments/{segment}";
const TAG: &str = "Segments";

pub(crate) fn add(routes: &mut Routes) {
    use Access::Member;
    routes.add(
        RouteSpec::new(GET, ALL, "list_segments", Member),
        Operation::new(TAG, "A project's segments, by key")
            .with([Parameter::search("What key, name or description has in it, in any case.", "beta")])
            .with(Parameter::page())
            .gives("A part of the list.", of::<Page<SegmentRecord>>),
        list,
    );
    routes.add(
        RouteSpec::new(POST, ALL, "create_segment", Member),
        Operation::new(TAG, "Makes a segment")
            .takes(
                document,
                json!({
                    "key": "beta-testers",
                    "include": ["user-1"],
                    "when": { "attribute": "email", "op": "ends_with", "values": ["@example.com"] },
                }),
            )
            .creates("The segment.", of::<SegmentRecord>)
            .with_header("ETag"),
        create,
    );
    routes.add(
        RouteSpec::new(GET, ONE, "get_segment", Member),
        Operation::new(TAG, "One segment").gives_version("The segment.", of::<SegmentRecord>),
        get,
    );
    routes.add(
        RouteSpec::new(PUT, ONE, "update_segment", Member),
        Operation::new(TAG, "Changes a segment")
            .described("The whole of it is put. The key stays.")
            .takes(document, json!({ "key": "beta-testers", "include": ["user-1", "user-2"] }))
            .replaces("The segment.", of::<SegmentRecord>),
        update,
    );
    routes.add(
        RouteSpec::new(DELETE, ONE, "delete_segment", Member),
        Operation::new(TAG, "Deletes a segment")
            .described("Not while a flag or another segment uses it.")
            .deletes("It is gone.")
            .meets(&[409]),
        delete,
    );
}

fn document(generator: &mut SchemaGenerator) -> Schema {
    Members::of::<Segment>(generator).absent(&["name"]).ignored(SegmentRecord::READ_ONLY).schema()
}

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
