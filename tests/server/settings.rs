//! Settings and secrets as operators give them (R65).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::json;

use crate::harness::{PATIENCE, Setup};

/// A password that is good, with a part that is looked for in all that is printed.
const PASSWORD: &str = "violin gravel otter xyzzy seventeen";
const MARK: &str = "xyzzy";

/// A file in the setup's folder that only its owner may read.
fn file(setup: &Setup, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = setup.folder().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn settings_file(folder: &Path, change: impl FnOnce(String) -> String) {
    let path = folder.join("config/flagstone.toml");
    let changed = change(fs::read_to_string(&path).unwrap());
    fs::write(path, changed).unwrap();
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

#[test]
fn dotenv_is_read_in_the_working_directory_and_the_environment_wins() {
    let setup = Setup::shipped();
    file(&setup, ".env", "LOG_LEVEL=debug\nFLAGSTONE_SERVER__MAX_HEADERS=99 # many\nRELEASE='of today'\n");
    let shown = said(&setup.run(&["settings"]));
    for line in ["level = \"debug\"", "max_headers = 99", "release = \"of today\""] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let shown = said(&setup.clone().variable("LOG_LEVEL", "warn").run(&["settings"]));
    assert!(shown.contains("level = \"warn\"") && shown.contains("max_headers = 99"), "{shown}");

    // A folder above is somebody else's.
    let mut below = setup.command(&["--config", ".", "settings"]);
    let shown = said(&below.current_dir(setup.folder().join("config")).output().unwrap());
    assert!(shown.contains("level = \"info\""), "{shown}");

    file(&setup, ".env", "FLAGSTONE_SERVER__MAX_HEADRES=9\n");
    let refused = setup.run(&["check"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(said(&refused).contains("`FLAGSTONE_SERVER__MAX_HEADERS`"), "{}", said(&refused));

    file(&setup, ".env", format!("ADMIN_PASSWORD={PASSWORD}\n"));
    let refused = setup.run(&["check"]);
    assert_eq!(refused.status.code(), Some(3), "blanks without quotes");
    assert!(said(&refused).contains("NAME=value") && !said(&refused).contains(MARK), "{}", said(&refused));
    file(&setup, ".env", format!("ADMIN_PASSWORD='{PASSWORD}'\n"));
    assert_eq!(said(&setup.run(&["check"])), said(&Setup::shipped().run(&["check"])));
}

#[test]
fn a_secret_may_come_from_a_file_that_a_variable_names() {
    let setup = Setup::shipped();
    let database = format!("sqlite:{}\n", setup.folder().join("data.db").display());
    let password = file(&setup, "password", format!("{PASSWORD}\r\n"));
    let database = file(&setup, "database", database);
    let server = setup
        .clone()
        .variable("FLAGSTONE_ADMIN__PASSWORD_FILE", password.to_str().unwrap())
        .variable("DATABASE_URL_FILE", database.to_str().unwrap())
        .start();
    let body = json!({ "email": "admin@localhost", "password": PASSWORD });
    assert!(server.sign_in_with(&body).is_ok());
    assert!(setup.folder().join("data.db").is_file());
}

#[test]
fn a_file_that_gives_no_secret_is_refused_by_its_variable() {
    let setup = Setup::shipped();
    let folder = setup.folder().to_owned();
    let empty = file(&setup, "empty", "\n");
    let large = file(&setup, "large", vec![b'x'; 1024 * 1024 + 1]);
    let binary = file(&setup, "binary", [0xff, 0xfe, 0x00]);
    let good = file(&setup, "good", PASSWORD);
    for (path, wanted) in [
        (folder.join("missing"), "cannot be read"),
        (folder.clone(), "is not a file"),
        (empty, "is empty"),
        (large, "is larger than"),
        (binary, "is not UTF-8"),
        (PathBuf::from(PASSWORD), "cannot be read"),
    ] {
        for variable in ["ADMIN_PASSWORD_FILE", "DATABASE_URL_FILE", "FLAGSTONE_ADMIN__PASSWORD_FILE"] {
            let setup = setup.clone().variable(variable, path.to_str().unwrap());
            for arguments in [&["check"][..], &["settings"], &SERVE] {
                let refused = setup.run(arguments);
                assert_eq!(refused.status.code(), Some(3), "{variable} {arguments:?}");
                let said = said(&refused);
                assert!(said.contains(wanted) && said.contains(variable), "{wanted}: {said}");
                assert!(!said.contains(MARK), "a secret in the wrong variable is one all the same: {said}");
            }
        }
    }
    let in_the_file = Setup::shipped();
    file(&in_the_file, "config/secret", "\n");
    settings_file(in_the_file.folder(), |text| {
        text.replace(
            "password = { env = \"ADMIN_PASSWORD\", default = \"\" }",
            "password = { file = \"secret\" }",
        )
    });
    let refused = in_the_file.run(&["check"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(said(&refused).contains("`secret` is empty"), "{}", said(&refused));
    for name in ["ADMIN_PASSWORD", "FLAGSTONE_ADMIN__PASSWORD", "DATABASE_URL"] {
        let both = setup.clone().variable(name, PASSWORD);
        let refused = both.variable(&format!("{name}_FILE"), good.to_str().unwrap()).run(&["check"]);
        assert_eq!(refused.status.code(), Some(3));
        let said = said(&refused);
        assert!(said.contains("both set") && said.contains("unset one") && !said.contains(MARK), "{said}");
    }
}

#[test]
fn a_secret_that_everybody_may_read_is_a_doubt() {
    let setup = Setup::shipped();
    let path = file(&setup, "password", PASSWORD);
    let setup = setup.variable("ADMIN_PASSWORD_FILE", path.to_str().unwrap());
    assert!(!said(&setup.run(&["check"])).contains("warning"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let checked = setup.run(&["check"]);
    assert!(checked.status.success());
    let said = said(&checked);
    assert!(said.contains("warning[secret-readable]") && said.contains("chmod 400"), "{said}");
    // Who may connect is none.
    let networks = setup.folder().join("networks");
    fs::write(&networks, "10.0.0.0/8").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let setup = setup.variable("TRUSTED_PROXIES_FILE", networks.to_str().unwrap());
    assert!(!self::said(&setup.run(&["check"])).contains("warning"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let log = setup.folder().join("log");
    let _server = setup.variable("LOG_FILE", log.to_str().unwrap()).start();
    let lines = fs::read_to_string(log).unwrap();
    assert!(lines.lines().any(|line| line.contains("WARN") && line.contains("secret-readable")), "{lines}");
}

#[test]
fn values_of_the_pipeline_come_from_named_files_too_and_a_reload_reads_them_anew() {
    let setup = Setup::shipped();
    let limit = file(&setup, "limit", "7\n");
    let server = setup.variable("RATE_LIMIT_MAX_FILE", limit.to_str().unwrap()).start();
    let most = || {
        let answer = server.get("/api/auth/status").send();
        answer.header("ratelimit-limit").unwrap_or_default().to_owned()
    };
    assert_eq!(most(), "7");
    fs::write(&limit, "700\n").unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while server.pipeline()["generation"] != 2 {
        assert!(std::time::Instant::now() < deadline, "{}", server.pipeline());
        std::thread::yield_now();
    }
    assert_eq!(most(), "700");
}

/// The ways in which a secret can be given, each with what else is wrong beside it.
fn planted() -> Vec<(&'static str, Setup)> {
    let literal = |change: &dyn Fn(String) -> String| {
        let setup = Setup::shipped();
        settings_file(setup.folder(), change);
        setup
    };
    let shipped = "password = { env = \"ADMIN_PASSWORD\", default = \"\" }";
    let url = "url = { env = \"DATABASE_URL\", default = \"sqlite:data/flagstone.db\" }";
    let secret_url = format!("url = \"postgres://flags:{MARK}-otter-gravel@127.0.0.1:1/flags\"");
    let weak_url = format!("url = \"postgres://{MARK}:{MARK}@127.0.0.1:1/flags\"");
    let parameter = format!("url = \"postgres://flags@127.0.0.1:1/flags?password={MARK}\"");
    let good = format!("password = \"{PASSWORD}\"");
    let from_file = Setup::shipped();
    let path = file(&from_file, "secret", PASSWORD);
    vec![
        ("good", literal(&|text| text.replace(shipped, &good))),
        (
            "default",
            literal(&|text| {
                text.replace("default = \"\" }\n\n[acc", &format!("default = \"{PASSWORD}\" }}\n\n[acc"))
            }),
        ),
        ("weak", literal(&|text| text.replace(shipped, &format!("password = \"{MARK}\"")))),
        ("wrong type", literal(&|text| text.replace(shipped, &format!("password = [\"{MARK}\"]")))),
        ("misspelt", literal(&|text| text.replace(shipped, &format!("pasword = \"{MARK}\"")))),
        ("beside a fault", literal(&|text| text.replace(shipped, &format!("{good}\nemial = \"x\"")))),
        (
            "in the same table",
            literal(&|text| {
                text.replace("[admin]", "").replace(shipped, &format!("admin = {{ {good}, emial = 5 }}"))
            }),
        ),
        ("no TOML", literal(&|text| text.replace(shipped, &format!("{good} \"")))),
        ("no TOML, url", literal(&|text| text.replace(url, &format!("{secret_url} =")))),
        ("url", literal(&|text| text.replace(url, &secret_url))),
        ("weak url", literal(&|text| text.replace(url, &weak_url))),
        ("parameter", literal(&|text| text.replace(url, &parameter))),
        ("url beside a fault", literal(&|text| text.replace(url, &format!("{secret_url}\nraeders = 1")))),
        ("variable", Setup::shipped().variable("ADMIN_PASSWORD", PASSWORD)),
        ("weak variable", Setup::shipped().variable("ADMIN_PASSWORD", MARK)),
        ("override", Setup::shipped().variable("FLAGSTONE_ADMIN__PASSWORD", PASSWORD)),
        (
            "url in a variable",
            Setup::shipped().variable("DATABASE_URL", &secret_url[7..secret_url.len() - 1]),
        ),
        ("bad url", Setup::shipped().variable("DATABASE_URL", &format!("mysql://root:{MARK}@db/x"))),
        ("wrong place", Setup::shipped().variable("FLAGSTONE_SERVER__MAX_HEADERS", MARK)),
        ("port", Setup::shipped().variable("PORT", MARK)),
        ("pipeline", Setup::shipped().variable("RATE_LIMIT_MAX", MARK)),
        ("file", from_file.variable("ADMIN_PASSWORD_FILE", path.to_str().unwrap())),
    ]
}

#[test]
fn a_secret_is_in_nothing_that_a_command_prints() {
    for (name, setup) in planted() {
        for format in ["human", "json", "short"] {
            let printed = said(&setup.run(&["check", "--format", format]));
            assert!(!printed.contains(MARK), "{name}: {printed}");
            let printed = said(&setup.run(&["settings", "--format", format]));
            assert!(!printed.contains(MARK), "{name}: {printed}");
        }
        for arguments in [&["explain", "GET", "/health"][..], &["status"], &["healthcheck"], &["reload"]] {
            let printed = said(&setup.run(arguments));
            assert!(!printed.contains(MARK), "{name} {arguments:?}: {printed}");
        }
        // A start that succeeds would not end; its log is the next test's. No database is at those addresses.
        let expected = match setup.run(&["check"]).status.success() {
            true if name.contains("url") || name == "parameter" => Some(1),
            true => continue,
            false => Some(3),
        };
        let start = setup.run(&SERVE);
        assert_eq!(start.status.code(), expected, "{name}: {}", said(&start));
        assert!(!said(&start).contains(MARK), "{name}: {}", said(&start));
    }
}

#[test]
fn a_secret_is_in_nothing_that_a_server_says() {
    let setup = Setup::shipped();
    settings_file(setup.folder(), |text| text.replace("level = {", "level = \"trace\" # {"));
    let log = setup.folder().join("log");
    let server = setup
        .variable("ADMIN_PASSWORD", PASSWORD)
        .variable("LOG_FILE", log.to_str().unwrap())
        .variable("STRICT_RATE_LIMIT_MAX", "100")
        .start();
    let admin =
        server.sign_in_with(&json!({ "email": "admin@localhost", "password": PASSWORD })).ok().unwrap();
    assert!(server.sign_in_with(&json!({ "email": "admin@localhost", "password": MARK })).is_err());
    let change = json!({ "current_password": MARK, "new_password": MARK });
    assert_eq!(admin.post("/api/auth/change-password").json(&change).send().status, 422);
    settings_file(server.folder(), |text| {
        text.replace("default = \"\" }\n\n[acc", &format!("default = \"{PASSWORD}\" }}\n\n[acc"))
            .replace("password = { env = \"ADMIN_PASSWORD\"", "password = { env = \"OTHER\"")
            .replace("\nurl = { env", "\n# url = { env")
            .replace("readers = 3", "readers = 4")
    });
    let reload = server.admin("POST", "/pipeline/reload").send();
    assert_eq!(reload.status, 409, "{reload:?}");
    let mut printed = String::from_utf8(reload.body).unwrap();
    assert!(printed.contains("database.readers"), "{printed}");
    for path in ["/pipeline", "/metrics", "/health"] {
        printed.push_str(&String::from_utf8(server.admin("GET", path).send().body).unwrap());
    }
    for path in ["/api/management/pipeline", "/api/auth/me", "/api/openapi.json", "/health/ready"] {
        printed.push_str(&String::from_utf8(admin.get(path).send().body).unwrap());
    }
    server.signal("TERM");
    let mut server = server;
    assert!(server.wait().success());
    printed.push_str(&fs::read_to_string(log).unwrap());
    assert!(printed.contains("\"starting\"") && printed.contains("[redacted]"), "{printed}");
    assert!(!printed.contains(MARK), "{}", printed.lines().find(|line| line.contains(MARK)).unwrap());
}

#[test]
fn settings_that_the_next_start_would_refuse_are_told_while_the_server_runs() {
    let server = Setup::demo().start();
    settings_file(server.folder(), |text| text.replace("max_headers = 64", "max_headers = 0"));
    let warning = server.log_line(|line| line["level"] == "WARN" && line["faults"].is_string());
    assert!(warning["faults"].as_str().unwrap().contains("server.max_headers"), "{warning}");
    let reload = server.admin("POST", "/pipeline/reload").send();
    assert_eq!(reload.json()["outcome"], "unchanged");
    settings_file(server.folder(), |text| text.replace("max_headers = 0", "max_headers = 65"));
    let reload = server.admin("POST", "/pipeline/reload").send();
    assert_eq!((reload.status, reload.json()["fields"].clone()), (409, json!(["server.max_headers"])));
}

#[test]
fn what_others_can_guess_stops_a_start_in_production_only() {
    let weak = Setup::shipped().variable("ADMIN_PASSWORD", "changeme");
    for arguments in [&["check"][..], &SERVE] {
        let refused = weak.run(arguments);
        assert_eq!(refused.status.code(), Some(3));
        assert!(said(&refused).contains("`admin.password`"), "{}", said(&refused));
    }
    let checked = weak.clone().variable("FLAGSTONE_ENVIRONMENT", "development").run(&["check"]);
    assert!(checked.status.success() && said(&checked).contains("warning[settings]"), "{}", said(&checked));
    // The demonstration has a password of its own.
    Setup::demo().variable("ADMIN_PASSWORD", "changeme").start().sign_in();
}

#[test]
fn what_is_wrong_on_the_command_line_is_usage() {
    for (arguments, wanted) in [
        (&["serve", "--listen", "nowhere"][..], "--listen"),
        (&["serve", "--admin-listen", "0.0.0.0:1"], "loopback"),
        (&["serve", "--lisen", "127.0.0.1:0"], "'--listen'"),
    ] {
        let refused = Setup::shipped().run(arguments);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(wanted), "{}", said(&refused));
    }
}
