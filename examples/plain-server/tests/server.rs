//! The server as a process: what it answers, and what saving its pipeline changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::watch};

const SOON: Duration = Duration::from_secs(20);
const READER: &str = "read-only-example-key";
const WRITER: &str = "read-and-write-example-key";

/// A server of its own, with the files as they are shipped.
struct Server {
    process: Child,
    folder: TempDir,
    address: String,
    log: watch::Receiver<String>,
}

/// One connection, kept open.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["pipeline.toml", "keys.txt"] {
            fs::copy(shipped.join(name), folder.path().join(name)).unwrap();
        }
        let mut process = command(folder.path()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        let (written, log) = watch::channel(String::new());
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.send_modify(|log| *log += &(line + "\n"));
            }
        });
        Self { process, folder, address, log }
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Connection { sender }
    }

    fn pipeline(&self) -> PathBuf {
        self.folder.path().join("pipeline.toml")
    }

    /// Saves the pipeline with one text for another, as an editor does: beside it, then renamed.
    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.pipeline()).unwrap();
        assert!(text.contains(from), "{from}");
        let temporary = self.folder.path().join("pipeline.toml.tmp");
        fs::write(&temporary, text.replacen(from, to, 1)).unwrap();
        fs::rename(temporary, self.pipeline()).unwrap();
    }

    /// Waits for a line of the log that has all of these.
    async fn logs(&self, parts: &[&str]) {
        let has = |log: &String| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        let mut log = self.log.clone();
        let found = tokio::time::timeout(SOON, log.wait_for(has)).await.is_ok_and(|found| found.is_ok());
        assert!(found, "{parts:?} should be in:\n{}", *self.log.borrow());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Connection {
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("user-agent", "test");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    async fn call(&mut self, method: Method, path: &str, key: Option<&str>, body: &str) -> Answer {
        let (head, body) = self.send(method, path, key, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    async fn get(&mut self, path: &str, key: Option<&str>) -> Answer {
        self.call(Method::GET, path, key, "").await
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain-server"));
    command
        .current_dir(folder)
        .env("LISTEN", "127.0.0.1:0")
        .env_remove("PIPELINE")
        .env_remove("KEYS_FILE")
        .env_remove("TRUSTED_PROXIES")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn every_route_has_the_access_it_states_and_every_answer_its_headers() {
    let server = Server::start();
    let mut connection = server.connect().await;
    for (method, path, key, expected) in [
        (Method::GET, "/health", None, 200),
        (Method::GET, "/notes", None, 401),
        (Method::GET, "/notes", Some("a wrong key"), 401),
        (Method::GET, "/notes", Some(READER), 200),
        (Method::POST, "/notes", None, 401),
        (Method::POST, "/notes", Some(READER), 403),
        (Method::POST, "/notes", Some(WRITER), 201),
        (Method::GET, "/notes/0", Some(READER), 200),
        (Method::GET, "/notes/7", Some(READER), 404),
        (Method::GET, "/n/0", Some(READER), 200),
        (Method::GET, "/n/0", None, 401),
        (Method::GET, "/nothing", None, 404),
        (Method::DELETE, "/notes", Some(WRITER), 405),
    ] {
        let answer = connection.call(method.clone(), path, key, "remember the milk").await;
        assert_eq!(answer.status, expected, "{method} {path} {key:?}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{method} {path}");
        assert!(answer.headers.contains_key("x-request-id"), "{method} {path}");
        if expected == 405 {
            assert_eq!(answer.headers["allow"], "GET, POST");
        }
    }
    let note = connection.get("/notes/0", Some(READER)).await.body;
    assert_eq!(note, serde_json::json!({ "id": 0, "text": "remember the milk" }));
    let too_large = connection.call(Method::POST, "/notes", Some(WRITER), &"x".repeat(5_000)).await;
    assert_eq!((too_large.status.as_u16(), &too_large.body["code"]), (413, &"BODY_TOO_LARGE".into()));
    // The log names who it was, and never the key.
    server.logs(&["/notes", "key:writer", "201"]).await;
    assert!(!server.log.borrow().contains(WRITER));
}

#[tokio::test]
async fn a_save_changes_what_the_next_request_on_the_same_connection_meets() {
    let server = Server::start();
    let mut connection = server.connect().await;
    for _ in 0..3 {
        assert_eq!(connection.get("/notes", Some(READER)).await.headers["ratelimit-limit"], "100");
    }
    // What was counted counts: three of three are used up at once.
    server.edit("requests = 100", "requests = 3");
    server.logs(&["pipeline applied", "changed limit"]).await;
    assert_eq!(connection.get("/notes", Some(READER)).await.status, 429);
    assert_eq!(connection.get("/health", None).await.status, 200);
    server.edit("requests = 3", "requests = 300");
    server.logs(&["pipeline applied", "generation=3"]).await;
    assert_eq!(connection.get("/notes", Some(READER)).await.status, 200);
}

#[tokio::test]
async fn a_layer_of_the_server_s_own_is_a_layer_like_any_other() {
    let server = Server::start();
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/health", None).await.status, 200);
    server.edit("blocked = [\"badbot\"]", "blocked = [\"TEST\"]");
    server.logs(&["pipeline applied", "changed known-programs"]).await;
    let refused = connection.get("/health", None).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (403, &"NOT_YOU".into()));
    assert_eq!(refused.headers["x-content-type-options"], "nosniff");
    server.edit("mode = \"enforce\"", "mode = \"observe\"");
    server.logs(&["pipeline applied", "generation=3"]).await;
    assert_eq!(connection.get("/health", None).await.status, 200);
    server.edit("blocked = [\"TEST\"]", "blockd = [\"TEST\"]");
    server.logs(&["ERROR", "pipeline.toml", "did you mean `blocked`?"]).await;
    assert_eq!(connection.get("/health", None).await.status, 200);
}

#[tokio::test]
async fn a_bad_save_changes_nothing_and_a_stream_outlives_good_and_bad_ones() {
    let server = Server::start();
    let began = Instant::now();
    let mut stream = server.connect().await.send(Method::GET, "/clock", Some(READER), "").await.into_body();
    assert_eq!(next(&mut stream).await, "data: 0\n\n");

    // The route would be open to anybody.
    server.edit("chain = \"write\"", "chain = \"public\"");
    server.logs(&["pipeline rejected"]).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.call(Method::POST, "/notes", Some(READER), "x").await.status, 403);
    server.edit(
        "chain = \"public\"\n\n[[routes]]\npath = \"/clock\"",
        "chain = \"write\"\n\n[[routes]]\npath = \"/clock\"",
    );
    server.logs(&["pipeline unchanged"]).await;
    server.edit("size = \"4KiB\"", "size = \"1KiB\"");
    server.logs(&["pipeline applied", "changed body-limit"]).await;
    // A tick for each second: one that was not sent before the last save was applied comes, too.
    let applied = began.elapsed().as_secs();
    for second in 1..=applied + 1 {
        assert_eq!(next(&mut stream).await, format!("data: {second}\n\n"));
    }
}

async fn next(stream: &mut Incoming) -> String {
    let frame = tokio::time::timeout(SOON, stream.frame()).await.unwrap().unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().into()).unwrap()
}

#[test]
fn a_bad_pipeline_at_the_start_ends_the_process_with_all_its_faults() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.txt"), folder.path().join("keys.txt")).unwrap();
    fs::write(folder.path().join("pipeline.toml"), "version = 1\n[layers.a]\nkind = \"nothing\"\n").unwrap();
    let mut process = command(folder.path()).spawn().unwrap();
    let code = process.wait().unwrap().code();
    let mut text = String::new();
    process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("nothing") && text.contains("[fallback]") && text.contains("^"), "{text}");
}
