//! One shape for every error (R57), as the server's own document has it.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::harness::{Answer, PATIENCE, Server, Setup};

const PROJECTS: &str = "/api/management/projects";
const DEMO: &str = "/api/management/projects/demo";

/// The document's problems.
struct Documented {
    responses: Value,
}

impl Documented {
    fn of(document: &Value) -> Self {
        Self { responses: document["components"]["responses"].clone() }
    }

    /// Whether the body is a problem of this status and code, in the one shape.
    fn check(&self, what: &str, status: u16, code: &str, body: &Value) {
        assert_eq!(body["type"], "about:blank", "{what}: {body}");
        assert_eq!(body["status"], status, "{what}: {body}");
        assert_eq!(body["code"], code, "{what}: {body}");
        for text in ["title", "detail", "request_id"] {
            assert!(body[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {what}: {body}");
        }
        let documented = self.responses.as_object().unwrap().values().any(|response| {
            let schema = &response["content"]["application/problem+json"]["schema"]["properties"];
            let codes = schema["code"]["examples"].as_array();
            schema["status"]["const"] == status && codes.is_some_and(|codes| codes.contains(&json!(code)))
        });
        assert!(documented, "the document has no {status} {code}");
    }

    fn check_answer(&self, what: &str, status: u16, code: &str, answer: &Answer) {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        let body = answer.json();
        self.check(what, status, code, &body);
        assert_eq!(answer.header("x-request-id"), body["request_id"].as_str(), "{what}");
    }
}

fn document(server: &Server) -> Value {
    server.get("/api/openapi.json").send().json()
}

#[test]
fn the_document_is_public_small_when_compressed_and_asked_for_once() {
    let server = Server::demo();
    let first = server.get("/api/openapi.json").send();
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    assert_eq!(first.json()["openapi"], "3.1.0");
    let tag = first.header("etag").unwrap();
    let again = server.get("/api/openapi.json").header("if-none-match", tag).send();
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    let other = server.get("/api/openapi.json").header("if-none-match", "\"0\"").send();
    assert_eq!(other.status, 200);
    let compressed = server.get("/api/openapi.json").header("accept-encoding", "br").send();
    assert_eq!(compressed.header("content-encoding"), Some("br"));
    assert!(compressed.body.len() < first.body.len() / 4, "{} bytes", compressed.body.len());
}

#[test]
fn every_path_refuses_strangers_and_other_methods_in_one_shape() {
    let server = Server::demo();
    let document = document(&server);
    let documented = Documented::of(&document);
    let mut strangers = 0;
    for (pattern, operations) in document["paths"].as_object().unwrap() {
        let path = pattern.replace(['{', '}'], "");
        let refused = server.request("PATCH", &path).send();
        documented.check_answer(&path, 405, "METHOD_NOT_ALLOWED", &refused);
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            assert!(refused.header("allow").unwrap().contains(&method), "{method} {path}");
            if operation["security"] != json!([]) {
                let answer = server.request(&method, &path).send();
                documented.check_answer(&format!("{method} {path}"), 401, "UNAUTHENTICATED", &answer);
                strangers += 1;
            }
        }
    }
    assert!(strangers > 35, "{strangers}");
    documented.check_answer("nothing", 404, "NOT_FOUND", &server.get("/nothing").send());
    let long = format!("/{}", "a".repeat(9_000));
    documented.check_answer("long", 414, "URI_TOO_LONG", &server.get(&long).send());
}

#[test]
fn handlers_refuse_in_one_shape() {
    let server = Server::demo();
    let documented = Documented::of(&document(&server));
    let admin = server.sign_in();
    let put = |tag: &str| admin.request("PUT", DEMO).header("if-match", tag).json(&json!({})).send();
    let post = |body: &Value| admin.post(PROJECTS).json(body).send();
    let plain = admin.post(PROJECTS).header("content-type", "text/plain").body("x").send();
    let large = admin.post(PROJECTS).json(&json!("x".repeat(2 << 20))).send();
    let server_only = server.post("/api/v1/evaluate?trace=true").key(&server.client_key()).send();
    let definitions = server.get("/api/v1/definitions").key(&server.client_key()).send();
    let no_flag = server.post("/api/v1/evaluate/nothing").key(&server.client_key()).send();
    let context = server.post("/api/v1/evaluate").key(&server.client_key()).json(&json!([])).send();
    let wrong = server.post("/api/auth/login").json(&json!({ "email": "a@b.c", "password": "x" })).send();
    for (status, code, answer) in [
        (400, "BAD_JSON", admin.post(PROJECTS).json(&Value::Null).body("{").send()),
        (400, "BAD_QUERY", admin.get(&format!("{PROJECTS}?limit=many")).send()),
        (400, "INVALID_CONTEXT", context),
        (401, "INVALID_CREDENTIALS", wrong),
        (403, "SERVER_KEY_REQUIRED", server_only),
        (403, "FORBIDDEN", definitions),
        (404, "NOT_FOUND", admin.get(&format!("{PROJECTS}/nothing")).send()),
        (404, "FLAG_NOT_FOUND", no_flag),
        (409, "CONFLICT", post(&json!({ "key": "demo" }))),
        (412, "STALE_VERSION", put("\"77\"")),
        (413, "BODY_TOO_LARGE", large),
        (415, "UNSUPPORTED_MEDIA_TYPE", plain),
        (422, "INVALID", post(&json!({ "key": "NO" }))),
        (428, "IF_MATCH_REQUIRED", admin.request("PUT", DEMO).json(&json!({})).send()),
    ] {
        documented.check_answer(code, status, code, &answer);
    }
}

#[test]
fn layers_refuse_in_one_shape() {
    let settings = |text: String| {
        let login = "path = \"/api/auth/login\"\nchain = \"login\"";
        text.replace(login, &format!("{login}\noverride.timeout = {{ after = \"1ms\" }}"))
            .replace("read_timeout = \"15s\"", "read_timeout = \"50ms\"")
            .replace("# [layers.decompress]\n# kind", "[layers.decompress]\nkind")
            .replace("\"sdk-limit\", \"body-limit\"", "\"sdk-limit\", \"decompress\", \"body-limit\"")
            .replace(
                "\"stream-token\", \"stream-timeout\"",
                "\"nobody\", \"stream-token\", \"stream-timeout\"",
            )
            .replace(
                "[chains]\n",
                "[layers.nobody]\nkind = \"ip_filter\"\nblock = [\"127.0.0.1\"]\n\n[chains]\n",
            )
    };
    let server = Setup::demo().variable("RATE_LIMIT_MAX", "30").pipeline(settings).start();
    let documented = Documented::of(&document(&server));
    let body = json!({ "email": "a@b.c", "password": "x" });
    let sign_in = || server.post("/api/auth/login").json(&body);
    let encoded = server.post("/api/v1/evaluate").key(&server.client_key()).json(&json!({}));
    for (status, code, answer) in [
        (403, "ADDRESS_REFUSED", server.get("/ofrep/v1/events?token=x").send()),
        (403, "CROSS_SITE_REQUEST", sign_in().header("sec-fetch-site", "cross-site").send()),
        (415, "UNSUPPORTED_CONTENT_ENCODING", encoded.header("content-encoding", "lzw").send()),
        // A hash takes longer.
        (503, "TIMEOUT", sign_in().send()),
    ] {
        documented.check_answer(code, status, code, &answer);
    }
    let slow = "POST /api/v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n";
    let slow = format!("{slow}Authorization: Bearer {}\r\n\r\n{{", server.client_key());
    documented.check("a slow body", 408, "BODY_TIMEOUT", &raw(&server, &slow));
    let hosts = "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    documented.check("two hosts", 400, "BAD_HOST", &raw(&server, hosts));
    let limited = (0..31).map(|_| server.get("/nothing").send()).find(|answer| answer.status == 429).unwrap();
    documented.check_answer("too many", 429, "RATE_LIMITED", &limited);
    assert!(limited.header("retry-after").unwrap().parse::<u32>().is_ok());
}

#[test]
fn ofrep_refuses_in_its_own_shape() {
    let server = Server::demo();
    let ask = |path: &str, body: &str| {
        let request = server.post(path).key(&server.client_key()).header("content-type", "application/json");
        request.body(body).send()
    };
    for (path, body, status, code) in [
        ("/ofrep/v1/evaluate/flags", "{", 400, "PARSE_ERROR"),
        ("/ofrep/v1/evaluate/flags", "[]", 400, "INVALID_CONTEXT"),
        ("/ofrep/v1/evaluate/flags/theme", "", 400, "PARSE_ERROR"),
        ("/ofrep/v1/evaluate/flags/nothing", "{}", 404, "FLAG_NOT_FOUND"),
    ] {
        let answer = ask(path, body);
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")));
        assert_eq!(answer.json()["errorCode"], code, "{path}");
        assert_eq!(answer.json().get("code"), None, "{path}");
    }
}

/// Sends bytes and reads a problem until the connection or the problem ends.
fn raw(server: &Server, request: &str) -> Value {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = socket.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        let all = String::from_utf8_lossy(&text);
        if let Some((head, body)) = all.split_once("\r\n\r\n")
            && let Ok(problem) = serde_json::from_str(body)
        {
            assert!(head.contains("content-type: application/problem+json"), "{head}");
            return problem;
        }
        assert_ne!(read, 0, "the answer is no problem: {all}");
    }
}
