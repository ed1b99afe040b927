use http::{HeaderMap, Method, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec, Matched, PrincipalKind, Resources, Time},
    testing::{self, Seen, States},
};

fn request() -> Request<Body> {
    Request::get("/").body(Body::empty()).unwrap()
}

fn layer(text: &str) -> Standalone {
    let prepared = testing::prepare::<Spec>(text, &Resources::new(), &mut States::default()).unwrap();
    Standalone::prepared("test", prepared)
}

async fn of_principal(layer: &Standalone, id: &str) -> Seen {
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    exchange.set_principal(Principal::new(PrincipalKind::ClientKey, id));
    testing::send_with(layer, request(), exchange, HeaderMap::new()).await
}

#[tokio::test]
async fn each_client_has_a_limit_of_its_own() {
    let layer = layer("key = 'client_ip'\nrequests = 2\nwindow = '60s'");
    for (peer, status) in [
        ("192.0.2.1:1", 200),
        ("192.0.2.1:2", 200),
        ("192.0.2.1:3", 429),
        ("192.0.2.2:1", 200),
        ("[::ffff:192.0.2.1]:1", 429),
        ("[2001:db8:0:100::1]:1", 200),
        ("[2001:db8:0:1ff::2]:1", 200),
        ("[2001:db8:0:100::3]:1", 429),
        ("[2001:db8:0:200::1]:1", 200),
    ] {
        assert_eq!(testing::send_from(peer, &layer, request()).await.status(), status, "{peer}");
    }
}

#[tokio::test]
async fn callers_and_headers_are_counted_apart() {
    let by_caller = layer("key = 'principal'\nrequests = 1\nwindow = '60s'");
    for (id, status) in [("a", 200), ("a", 429), ("b", 200)] {
        assert_eq!(of_principal(&by_caller, id).await.status(), status);
    }
    let by_header = layer("key = 'header:X-Tenant'\nrequests = 1\nwindow = '60s'");
    for (tenant, status) in [(Some("a"), 200), (Some("a"), 429), (Some("b"), 200), (None, 200), (None, 429)] {
        let builder =
            tenant.into_iter().fold(Request::get("/"), |builder, tenant| builder.header("x-tenant", tenant));
        let seen = testing::send(&by_header, builder.body(Body::empty()).unwrap()).await;
        assert_eq!(seen.status(), status, "{tenant:?}");
    }
}

#[tokio::test]
async fn an_answer_tells_of_the_limit_in_one_style() {
    let draft = layer("key = 'client_ip'\nrequests = 2\nwindow = '60s'");
    let seen = testing::send(&draft, request()).await;
    assert_eq!(
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| seen.header(name)),
        ["2", "1", "60"]
    );
    assert_eq!(seen.header("ratelimit-policy"), "");
    testing::send(&draft, request()).await;
    let refused = testing::send(&draft, request()).await;
    assert_eq!(
        (refused.header("ratelimit-remaining"), refused.header("retry-after")),
        ("0".into(), "60".into())
    );
    assert_eq!(refused.json().await["code"], "RATE_LIMITED");

    let ietf = layer("key = 'client_ip'\nrequests = 2\nwindow = '60s'\nheaders = 'ietf'");
    let seen = testing::send(&ietf, request()).await;
    assert_eq!(seen.header("ratelimit-policy"), "\"test\";q=2;w=60");
    assert_eq!(seen.header("ratelimit"), "\"test\";r=1;t=60");
    assert_eq!(seen.header("ratelimit-limit"), "");

    let none = layer("key = 'client_ip'\nrequests = 1\nwindow = '60s'\nheaders = 'none'");
    let seen = testing::send(&none, request()).await;
    assert!(seen.response.headers().keys().all(|name| !name.as_str().starts_with("ratelimit")));
    assert_eq!(testing::send(&none, request()).await.header("retry-after"), "60");
}

#[tokio::test]
async fn who_goes_over_is_told_how_long_the_block_lasts() {
    let layer = layer("key = 'client_ip'\nrequests = 1\nwindow = '1s'\nblock_for = '10m'");
    testing::send(&layer, request()).await;
    let refused = testing::send(&layer, request()).await;
    assert_eq!(
        (refused.header("retry-after"), refused.header("ratelimit-reset")),
        ("600".into(), "600".into())
    );
    assert_eq!(
        testing::send_from("192.0.2.2:1", &layer, request()).await.status(),
        200,
        "others are not blocked"
    );
}

#[test]
fn a_known_key_costs_no_allocation() {
    for (key, requests) in
        [(Key::ClientIp, 1_000), (Key::Principal, 64), (Key::Header(http::header::HOST), 64)]
    {
        let hook = RateLimit::new(
            "test",
            &Config::new(key, requests, Time::seconds(60)),
            Arc::new(Counters::new()),
            None,
        );
        let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
        exchange.set_principal(Principal::new(PrincipalKind::ClientKey, "a"));
        let (mut parts, body) = request().into_parts();
        parts.headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
        let mut request = crate::kernel::Request::new(parts, body, Arc::new(exchange));
        // The times of a window that counts one by one are made room for as they come.
        for _ in 0..33 {
            assert!(matches!(hook.on_request(request.head_mut()), Flow::Continue([.., 1])));
        }
        let made = allocation_counter::measure(|| drop(hook.on_request(request.head_mut())));
        assert_eq!(made.count_total, 0, "{hook:?}");
    }
}

#[tokio::test]
async fn of_several_limits_the_nearest_is_told() {
    use tower::{ServiceBuilder, ServiceExt, service_fn};
    let config = |requests| Config::new(Key::ClientIp, requests, Time::seconds(60));
    for (outer, inner) in [(100, 5), (5, 100)] {
        let service = ServiceBuilder::new()
            .layer(RateLimit::layer(&config(outer)))
            .layer(RateLimit::layer(&config(inner)))
            .service(service_fn(async |_: Request<Body>| {
                Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
            }));
        let response = service.oneshot(request()).await.unwrap();
        assert_eq!(response.headers()["ratelimit-limit"], "5");
        assert_eq!(response.headers()["ratelimit-remaining"], "4");
    }
}

#[tokio::test]
async fn no_limit_is_no_limit_and_says_nothing() {
    let layer = layer("key = 'client_ip'\nrequests = 0\nwindow = '60s'");
    for _ in 0..10 {
        let seen = testing::send(&layer, request()).await;
        assert_eq!((seen.status().as_u16(), seen.header("ratelimit-limit")), (200, String::new()));
    }
}

#[tokio::test]
async fn what_was_counted_is_kept_over_a_reload_and_new_limits_bind_at_once() {
    let mut states = States::default();
    let mut load = |text: &str| {
        Standalone::prepared("test", testing::prepare::<Spec>(text, &Resources::new(), &mut states).unwrap())
    };
    let before = load("key = 'client_ip'\nrequests = 10\nwindow = '60s'");
    for _ in 0..3 {
        assert_eq!(testing::send(&before, request()).await.status(), 200);
    }
    let after = load("key = 'client_ip'\nrequests = 4\nwindow = '60s'");
    assert_eq!(testing::send(&after, request()).await.header("ratelimit-remaining"), "0");
    assert_eq!(testing::send(&after, request()).await.status(), 429);
    let wider = load("key = 'client_ip'\nrequests = 5\nwindow = '1h'");
    assert_eq!(testing::send(&wider, request()).await.status(), 200);
    assert_eq!(testing::send(&wider, request()).await.status(), 429);
}

#[tokio::test]
async fn hits_are_counted_by_the_limits_name_and_observing_lets_pass() {
    let hits = RateLimitHits::default();
    let resources = Resources::new().with(hits.clone());
    let text = "key = 'client_ip'\nrequests = 1\nwindow = '60s'";
    let layer = Standalone::prepared(
        "test",
        testing::prepare::<Spec>(text, &resources, &mut States::default()).unwrap(),
    )
    .observe();
    for _ in 0..3 {
        assert_eq!(testing::send(&layer, request()).await.status(), 200);
    }
    assert_eq!((hits.of("test").get(), layer.stats().observed()), (2, 2));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for bad in ["key = 'cookie'", "key = 'header:a b'", "key = 'header:'"] {
        assert!(toml::from_str::<Config>(&format!("{bad}\nrequests = 1\nwindow = '1s'")).is_err(), "{bad}");
    }
    assert!(!Spec::check(&testing::config("key = 'client_ip'\nrequests = 1\nwindow = 0")).is_empty());
    let order =
        |key: &str| Spec::order(&testing::config(&format!("key = '{key}'\nrequests = 1\nwindow = '1s'")));
    assert!(order("client_ip").before_authentication && !order("principal").before_authentication);
    assert_eq!(order("sdk_key").needs, [crate::kernel::Fact::Principal]);
    let config = |key| Config::new(key, 1, Time::seconds(1));
    assert_eq!(
        Spec::carry(&config(Key::ClientIp), &Config { requests: 9, ..config(Key::ClientIp) }),
        crate::kernel::Carry::Keep
    );
    assert_ne!(Spec::carry(&config(Key::ClientIp), &config(Key::Principal)), crate::kernel::Carry::Keep);
}
