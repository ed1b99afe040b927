use http::{HeaderMap, Method, Request};

use super::*;
use crate::{
    kernel::{Body, Client, Exchange, LayerSpec, Matched, Resources, Severity},
    testing::{Seen, States, config, prepare, send_with},
};

async fn send_ids(through_proxy: Option<bool>, layer: &Standalone, ids: &[&str]) -> Seen {
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    if let Some(through_proxy) = through_proxy {
        let address = "203.0.113.7".parse().unwrap();
        exchange.set_client(Client { address, secure: false, through_proxy });
    }
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    for id in ids {
        request.headers_mut().append("x-request-id", id.parse().unwrap());
    }
    send_with(layer, request, exchange, HeaderMap::new()).await
}

#[tokio::test]
async fn a_trusted_proxys_id_is_taken_over() {
    let seen = send_ids(Some(true), &RequestIds::layer(), &["from-the-proxy:1"]).await;
    assert_eq!(seen.header("x-request-id"), "from-the-proxy:1");
    assert_eq!(seen.exchange.request_id().unwrap().as_str(), "from-the-proxy:1");
}

#[tokio::test]
async fn nobody_elses_is() {
    for through_proxy in [Some(false), None] {
        let seen = send_ids(through_proxy, &RequestIds::layer(), &["forged"]).await;
        assert_eq!(seen.header("x-request-id").len(), 32, "{through_proxy:?}");
        assert_eq!(seen.header("x-request-id"), seen.exchange.request_id().unwrap().as_str());
    }
}

#[tokio::test]
async fn an_id_that_is_malformed_or_repeated_is_replaced() {
    let long = "a".repeat(65);
    for ids in [&["two words"][..], &[long.as_str()], &["one", "two"], &["quote\""], &[""]] {
        let seen = send_ids(Some(true), &RequestIds::layer(), ids).await;
        assert_eq!(seen.header("x-request-id").len(), 32, "{ids:?}");
    }
}

#[tokio::test]
async fn the_header_can_have_another_name() {
    let prepared =
        prepare::<Spec>(r#"header = "X-Correlation-Id""#, &Resources::new(), &mut States::default()).unwrap();
    let seen = send_ids(Some(true), &Standalone::prepared("test", prepared), &["ignored"]).await;
    assert_eq!(seen.header("x-correlation-id").len(), 32);
    assert_eq!(seen.header("x-request-id"), "");
}

#[test]
fn a_header_that_is_none_is_refused() {
    let findings = Spec::check(&config(r#"header = "not a header""#));
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].severity, findings[0].key), (Severity::Error, Some("header")));
    assert!(Spec::check(&Config::default()).is_empty());
}
