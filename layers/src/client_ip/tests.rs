use http::Request;

use super::*;
use crate::{
    kernel::{Body, Fact, LayerSpec as _, PublicUrl, Resources},
    testing::{States, config, prepare, send_from},
};

const PROXY: &str = "10.0.0.1:4711";
const STRANGER: &str = "198.51.100.9:4711";

fn trusting() -> Standalone {
    ClientIp::layer(&config("trusted_proxies = '10.0.0.0/8'"))
}

fn request(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let forged = request(&[
        ("x-forwarded-for", "1.1.1.1, 203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
    ]);
    let seen = send_from(PROXY, &trusting(), forged).await;
    let expected = Client { address: "203.0.113.7".parse().unwrap(), secure: true, through_proxy: true };
    assert_eq!(seen.exchange.client(), Some(&expected));
    let inner = seen.inner.unwrap();
    assert!(inner.contains_key("x-forwarded-for"), "what was believed stays");
    assert!(!inner.contains_key("forwarded") && !inner.contains_key("x-real-ip"), "the rest does not");
}

#[tokio::test]
async fn a_proxy_behind_a_dual_stack_socket_is_known() {
    let forwarded = request(&[("x-forwarded-for", "203.0.113.7")]);
    let seen = send_from("[::ffff:10.0.0.1]:4711", &trusting(), forwarded).await;
    assert_eq!(seen.exchange.address(), Some("203.0.113.7".parse().unwrap()));
}

#[tokio::test]
async fn anybody_else_is_not_and_nothing_inside_sees_what_they_claim() {
    let forged = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "1.1.1.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=1.1.1.1;proto=https"),
        ("x-real-ip", "1.1.1.1"),
        ("accept", "*/*"),
    ];
    for layer in [trusting(), ClientIp::layer(&Config::default())] {
        let seen = send_from(STRANGER, &layer, request(&forged)).await;
        let expected =
            Client { address: "198.51.100.9".parse().unwrap(), secure: false, through_proxy: false };
        assert_eq!(seen.exchange.client(), Some(&expected));
        let inner = seen.inner.unwrap();
        assert_eq!(inner.keys().collect::<Vec<_>>(), ["accept"]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_means_the_proxy_itself() {
    let seen = send_from(PROXY, &trusting(), request(&[("x-forwarded-for", "203.0.113.7, who")])).await;
    let expected = Client { address: "10.0.0.1".parse().unwrap(), secure: false, through_proxy: true };
    assert_eq!(seen.exchange.client(), Some(&expected));
}

#[tokio::test]
async fn the_standard_header_can_be_chosen() {
    let layer = ClientIp::layer(&config("trusted_proxies = ['10.0.0.1']\nheader = 'forwarded'"));
    let headers = [("forwarded", "for=\"[2001:db8::7]:80\";proto=https"), ("x-forwarded-for", "1.1.1.1")];
    let seen = send_from(PROXY, &layer, request(&headers)).await;
    assert_eq!(seen.exchange.address(), Some("2001:db8::7".parse().unwrap()));
    assert!(seen.exchange.is_secure());
    assert!(!seen.inner.unwrap().contains_key("x-forwarded-for"));
}

#[tokio::test]
async fn ignored_headers_are_counted_by_layer_over_reloads() {
    let resources = Resources::new().with(IgnoredForwards::default());
    for _ in 0..2 {
        let prepared = prepare::<Spec>("", &resources, &mut States::default()).unwrap();
        let layer = Standalone::prepared("test", prepared);
        send_from(STRANGER, &layer, request(&[("x-real-ip", "1.1.1.1")])).await;
        send_from(STRANGER, &layer, request(&[])).await;
    }
    let ignored = resources.get::<IgnoredForwards>().unwrap();
    assert_eq!(ignored.counts(), [("test".into(), 2)]);
}

#[tokio::test]
async fn the_public_url_says_https_where_no_proxy_says_otherwise() {
    let resources = Resources::new().with(PublicUrl::new("https://flags.example.com".parse().unwrap()));
    let prepared = prepare::<Spec>("trusted_proxies = '10.0.0.0/8'", &resources, &mut States::default());
    let layer = Standalone::prepared("test", prepared.unwrap());
    assert!(send_from(STRANGER, &layer, request(&[])).await.exchange.is_secure());
    assert!(send_from(PROXY, &layer, request(&[])).await.exchange.is_secure());
    let plain = request(&[("x-forwarded-proto", "http")]);
    assert!(!send_from(PROXY, &layer, plain).await.exchange.is_secure());
}

#[test]
fn it_gives_the_address_and_stands_once_in_a_chain() {
    let order = Spec::order(&Config::default());
    assert_eq!(order.gives, [Fact::ClientIp]);
    assert!(order.once && !order.refuses && order.needs.is_empty());
}

#[test]
fn trusting_everybody_is_doubted() {
    assert_eq!(Spec::check(&config("trusted_proxies = '0.0.0.0/0, 10.0.0.0/8'")).len(), 1);
    assert!(Spec::check(&config("trusted_proxies = '10.0.0.0/8'")).is_empty());
    assert!(toml::from_str::<Config>("header = 'x-real-ip'").is_err());
    assert!(toml::from_str::<Config>("trusted = []").is_err());
}
