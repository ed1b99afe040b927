//! Secrets made here and shown once: session ids, set-up tokens, SDK keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::ServiceError;

/// Random bytes in a token: 256 bits cannot be guessed, so one plain hash is enough to store it
/// (ASVS 7.2.3 asks for 128).
const RANDOM_BYTES: usize = 32;

/// Characters of the random part of a token: 32 bytes in base64url without padding.
pub const RANDOM_CHARACTERS: usize = (RANDOM_BYTES * 4).div_ceil(3);

/// SHA-256 of a token's whole text, prefix included: what is stored and looked up.
pub type TokenHash = [u8; 32];

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct RandomError(#[from] getrandom::Error);

impl From<RandomError> for ServiceError {
    fn from(error: RandomError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// A token in clear text. It exists only on its way to whoever it was made for; `Debug` hides it, and it is overwritten
/// when it is dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new token: `prefix` followed by 256 random bits in base64url.
    pub fn generate(prefix: &str) -> Result<Self, RandomError> {
        let mut text = String::with_capacity(prefix.len() + RANDOM_CHARACTERS);
        text.push_str(prefix);
        let random = Zeroizing::new(random_bytes::<RANDOM_BYTES>()?);
        URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
        Ok(Self(Zeroizing::new(text)))
    }

    /// The clear text, to be sent to its owner and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The clear text as an owned string.
    pub fn into_text(mut self) -> String {
        std::mem::take(&mut *self.0)
    }

    /// What to store of this token.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token([redacted])")
    }
}

/// The hash under which a presented token is looked up. Allocates nothing.
pub fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether `text` is `prefix` and a random part of the right length and alphabet. What is not need not
/// be looked up.
pub fn is_well_formed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|random| {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_');
        // Without an early end, so that many bytes are looked at at once.
        random.len() == RANDOM_CHARACTERS && random.bytes().fold(true, |all, byte| all & is_base64url(byte))
    })
}

/// Random bytes of the operating system.
pub fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], RandomError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_prefix_and_256_bits() {
        let token = Token::generate("fs_srv_").unwrap();
        let random = token.reveal().strip_prefix("fs_srv_").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert!(is_well_formed(token.reveal(), "fs_srv_"));
        assert_eq!(token.hash(), hash(token.reveal()));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        assert_ne!(Token::generate("").unwrap().reveal(), Token::generate("").unwrap().reveal());
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let expected = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(hash("abc"), expected);
    }

    #[test]
    fn debug_hides_the_token() {
        let token = Token::generate("fs_cli_").unwrap();
        let shown = format!("{token:?}");
        assert!(!shown.contains("fs_cli_") && !shown.contains(token.reveal()), "{shown}");
    }

    #[test]
    fn what_cannot_be_a_token_is_told_by_its_form() {
        let token = Token::generate("fs_srv_").unwrap();
        let text = token.reveal();
        assert!(!is_well_formed(text, "fs_cli_"), "another prefix");
        assert!(!is_well_formed(&text[..text.len() - 1], "fs_srv_"), "too short");
        assert!(!is_well_formed(&format!("{text}A"), "fs_srv_"), "too long");
        assert!(!is_well_formed(&format!("{}é", &text[..text.len() - 2]), "fs_srv_"), "not base64url");
        assert!(!is_well_formed("", "fs_srv_"));
    }
}
