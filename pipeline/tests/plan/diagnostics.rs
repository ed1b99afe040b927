//! What a person reads about each sort of bad file. The golden texts are in `snapshots/`.

use std::path::Path;

use flagstone_pipeline::{Format, plan};
use insta::assert_snapshot;

use super::*;

#[test]
fn a_good_file_has_nothing_to_say() {
    assert_eq!(human(GOOD), "");
    assert!(planned(GOOD).plan.is_some());
}

#[test]
fn a_missing_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.toml");
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    assert!(planned.plan.is_none());
    assert_eq!(planned.sources, [path]);
    let found = &planned.report.diagnostics[0];
    assert_eq!((found.code, found.line, found.column), ("file-unreadable", 1, 1));
}

#[test]
fn truncated() {
    assert_snapshot!(human("version = 1\n\n[layers.limit]\nkind = \"rate_limit\"\nwindow = \"60"));
}

#[test]
fn several_syntax_errors() {
    assert_snapshot!(human("version = = 1\n[layers.a]\nkind \"cors\"\n[fallback\n"));
}

#[test]
fn a_layer_declared_twice() {
    assert_snapshot!(human(
        "version = 1\n[layers.a]\nkind = 'cors'\n[layers.a]\nkind = 'cors'\nkind = 'role'\n"
    ));
}

#[test]
fn empty() {
    for text in ["", " \n\t\n", "\u{feff}"] {
        assert_eq!(codes(text), ["empty-file"], "{text:?}");
    }
    assert_snapshot!(human(""));
}

#[test]
fn not_utf8() {
    let bytes = b"version = 1\n[layers.log]\nkind = \"acc\xff\xfess_log\"\n";
    let planned = plan_with(Path::new("pipeline.toml"), bytes, &[]);
    assert_snapshot!(planned.report.render(Format::Human, false));
}

#[test]
fn ten_megabytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.toml");
    std::fs::write(&path, "# large\n".repeat(10 << 17)).unwrap();
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    let found = &planned.report.diagnostics[0];
    assert_eq!((found.code, planned.report.diagnostics.len()), ("file-too-large", 1));
    assert_eq!(found.message, "the file is larger than 1048576 bytes");
}

#[test]
fn nested_too_deep() {
    for text in [
        format!("x-a = {}1{}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("x-a = {}1{}", "{a = ".repeat(5_000), "}".repeat(5_000)),
        format!("[{}a]", "a.".repeat(5_000)),
        format!("{}a = 1", "a.".repeat(5_000)),
    ] {
        assert_eq!(codes(&text)[0], "syntax");
    }
}

#[test]
fn unknown_kind() {
    assert_snapshot!(human(&changed("kind = \"access_log\"", "kind = \"acess_log\"")));
}

#[test]
fn unknown_kind_like_nothing() {
    assert_snapshot!(human(&changed("kind = \"access_log\"", "kind = \"firewall\"")));
}

#[test]
fn unknown_keys_everywhere() {
    let text = changed("origins = [\"https://app.example\"]", "origin = []\ncredential = true")
        .replace("path = \"/health\"", "path = \"/health\"\nmethod = [\"GET\"]")
        .replace("version = 1", "version = 1\nrouts = []\nx-free = 1")
        .replace("status = 401", "state = 401");
    assert_snapshot!(human(&text));
}

#[test]
fn unknown_layer_and_chain() {
    let text = changed("\"user-limit\", \"timeout\"]", "\"user-limt\", \"timeout\"]")
        .replace("admin = [\"@member\"", "admin = [\"@membr\"")
        .replace("\"sdk-key\", \"timeout\"]", "\"edge\", \"sdk-key\", \"timeout\"]");
    assert_snapshot!(human(&text));
}

#[test]
fn nothing_is_proven_of_a_chain_that_splices_a_broken_one() {
    assert_eq!(
        codes(&changed("[\"client-ip\", \"request-id\"", "[\"client-pi\", \"request-id\"")),
        ["unknown-layer"]
    );
}

#[test]
fn an_entry_that_covers_nothing() {
    let text = changed("path = \"/health\"", "path = \"/helth\"");
    assert_snapshot!(human(&text));
}

#[test]
fn a_handler_route_that_nothing_covers() {
    let text = changed("path = \"/api/{*rest}\"", "path = \"/api/users/{*rest}\"");
    assert_snapshot!(human(&text));
}

#[test]
fn a_cycle_of_chains() {
    let text = changed("edge = [\"client-ip\"", "edge = [\"@admin\", \"client-ip\"");
    assert_snapshot!(human(&text));
}

#[test]
fn a_chain_that_splices_itself() {
    assert_eq!(codes(&changed("edge = [\"client-ip\"", "edge = [\"@edge\", \"client-ip\"")), ["chain-cycle"]);
}

#[test]
fn removing_what_is_absent_and_naming_a_layer_twice() {
    let text = changed("\"-limit\", \"sdk-key\"", "\"-limits\", \"sdk-key\"")
        .replace("\"session\", \"user-limit\", \"timeout\"]", "\"session\", \"limit\", \"timeout\"]");
    assert_snapshot!(human(&text));
}

#[test]
fn role_before_auth() {
    let text = changed(
        "admin = [\"@member\", \"require-admin\"]",
        "admin = [\"@edge\", \"require-admin\", \"session\"]",
    );
    assert_snapshot!(human(&text));
}

#[test]
fn an_admin_route_on_a_public_chain() {
    assert_snapshot!(human(&changed(
        "path = \"/api/{*rest}\"\nchain = \"admin\"",
        "path = \"/api/{*rest}\"\nchain = \"public\""
    )));
}

#[test]
fn an_admin_chain_whose_auth_only_observes() {
    assert_snapshot!(human(&changed("method = \"session\"", "method = \"session\"\nmode = \"observe\"")));
}

#[test]
fn a_limit_by_principal_before_auth() {
    assert_snapshot!(human(&changed("\"session\", \"user-limit\"", "\"user-limit\", \"session\"")));
}

#[test]
fn a_limit_by_address_after_auth() {
    let text = changed(
        "member = [\"@edge\", \"session\",",
        "member = [\"@edge\", \"-limit\", \"session\", \"limit\",",
    );
    assert_snapshot!(human(&text));
}

#[test]
fn headers_that_miss_refusals_are_said_once_for_all_routes() {
    let text = changed("\"log\", \"cors\", \"limit\"]", "\"log\", \"limit\", \"cors\"]");
    assert_snapshot!(human(&text));
}

#[test]
fn a_deadline_on_a_stream() {
    assert_snapshot!(human(&changed("stream = [\"@sdk\", \"-timeout\"]", "stream = [\"@sdk\"]")));
}

#[test]
fn a_chain_that_nobody_passes() {
    assert_snapshot!(human(&changed(
        "\"sdk-key\", \"timeout\"]",
        "\"sdk-key\", \"require-admin\", \"timeout\"]"
    )));
}

#[test]
fn a_variable_that_is_not_set() {
    let text = changed("requests = 100\n", "requests = { env = [\"LIMIT\", \"MAX_REQUESTS\"] }\n");
    assert_snapshot!(human(&text));
}

#[test]
fn three_faults_in_one_file() {
    let text = changed("kind = \"request_id\"", "kind = \"request-id\"")
        .replace("requests = 100\n", "requests = \"many\"\nburst = 3\n")
        .replace("chain = \"member\"", "chain = \"members\"");
    assert_snapshot!(human(&text));
}

#[test]
fn no_fallback_no_version() {
    assert_snapshot!(human(&changed("[fallback]\nchain = \"public\"\n", "").replace("version = 1\n", "")));
}

#[test]
fn a_version_of_the_future() {
    assert_snapshot!(human(&changed("version = 1", "version = 2")));
}

#[test]
fn what_is_not_used_is_a_warning() {
    let text = format!("{GOOD}\n[layers.spare]\nkind = \"cors\"\n");
    let text = text.replace("[[routes]]\npath = \"/health\"", "[[routes]]\npath = \"/api/users/{*rest}\"\nchain = \"admin\"\n\n[[routes]]\npath = \"/api/users\"\nchain = \"admin\"\n\n[[routes]]\npath = \"/api/users/{id}\"\nchain = \"admin\"\n\n[[routes]]\npath = \"/health\"");
    let text = text.replace("[chains]\n", "[chains]\nspare = [\"@public\"]\n");
    assert_snapshot!(human(&text));
    assert!(planned(&text).plan.is_some());
}

#[test]
fn two_entries_alike() {
    let text = format!(
        "{GOOD}\n[[routes]]\npath = \"/api/users/{{user}}\"\nchain = \"admin\"\n\n[[routes]]\npath = \"/api/users/{{id}}\"\nchain = \"admin\"\n"
    );
    assert_snapshot!(human(&text));
}

#[test]
fn what_a_layer_itself_finds() {
    assert_snapshot!(human(&changed(
        "override.cors = { origins = \"*\" }",
        "override.cors = { origins = \"*\", credentials = true }"
    )));
}

#[test]
fn a_mode_where_nothing_is_refused() {
    let text = changed("kind = \"access_log\"", "kind = \"access_log\"\nmode = \"observe\"")
        .replace("kind = \"timeout\"", "kind = \"timeout\"\nmode = \"dry-run\"");
    assert_snapshot!(human(&text));
}

#[test]
fn overrides_of_what_is_not_there() {
    let text = changed(
        "override.cors = { origins = \"*\" }",
        "override.cors = { kind = \"auth\" }\noverride.corse = {}\noverride.session = {}",
    );
    assert_snapshot!(human(&text));
}

#[test]
fn paths_and_methods() {
    let text = changed("path = \"/health\"", "path = \"health\"")
        .replace("methods = [\"GET\"]", "methods = [\"get\"]")
        .replace("path = \"/sdk/{*rest}\"", "path = \"/sdk/{*rest}/more\"");
    assert_snapshot!(human(&text));
}

#[test]
fn aliases() {
    let text = format!(
        "{GOOD}
[[aliases]]
from = \"/admin/projects/{{id}}\"
to = \"/api/project\"

[[aliases]]
from = \"/api/users/me\"
to = \"/api/users/{{id}}\"

[[aliases]]
from = \"/admin/users/{{user}}\"
to = \"/api/users/{{user}}\"
"
    );
    assert_snapshot!(human(&text));
}

#[test]
fn tests() {
    let text = format!(
        "{GOOD}
[[tests]]
name = \"the user list needs a session\"
request = {{ method = \"FETCH\", path = \"api/users\" }}
expect = {{ status = 99 }}

[[tests]]
name = \"health\"
request = {{ path = \"/health\" }}
expect = {{ stopped_by = \"session\" }}

[[tests]]
name = \"unknown\"
request = {{ path = \"/unknown\", headers = {{ \"a b\" = \"c\" }} }}
expect = {{ stopped_by = \"sesion\" }}
"
    );
    assert_snapshot!(human(&text));
}

#[test]
fn several_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.toml");
    let text = format!("include = [\"more.toml\", \"absent.toml\", \"../up.toml\", \"more.toml\"]\n{GOOD}");
    std::fs::write(&path, &text).unwrap();
    std::fs::write(directory.path().join("more.toml"), "[layers.log]\nkind = \"access_log\"\n").unwrap();
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    let codes: Vec<_> = planned.report.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["file-unreadable", "include", "include"]);
    assert_eq!(planned.sources.len(), 3);

    std::fs::write(&path, text.replace(", \"absent.toml\", \"../up.toml\", \"more.toml\"", "")).unwrap();
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    let text = planned.report.render(Format::Human, false);
    assert_snapshot!(text.replace(&directory.path().display().to_string(), "DIRECTORY"));
}

#[test]
fn an_included_file_adds_to_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.toml");
    let (layers, rest) = GOOD.split_once("[chains]").unwrap();
    std::fs::write(&path, format!("version = 1\ninclude = [\"layers.toml\"]\n[chains]{rest}")).unwrap();
    std::fs::write(directory.path().join("layers.toml"), layers).unwrap();
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    assert!(planned.plan.is_some(), "{}", planned.report);
    // A fault in the second file is shown in the second file.
    std::fs::write(directory.path().join("layers.toml"), layers.replace("\"10s\"", "\"soon\"")).unwrap();
    let planned = plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    let found = &planned.report.diagnostics[0];
    assert!(found.file.ends_with("layers.toml"), "{}", found.file);
    assert_eq!((found.code, found.line, found.column), ("invalid-value", 41, 9));
}

#[test]
fn short_and_json() {
    let text = changed("kind = \"access_log\"", "kind = \"acess_log\"");
    let report = planned(&text).report;
    assert_snapshot!("short", report.render(Format::Short, false));
    assert_snapshot!("json", report.render(Format::Json, false));
}

#[test]
fn columns_are_characters_and_control_characters_are_escaped() {
    let report = planned("version = 1\n\"ä\\u001b[31m\" = 1\n\"ö\" = { a = 1 }\n'x-ü' = 'ü'\n").report;
    let found = report.diagnostics.iter().find(|found| found.message.contains('ä')).unwrap();
    assert_eq!((found.line, found.column, found.end_column), (2, 1, 14));
    assert!(!report.render(Format::Human, false).contains('\u{1b}'));
    assert!(report.render(Format::Human, true).contains('\u{1b}'));
}
