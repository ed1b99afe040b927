//! What runs for a request.

use flagstone_pipeline::explain;
use insta::assert_snapshot;

use super::*;

#[test]
fn a_route() {
    let plan = plan_of(GOOD);
    let explanation = explain(&plan, &Method::POST, "/sdk/evaluate?trace=true");
    assert_snapshot!(explanation.fuse(|name| name != "timeout"));
}

#[test]
fn an_alias_an_unknown_path_and_a_wrong_method() {
    let plan = plan_of(GOOD);
    let alias = explain(&plan, &Method::GET, "/admin/users/7");
    assert_eq!(alias.alias_of.as_deref(), Some("/api/users/7"));
    assert_eq!((alias.name, alias.chain.as_str()), (Some("users.get"), "admin"));
    let head = explain(&plan, &Method::HEAD, "/health");
    assert_eq!(head.name, Some("health"));
    let unknown = explain(&plan, &Method::GET, "/unknown");
    assert_eq!((unknown.unanswered, unknown.entry.as_str()), (Some("unknown path"), "pipeline.toml:77"));
    assert_eq!(explain(&plan, &Method::PUT, "/health").unanswered, Some("wrong method"));
    assert_eq!(explain(&plan, &Method::GET, "/metrics").unanswered, Some("left out by the pipeline"));
    assert!(unknown.to_string().starts_with("no handler: unknown path; the fallback answers\n"));
}

#[test]
fn observe_mode_gives_nothing_and_is_said() {
    let plan = plan_of(&changed("requests = 100\n", "requests = 100\nmode = \"observe\"\n"));
    let explanation = explain(&plan, &Method::GET, "/health");
    assert!(explanation.to_string().contains("observes only"));
}
