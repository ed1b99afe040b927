//! Projects, environments, flags, segments and keys through the API (R43, R57, R86).

use flagstone_services::store::testing;
use serde_json::json;

use crate::harness::Server;

const DEMO: &str = "/api/management/projects/demo";

#[test]
fn a_project_begins_with_three_environments_and_its_flags_are_off() {
    let server = Server::demo();
    let admin = server.sign_in();
    let made = admin.post("/api/management/projects").json(&json!({ "key": "web", "name": "Web" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), Some("/api/management/projects/web"));
    let environments: Vec<_> =
        made.json()["environments"].as_array().unwrap().iter().map(|one| one["key"].clone()).collect();
    assert_eq!(environments, ["development", "staging", "production"]);
    let flag = admin
        .post("/api/management/projects/web/flags")
        .json(&json!({ "key": "dark", "type": "boolean" }))
        .send();
    assert_eq!(flag.status, 201, "{flag:?}");
    for (_, config) in flag.json()["environments"].as_object().unwrap() {
        assert_eq!(config["enabled"], false);
    }
    let twice = admin.post("/api/management/projects").json(&json!({ "key": "web" })).send();
    assert_eq!(twice.problem(), (409, "CONFLICT".to_owned()));
    for bad in ["Web", "-web", "web_1", "", &"w".repeat(51)] {
        let answer = admin.post("/api/management/projects").json(&json!({ "key": bad })).send();
        assert_eq!(answer.status, 422, "{bad}");
    }
}

#[test]
fn an_update_needs_the_version_it_was_made_for() {
    let server = Server::demo();
    let admin = server.sign_in();
    let path = format!("{DEMO}/flags/theme/environments/development");
    let read = admin.get(&path).send();
    let (tag, mut config) = (read.header("etag").unwrap().to_owned(), read.json());
    config["enabled"] = json!(false);
    let put = |tag: Option<&str>| {
        let request = admin.request("PUT", &path);
        tag.into_iter().fold(request, |request, tag| request.header("if-match", tag)).json(&config).send()
    };
    assert_eq!(put(None).problem(), (428, "IF_MATCH_REQUIRED".to_owned()));
    assert_eq!(put(Some("\"999\"")).problem(), (412, "STALE_VERSION".to_owned()));
    assert_eq!(put(Some("nonsense")).status, 412);
    let changed = put(Some(&tag));
    assert_eq!(changed.status, 200, "a body read by GET is accepted back: {changed:?}");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert_eq!(put(Some(&tag)).status, 412, "a second change for the same version");
}

#[test]
fn what_is_of_another_project_is_not_found() {
    let server = Server::demo();
    let admin = server.sign_in();
    admin.post("/api/management/projects").json(&json!({ "key": "other" })).send();
    assert_eq!(
        admin.get("/api/management/projects/other/flags/theme").send().problem(),
        (404, "NOT_FOUND".to_owned())
    );
    let keys = admin.get(&format!("{DEMO}/environments/development/keys")).send().json();
    let id = keys["data"][0]["id"].as_str().unwrap().to_owned();
    for elsewhere in ["other/environments/development", "demo/environments/staging"] {
        let path = format!("/api/management/projects/{elsewhere}/keys/{id}");
        assert_eq!(admin.request("DELETE", &path).send().status, 404, "{elsewhere}");
    }
    assert!(
        !keys.to_string().contains("fs_cli_") || !keys.to_string().contains(&server.client_key()),
        "shown once"
    );
}

#[test]
fn a_third_valid_key_of_a_kind_is_refused() {
    let server = Server::demo();
    let admin = server.sign_in();
    let keys = format!("{DEMO}/environments/staging/keys");
    let make = || admin.post(&keys).json(&json!({ "kind": "server", "name": "next" })).send();
    assert_eq!(make().status, 201, "beside the demonstration's");
    assert_eq!(make().status, 409);
}

#[test]
fn segments_are_used_by_rules_and_cannot_go_while_they_are() {
    let server = Server::demo();
    let admin = server.sign_in();
    let segment = json!({ "key": "staff", "include": ["ann"], "when": { "attribute": "email", "op": "ends_with", "values": ["@example.com"] } });
    assert_eq!(admin.post(&format!("{DEMO}/segments")).json(&segment).send().status, 201);
    let config = json!({
        "enabled": true, "off_variant": "off", "fallthrough": { "variant": "off" },
        "rules": [{ "id": "staff", "when": { "segment": "staff" }, "serve": { "variant": "on" } }],
    });
    let path = format!("{DEMO}/flags/beta-search/environments/development");
    assert_eq!(admin.put(&path, &config).status, 200);
    let answer = |context: serde_json::Value| {
        let request = server.post("/api/v1/evaluate/beta-search").key(&server.client_key());
        request.json(&json!({ "context": context })).send().json()["value"].clone()
    };
    assert_eq!(answer(json!({ "user_id": "ann" })), true);
    assert_eq!(answer(json!({ "user_id": "bob", "email": "bob@example.com" })), true);
    assert_eq!(answer(json!({ "user_id": "bob" })), false);
    let refused = admin.request("DELETE", &format!("{DEMO}/segments/staff")).send();
    assert_eq!(refused.problem(), (409, "CONFLICT".to_owned()));
    let unknown = json!({ "enabled": true, "rules": [{ "when": { "segment": "nobody" }, "serve": { "variant": "on" } }] });
    let refused = admin.put(&path, &unknown);
    assert_eq!(refused.problem(), (422, "INVALID".to_owned()));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/rules/0/when/segment");
}

#[test]
fn lists_have_pages() {
    let server = Server::demo();
    let admin = server.sign_in();
    let page = admin.get(&format!("{DEMO}/flags?limit=2&offset=1")).send().json();
    assert_eq!(
        (page["total"].as_u64(), page["limit"].as_u64(), page["offset"].as_u64()),
        (Some(5), Some(2), Some(1))
    );
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    assert_eq!(admin.get(&format!("{DEMO}/flags?tag=search")).send().json()["total"], 1);
    assert_eq!(admin.get(&format!("{DEMO}/flags?limit=x")).send().problem(), (400, "BAD_QUERY".to_owned()));
}

#[test]
fn health_metrics_and_the_pipeline_are_shown() {
    let server = Server::demo();
    for (path, status) in
        [("/health", "ok"), ("/liveness", "ok"), ("/health/ready", "ready"), ("/readiness", "ready")]
    {
        let answer = server.get(path).send();
        assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!(status)), "{path}");
    }
    // Where the database is shared there is somebody to hear of.
    let checks = server.get("/health/ready").send().json()["checks"].take();
    let is_shared = std::env::var_os(testing::SERVER).is_some();
    assert_eq!(checks.get("change_listener").is_some(), is_shared, "{checks}");
    assert_eq!(server.get("/metrics").send().status, 404, "not covered as shipped");
    let admin = server.sign_in();
    assert_eq!(admin.get("/api/management/pipeline").send().json()["generation"], 1);
    server.post("/api/v1/evaluate").key(&server.client_key()).send();
    let metrics = String::from_utf8(server.admin("GET", "/metrics").send().body).unwrap();
    for name in [
        "http_request_duration_seconds_count",
        "auth_attempts_total",
        "flag_evaluations_total",
        "db_query_duration_seconds",
        "pipeline_generation 1",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    let line = server.log_line(|line| line["path"] == "/api/v1/evaluate");
    assert_eq!((&line["status"], &line["method"]), (&json!(200), &json!("POST")));
}

#[test]
fn a_condition_of_64_levels_is_stored_and_one_of_65_is_refused() {
    let server = Server::demo();
    let admin = server.sign_in();
    let path = format!("{DEMO}/flags/beta-search/environments/development");
    let put = |levels: usize| {
        let leaf = json!({ "attribute": "plan", "op": "eq", "values": ["pro"] });
        let when = (1..levels).fold(leaf, |inner, _| json!({ "all": [inner] }));
        let rules = json!([{ "when": when, "serve": { "variant": "on" } }]);
        admin.put(&path, &json!({ "enabled": true, "rules": rules, "fallthrough": { "variant": "off" } }))
    };
    let stored = put(64);
    assert_eq!(stored.status, 200, "{stored:?}");
    assert_eq!(admin.get(&path).send().status, 200, "and read again");
    assert_eq!(put(65).problem(), (422, "INVALID".to_owned()));
    let request = server.post("/api/v1/evaluate/beta-search").key(&server.client_key());
    assert_eq!(request.json(&json!({ "context": { "plan": "pro" } })).send().json()["value"], true);
}
