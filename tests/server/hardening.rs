//! What the layers of the shipped pipeline keep out.

use serde_json::json;

use crate::harness::{Server, Setup};

const PROJECT: &str = "/api/management/projects";

#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = Server::demo();
    let admin = server.sign_in();
    let create = |key: &str| admin.post(PROJECT).json(&json!({ "key": key, "name": key }));
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("referer", "https://evil.example/page"),
    ] {
        let answer = create("evil").header(name, value).send();
        assert_eq!(answer.problem(), (403, "CROSS_SITE_REQUEST".to_owned()), "{name}: {value}");
    }
    assert_eq!(admin.get(&format!("{PROJECT}/evil")).send().status, 404);
    assert_eq!(create("own").header("sec-fetch-site", "same-origin").send().status, 201);
    assert_eq!(create("origin").header("origin", &server.url).send().status, 201);
    assert_eq!(create("program").send().status, 201, "no browser sends neither");
    let read = admin.get(PROJECT).header("sec-fetch-site", "cross-site").send();
    assert_eq!(read.status, 200, "reading changes nothing");
    // Nobody is signed in by a page of another site either.
    let body = json!({ "email": server.demo["email"], "password": server.demo["password"] });
    let sign_in = server.post("/api/auth/login").json(&body).header("sec-fetch-site", "cross-site").send();
    assert_eq!(sign_in.status, 403);
}

#[test]
fn a_client_key_works_from_any_page() {
    let server = Server::demo();
    let answer = server
        .post("/api/v1/evaluate")
        .key(&server.client_key())
        .header("origin", "https://shop.example")
        .header("sec-fetch-site", "cross-site")
        .send();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn addresses_are_kept_out_and_let_in_while_the_server_runs() {
    let server = Server::demo();
    let original = std::fs::read_to_string(server.pipeline_file()).unwrap();
    let save = |from: &str, to: &str| {
        std::fs::write(server.pipeline_file(), original.replace(from, to)).unwrap();
        let outcome = server.admin("POST", "/pipeline/reload").send();
        assert_eq!(outcome.status, 200, "{outcome:?}");
    };
    let block = "block = { env = \"IP_BLOCK\", default = \"\" }";
    save(block, "block = ['127.0.0.0/8', '::1']");
    let refused = server.get("/health").send();
    assert_eq!(refused.problem(), (403, "ADDRESS_REFUSED".to_owned()));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"), "refusals have the headers too");
    save(block, "block = ['10.0.0.0/8']");
    assert_eq!(server.get("/health").send().status, 200);
}

#[test]
fn only_listed_addresses_administer() {
    let server = Setup::demo().variable("ADMIN_ALLOW", "192.0.2.0/24").start();
    let admin = server.sign_in();
    let refused = admin.post(PROJECT).json(&json!({ "key": "x", "name": "x" })).send();
    assert_eq!(refused.problem(), (403, "ADDRESS_REFUSED".to_owned()));
    assert_eq!(admin.get(PROJECT).send().status, 200, "what members may do is no administration");
}

#[test]
fn answers_are_kept_by_nobody_unless_their_handler_says_so() {
    let server = Server::demo();
    let admin = server.sign_in();
    for answer in [
        admin.get(PROJECT).send(),
        server.get("/health").send(),
        server.get("/nothing").send(),
        admin
            .post(&format!("{PROJECT}/demo/environments/development/keys"))
            .json(&json!({ "kind": "client", "name": "k" }))
            .send(),
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
}
