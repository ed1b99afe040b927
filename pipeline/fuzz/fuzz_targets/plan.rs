//! Reads any bytes as a pipeline file and renders what is found.
#![no_main]

use std::{path::Path, sync::Arc};

use flagstone_layers::kernel::{Access, RouteSpec};
use flagstone_pipeline::{Format, Variables, explain, plan_bytes};
use http::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let routes = [
        RouteSpec::new(Method::GET, "/health", "health", Access::Public),
        RouteSpec::new(Method::GET, "/api/users/{id}", "users.get", Access::Admin),
        RouteSpec::new(Method::GET, "/sdk/stream", "stream", Access::AnyKey).streaming(),
        RouteSpec::new(Method::GET, "/metrics", "metrics", Access::Public).optional(),
    ];
    let variables: Variables = Arc::new(|name| (name == "SET").then(|| "1,2".to_owned()));
    let registry = flagstone_layers::registry();
    // A folder that is not there: nothing is included, and no file gives a value.
    let path = Path::new("/nonexistent/pipeline.toml");
    let planned = plan_bytes(path, bytes, &registry, &routes, &variables);
    assert_eq!(planned.plan.is_none(), planned.report.has_errors());
    for format in [Format::Human, Format::Json, Format::Short] {
        let _ = planned.report.render(format, false);
    }
    if let Some(plan) = planned.plan {
        for spec in &plan.specs {
            let _ = explain(&plan, &spec.method, spec.path).to_string();
        }
    }
});
