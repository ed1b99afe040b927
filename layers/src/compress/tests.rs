use std::convert::Infallible;

use http::Request as HttpRequest;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    kernel::{LayerSpec as _, Matched},
    testing,
};

/// An answer as the client gets it.
struct Got {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn get(settings: &str, accept: &str, prepare: impl Fn(&Arc<Exchange>, &mut Response)) -> Got {
    send(settings, HttpRequest::get("/").header("accept-encoding", accept), prepare).await
}

async fn send(
    settings: &str,
    request: http::request::Builder,
    prepare: impl Fn(&Arc<Exchange>, &mut Response),
) -> Got {
    let request = request.body(Body::empty()).unwrap();
    let exchange = Arc::new(Exchange::new(request.method().clone(), "/", Matched::NotFound));
    let mut answer = Response::new(Body::from("0123456789abcdef".repeat(512)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    prepare(&exchange, &mut answer);
    let answer = std::sync::Mutex::new(Some(answer));
    let service = Compress::layer(&testing::config(settings)).layer(service_fn({
        let answer = Arc::new(answer);
        move |_: HttpRequest<Body>| {
            let answer = answer.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(answer) }
        }
    }));
    let mut request = request;
    request.extensions_mut().insert(exchange);
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    Got { headers: parts.headers, body: body.read().await.unwrap().to_vec() }
}

fn nothing(_: &Arc<Exchange>, _: &mut Response) {}

#[tokio::test]
async fn each_coding_is_used_where_it_is_asked_for() {
    let magic: [(&str, &[u8]); 3] =
        [("gzip", &[0x1f, 0x8b]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]), ("deflate", &[0x78])];
    for (coding, magic) in magic {
        let got = get("", coding, nothing).await;
        assert_eq!(got.header("content-encoding"), coding);
        assert_eq!(got.header("vary"), "accept-encoding");
        assert!(got.body.starts_with(magic) && got.body.len() < 400, "{coding}: {} bytes", got.body.len());
    }
    let brotli = get("", "br", nothing).await;
    assert_eq!(brotli.header("content-encoding"), "br");
    assert!(brotli.body.len() < 400);
}

#[tokio::test]
async fn the_clients_weights_count() {
    assert_eq!(get("", "gzip;q=0.5, deflate;q=0.9", nothing).await.header("content-encoding"), "deflate");
    assert_eq!(get("", "gzip;q=0, br;q=0.1", nothing).await.header("content-encoding"), "br");
    for none in ["", "identity", "gzip;q=0", "gzip; q=0.000", "x-own", "*", "identity;q=0, *;q=0"] {
        let got = get("", none, nothing).await;
        assert_eq!((got.header("content-encoding"), got.body.len()), ("", 8192), "{none}");
    }
    assert_eq!(get("codings = 'gzip'", "br, gzip;q=0.1", nothing).await.header("content-encoding"), "gzip");
    assert_eq!(get("codings = 'gzip'", "br", nothing).await.header("content-encoding"), "");
}

#[tokio::test]
async fn what_must_stay_as_it_is_does() {
    let header = |name: &'static str, value: &'static str| {
        move |_: &Arc<Exchange>, answer: &mut Response| {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    };
    for (what, got) in [
        ("a secret", get("", "gzip", |exchange, _| exchange.mark_secret()).await),
        ("a stream", get("", "gzip", |exchange, _| drop(exchange.mark_stream())).await),
        ("events", get("", "gzip", header("content-type", "text/event-stream")).await),
        ("a picture", get("", "gzip", header("content-type", "image/png")).await),
        ("no-transform", get("", "gzip", header("cache-control", "private, no-transform")).await),
        ("a part", get("", "gzip", |_, answer| *answer.status_mut() = StatusCode::PARTIAL_CONTENT).await),
        ("small", get("min_size = '10KiB'", "gzip", nothing).await),
        ("head", send("", HttpRequest::head("/").header("accept-encoding", "gzip"), nothing).await),
        ("unasked", send("", HttpRequest::get("/"), nothing).await),
    ] {
        assert_eq!((got.header("content-encoding"), got.body.len()), ("", 8192), "{what}");
    }
    let own = get("", "gzip", header("content-encoding", "br")).await;
    assert_eq!((own.header("content-encoding"), own.body.len()), ("br", 8192));
}

#[tokio::test]
async fn a_compressed_answer_has_a_weak_tag_and_no_length() {
    let tagged = |tag: &'static str| {
        move |_: &Arc<Exchange>, answer: &mut Response| {
            let headers = answer.headers_mut();
            headers.insert(ETAG, HeaderValue::from_static(tag));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("8192"));
            headers.insert("vary", HeaderValue::from_static("Origin"));
        }
    };
    let got = get("", "gzip", tagged("\"7\"")).await;
    assert_eq!((got.header("etag"), got.header("content-length")), ("W/\"7\"", ""));
    let vary: Vec<_> = got.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["Origin", "accept-encoding"]);
    assert_eq!(get("", "gzip", tagged("W/\"7\"")).await.header("etag"), "W/\"7\"");
    assert_eq!(get("", "identity", tagged("\"7\"")).await.header("etag"), "\"7\"");
}

#[test]
fn it_never_reaches_a_stream() {
    assert!(Spec::order(&Config::default()).breaks_streams.is_some());
    assert_eq!(Spec::check(&testing::config("codings = []"))[0].key, Some("codings"));
}
