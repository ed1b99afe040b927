//! Kinds of layer that do nothing, with the orders and settings of real ones.

use flagstone_layers::kernel::{
    Fact, Finding, Flow, Hook, LayerSpec, List, Order, PrepareContext, PrepareError, Prepared, PrincipalKind,
    PrincipalSet, Registered, Registry, RequestHead, Time,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) fn registry() -> Registry {
    Registry::new(&[
        Registered::of::<ClientIp>(),
        Registered::of::<RequestId>(),
        Registered::of::<AccessLog>(),
        Registered::of::<CatchPanic>(),
        Registered::of::<Cors>(),
        Registered::of::<RateLimit>(),
        Registered::of::<Auth>(),
        Registered::of::<Role>(),
        Registered::of::<Timeout>(),
        Registered::of::<Vault>(),
    ])
}

struct Nothing;

impl Hook for Nothing {
    type State = ();

    fn on_request(&self, _: &mut RequestHead) -> Flow<()> {
        Flow::Continue(())
    }
}

/// A kind with its settings and its order.
macro_rules! kind {
    ($name:ident, $kind:literal, $config:ident, $order:expr $(, $check:expr)?) => {
        struct $name;

        impl LayerSpec for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = "does nothing";
            type Config = $config;

            fn order(config: &$config) -> Order {
                ($order)(config)
            }

            $(fn check(config: &$config) -> Vec<Finding> {
                ($check)(config)
            })?

            fn prepare(_: &$config, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
                Ok(Prepared::hook(Nothing))
            }
        }
    };
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoConfig {}

kind!(ClientIp, "client_ip", NoConfig, |_: &NoConfig| Order {
    gives: vec![Fact::ClientIp],
    once: true,
    ..Order::default()
});

kind!(RequestId, "request_id", NoConfig, |_: &NoConfig| Order {
    needs: vec![Fact::ClientIp],
    gives: vec![Fact::RequestId],
    ..Order::default()
});

kind!(AccessLog, "access_log", NoConfig, |_: &NoConfig| Order {
    needs: vec![Fact::RequestId],
    sees_refusals: true,
    ..Order::default()
});

kind!(CatchPanic, "catch_panic", NoConfig, |_: &NoConfig| Order {
    inside_of: &["access_log", "cors"],
    once: true,
    ..Order::default()
});

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CorsConfig {
    #[serde(default)]
    origins: List<String>,
    #[serde(default)]
    credentials: bool,
}

kind!(
    Cors,
    "cors",
    CorsConfig,
    |_: &CorsConfig| Order { sees_refusals: true, ..Order::default() },
    |config: &CorsConfig| {
        let any = config.origins.0.iter().find(|origin| *origin == "*" || origin.ends_with("//*"));
        match any {
            Some(origin) if config.credentials => {
                let message = format!("credentials cannot go to `{origin}`");
                vec![Finding::error("credentials", message).help("name the origins")]
            }
            _ => Vec::new(),
        }
    }
);

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Key {
    ClientIp,
    Principal,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RateLimitConfig {
    #[serde(default = "by_address")]
    key: Key,
    requests: u32,
    window: Time,
}

fn by_address() -> Key {
    Key::ClientIp
}

kind!(RateLimit, "rate_limit", RateLimitConfig, |config: &RateLimitConfig| Order {
    needs: vec![if config.key == Key::ClientIp { Fact::ClientIp } else { Fact::Principal }],
    refuses: true,
    before_authentication: config.key == Key::ClientIp,
    ..Order::default()
});

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    Session,
    SdkKey,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuthConfig {
    method: Method,
}

kind!(Auth, "auth", AuthConfig, |config: &AuthConfig| Order {
    gives: vec![Fact::Principal],
    admits: Some(match config.method {
        Method::Session => PrincipalSet::of(&[PrincipalKind::Member, PrincipalKind::Admin]),
        Method::SdkKey => PrincipalSet::of(&[PrincipalKind::ClientKey, PrincipalKind::ServerKey]),
    }),
    refuses: true,
    ..Order::default()
});

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleConfig {
    role: AdminRole,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AdminRole {
    Admin,
}

kind!(Role, "role", RoleConfig, |_: &RoleConfig| Order {
    needs: vec![Fact::Principal],
    admits: Some(PrincipalSet::of(&[PrincipalKind::Admin])),
    refuses: true,
    ..Order::default()
});

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TimeoutConfig {
    after: Time,
}

kind!(Timeout, "timeout", TimeoutConfig, |_: &TimeoutConfig| Order {
    refuses: true,
    breaks_streams: Some("a stream takes as long as it takes"),
    ..Order::default()
});

/// Settings of every type.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultConfig {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) password: Option<Password>,
    #[serde(default)]
    pub(crate) count: Option<u16>,
    #[serde(default)]
    pub(crate) ratio: Option<f64>,
    #[serde(default)]
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    pub(crate) window: Option<Time>,
    #[serde(default)]
    pub(crate) inner: Inner,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inner {
    #[serde(default)]
    pub(crate) depth: u8,
}

/// A password that says what it does not like about what it is given, as a careless layer does.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Password(pub(crate) String);

impl TryFrom<String> for Password {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() < 8 { Err(format!("{text:?} is too short")) } else { Ok(Self(text)) }
    }
}

kind!(Vault, "vault", VaultConfig, |_: &VaultConfig| Order::default());
