//! Whatever panics in a request's way, the request gets its answer and its one line, and the next one is served.

use std::{
    io,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink},
    kernel::{
        Access, Around, Ended, Flow, Handler, Hook, LayerSpec, Order, PrepareContext, PrepareError, Prepared,
        Registered, RequestHead, Resources, ResponseHead, RouteSpec, WrapContext, handler,
    },
};
use flagstone_pipeline::Host;
use http_body::Frame;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    server::{drain::Drain, runtime::DataPlane},
    settings::Settings,
};

/// Where a layer of a third party panics.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Place {
    Request,
    Response,
    End,
    Call,
    Answer,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
struct Config {
    at: Place,
}

struct Spec;

struct Panicking(Place);

/// What stands around a service and panics.
struct PanickingAround {
    place: Place,
    inner: Next,
}

/// A body that gives one chunk, waits and panics.
struct PanickingBody(u8);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl LayerSpec for Spec {
    const KIND: &'static str = "panics";
    const ABOUT: &'static str = "panics";
    type Config = Config;

    fn order(_: &Config) -> Order {
        Order::default()
    }

    fn prepare(config: &Config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Ok(match config.at {
            Place::Call | Place::Answer => Prepared::around(Panicking(config.at)),
            _ => Prepared::hook(Panicking(config.at)),
        })
    }
}

impl Hook for Panicking {
    type State = ();
    const ENDS: bool = true;

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        assert!(self.0 != Place::Request, "at the request");
        Flow::Continue(())
    }

    fn on_response(&self, (): (), _: &mut ResponseHead<'_>) {
        assert!(self.0 != Place::Response, "at the response");
    }

    fn on_end(&self, _: &Exchange, _: &Ended) {
        assert!(self.0 != Place::End, "at the end");
    }
}

impl Around for Panicking {
    fn wrap(&self, inner: Next, _: &WrapContext) -> Next {
        Next::new(PanickingAround { place: self.0, inner })
    }
}

impl Handler for PanickingAround {
    fn call(&self, request: Request) -> Call {
        assert!(self.place != Place::Call, "at the call");
        let answer = self.inner.call(request);
        Call::Future(Box::pin(async move {
            drop(answer.wait().await);
            tokio::task::yield_now().await;
            panic!("at the answer")
        }))
    }
}

impl http_body::Body for PanickingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        match self.0 {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first"))))),
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => panic!("in the body"),
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ok() -> Next {
    handler(async |_| Response::new(Body::from("fine")))
}

fn routes() -> Vec<(RouteSpec, Next)> {
    let at_once = Next::new(|_: Request| -> Call { panic!("at once") });
    let later = handler(async |_| -> Response {
        tokio::task::yield_now().await;
        panic!("later")
    });
    let body = handler(async |_| Response::new(Body::new(PanickingBody(0))));
    let route = |path, next| (RouteSpec::new(Method::GET, path, path, Access::Public), next);
    vec![
        route("/fine", ok()),
        route("/at-once", at_once),
        route("/later", later),
        route("/body", body),
        route("/request", ok()),
        route("/response", ok()),
        route("/end", ok()),
        route("/call", ok()),
        route("/answer", ok()),
        route("/outside", ok()),
        route("/outside-response", ok()),
    ]
}

fn pipeline_file() -> String {
    let mut file = "version = 1\n[layers]\naddress = { kind = \"client_ip\" }\nid = { kind = \"request_id\" }\nlog = { kind = \"access_log\" }\n\
                    catch = { kind = \"catch_panic\" }\n"
        .to_owned();
    for place in ["request", "response", "end", "call", "answer"] {
        file += &format!("{place} = {{ kind = \"panics\", at = \"{place}\" }}\n");
    }
    file += "[chains]\nedge = [\"address\", \"id\", \"log\", \"catch\"]\noutside = [\"address\", \"id\", \"log\", \"request\", \"catch\"]\n\
             outside-response = [\"address\", \"id\", \"log\", \"response\", \"catch\"]\n";
    for place in ["request", "response", "end", "call", "answer"] {
        file += &format!("{place} = [\"@edge\", \"{place}\"]\n");
    }
    for path in [
        "fine",
        "at-once",
        "later",
        "body",
        "request",
        "response",
        "end",
        "call",
        "answer",
        "outside",
        "outside-response",
    ] {
        let chain = if matches!(path, "fine" | "at-once" | "later" | "body") { "edge" } else { path };
        file += &format!("[[routes]]\npath = \"/{path}\"\nchain = \"{chain}\"\n");
    }
    file + "[fallback]\nchain = \"edge\"\n"
}

/// All that comes on one connection.
async fn ask(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    // A connection that is cut off is an end, too.
    let _ = socket.read_to_string(&mut text).await;
    text
}

/// How large the future is that a function makes.
fn size_of_future<F>(
    _: impl FnOnce(Arc<Connections>, TcpStream, SocketAddr, watch::Receiver<Phase>) -> F,
) -> usize {
    size_of::<F>()
}

/// A stream holds one for days, and a future that is handed on is easily held twice.
#[test]
fn a_connection_is_small() {
    let (size, of_hyper) =
        (size_of_future(Connections::serve), size_of::<http1::Connection<Watched, RequestService>>());
    assert!(size < of_hyper + 1024, "{size} bytes, of which hyper needs {of_hyper}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_meets_a_panic_has_an_answer_and_one_line_and_the_next_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, pipeline_file()).unwrap();
    let log = Log::default();
    let (sink, writer) = AccessLogSink::start(log.clone(), &AccessLogOptions::default()).unwrap();
    let host = Host {
        registry: flagstone_layers::registry().with(&[Registered::of::<Spec>()]),
        resources: Resources::new().with(sink),
        routes: routes(),
        fallback: ok(),
        variables: Arc::new(|_| None),
        settings: None,
        background: None,
    };
    let table = Table::new(host.routes.iter().map(|(spec, _)| spec)).unwrap();
    let pipeline = Pipeline::load(&file, host).unwrap_or_else(|report| panic!("{report}"));
    let connections = Connections::new(pipeline, table, Settings::default().limits(), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, data_plane) = (Drain::new(), Arc::new(DataPlane::Shared));
    tokio::spawn(crate::server::listen::accept(listener, connections, data_plane, 100, drain.clone()));

    for path in ["at-once", "later", "request", "response", "call", "answer", "outside", "outside-response"] {
        let answer = ask(address, &format!("/{path}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"code\":\"INTERNAL\""),
            "{path}: {answer}"
        );
        assert!(ask(address, "/fine").await.ends_with("fine"), "{path}");
    }
    assert!(ask(address, "/end").await.ends_with("fine"));
    let cut_off = ask(address, "/body").await;
    assert!(cut_off.contains("first") && !cut_off.ends_with("0\r\n\r\n"), "{cut_off}");
    assert!(ask(address, "/fine").await.ends_with("fine"));
    drain.enter(Phase::Draining);
    assert!(drain.finished(Duration::from_secs(20)).await);

    assert!(writer.close(Duration::from_secs(20)));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (path, status, outcome) in [
        ("/at-once", Some(500), "complete"),
        ("/later", Some(500), "complete"),
        ("/request", Some(500), "complete"),
        ("/response", Some(500), "complete"),
        ("/call", Some(500), "complete"),
        ("/answer", Some(500), "complete"),
        ("/outside", None, "failed"),
        ("/outside-response", None, "failed"),
        ("/end", Some(200), "complete"),
        ("/body", Some(200), "failed"),
    ] {
        let about: Vec<_> = lines.iter().filter(|line| line["path"] == path).collect();
        let [line] = about[..] else { panic!("{path}: {about:?}") };
        assert_eq!((line["status"].as_u64(), &line["outcome"]), (status, &outcome.into()), "{line}");
        assert_eq!(line["level"] == "ERROR", path != "/end", "{line}");
        assert!(line["request_id"].is_string());
    }
    assert_eq!(lines.len(), 10 + 9);
}
