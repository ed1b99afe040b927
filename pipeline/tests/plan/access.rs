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
