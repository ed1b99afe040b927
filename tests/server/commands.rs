//! The command line (DESIGN §5).

use std::fs;

use serde_json::Value;

use crate::harness::{Server, Setup};

#[test]
fn the_shipped_configuration_is_good() {
    let output = Setup::shipped().run(&["check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no warnings either");
}

#[test]
fn check_says_all_that_is_wrong_at_once_and_exits_3() {
    let setup = Setup::shipped().pipeline(|text| {
        text.replace("kind = \"timeout\"", "kind = \"timeotu\"")
            .replace("requests = 5000", "request = 5000")
            .replace("chain = \"events\"", "chain = \"event\"")
    });
    let output = setup.run(&["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let found: Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = found.to_string();
    for hint in ["timeout", "requests", "events"] {
        assert!(text.contains(hint), "{hint}: {text}");
    }
    assert!(found.as_array().unwrap().len() >= 3, "{text}");
    let start = setup.run(&["serve", "--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(start.status.code(), Some(3), "a cold start refuses it the same way");
}

#[test]
fn explain_shows_each_layer_with_its_place() {
    let output = Setup::shipped().run(&["explain", "POST", "/ofrep/v1/evaluate/flags"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for part in ["POST /ofrep/v1/evaluate/flags", "AnyKey", "sdk-key", "sdk-limit", "pipeline.toml:"] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let output = Setup::shipped().run(&["explain", "get", "/liveness", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["alias_of"], "/health");
}

#[test]
fn layers_schema_and_settings_are_shown() {
    let setup = Setup::shipped().variable("ADMIN_PASSWORD", "a long and quiet evening");
    let layers = String::from_utf8(setup.run(&["layers"]).stdout).unwrap();
    let schema: Value = serde_json::from_slice(&setup.run(&["schema"]).stdout).unwrap();
    for kind in schema["definitions"]["layer"]["oneOf"].as_array().unwrap() {
        let kind = kind["title"].as_str().unwrap();
        assert!(layers.lines().any(|line| line.split_whitespace().next() == Some(kind)), "{kind}");
    }
    let settings = String::from_utf8(setup.run(&["settings"]).stdout).unwrap();
    assert!(settings.contains("listen = ") && !settings.contains("quiet evening"), "{settings}");
}

#[test]
fn the_settings_in_the_documentation_are_those_of_the_binary() {
    let made = String::from_utf8(Setup::shipped().run(&["reference", "settings"]).stdout).unwrap();
    let kept = include_str!("../../docs/settings.md");
    assert!(made == kept, "it drifted: flagstone reference settings > docs/settings.md");
}

#[test]
fn reload_status_and_healthcheck_speak_to_a_running_server() {
    let server = Server::demo();
    let setup = Setup::shipped();
    let admin = ["--admin", server.admin_url.as_str()];
    let run = |arguments: &[&str]| setup.run(&[arguments, &admin[..]].concat());
    assert!(run(&["healthcheck"]).status.success());
    assert_eq!(String::from_utf8(run(&["reload"]).stdout).unwrap().trim(), "unchanged");
    assert!(String::from_utf8(run(&["status"]).stdout).unwrap().contains("generation 1"));
    let text = fs::read_to_string(server.pipeline_file()).unwrap();
    fs::write(server.pipeline_file(), text.replace("version = 1", "version = 2")).unwrap();
    assert_eq!(run(&["reload"]).status.code(), Some(3));
    let nobody = setup.run(&["healthcheck", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn usage_is_exit_2_and_unknown_settings_are_refused() {
    assert_eq!(Setup::shipped().run(&["serv"]).status.code(), Some(2));
    let output = Setup::shipped().variable("FLAGSTONE_SERVER__MAX_HEADRES", "3").run(&["check"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("FLAGSTONE_SERVER__MAX_HEADERS"), "{said}");
    let output = Setup::shipped().variable("DATABASE_URL", "mysql://root:hunter2@db/x").run(&["check"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!String::from_utf8(output.stderr).unwrap().contains("hunter2"));
}
