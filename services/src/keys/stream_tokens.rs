//! Tokens that open one OFREP stream, for browsers whose `EventSource` sends no header (facts of OFREP's ADR-0008).
//!
//! A token is `<key id>.<payload>.<tag>`: the id of the signing key, base64url of the expiry (seconds since 1970, 8
//! bytes), the SDK key's id and the environment's id (16 bytes each), and base64url of HMAC-SHA256 over what stands
//! before the second dot.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use uuid::Uuid;

use super::{KeyGrant, KeyTable};
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::secrets;
use crate::store::Db;

/// How long a token opens a stream; the stream itself may live on.
const LIFE: Duration = Duration::from_secs(600);
const PURPOSE: &str = "stream_token";
const PAYLOAD: usize = 40;

/// Signs and checks stream tokens.
pub struct StreamTokens {
    /// The newest signs, all verify.
    secrets: Vec<Signer>,
    clock: Clock,
    table: Arc<KeyTable>,
}

/// A signing key, made ready once.
struct Signer {
    id: String,
    keyed: Hmac<Sha256>,
}

impl StreamTokens {
    /// Reads the signing keys; makes the first one.
    pub(crate) async fn open(db: &Db, clock: Clock, table: Arc<KeyTable>) -> Result<Self, ServiceError> {
        let secrets = secrets::of_purpose(db, &clock, PURPOSE).await?;
        let secrets = secrets.into_iter().map(|(id, secret)| Signer::new(id, &secret)).collect();
        Ok(Self { secrets, clock, table })
    }

    /// A token that opens a stream on the key's environment for ten minutes.
    pub fn issue(&self, grant: &KeyGrant) -> String {
        // `open` left no empty list.
        let Some(signer) = self.secrets.first() else { return String::new() };
        let expiry = self.clock.now().as_second().saturating_add_unsigned(LIFE.as_secs());
        let mut payload = [0; PAYLOAD];
        payload[..8].copy_from_slice(&expiry.to_be_bytes());
        payload[8..24].copy_from_slice(grant.id.as_bytes());
        payload[24..].copy_from_slice(grant.environment.id.as_bytes());
        let mut token = format!("{}.{}", signer.id, URL_SAFE_NO_PAD.encode(payload));
        let tag = signer.tag(&token).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut token);
        token
    }

    /// The key that a token was issued for; `None` where it is not ours, too old, or its key opens nothing any more.
    pub fn verify(&self, token: &str) -> Option<Arc<KeyGrant>> {
        let (signed, presented) = token.rsplit_once('.')?;
        let (id, payload) = signed.split_once('.')?;
        let signer = self.secrets.iter().find(|signer| signer.id == id)?;
        let mut presented_tag = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(presented, &mut presented_tag).ok()?;
        // Compares in constant time.
        signer.tag(signed).verify_slice(presented_tag.get(..length)?).ok()?;
        let payload: [u8; PAYLOAD] = URL_SAFE_NO_PAD.decode(payload).ok()?.try_into().ok()?;
        let expiry = i64::from_be_bytes(payload[..8].try_into().ok()?);
        let now = self.clock.now();
        if now >= Timestamp::from_second(expiry).ok()? {
            return None;
        }
        let grant = self.table.by_id(Uuid::from_slice(&payload[8..24]).ok()?)?;
        (grant.is_valid(now) && grant.environment.id.as_bytes()[..] == payload[24..]).then_some(grant)
    }
}

impl Signer {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn new(id: String, secret: &[u8; 32]) -> Self {
        Self { id, keyed: Hmac::new_from_slice(secret).expect("a key of 32 bytes") }
    }

    fn tag(&self, text: &str) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(text)
    }
}
