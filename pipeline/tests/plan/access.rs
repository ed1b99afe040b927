//! Which routes a pipeline opens to whom.

use super::*;

#[test]
fn each_access_takes_a_chain_that_gives_it() {
    for (path, chain) in [
        ("/api/{*rest}", "member"),
        ("/api/{*rest}", "sdk"),
        ("/sdk/{*rest}", "public"),
        ("/sdk/{*rest}", "member"),
        ("/sdk/{*rest}", "admin"),
    ] {
        let before = GOOD.find(&format!("path = \"{path}\"")).unwrap();
        let (head, tail) = GOOD.split_at(before);
        let (_, after) = tail.split_once("\nchain = ").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        let text = format!("{head}path = \"{path}\"\nchain = \"{chain}\"\n{after}")
            .replace("override.cors", "# override.cors");
        let report = planned(&text).report;
        assert!(report.diagnostics.iter().any(|found| found.code == "access"), "{path} {chain}: {report}");
    }
}

#[test]
fn a_stricter_chain_is_allowed() {
    let text = changed("path = \"/health\"\nchain = \"public\"", "path = \"/health\"\nchain = \"admin\"");
    assert!(planned(&text).plan.is_some());
}

#[test]
fn a_role_that_only_observes_proves_nothing() {
    let text = changed("kind = \"role\"", "kind = \"role\"\nmode = \"observe\"");
    let found = &planned(&text).report.diagnostics;
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["access"]);
    assert_eq!(found[0].help.as_deref(), Some("set `mode = \"enforce\"` for `require-admin`"));
    assert_eq!(found[0].related[0].line, 37);
}

#[test]
fn an_override_that_observes_proves_nothing_for_its_route_alone() {
    let text = changed(
        "[[aliases]]",
        "[[routes]]\npath = \"/api/users/{id}\"\nchain = \"admin\"\noverride.require-admin = { mode = \"observe\" }\n\n[[aliases]]",
    );
    let found = &planned(&text).report.diagnostics;
    assert_eq!(found.len(), 1);
    assert!(found[0].message.ends_with("on `GET /api/users/{id}`"), "{}", found[0].message);
}

#[test]
fn a_bad_setting_hides_no_other_fault() {
    let admin = changed("admin = [\"@member\", \"require-admin\"]", "admin = [\"@member\"]");
    let admin = admin.replace("[layers.require-admin]", "[x-require-admin]");
    assert_eq!(codes(&admin), ["access"]);
    for (from, to, expected) in [
        ("requests = 100\n", "requests = \"ten\"\n", "invalid-value"),
        ("requests = 100\n", "", "missing-key"),
        ("requests = 100\n", "requests = { env = \"UNSET\" }\n", "variable-not-set"),
        ("after = \"10s\"", "after = []", "invalid-value"),
        ("origins = [\"https://app.example\"]", "origins = 5", "invalid-value"),
        ("requests = 100\n", "requests = 100\nburst = 5\n", "unknown-key"),
        ("kind = \"access_log\"", "kind = \"access_log\"\nmode = \"observe\"", "mode"),
    ] {
        assert!(admin.contains(from), "{from}");
        assert_eq!(codes(&admin.replace(from, to)), [expected, "access"], "{to}");
    }
}

#[test]
fn nothing_is_guessed_of_a_setting_that_decides_what_is_proven() {
    for (from, to) in [
        ("key = \"principal\"", "key = \"principle\""),
        ("method = \"session\"", "method = \"sesion\""),
        ("method = \"session\"", ""),
    ] {
        let found = codes(&changed(from, to));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
    }
}
