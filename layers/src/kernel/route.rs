use std::fmt;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::principal::{PrincipalKind, PrincipalSet};

/// One handler route, as it describes itself to the pipeline and to the documentation.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// The method it answers. `HEAD` is answered by `GET` routes.
    pub method: Method,
    /// Its pattern, as `matchit` writes it: `/api/projects/{project}`.
    pub path: &'static str,
    /// A name that stays the same for ever, for logs, documents and generated clients.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether its answer goes on for as long as the client stays.
    pub streaming: bool,
    /// Whether a pipeline may leave it out; then it is answered with 404.
    pub optional: bool,
    /// Where its handler runs.
    pub run: Run,
}

/// The access a route needs. A pipeline that does not prove it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anybody.
    Public,
    /// A client or a server key.
    AnyKey,
    /// A server key.
    ServerKey,
    /// A stream's token.
    StreamToken,
    /// Anybody who signed in.
    Member,
    /// An administrator.
    Admin,
}

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Run {
    /// On the connection's own thread: it awaits nothing but the request's body.
    Inline,
    /// Anywhere: it may wait for a database or for a hash.
    Control,
}

// === impl RouteSpec ===

impl RouteSpec {
    /// A route with the most common properties: not streaming, not optional, [`Run::Control`].
    pub const fn new(method: Method, path: &'static str, name: &'static str, access: Access) -> Self {
        Self { method, path, name, access, streaming: false, optional: false, run: Run::Control }
    }

    /// Its answer goes on for as long as the client stays; it runs inline.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.streaming = true;
        self.run = Run::Inline;
        self
    }

    /// A pipeline may leave it out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It awaits nothing but the request's body.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.run = Run::Inline;
        self
    }
}

// === impl Access ===

impl Access {
    /// The principals it lets in.
    pub const fn principals(self) -> PrincipalSet {
        use PrincipalKind::{Admin, ClientKey, Member, ServerKey, StreamToken};
        match self {
            Self::Public => PrincipalSet::ALL,
            Self::AnyKey => PrincipalSet::of(&[ClientKey, ServerKey]),
            Self::ServerKey => PrincipalSet::of(&[ServerKey]),
            Self::StreamToken => PrincipalSet::of(&[StreamToken]),
            Self::Member => PrincipalSet::of(&[Member, Admin]),
            Self::Admin => PrincipalSet::of(&[Admin]),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::AnyKey => "AnyKey",
            Self::ServerKey => "ServerKey",
            Self::StreamToken => "StreamToken",
            Self::Member => "Member",
            Self::Admin => "Admin",
        })
    }
}
