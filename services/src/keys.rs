//! SDK keys: made, shown once, checked in memory, revoked. And the tokens that open OFREP streams.

mod service;
mod stream_tokens;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use service::{Keys, NewKey};
pub(crate) use service::{WantedKey, create};
pub use stream_tokens::StreamTokens;
pub(crate) use table::KeyTable;

use crate::snapshot::EnvironmentHandle;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// All SDK routes; stays on servers.
    Server,
    /// Evaluation and streams; may be seen by anybody.
    Client,
}

impl KeyKind {
    /// `server` or `client`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// Reads what [`KeyKind::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Server, Self::Client].into_iter().find(|kind| kind.as_str() == text)
    }

    /// What its keys begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Server => "fs_srv_",
            Self::Client => "fs_cli_",
        }
    }
}

/// An SDK key as people see it: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SdkKey {
    /// Its public id.
    pub id: Uuid,
    /// Whose flags it opens.
    #[serde(skip)]
    pub environment_id: Uuid,
    /// What it may do.
    pub kind: KeyKind,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub hint: String,
    /// Who made it: an e-mail address, `cli` or `system`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it stops to be valid.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, up to a minute ago.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl SdkKey {
    /// Whether it opens anything at this time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// What a valid key opens.
#[derive(Debug)]
pub struct KeyGrant {
    /// The key's public id.
    pub id: Uuid,
    /// The same as text, shared: for logs, limits and principals.
    pub id_text: Arc<str>,
    /// What it may do.
    pub kind: KeyKind,
    /// Whose flags it opens.
    pub environment: Arc<EnvironmentHandle>,
    expires_at: Option<Timestamp>,
    revoked: AtomicBool,
    /// Microseconds since 1970; 0 where not since the last flush.
    used_at: AtomicI64,
}

impl KeyGrant {
    pub(crate) fn new(key: &SdkKey, environment: Arc<EnvironmentHandle>) -> Self {
        Self {
            id: key.id,
            id_text: key.id.to_string().into(),
            kind: key.kind,
            environment,
            expires_at: key.expires_at,
            revoked: AtomicBool::new(false),
            used_at: AtomicI64::new(0),
        }
    }

    /// Whether it was revoked since it was handed out.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        !self.is_revoked() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}
