use std::io::Write;

use http::{HeaderMap, Method};

use super::*;
use crate::{
    body_limit,
    kernel::{BodyError, Instance, LayerSpec as _, Matched, Prepared, chain, handler},
    testing,
};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Reads the body and says its length, its encoding headers and, where it cannot be read, why.
fn echo() -> Next {
    handler(async |request: Request| {
        let (head, body) = request.into_parts();
        let leftover =
            head.headers().contains_key(CONTENT_ENCODING) || head.headers().contains_key("content-length");
        let (status, text) = match body.read().await {
            Ok(bytes) => (200, format!("{} {leftover}", bytes.len())),
            Err(BodyError::TooLarge(_)) => (413, "too large".to_owned()),
            Err(BodyError::TooDense(_)) => (413, "too dense".to_owned()),
            Err(error) => (400, error.to_string()),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    })
}

fn instance(name: &str, prepared: Prepared) -> Instance {
    Instance { name: name.into(), prepared, observe: false, stats: Arc::default() }
}

fn decompress(settings: &str) -> Instance {
    instance("decompress", Prepared::around(Decompress::new(&testing::config(settings))))
}

fn body_limit(size: u64) -> Instance {
    let mut states = testing::States::default();
    let prepared = testing::prepare::<body_limit::Spec>(
        &format!("size = {size}"),
        &crate::kernel::Resources::new(),
        &mut states,
    );
    instance("body-limit", prepared.unwrap())
}

async fn send(layers: &[Instance], coding: &str, body: Vec<u8>) -> (u16, String, Arc<Exchange>) {
    let request =
        http::Request::post("/").header("content-encoding", coding).header("content-length", body.len());
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::POST, "/", Matched::NotFound));
    let request = Request::new(parts, Body::from(body), exchange.clone());
    let response = chain(layers, echo()).call(request).wait().await;
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().read().await.unwrap().to_vec()).unwrap(), exchange)
}

#[tokio::test]
async fn the_handler_gets_the_plain_body() {
    let plain = b"{\"context\": {}}".repeat(100);
    let (status, text, _) = send(&[decompress("")], "gzip", gzip(&plain)).await;
    assert_eq!((status, text.as_str()), (200, "1500 false"));
    let (status, text, _) = send(&[decompress("")], "GZIP", gzip(&plain)).await;
    assert_eq!((status, text.as_str()), (200, "1500 false"));
    // Of the other codings a body as their tools make it.
    let brotli = [0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
    assert_eq!(send(&[decompress("")], "br", brotli.to_vec()).await.1, "5 false");
    let deflate = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15];
    assert_eq!(send(&[decompress("")], "deflate", deflate.to_vec()).await.1, "5 false");
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x05, 0x29, 0x00, 0x00, b'h', b'e', b'l', b'l', b'o'];
    assert_eq!(send(&[decompress("")], "zstd", zstd.to_vec()).await.1, "5 false");
    let (status, text, _) = send(&[decompress("")], "identity", b"hello".to_vec()).await;
    assert_eq!((status, text.as_str()), (200, "5 true"), "the length is still right");
}

#[tokio::test]
async fn unknown_codings_are_refused_with_those_that_are_known() {
    for coding in ["compress", "gzip, br", "gzip, gzip", "", "x-gzip-bomb"] {
        let layer = Decompress::layer(&Config::default());
        let request =
            http::Request::post("/").header("content-encoding", coding).body(Body::from("x")).unwrap();
        let exchange = Exchange::new(Method::POST, "/", Matched::NotFound);
        let seen = testing::send_with(&layer, request, exchange, HeaderMap::new()).await;
        assert_eq!(seen.status(), 415, "{coding}");
        assert!(seen.inner.is_none());
        assert_eq!(seen.header("accept-encoding"), "gzip, br, zstd, deflate");
        assert_eq!(&*seen.exchange.stopped().unwrap().layer, "decompress");
    }
}

#[tokio::test]
async fn broken_and_cut_off_bodies_are_errors() {
    let whole = gzip(&[b'x'; 5000]);
    for body in [b"no gzip at all".to_vec(), whole[..whole.len() / 2].to_vec(), whole[..3].to_vec()] {
        let (status, text, _) = send(&[decompress("")], "gzip", body).await;
        assert_eq!(status, 400, "{text}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused_long_before_it_is_whole() {
    let bomb = gzip(&vec![0; 10 << 20]);
    assert!(bomb.len() < 20_000);
    let (status, text, exchange) = send(&[decompress("")], "gzip", bomb.clone()).await;
    assert_eq!((status, text.as_str()), (413, "too dense"));
    assert_eq!(&*exchange.stopped().unwrap().layer, "decompress");
    let mut observing = decompress("");
    observing.observe = true;
    let (status, text, exchange) = send(&[observing], "gzip", bomb.clone()).await;
    assert_eq!((status, text.as_str()), (200, "10485760 false"));
    assert_eq!(exchange.observed().len(), 1);
}

#[test]
fn the_memory_of_a_bomb_is_bounded_by_what_was_sent() {
    let bomb = gzip(&vec![0; 10 << 20]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counted = allocation_counter::measure(|| {
        assert_eq!(runtime.block_on(send(&[decompress("")], "gzip", bomb.clone())).0, 413);
    });
    assert!(counted.bytes_max < 4 << 20, "{} bytes", counted.bytes_max);
}

#[tokio::test]
async fn limits_hold_outside_for_what_is_sent_and_inside_for_what_comes_of_it() {
    let plain: Vec<u8> = (0..20_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    let sent = gzip(&plain);
    let outside = [body_limit(sent.len() as u64 - 1), decompress("")];
    let (status, _, exchange) = send(&outside, "gzip", sent.clone()).await;
    assert_eq!((status, &*exchange.stopped().unwrap().layer), (413, "body-limit"));
    let inside = [decompress(""), body_limit(plain.len() as u64 - 1)];
    let (status, text, exchange) = send(&inside, "gzip", sent.clone()).await;
    assert_eq!(
        (status, text.as_str(), &*exchange.stopped().unwrap().layer),
        (413, "too large", "body-limit")
    );
    let both = [body_limit(sent.len() as u64), decompress(""), body_limit(plain.len() as u64)];
    assert_eq!(send(&both, "gzip", sent).await.0, 200);
}

#[tokio::test]
async fn a_limit_outside_holds_where_the_length_is_not_said() {
    let sent = gzip(&(0..20_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let body = Body::new(Pieces(sent.chunks(100).map(bytes::Bytes::copy_from_slice).collect()));
    let (parts, ()) =
        http::Request::post("/").header("content-encoding", "gzip").body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::POST, "/", Matched::NotFound));
    let layers = [body_limit(1000), decompress("")];
    let response = chain(&layers, echo()).call(Request::new(parts, body, exchange)).wait().await;
    assert_eq!(response.status(), 413);
}

/// A body in pieces, whose length is not known.
struct Pieces(std::collections::VecDeque<bytes::Bytes>);

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[test]
fn limits_stand_inside_of_it() {
    assert_eq!(body_limit::Spec::order(&body_limit::Config::default()).inside_of, ["decompress"]);
    assert_eq!(Spec::check(&testing::config("max_ratio = 0"))[0].key, Some("max_ratio"));
}
