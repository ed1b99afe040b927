use http::{HeaderMap, HeaderValue, Method, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec, Matched, Principal, PrincipalKind, Resources, Time},
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
        let config = Config::new(key, requests, Time::seconds(60));
        let hook = RateLimit::new("test", &config, |_| Arc::new(Counters::new()), None);
        let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
        exchange.set_principal(Principal::new(PrincipalKind::ClientKey, "a"));
        let (mut parts, body) = request().into_parts();
        parts.headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
        let mut request = crate::kernel::Request::new(parts, body, Arc::new(exchange));
        // The times of a window that counts one by one are made room for as they come.
        for _ in 0..33 {
            assert!(matches!(hook.on_request(request.head_mut()), Flow::Continue(Passed::One(_))));
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
        Spec::carry(&config(Key::ClientIp), &Config { requests: Some(9), ..config(Key::ClientIp) }),
        crate::kernel::Carry::Keep
    );
    assert_ne!(Spec::carry(&config(Key::ClientIp), &config(Key::Principal)), crate::kernel::Carry::Keep);
}

/// Several limits in one layer.
const SEVERAL: &str = "
headers = 'ietf'
[[limits]]
name = 'all'
key = 'client_ip'
requests = 5
window = '60s'
[[limits]]
name = 'login'
match = { path = '/api/auth/{*rest}', methods = ['POST'], headers = { x-robot = false } }
key = 'client_ip'
requests = 2
window = '60s'
block_for = '10m'
[[limits]]
name = 'tenants'
match = { headers = { x-tenant = true } }
key = 'header:x-tenant'
requests = 1
window = '60s'
action = 'observe'
";

async fn sent(layer: &Standalone, method: Method, path: &str, headers: &[(&str, &str)]) -> Seen {
    let mut request = Request::builder().method(method.clone()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let exchange = Exchange::new(method, path, Matched::NotFound).with_peer("192.0.2.1:1".parse().unwrap());
    testing::send_with(layer, request.body(Body::empty()).unwrap(), exchange, HeaderMap::new()).await
}

#[tokio::test]
async fn a_request_passes_every_limit_that_is_about_it() {
    let layer = layer(SEVERAL);
    let login = async |headers: &[(&str, &str)]| sent(&layer, Method::POST, "/api/auth/login", headers).await;
    let first = login(&[]).await;
    assert_eq!(first.header("ratelimit-policy"), "\"test/all\";q=5;w=60, \"test/login\";q=2;w=60");
    assert_eq!(first.header("ratelimit"), "\"test/all\";r=4;t=60, \"test/login\";r=1;t=60");
    assert_eq!(login(&[]).await.status(), 200);
    let refused = login(&[]).await;
    assert_eq!((refused.status().as_u16(), refused.header("retry-after")), (429, "600".to_owned()));
    assert_eq!(refused.header("ratelimit-policy"), "\"test/login\";q=2;w=60");
    // Another method, path or header: only the first limit, which the refused one did not count in.
    for (method, path, headers) in [
        (Method::GET, "/api/auth/login", [].as_slice()),
        (Method::POST, "/api/other", &[]),
        (Method::POST, "/api/auth/login", &[("x-robot", "yes")]),
    ] {
        assert_eq!(sent(&layer, method, path, headers).await.status(), 200, "{path}");
    }
    assert_eq!(sent(&layer, Method::GET, "/", &[]).await.status(), 429, "five were counted");
}

#[tokio::test]
async fn an_observing_limit_refuses_nobody() {
    let layer = layer(SEVERAL);
    let tenant = [("x-tenant", "a")];
    let first = sent(&layer, Method::GET, "/", &tenant).await;
    assert!(first.exchange.observed().is_empty());
    assert!(!first.header("ratelimit-policy").contains("tenants"), "it binds nobody, so it is not told of");
    let second = sent(&layer, Method::GET, "/", &tenant).await;
    assert_eq!(second.status(), 200);
    assert_eq!(second.exchange.observed(), ["test/tenants".into()]);
}

#[tokio::test]
async fn layers_that_name_a_state_count_together() {
    let (mut states, resources) = (States::default(), Resources::new());
    let mut layer = |text: &str| {
        let prepared = testing::prepare::<Spec>(text, &resources, &mut states).unwrap();
        Standalone::prepared("test", prepared)
    };
    let settings = "key = 'client_ip'\nrequests = 2\nwindow = '60s'\nstate = 'people'";
    let (first, second) = (layer(settings), layer(settings));
    let by_header = layer("key = 'header:x'\nrequests = 2\nwindow = '60s'\nstate = 'people'");
    assert_eq!(testing::send(&first, request()).await.header("ratelimit-remaining"), "1");
    assert_eq!(testing::send(&second, request()).await.header("ratelimit-remaining"), "0");
    assert_eq!(testing::send(&first, request()).await.status(), 429);
    assert_eq!(testing::send(&by_header, request()).await.header("ratelimit-remaining"), "1");
}

#[tokio::test]
async fn a_parameter_of_the_route_is_a_key() {
    let layer = layer("key = 'parameter:project'\nrequests = 1\nwindow = '60s'");
    let of = async |path: &'static str| {
        let matched = Matched::Route {
            id: 0,
            pattern: "/p/{project}",
            parameters: smallvec::smallvec![(3, u16::try_from(path.len()).unwrap())],
        };
        let exchange = Exchange::new(Method::GET, path, matched);
        testing::send_with(&layer, request(), exchange, HeaderMap::new()).await.status()
    };
    assert_eq!(
        (of("/p/shop").await, of("/p/blog").await, of("/p/shop").await.as_u16()),
        (http::StatusCode::OK, http::StatusCode::OK, 429)
    );
}

#[tokio::test]
async fn trying_a_pipeline_out_leaves_no_figure_behind() {
    let hits = RateLimitHits::default();
    let resources = Resources::new().with(hits.clone());
    let text = "key = 'client_ip'\nrequests = 1\nwindow = '60s'";
    let prepared = testing::prepare::<Spec>(text, &resources, &mut States::default()).unwrap();
    let figures = || {
        let mut registry = prometheus_client::registry::Registry::default();
        hits.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    assert!(!figures().contains("test"), "{}", figures());
    let layer = Standalone::prepared("test", prepared);
    testing::send(&layer, request()).await;
    testing::send(&layer, request()).await;
    assert!(figures().contains("rate_limit_hits_total{type=\"test\"} 1"), "{}", figures());
}

#[test]
fn a_limit_is_said_whole_and_once() {
    let findings = |text: &str| {
        let found = Spec::check(&testing::config(text));
        found.iter().map(|found| (found.key, found.message.clone())).collect::<Vec<_>>()
    };
    let one = "key = 'client_ip'\nrequests = 1\nwindow = '1s'\n";
    assert_eq!(findings("key = 'client_ip'\nwindow = '1s'"), [(None, "`requests` is not said".to_owned())]);
    assert_eq!(findings("")[0].1, "`key`, `requests`, `window` is not said");
    let limit = "[[limits]]\nname = 'a'\nkey = 'client_ip'\nrequests = 1\nwindow = '1s'\n";
    assert_eq!(findings(&format!("{one}{limit}"))[0].0, Some("limits"));
    assert_eq!(findings(&format!("{limit}{limit}"))[0].0, Some("limits"));
    assert_eq!(findings(&format!("{one}action = 'block'"))[0].0, Some("action"));
    assert_eq!(findings(&format!("{one}action = 'observe'\nblock_for = '1s'"))[0].0, Some("block_for"));
    assert_eq!(findings(&format!("{one}match = {{}}"))[0].0, Some("match"));
    assert!(findings(one).is_empty() && findings(limit).is_empty());
    for bad in [
        "match = { path = 'api' }",
        "match = { paths = '/a' }",
        "match = { methods = ['no method'] }",
        "match = { headers = { 'a b' = true } }",
        "match = { headers = { a = 1 } }",
        "key = 'parameter:'",
        "action = 'captcha'",
    ] {
        assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
    }
}

/// How many of a client's requests are allowed, over and over, held against counting each limit by hand.
#[test]
fn several_limits_are_as_strict_as_the_strictest() {
    use proptest::prelude::*;
    let cases = (1_u64..8, 1_u64..8, prop::collection::vec(any::<bool>(), 1..40));
    proptest!(|((all, posts, requests) in cases)| {
        let text = format!(
            "[[limits]]\nname = 'all'\nkey = 'client_ip'\nrequests = {all}\nwindow = '1h'\n\
             [[limits]]\nname = 'posts'\nmatch = {{ methods = 'POST' }}\nkey = 'client_ip'\nrequests = {posts}\nwindow = '1h'"
        );
        let hook = RateLimit::new("test", &testing::config(&text), |_| Arc::new(Counters::new()), None);
        let (mut seen, mut seen_posts) = (0, 0);
        for post in requests {
            let method = if post { Method::POST } else { Method::GET };
            let exchange = Arc::new(Exchange::new(method.clone(), "/", Matched::NotFound));
            let (parts, ()) = Request::builder().method(method).body(()).unwrap().into_parts();
            let mut request = crate::kernel::Request::new(parts, Body::empty(), exchange);
            let allowed = matches!(hook.on_request(request.head_mut()), Flow::Continue(_));
            let expected = seen < all && (!post || seen_posts < posts);
            prop_assert_eq!(allowed, expected);
            if expected {
                seen += 1;
                seen_posts += u64::from(post);
            }
        }
    });
}
