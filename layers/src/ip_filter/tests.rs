use http::{HeaderMap, Method, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec as _, Matched, Severity},
    testing,
};

async fn status(settings: &str, peer: &str) -> u16 {
    let layer = IpFilter::layer(&testing::config(settings));
    let seen = testing::send_from(peer, &layer, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(seen.inner.is_some(), seen.status() == 200);
    seen.status().as_u16()
}

#[tokio::test]
async fn without_lists_everybody_passes() {
    assert_eq!(status("", "192.0.2.1:1").await, 200);
}

#[tokio::test]
async fn only_the_allowed_pass() {
    let allow = "allow = '10.0.0.0/8, 2001:db8::/32, 192.0.2.7'";
    for peer in ["10.1.2.3:1", "[2001:db8::1]:1", "192.0.2.7:1", "[::ffff:10.0.0.1]:1"] {
        assert_eq!(status(allow, peer).await, 200, "{peer}");
    }
    for peer in ["11.0.0.1:1", "[2001:db9::1]:1", "192.0.2.8:1"] {
        assert_eq!(status(allow, peer).await, 403, "{peer}");
    }
}

#[tokio::test]
async fn the_blocked_do_not_pass_even_where_they_are_allowed() {
    let both = "allow = ['10.0.0.0/8']\nblock = ['10.6.6.0/24']";
    assert_eq!(status(both, "10.6.7.1:1").await, 200);
    assert_eq!(status(both, "10.6.6.1:1").await, 403);
    assert_eq!(status("block = ['10.6.6.0/24']", "192.0.2.1:1").await, 200);
    assert_eq!(status("block = ['10.6.6.0/24']", "10.6.6.255:1").await, 403);
}

#[tokio::test]
async fn an_unknown_address_does_not_pass() {
    let layer = IpFilter::layer(&Config::default());
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    let request = Request::get("/").body(Body::empty()).unwrap();
    let seen = testing::send_with(&layer, request, exchange, HeaderMap::new()).await;
    assert_eq!(seen.status(), 403);
    assert_eq!(seen.exchange.stopped().unwrap().status, 403);
    assert_eq!(seen.json().await["code"], "ADDRESS_REFUSED");
}

#[test]
fn what_lets_everybody_pass_or_nobody_is_said() {
    let findings = |settings| Spec::check(&testing::config(settings));
    let everybody = findings("allow = ['::/0', '10.0.0.0/8']");
    assert_eq!((everybody[0].severity, everybody[0].key), (Severity::Warning, Some("allow")));
    assert_eq!(findings("block = ['0.0.0.0/0']")[0].key, Some("block"));
    assert!(findings("allow = ['10.0.0.0/8']\nblock = ['10.0.0.1']").is_empty());
}
