//! Rubbish from the network (issue "Bad input"): a clear answer, and nothing lost.

use serde_json::{Map, Value, json};

use crate::harness::{Server, Setup};

const FLAGS: &str = "/api/management/projects/demo/flags";

#[test]
fn bodies_that_are_not_json_are_400() {
    let server = Server::demo();
    let admin = server.sign_in();
    let deep = format!("{{\"key\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["", "{", "nonsense", "{\"key\":\"a\",\"key\":\"b\"}", "\"\\ud800\"", "{\"n\":1e999}", &deep]
    {
        let answer = admin.post(FLAGS).header("content-type", "application/json").body(body).send();
        assert_eq!(answer.problem(), (400, "BAD_JSON".to_owned()), "{body:.40}");
        assert!(answer.json()["request_id"].is_string());
    }
    let answer =
        admin.post(FLAGS).header("content-type", "application/json").body(vec![b'"', 0xff, b'"']).send();
    assert_eq!(answer.status, 400);
    let answer =
        server.post("/api/v1/evaluate").key(&server.client_key()).json(&Value::Null).body(deep).send();
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn a_zero_character_is_refused_wherever_it_stands() {
    let server = Server::demo();
    let admin = server.sign_in();
    for document in [
        json!({ "key": "a\0b", "type": "boolean" }),
        json!({ "key": "zero", "type": "boolean", "name": "a\0b" }),
        json!({ "key": "zero", "type": "boolean", "description": "a\0b" }),
        json!({ "key": "zero", "type": "boolean", "tags": ["a\0b"] }),
    ] {
        assert_eq!(admin.post(FLAGS).json(&document).send().status, 422, "{document}");
    }
    for path in ["flags?search=a%00b", "flags?tag=a%00b", "flags/a%00b", "segments/a%00b"] {
        let answer = admin.get(&format!("/api/management/projects/demo/{path}")).send();
        assert!([404, 422].contains(&answer.status), "{path}: {answer:?}");
    }
    let body = json!({ "email": "a\0b@example.com", "password": "a\0b" });
    assert_eq!(server.post("/api/auth/login").json(&body).send().status, 401);
    let unknown = server.post("/api/v1/evaluate/a%00b").key(&server.client_key()).send();
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

#[test]
fn a_body_of_another_type_is_415_and_one_that_is_too_large_413() {
    let server = Server::demo();
    let admin = server.sign_in();
    let answer = admin.post(FLAGS).header("content-type", "text/plain").body("{}").send();
    assert_eq!(answer.problem(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    // Refused by what the head says: nothing of the body is waited for.
    let head = format!(
        "POST {FLAGS} HTTP/1.1\r\nHost: x\r\nCookie: {}\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n",
        admin.cookie()
    );
    assert_eq!(raw(&server, &head), 413);
    let chunk = "x".repeat(0x8000);
    let chunked = head.replace("Content-Length: 1048577", "Transfer-Encoding: chunked")
        + "1\r\n\"\r\n"
        + &format!("8000\r\n{chunk}\r\n").repeat(32);
    assert_eq!(raw(&server, &chunked), 413);
}

#[test]
fn unknown_fields_and_bad_values_are_422_with_pointers() {
    let server = Server::demo();
    let admin = server.sign_in();
    let flag = json!({ "key": "a b", "type": "boolean", "nmae": "x", "tags": [1], "variants": [{ "key": "on", "value": 3 }] });
    let answer = admin.post(FLAGS).json(&flag).send();
    assert_eq!(answer.problem(), (422, "INVALID".to_owned()));
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    for pointer in ["/key", "/nmae", "/tags/0", "/variants/0/value"] {
        assert!(pointers.contains(&pointer), "{pointers:?}");
    }
}

#[test]
fn contexts_with_10_000_attributes_and_odd_values_are_evaluated() {
    let server = Server::demo();
    let mut attributes: Map<String, Value> =
        (0..10_000).map(|index| (format!("a{index}"), json!(index))).collect();
    attributes.insert("plan".to_owned(), json!("pro"));
    attributes.insert("nul\u{0}".to_owned(), json!("\u{0}"));
    attributes.insert("edge".to_owned(), json!([i64::MIN, u64::MAX, 1e308, -0.0, 5e-324]));
    let body = json!({ "context": { "targetingKey": "\u{0}", "attributes": attributes } });
    let answer = server.post("/api/v1/evaluate/beta-search").key(&server.client_key()).json(&body).send();
    assert_eq!((answer.status, answer.json()["value"].clone()), (200, json!(true)));
}

#[test]
fn flag_keys_that_are_paths_find_nothing() {
    let server = Server::demo();
    let key = server.client_key();
    for flag in ["..%2Fsecret", "%2e%2e", "a%2Fb", "%00", "%ff", "a%20b"] {
        let answer = server.post(&format!("/api/v1/evaluate/{flag}")).key(&key).send();
        assert_eq!(answer.status, 404, "{flag}: {answer:?}");
        let answer =
            server.post(&format!("/ofrep/v1/evaluate/flags/{flag}")).key(&key).json(&json!({})).send();
        assert_eq!(answer.status, 404, "{flag}: {answer:?}");
    }
    let long = "k".repeat(20_000);
    let answer = server.post(&format!("/api/v1/evaluate/{long}")).key(&key).send();
    assert_eq!(answer.problem(), (414, "URI_TOO_LONG".to_owned()));
    // A head beyond the connection's buffer is refused before there is a request.
    let longer = "k".repeat(1 << 20);
    assert!(
        [414, 431]
            .contains(&raw(&server, &format!("POST /api/v1/evaluate/{longer} HTTP/1.1\r\nHost: x\r\n\r\n")))
    );
}

/// Sends bytes and reads the status of what comes back.
fn raw(server: &Server, bytes: &str) -> u16 {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    // The server may answer and close before all is sent.
    let _ = socket.write_all(bytes.as_bytes());
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..12]).parse().unwrap()
}

#[test]
fn unknown_paths_and_wrong_methods_are_problems_with_headers() {
    let server = Server::demo();
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "//health", 404),
        ("DELETE", "/health", 405),
        ("TRACE", "/health", 405),
        ("GET", "/api/v1/evaluate", 405),
    ] {
        let answer = server.request(method, path).send();
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("ratelimit-limit").is_some(), "limited too");
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
    let head = server.request("HEAD", "/health").send();
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn a_forged_forwarded_address_changes_nothing_unless_the_proxy_is_trusted() {
    let limits = |setup: Setup| setup.variable("RATE_LIMIT_MAX", "3").start();
    let server = limits(Setup::demo());
    let answer = |server: &Server, address: &str| {
        server.get("/api/auth/status").header("x-forwarded-for", address).send().status
    };
    let statuses: Vec<u16> = (0..5).map(|index| answer(&server, &format!("198.51.100.{index}"))).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let behind = limits(Setup::demo().variable("TRUSTED_PROXIES", "127.0.0.0/8"));
    let statuses: Vec<u16> = (0..5).map(|index| answer(&behind, &format!("198.51.100.{index}"))).collect();
    assert_eq!(statuses, [200; 5]);
    let statuses: Vec<u16> =
        (0..4).map(|index| answer(&behind, &format!("203.0.113.{index}, 198.51.100.7"))).collect();
    assert_eq!(statuses, [200, 200, 200, 429], "the last address that is not trusted counts");
}
