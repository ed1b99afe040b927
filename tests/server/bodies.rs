//! Bodies that are compressed, on the way in and on the way out.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup};

const FLAGS: &str = "/api/management/projects/demo/flags";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(answer: &Answer) -> Value {
    let mut text = String::new();
    flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn answers_are_compressed_for_those_who_ask_and_secrets_never() {
    let server = Server::demo();
    let admin = server.sign_in();
    let plain = admin.get(FLAGS).send();
    let packed = admin.get(FLAGS).header("accept-encoding", "gzip").send();
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert_eq!(gunzip(&packed), plain.json());
    assert!(packed.body.len() < plain.body.len() / 2);
    assert!(packed.header("vary").unwrap().to_ascii_lowercase().contains("accept-encoding"));

    let keys = "/api/management/projects/demo/environments/development/keys";
    let long_name = "n".repeat(100);
    let new = admin.post(keys).json(&json!({ "kind": "client", "name": long_name }));
    let new = new.header("accept-encoding", "gzip").send();
    assert_eq!((new.status, new.header("content-encoding")), (201, None), "it holds a secret");
}

#[test]
fn the_tag_of_a_compressed_answer_is_accepted_back() {
    let server = Server::demo();
    let admin = server.sign_in();
    let path = format!("{FLAGS}/theme");
    // Long enough to be compressed.
    let mut flag = admin.get(&path).send().json();
    flag["description"] = json!("a theme ".repeat(200));
    assert_eq!(admin.put(&path, &flag).status, 200);
    let read = admin.get(&path).header("accept-encoding", "gzip").send();
    let tag = read.header("etag").unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");
    let changed = admin.request("PUT", &path).header("if-match", tag).json(&flag).send();
    assert_eq!(changed.status, 200, "{changed:?}");
    let stale = admin.request("PUT", &path).header("if-match", tag).json(&flag).send();
    assert_eq!(stale.status, 412);

    let key = server.server_key();
    let definitions = || server.get("/api/v1/definitions").key(&key).header("accept-encoding", "gzip");
    let tag = definitions().send().header("etag").unwrap().to_owned();
    assert_eq!(definitions().header("if-none-match", &tag).send().status, 304);
}

#[test]
fn compressed_contexts_are_read_where_the_pipeline_says_so() {
    let setup = Setup::demo().pipeline(|text| {
        text.replace(
            "# [layers.decompress]\n# kind = \"decompress\"",
            "[layers.decompress]\nkind = \"decompress\"",
        )
        .replace(
            "\"sdk-key\", \"sdk-limit\", \"body-limit\"",
            "\"sdk-key\", \"sdk-limit\", \"decompress\", \"body-limit\"",
        )
    });
    let server = setup.start();
    let key = server.client_key();
    let send = |coding: &str, body: Vec<u8>| {
        let request =
            server.post("/api/v1/evaluate/beta-search").key(&key).header("content-type", "application/json");
        request.header("content-encoding", coding).body(body).send()
    };
    let context = json!({ "context": { "user_id": "u", "attributes": { "plan": "pro" } } }).to_string();
    let answer = send("gzip", gzip(context.as_bytes()));
    assert_eq!((answer.status, &answer.json()["value"]), (200, &json!(true)));
    assert_eq!(send("gzip", context.clone().into_bytes()).problem(), (400, "BODY_BROKEN".to_owned()));
    let unknown = send("compress", context.into_bytes());
    assert_eq!(unknown.problem(), (415, "UNSUPPORTED_CONTENT_ENCODING".to_owned()));
    assert_eq!(unknown.header("accept-encoding"), Some("gzip, br, zstd, deflate"));
    let bomb = format!("{{\"context\": {{\"a\": \"{}\"}}}}", "x".repeat(900_000));
    assert_eq!(send("gzip", gzip(bomb.as_bytes())).problem(), (413, "BODY_TOO_LARGE".to_owned()));
    let large: String = (0..200_000).map(|number| format!("{number} ")).collect();
    let large = json!({ "context": { "a": large } }).to_string();
    assert_eq!(send("gzip", gzip(large.as_bytes())).problem(), (413, "BODY_TOO_LARGE".to_owned()));
}
