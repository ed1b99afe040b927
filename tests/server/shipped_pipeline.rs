//! Walks the whole route table of the shipped pipeline: every route has the headers, limits and access it should.

use serde_json::json;

use crate::harness::{Server, Setup};

/// What stops a request without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Session,
    Key,
}

/// Every route: method, path, what it needs, whether the client's address limits it.
const ROUTES: &[(&str, &str, Needs, bool)] = &[
    ("GET", "/health", Needs::Nothing, false),
    ("GET", "/health/ready", Needs::Nothing, false),
    ("GET", "/liveness", Needs::Nothing, false),
    ("GET", "/readiness", Needs::Nothing, false),
    ("GET", "/api/openapi.json", Needs::Nothing, true),
    ("GET", "/api/auth/status", Needs::Nothing, true),
    ("POST", "/api/auth/setup", Needs::Nothing, true),
    ("POST", "/api/auth/login", Needs::Nothing, true),
    ("POST", "/api/auth/logout", Needs::Session, true),
    ("GET", "/api/auth/me", Needs::Session, true),
    ("POST", "/api/auth/change-password", Needs::Session, true),
    ("GET", "/api/auth/sessions", Needs::Session, true),
    ("DELETE", "/api/auth/sessions/x", Needs::Session, true),
    ("GET", "/api/management/pipeline", Needs::Session, true),
    ("GET", "/api/management/projects", Needs::Session, true),
    ("POST", "/api/management/projects", Needs::Session, true),
    ("GET", "/api/management/projects/demo", Needs::Session, true),
    ("PUT", "/api/management/projects/demo", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo", Needs::Session, true),
    ("GET", "/api/management/projects/demo/environments", Needs::Session, true),
    ("POST", "/api/management/projects/demo/environments", Needs::Session, true),
    ("PUT", "/api/management/projects/demo/environments", Needs::Session, true),
    ("GET", "/api/management/projects/demo/environments/staging", Needs::Session, true),
    ("PUT", "/api/management/projects/demo/environments/staging", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo/environments/staging", Needs::Session, true),
    ("GET", "/api/management/projects/demo/environments/staging/keys", Needs::Session, true),
    ("POST", "/api/management/projects/demo/environments/staging/keys", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo/environments/staging/keys/x", Needs::Session, true),
    ("GET", "/api/management/projects/demo/flags", Needs::Session, true),
    ("POST", "/api/management/projects/demo/flags", Needs::Session, true),
    ("GET", "/api/management/projects/demo/flags/theme", Needs::Session, true),
    ("PUT", "/api/management/projects/demo/flags/theme", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo/flags/theme", Needs::Session, true),
    ("GET", "/api/management/projects/demo/flags/theme/environments/staging", Needs::Session, true),
    ("PUT", "/api/management/projects/demo/flags/theme/environments/staging", Needs::Session, true),
    ("GET", "/api/management/projects/demo/segments", Needs::Session, true),
    ("POST", "/api/management/projects/demo/segments", Needs::Session, true),
    ("GET", "/api/management/projects/demo/segments/x", Needs::Session, true),
    ("PUT", "/api/management/projects/demo/segments/x", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo/segments/x", Needs::Session, true),
    ("GET", "/api/management/projects/demo/unknown-flags", Needs::Session, true),
    ("DELETE", "/api/management/projects/demo/unknown-flags/x", Needs::Session, true),
    ("POST", "/api/v1/evaluate", Needs::Key, false),
    ("POST", "/api/v1/evaluate/theme", Needs::Key, false),
    ("GET", "/api/v1/stream", Needs::Key, false),
    ("GET", "/api/v1/definitions", Needs::Key, false),
    ("POST", "/ofrep/v1/evaluate/flags", Needs::Key, false),
    ("POST", "/ofrep/v1/evaluate/flags/theme", Needs::Key, false),
    ("GET", "/ofrep/v1/events", Needs::Key, false),
];

/// Routes that only administrators may call.
const ADMIN_ONLY: &[(&str, &str)] = &[
    ("GET", "/api/management/pipeline"),
    ("POST", "/api/management/projects"),
    ("PUT", "/api/management/projects/demo"),
    ("DELETE", "/api/management/projects/demo"),
    ("POST", "/api/management/projects/demo/environments"),
    ("PUT", "/api/management/projects/demo/environments/staging"),
    ("DELETE", "/api/management/projects/demo/environments/staging"),
    ("GET", "/api/management/projects/demo/environments/staging/keys"),
    ("POST", "/api/management/projects/demo/environments/staging/keys"),
    ("DELETE", "/api/management/projects/demo/environments/staging/keys/x"),
];

#[test]
fn the_walk_misses_no_route() {
    let specs: Vec<_> = flagstone_routes::specs().into_iter().map(|(spec, _)| spec).collect();
    let table = flagstone_routes::Table::new(&specs).unwrap();
    for (id, spec) in specs.iter().enumerate().filter(|(_, spec)| !spec.optional) {
        let walked = ROUTES.iter().any(|(method, path, ..)| {
            let found = table.find(&method.parse().unwrap(), path);
            matches!(found, flagstone_layers::kernel::Matched::Route { id: found, .. } if found == id)
        });
        assert!(walked, "{} {}", spec.method, spec.path);
    }
}

#[test]
fn every_route_has_its_headers_limits_and_access() {
    let server = Server::demo();
    for (method, path, needs, limited) in ROUTES {
        let answer = server.request(method, path).send();
        match needs {
            Needs::Nothing => {
                assert!(![401, 403, 404, 405].contains(&answer.status), "{method} {path}: {answer:?}")
            }
            Needs::Session | Needs::Key => assert_eq!(answer.status, 401, "{method} {path}: {answer:?}"),
        }
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("x-xss-protection", "0"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name} of {method} {path}");
        }
        let corp = if *needs == Needs::Key && *path != "/api/v1/definitions" {
            "cross-origin"
        } else {
            "same-origin"
        };
        assert_eq!(answer.header("cross-origin-resource-policy"), Some(corp), "{method} {path}");
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("strict-transport-security"), None, "only over https");
        assert!(answer.header("x-request-id").is_some(), "{method} {path}");
        assert!(answer.header("server").is_none() && answer.header("x-powered-by").is_none());
        assert_eq!(answer.header("ratelimit-limit").is_some(), *limited, "{method} {path}");
    }
}

#[test]
fn members_may_not_do_what_is_for_admins() {
    let setup = Setup::shipped()
        .variable("RATE_LIMIT_MAX", "0")
        .variable("ADMIN_PASSWORD", "a long and quiet evening");
    let password = "another long and quiet evening\n";
    let mut child = setup
        .command(&["user", "create", "m@example.com"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let server = setup.start();
    let member =
        server.sign_in_with(&json!({ "email": "m@example.com", "password": password.trim() })).ok().unwrap();
    for (method, path, needs, _) in ROUTES.iter().filter(|route| route.1.starts_with("/api/management")) {
        assert_eq!(*needs, Needs::Session);
        // The walk is about access; what is asked for need not exist.
        let answer = member.request(method, path).json(&json!({})).send();
        let reorder = (*method, *path) == ("PUT", "/api/management/projects/demo/environments");
        let admin_only = ADMIN_ONLY.contains(&(method, path)) || reorder;
        assert_eq!(answer.status == 403, admin_only, "{method} {path}: {answer:?}");
    }
}

#[test]
fn over_https_there_is_hsts() {
    let server = Setup::demo().variable("TRUSTED_PROXIES", "127.0.0.1/32").start();
    let request = || server.get("/health").header("x-forwarded-for", "198.51.100.1");
    let answer = request().header("x-forwarded-proto", "https").send();
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000; includeSubDomains; preload")
    );
    assert_eq!(request().send().header("strict-transport-security"), None);
}

#[test]
fn the_global_limit_is_100_a_minute_and_spares_health() {
    let server = Setup::demo().with_shipped_limits().start();
    let statuses: Vec<u16> = (0..101).map(|_| server.get("/api/auth/status").send().status).collect();
    assert!(statuses[..100].iter().all(|status| *status == 200));
    assert_eq!(statuses[100], 429);
    assert_eq!(server.get("/nothing").send().status, 429, "the fallback counts, too");
    assert_eq!(server.get("/health").send().status, 200);
    assert_eq!(server.post("/api/v1/evaluate").key(&server.client_key()).send().status, 200);
}
