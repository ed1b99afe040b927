use std::{sync::Arc, time::Duration};

use http::Request;

use super::*;
use crate::{
    kernel::{Body, Credential, PrincipalKind, Resources},
    testing::{self, Seen, States},
};

/// Knows a session, two keys and a token, and one session that takes for ever to be looked up.
struct Known;

impl Authenticator for Known {
    fn authenticate(&self, credential: Credential<'_>) -> Authentication {
        let kind = match credential {
            Credential::Session("admin") => PrincipalKind::Admin,
            Credential::Session("slow") => {
                return Authentication::Wait(Box::pin(async {
                    tokio::task::yield_now().await;
                    Ok(Principal::new(PrincipalKind::Member, "user:slow"))
                }));
            }
            Credential::Session("stuck") => return Authentication::Wait(Box::pin(std::future::pending())),
            Credential::Session("old") => return Authentication::Refused(AuthFailure::Expired),
            Credential::Session("away") => {
                let retry_after = Duration::from_millis(2500);
                return Authentication::Refused(AuthFailure::Unavailable { retry_after });
            }
            Credential::SdkKey("client") => PrincipalKind::ClientKey,
            Credential::SdkKey("server") => PrincipalKind::ServerKey,
            Credential::StreamToken("t") => PrincipalKind::StreamToken,
            _ => return Authentication::Refused(AuthFailure::Invalid),
        };
        Authentication::Accepted(Principal::new(kind, kind.as_str()))
    }
}

async fn send(config: &str, request: http::request::Builder) -> Seen {
    let resources = Resources::new().with::<Arc<dyn Authenticator>>(Arc::new(Known));
    let prepared = testing::prepare::<Spec>(config, &resources, &mut States::default()).unwrap();
    testing::send(&Standalone::prepared("test", prepared), request.body(Body::empty()).unwrap()).await
}

const SESSION: &str = "methods = ['session']";
const KEY: &str = "methods = ['sdk_key']";

#[tokio::test]
async fn each_method_finds_its_credential() {
    for (config, request, expected) in [
        (SESSION, Request::get("/").header("cookie", "a=b; flagstone_session=admin"), "admin"),
        (
            SESSION,
            Request::get("/").header("cookie", "__Host-flagstone_session=admin; flagstone_session=x"),
            "admin",
        ),
        (SESSION, Request::get("/").header("cookie", "flagstone_session=slow"), "user:slow"),
        (KEY, Request::get("/").header("authorization", "Bearer client"), "client_key"),
        (KEY, Request::get("/").header("authorization", "bearer  server "), "server_key"),
        (KEY, Request::get("/").header("x-api-key", "client"), "client_key"),
        ("methods = ['stream_token']", Request::get("/?a=1&token=t"), "stream_token"),
        ("methods = ['session', 'sdk_key']", Request::get("/").header("x-api-key", "client"), "client_key"),
    ] {
        let seen = send(config, request).await;
        assert_eq!(seen.exchange.principal().map(Principal::id), Some(expected), "{config}");
        assert!(seen.inner.is_some());
    }
}

#[tokio::test]
async fn what_is_no_credential_is_answered_with_401() {
    for (config, request) in [
        (SESSION, Request::get("/")),
        (SESSION, Request::get("/").header("cookie", "flagstone_session=unknown")),
        (SESSION, Request::get("/").header("cookie", "flagstone_session=old")),
        (SESSION, Request::get("/").header("cookie", "xflagstone_session=admin")),
        (SESSION, Request::get("/").header("cookie", "flagstone_session=admin; flagstone_session=other")),
        (SESSION, Request::get("/").header("authorization", "Bearer client")),
        (KEY, Request::get("/").header("authorization", "Basic client")),
        (KEY, Request::get("/").header("authorization", "Bearer")),
        (
            KEY,
            Request::get("/")
                .header("authorization", "Bearer client")
                .header("authorization", "Bearer client"),
        ),
        (KEY, Request::get("/").header("authorization", "Bearer nobody").header("x-api-key", "client")),
        ("methods = ['stream_token']", Request::get("/?token=t&token=t")),
        ("methods = ['stream_token']", Request::get("/?xtoken=t")),
    ] {
        let seen = send(config, request).await;
        assert_eq!(seen.status(), 401, "{config}");
        assert!(seen.inner.is_none() && seen.exchange.principal().is_none());
        assert_eq!(seen.header("www-authenticate"), if config == KEY { "Bearer" } else { "" });
        assert_eq!(seen.json().await["code"], "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn the_first_method_with_a_credential_decides() {
    let request =
        Request::get("/").header("cookie", "flagstone_session=unknown").header("x-api-key", "client");
    assert_eq!(send("methods = ['session', 'sdk_key']", request).await.status(), 401);
}

#[tokio::test]
async fn a_check_that_cannot_be_made_is_503_and_says_when_to_come_back() {
    let seen = send(SESSION, Request::get("/").header("cookie", "flagstone_session=away")).await;
    assert_eq!((seen.status().as_u16(), seen.header("retry-after").as_str()), (503, "2"));
}

#[tokio::test(start_paused = true)]
async fn a_check_has_a_deadline() {
    let seen = send(SESSION, Request::get("/").header("cookie", "flagstone_session=stuck")).await;
    assert_eq!((seen.status().as_u16(), seen.header("retry-after").as_str()), (503, "1"));
}

#[tokio::test]
async fn a_client_key_is_not_let_in_where_a_server_key_is_needed() {
    let config = "methods = ['sdk_key']\nkeys = 'server'";
    let seen = send(config, Request::get("/").header("x-api-key", "client")).await;
    assert_eq!(seen.status(), 403);
    assert!(seen.exchange.principal().is_none());
    assert_eq!(send(config, Request::get("/").header("x-api-key", "server")).await.status(), 200);
}

#[test]
fn what_is_proven_is_what_is_let_in() {
    use crate::kernel::LayerSpec;
    let admits = |text: &str| Spec::order(&testing::config(text)).admits.unwrap();
    assert_eq!(admits(SESSION), crate::kernel::Access::Member.principals());
    assert_eq!(admits(KEY), crate::kernel::Access::AnyKey.principals());
    assert_eq!(
        admits("methods = ['sdk_key']\nkeys = 'server'"),
        crate::kernel::Access::ServerKey.principals()
    );
    assert!(!Spec::check(&testing::config("methods = []")).is_empty());
}

#[test]
fn a_host_without_an_authenticator_is_refused() {
    assert!(testing::prepare::<Spec>(SESSION, &Resources::new(), &mut States::default()).is_err());
}
