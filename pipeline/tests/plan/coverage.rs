//! Which entry covers which handler route.

use super::*;

/// The chain of each route, in the order of [`routes`]; `-` where it is left out.
fn chains(text: &str) -> Vec<String> {
    let plan = plan_of(text);
    let name = |route: &Option<flagstone_pipeline::PlannedRoute>| {
        route.as_ref().map_or_else(|| "-".to_owned(), |route| route.chain.to_string())
    };
    plan.routes.iter().map(name).collect()
}

#[test]
fn the_most_specific_entry_wins() {
    let expected = ["public", "public", "admin", "admin", "member", "admin", "sdk", "stream", "-"];
    assert_eq!(chains(GOOD), expected);
    // The order of entries does not matter.
    let (before, entries) = GOOD.split_once("[[routes]]").unwrap();
    let (entries, after) = entries.split_once("[fallback]").unwrap();
    let mut entries: Vec<_> = entries.split("[[routes]]").collect();
    entries.reverse();
    assert_eq!(
        chains(&format!("{before}[[routes]]{}\n[fallback]{after}", entries.join("\n[[routes]]"))),
        expected
    );
}

#[test]
fn a_catch_all_never_opens_an_optional_route() {
    let everything = changed("path = \"/health\"", "path = \"/{*rest}\"");
    assert_eq!(chains(&everything)[8], "-");
    let named = format!("{GOOD}\n[[routes]]\npath = \"/metrics\"\nchain = \"public\"\n");
    assert_eq!(chains(&named)[8], "public");
    let below = format!("{GOOD}\n[[routes]]\npath = \"/metrics/{{*rest}}\"\nchain = \"public\"\n");
    let found = &planned(&below).report.diagnostics[0];
    assert_eq!(found.code, "covers-nothing");
    assert_eq!(
        found.help.as_deref(),
        Some("`/metrics` is optional: it takes an entry with exactly this path")
    );
}

#[test]
fn methods_narrow_but_a_path_is_stronger() {
    let text = format!(
        "{GOOD}\n[[routes]]\npath = \"/api/{{*rest}}\"\nmethods = [\"GET\", \"POST\"]\nchain = \"admin\"\noverride.limit = {{ requests = 1 }}\n"
    );
    let plan = plan_of(&text);
    let limit = |route: usize| {
        let route = plan.routes[route].as_ref().unwrap();
        plan.chain(route).find(|instance| &*instance.layer == "limit").unwrap().name.to_string()
    };
    assert_eq!(limit(2), "limit@GET,POST /api/{*rest}");
    assert_eq!(limit(4), "limit");
}

#[test]
fn a_method_that_no_handler_answers_is_said() {
    let found = &planned(&changed("methods = [\"GET\"]", "methods = [\"DELETE\"]")).report.diagnostics;
    let nothing = found.iter().find(|found| found.code == "covers-nothing").unwrap();
    assert_eq!(nothing.help.as_deref(), Some("the handlers there answer `GET` and `POST`"));
}

#[test]
fn an_override_is_an_instance_of_its_own() {
    let plan = plan_of(GOOD);
    let names = |route: usize| -> Vec<String> {
        plan.chain(plan.routes[route].as_ref().unwrap()).map(|instance| instance.name.to_string()).collect()
    };
    assert_eq!(names(6), ["client-ip", "request-id", "log", "cors@/sdk/{*rest}", "sdk-key", "timeout"]);
    assert_eq!(names(7), ["client-ip", "request-id", "log", "cors", "sdk-key"]);
    // Only what runs is an instance, and each once.
    let mut all: Vec<_> = plan.instances.iter().map(|instance| instance.name.to_string()).collect();
    all.sort_unstable();
    assert_eq!(all.len(), 11);
    all.dedup();
    assert_eq!(all.len(), 11);
}

#[test]
fn an_override_changes_single_settings_and_the_mode() {
    let text = changed(
        "[[aliases]]",
        "[[routes]]\npath = \"/api/users/{id}\"\nchain = \"admin\"\noverride.limit = { window = \"1s\", mode = \"observe\" }\n\n[[aliases]]",
    );
    let plan = plan_of(&text);
    let instance =
        plan.chain(plan.routes[3].as_ref().unwrap()).find(|found| &*found.layer == "limit").unwrap();
    assert!(instance.observe);
    assert_eq!(format!("{:?}", instance.place(Some("window"))), "pipeline.toml:83:29");
    assert_eq!(format!("{:?}", instance.place(Some("requests"))), "pipeline.toml:18:12");
}

#[test]
fn an_override_of_a_broken_layer_says_nothing_more() {
    let text = changed("origins = [\"https://app.example\"]", "origins = 5");
    assert_eq!(codes(&text), ["invalid-value"]);
    let text = changed("requests = 100\n", "burst = 5\n")
        .replace("override.cors", "override.user-limit = { window = \"2s\" }\noverride.cors")
        .replace("[\"@edge\", \"-limit\", \"sdk-key\"", "[\"@edge\", \"sdk-key\", \"user-limit\"")
        .replace("override.user-limit", "override.limit");
    assert_eq!(codes(&text), ["missing-key", "unknown-key"]);
    let text = changed("origins = [\"https://app.example\"]", "origins = \"*\"\ncredentials = true");
    assert_eq!(codes(&text), ["layer-check"]);
}

#[test]
fn a_fallback_may_override() {
    let plan = plan_of(&changed(
        "[fallback]\nchain = \"public\"\n",
        "[fallback]\nchain = \"public\"\noverride.limit = { requests = 5 }\n",
    ));
    assert!(plan.chain(&plan.fallback).any(|instance| &*instance.name == "limit@fallback"));
}
