//! Set-up, sign-in, sessions (R8, R10, R11, R19, R23, R24).

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Server, Setup};

#[test]
fn the_admin_signs_in_looks_at_themselves_and_signs_out() {
    let server = Server::demo();
    let admin = server.sign_in();
    assert!(admin.cookie().starts_with("flagstone_session="), "{}", admin.cookie());
    let me = admin.get("/api/auth/me").send().json();
    assert_eq!(me["user"]["email"], server.demo["email"]);
    assert_eq!(me["user"]["role"], "admin");
    let sessions = admin.get("/api/auth/sessions").send().json();
    assert_eq!((sessions["total"].as_u64(), sessions["data"][0]["current"].as_bool()), (Some(1), Some(true)));
    assert_eq!(admin.post("/api/auth/logout").send().status, 204);
    assert_eq!(admin.get("/api/auth/me").send().problem(), (401, "UNAUTHENTICATED".to_owned()));
}

#[test]
fn wrong_credentials_and_unknown_accounts_are_answered_alike() {
    let server = Server::demo();
    let answers: Vec<_> = [
        ("admin@localhost", "wrong password, long enough"),
        ("nobody@localhost", "wrong password, long enough"),
    ]
    .into_iter()
    .map(|(email, password)| {
        server.sign_in_with(&json!({ "email": email, "password": password })).err().unwrap()
    })
    .map(|answer| {
        let mut body = answer.json();
        body["request_id"] = json!(null);
        (answer.status, body)
    })
    .collect();
    assert_eq!(answers[0].0, 401);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn the_cookie_is_secure_where_people_come_by_https() {
    let server = Setup::demo().variable("PUBLIC_URL", "https://flags.example.com").start();
    let person = server.sign_in();
    assert!(person.cookie().starts_with("__Host-flagstone_session="), "{}", person.cookie());
    assert_eq!(person.get("/api/auth/me").send().status, 200);
}

#[test]
fn the_sixth_sign_in_within_a_minute_is_refused() {
    let server = Setup::demo().with_shipped_limits().start();
    let body = json!({ "email": "admin@localhost", "password": "wrong password, long enough" });
    for attempt in 1..=5 {
        let answer = server.post("/api/auth/login").json(&body).send();
        assert_eq!(answer.status, 401, "attempt {attempt}");
    }
    let answer = server.post("/api/auth/login").json(&body).send();
    assert_eq!(answer.problem(), (429, "RATE_LIMITED".to_owned()));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(answer.header("ratelimit-limit"), Some("5"));
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    // Others go on: the sign-in's limit is not that of other paths.
    assert_eq!(server.get("/api/auth/status").send().status, 200);
}

#[test]
fn the_first_admin_comes_from_the_settings() {
    let password = "a long and quiet evening";
    let server = Setup::shipped()
        .variable("ADMIN_PASSWORD", password)
        .variable("ADMIN_EMAIL", "Ann@Example.com")
        .start();
    assert_eq!(server.get("/api/auth/status").send().json()["setup_required"], false);
    let ann = server.sign_in_with(&json!({ "email": "ann@example.com", "password": password })).ok().unwrap();
    assert_eq!(ann.get("/api/auth/me").send().json()["user"]["role"], "admin");
}

#[test]
fn a_password_that_the_rules_refuse_stops_the_start() {
    let output = Setup::shipped().variable("ADMIN_PASSWORD", "short").run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("admin.password") && !said.contains("short\n"), "{said}");
}

#[test]
fn a_set_up_token_makes_one_admin_and_no_second() {
    let setup = Setup::shipped().variable("STRICT_RATE_LIMIT_MAX", "100");
    let server = setup.clone().start();
    assert_eq!(server.get("/api/auth/status").send().json()["setup_required"], true);
    // Beside the running server, whose own token it voids.
    let printed = setup.run(&["user", "setup-token"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let token = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let setup = |token: &str, password: &str| {
        let body = json!({ "token": token, "email": "a@example.com", "password": password });
        server.post("/api/auth/setup").json(&body).send()
    };
    let password = "a long and quiet evening";
    assert_eq!(setup("x", password).status, 422);
    let short = setup(&token, "short");
    assert_eq!((short.status, short.json()["errors"][0]["pointer"].clone()), (422, json!("/password")));
    let made = setup(&token, password);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["user"]["role"], "admin");
    assert!(made.header("set-cookie").unwrap().contains("HttpOnly"));
    assert_eq!(setup(&token, password).status, 409, "there is an admin already");
    assert!(server.sign_in_with(&json!({ "email": "a@example.com", "password": password })).is_ok());
}

#[test]
fn users_are_made_on_the_command_line() {
    let setup = Setup::shipped();
    let create = |email: &str, role: &str, password: &str| {
        let mut child = setup
            .command(&["user", "create", email, "--role", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(create("m@example.com", "member", "short\n").status.code(), Some(1));
    let made = create("m@example.com", "member", "a long and quiet evening\n");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(
        create("m@example.com", "member", "a long and quiet evening\n").status.code(),
        Some(1),
        "twice"
    );
    let server = setup.start();
    let member = server
        .sign_in_with(&json!({ "email": "m@example.com", "password": "a long and quiet evening" }))
        .ok()
        .unwrap();
    assert_eq!(member.get("/api/management/projects").send().status, 200);
    let refused = member.post("/api/management/projects").json(&json!({ "key": "web" })).send();
    assert_eq!(refused.problem(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(member.get("/api/management/pipeline").send().status, 403);
}

#[test]
fn changing_the_password_ends_the_other_sessions() {
    let server = Server::demo();
    let (one, other) = (server.sign_in(), server.sign_in());
    let body =
        json!({ "current_password": server.demo["password"], "new_password": "a long and quiet evening" });
    let answer = one.post("/api/auth/change-password").json(&body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(other.get("/api/auth/me").send().status, 401);
    assert_eq!(one.get("/api/auth/me").send().status, 401, "the session has a new id");
    assert!(answer.header("set-cookie").is_some());
}

#[test]
fn a_password_is_the_same_however_it_is_typed_and_sessions_have_a_number() {
    let server = Setup::shipped()
        .variable("STRICT_RATE_LIMIT_MAX", "100")
        .variable("ADMIN_PASSWORD", "une soir\u{e9}e tr\u{e8}s calme, vraiment")
        .variable("FLAGSTONE_SESSIONS__MAX_PER_USER", "2")
        .start();
    let decomposed = "une soire\u{301}e tre\u{300}s calme, vraiment";
    let body = json!({ "email": "admin@localhost", "password": decomposed });
    let people: Vec<_> = (0..3).map(|_| server.sign_in_with(&body).ok().unwrap()).collect();
    let statuses: Vec<u16> = people.iter().map(|person| person.get("/api/auth/me").send().status).collect();
    assert_eq!(statuses, [401, 200, 200], "the oldest ended");
    assert_eq!(people[2].get("/api/auth/sessions").send().json()["data"].as_array().unwrap().len(), 2);
}
