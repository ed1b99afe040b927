use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who a request comes from, as an [`Authenticator`] found it. Cloning costs three reference counts at most.
#[derive(Clone)]
pub struct Principal {
    kind: PrincipalKind,
    id: Arc<str>,
    context: Option<Context>,
    attachment: Option<Arc<dyn Any + Send + Sync>>,
}

/// Keys and values.
type Context = Arc<[(&'static str, Box<str>)]>;

/// The kinds of principal a pipeline can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PrincipalKind {
    /// Nobody was authenticated.
    Anonymous = 1,
    /// An application, by a key that may be published.
    ClientKey = 2,
    /// An application, by a key that must be kept secret.
    ServerKey = 4,
    /// A stream, by a short-lived token.
    StreamToken = 8,
    /// A person without special rights.
    Member = 16,
    /// A person who may administer.
    Admin = 32,
}

/// A set of [`PrincipalKind`]s: what is possible at one place of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrincipalSet(u8);

/// What a request carries to say who it comes from. The text is a secret: it is never logged.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A session's opaque id, from the session cookie.
    Session(&'a str),
    /// An SDK key, from `Authorization: Bearer` or `X-API-Key`.
    SdkKey(&'a str),
    /// A token for one stream, from the query.
    StreamToken(&'a str),
}

/// Checks credentials. Lent to the `auth` layer by the host as `Arc<dyn Authenticator>`.
pub trait Authenticator: Send + Sync + 'static {
    /// Answers at once where it can, from memory; otherwise with a future that borrows nothing and has its own deadline.
    fn authenticate(&self, credential: Credential<'_>) -> Authentication;
}

/// What an [`Authenticator`] found.
pub enum Authentication {
    /// The credential is good.
    Accepted(Principal),
    /// It is not, or it could not be checked.
    Refused(AuthFailure),
    /// It has to ask somebody first.
    Wait(Pin<Box<dyn Future<Output = Result<Principal, AuthFailure>> + Send>>),
}

/// Why a credential was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// Unknown, revoked or malformed: answered with 401.
    #[error("the credential is not valid")]
    Invalid,
    /// Known once, but its time is over: answered with 401.
    #[error("the credential has expired")]
    Expired,
    /// It could not be checked: answered with 503, because a database that is away must log nobody out.
    #[error("the credential cannot be checked at the moment")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

// === impl Principal ===

impl Principal {
    /// A principal with the public id that logs and limits know it by, such as `user:0198…`.
    pub fn new(kind: PrincipalKind, id: impl Into<Arc<str>>) -> Self {
        Self { kind, id: id.into(), context: None, attachment: None }
    }

    /// What log lines say of it besides, as keys and values: a key's project and environment. Not secret.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Attaches what handlers need of it (a session, a key's grant), so that they look nothing up again.
    #[must_use]
    pub fn with_attachment(mut self, attachment: Arc<dyn Any + Send + Sync>) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its public id. Not a secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What log lines say of it besides.
    pub fn context(&self) -> &[(&'static str, Box<str>)] {
        self.context.as_deref().unwrap_or_default()
    }

    /// What the authenticator attached, if it is a `T`.
    pub fn attachment<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.attachment.as_deref()?.downcast_ref()
    }

    /// As [`attachment`](Self::attachment), shared.
    pub fn shared_attachment<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.attachment.clone()?.downcast().ok()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl PrincipalKind ===

impl PrincipalKind {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::ClientKey, Self::ServerKey, Self::StreamToken, Self::Member, Self::Admin];

    /// Its name in files and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ClientKey => "client_key",
            Self::ServerKey => "server_key",
            Self::StreamToken => "stream_token",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

// === impl PrincipalSet ===

impl PrincipalSet {
    /// Every kind.
    pub const ALL: Self = Self(0b11_1111);
    /// No kind: nobody can pass.
    pub const NONE: Self = Self(0);

    /// The set of these kinds.
    pub const fn of(kinds: &[PrincipalKind]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < kinds.len() {
            bits |= kinds[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Those in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the kind is in the set.
    pub const fn contains(self, kind: PrincipalKind) -> bool {
        self.0 & kind as u8 != 0
    }

    /// Whether all of it is in `other`.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether nobody is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = PrincipalKind> {
        PrincipalKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session(_) => "Session(…)",
            Self::SdkKey(_) => "SdkKey(…)",
            Self::StreamToken(_) => "StreamToken(…)",
        })
    }
}
