//! Who does a change, and from where.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ServiceError;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Flags and segments; projects, environments and people only to look at.
    Member,
}

impl Role {
    /// `admin` or `member`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "admin" => Some(Self::Admin),
            "member" => Some(Self::Member),
            _ => None,
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A signed-in user.
    User {
        /// The user's id.
        id: Uuid,
        /// The e-mail address at the time.
        email: String,
        /// The role at the time.
        role: Role,
    },
    /// Nobody yet: a sign-in, a set-up.
    Anonymous,
    /// A command run on the server's machine.
    Cli,
    /// The server itself.
    System,
}

/// Who does a change, from where, in which request: what an audit row says about its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who acts.
    pub identity: Identity,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Actor {
    /// An actor of whom nothing but the identity is known.
    pub const fn new(identity: Identity) -> Self {
        Self { identity, address: None, user_agent: None, request_id: None }
    }

    /// The server itself.
    pub const fn system() -> Self {
        Self::new(Identity::System)
    }

    /// A command run on the server's machine.
    pub const fn cli() -> Self {
        Self::new(Identity::Cli)
    }

    /// Refuses everybody but admins, the command line and the server itself.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`].
    pub fn require_admin(&self) -> Result<(), ServiceError> {
        match self.identity {
            Identity::User { role: Role::Admin, .. } | Identity::Cli | Identity::System => Ok(()),
            Identity::User { role: Role::Member, .. } | Identity::Anonymous => Err(ServiceError::Forbidden),
        }
    }

    /// Refuses those who are nobody yet.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`].
    pub fn require_member(&self) -> Result<(), ServiceError> {
        match self.identity {
            Identity::Anonymous => Err(ServiceError::Forbidden),
            Identity::User { .. } | Identity::Cli | Identity::System => Ok(()),
        }
    }

    /// How the actor is called where one reads it: the e-mail address, `cli`, `system` or `anonymous`.
    pub fn name(&self) -> &str {
        match &self.identity {
            Identity::User { email, .. } => email,
            Identity::Anonymous => "anonymous",
            Identity::Cli => "cli",
            Identity::System => "system",
        }
    }
}
