//! Values from the environment and from files.

use std::path::Path;

use flagstone_pipeline::{Format, Planned, plan};
use insta::assert_snapshot;

use super::{kinds::VaultConfig, *};

/// A file whose only interesting layer has these settings.
fn vault(settings: &str) -> String {
    GOOD.replace("[chains]\n", &format!("[layers.vault]\nkind = \"vault\"\n{settings}\n\n[chains]\n"))
        .replace("edge = [\"client-ip\",", "edge = [\"client-ip\", \"vault\",")
}

fn vault_with(settings: &str, pairs: &[(&str, &str)]) -> Planned {
    plan_with(Path::new("pipeline.toml"), vault(settings).as_bytes(), pairs)
}

fn config(planned: &Planned) -> VaultConfig {
    let plan = planned.plan.as_ref().unwrap_or_else(|| panic!("{}", planned.report));
    let instance = plan.instances.iter().find(|instance| instance.kind == "vault").unwrap();
    instance.settings.config().downcast_ref::<VaultConfig>().unwrap().clone()
}

#[test]
fn a_text_becomes_what_the_setting_is() {
    let planned = vault_with(
        r#"
name = { env = "NAME" }
password = { env = "PASSWORD" }
count = { env = "COUNT" }
ratio = { env = "RATIO" }
enabled = { env = "ENABLED" }
tags = { env = "TAGS" }
ports = { env = "PORTS" }
window = { env = "WINDOW" }
inner = { depth = { env = "DEPTH" } }
"#,
        &[
            ("NAME", "007"),
            ("PASSWORD", "correct horse"),
            ("COUNT", " 200 "),
            ("RATIO", "3"),
            ("ENABLED", "TRUE"),
            ("TAGS", "a, b,,c "),
            ("PORTS", "80,443"),
            ("WINDOW", "60000"),
            ("DEPTH", "7"),
        ],
    );
    let config = config(&planned);
    assert_eq!((config.name.as_str(), config.count, config.ratio), ("007", Some(200), Some(3.0)));
    assert_eq!(config.password.unwrap().0, "correct horse");
    assert_eq!(
        (config.enabled, config.tags, config.ports),
        (true, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], vec![80, 443])
    );
    assert_eq!((config.window.unwrap().0.as_secs(), config.inner.depth), (60, 7));
}

#[test]
fn the_first_variable_that_is_set_wins_and_the_default_is_last() {
    let settings =
        "name = { env = [\"A\", \"B\", \"C\"], default = \"none\" }\ncount = { env = \"N\", default = 5 }";
    let name = |pairs: &[(&str, &str)]| config(&vault_with(settings, pairs)).name;
    assert_eq!(name(&[]), "none");
    assert_eq!(name(&[("C", "c"), ("B", "b")]), "b");
    // Set to nothing is set.
    assert_eq!(name(&[("C", "c"), ("A", "")]), "");
    assert_eq!(config(&vault_with(settings, &[])).count, Some(5));
}

#[test]
fn what_stands_in_a_list_or_under_a_header_is_resolved_too() {
    let settings = "tags = [\"plain\", { env = \"TAG\" }]\ninner.depth = { env = \"DEPTH\" }\n[layers.vault.name]\nenv = \"NAME\"";
    let config = config(&vault_with(settings, &[("TAG", "x"), ("DEPTH", "3"), ("NAME", "n")]));
    assert_eq!(
        (config.tags, config.inner.depth, config.name.as_str()),
        (vec!["plain".to_owned(), "x".to_owned()], 3, "n")
    );
}

#[test]
fn a_file_gives_its_text_without_the_last_line_break() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.toml");
    std::fs::write(&path, vault("name = { file = \"secrets/name\" }")).unwrap();
    std::fs::create_dir(directory.path().join("secrets")).unwrap();
    let read = || plan(&path, &kinds::registry(), &routes(), &variables(&[]));
    assert_eq!(read().report.diagnostics[0].code, "file-unreadable");
    for (text, name) in [("x\n\n", "x\n"), ("x\r\n", "x"), ("x", "x"), ("", "")] {
        std::fs::write(directory.path().join("secrets/name"), text).unwrap();
        assert_eq!(config(&read()).name, name, "{text:?}");
    }
    // Watched although it is not there, so that it can come.
    std::fs::remove_file(directory.path().join("secrets/name")).unwrap();
    assert_eq!(read().sources, [path.clone(), directory.path().join("secrets/name")]);
}

#[test]
fn the_digest_knows_every_byte_that_was_read() {
    let digest = |settings: &str, pairs: &[(&str, &str)]| vault_with(settings, pairs).digest;
    let settings = "name = { env = [\"A\", \"B\"], default = \"\" }";
    let digests = [
        digest(settings, &[]),
        digest(settings, &[("A", "")]),
        digest(settings, &[("B", "")]),
        digest(settings, &[("A", "x")]),
        digest("name = { env = [\"A\", \"B\"], default = \"x\" }", &[]),
    ];
    for (index, one) in digests.iter().enumerate() {
        assert!(digests.iter().skip(index + 1).all(|other| other != one), "{index}");
    }
    assert_eq!(digest(settings, &[("A", "x")]), digest(settings, &[("A", "x"), ("C", "y")]));
}

#[test]
fn values_that_do_not_fit() {
    let planned = vault_with(
        r#"
count = { env = "SECRET_COUNT" }
ratio = { env = "RATIO" }
enabled = { env = "ENABLED" }
ports = { env = "PORTS" }
password = { env = "PASSWORD" }
inner = { depth = { env = "DEPTH" } }
name = { env = 5 }
tags = [{ env = "TAG", defualt = "x" }, { env = [] }, { file = "" }]
window = { env = "WINDOW" }
"#,
        &[
            ("SECRET_COUNT", "hunter2"),
            ("RATIO", "inf"),
            ("ENABLED", "perhaps"),
            ("PORTS", "80,hunter2"),
            ("PASSWORD", "hunter2"),
            ("DEPTH", "4096"),
            ("TAG", "hunter2"),
            ("WINDOW", "hunter2"),
        ],
    );
    let text = planned.report.render(Format::Human, false);
    assert_snapshot!(text);
    for format in [Format::Human, Format::Short, Format::Json] {
        let text = planned.report.render(format, false);
        assert!(!text.contains("hunter2") && !text.contains("perhaps") && !text.contains("4096"), "{text}");
    }
}

#[test]
fn references_stand_outside_of_layers_too() {
    let text = changed("path = \"/health\"", "path = { env = \"HEALTH\" }")
        .replace("status = 401", "status = { env = \"STATUS\", default = 401 }")
        .replace(
            "override.cors = { origins = \"*\" }",
            "override.cors = { origins = { env = \"ORIGINS\" } }",
        );
    let read = |pairs: &[(&str, &str)]| plan_with(Path::new("pipeline.toml"), text.as_bytes(), pairs);
    let good = read(&[("HEALTH", "/health"), ("ORIGINS", "a,b"), ("STATUS", "403")]);
    assert_eq!(good.plan.unwrap_or_else(|| panic!("{}", good.report)).tests[0].status, Some(403));
    let codes: Vec<_> = read(&[]).report.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["variable-not-set", "variable-not-set"]);
}
