//! Passwords in clear text, on their way from whoever typed one to the hasher.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use zeroize::{Zeroize as _, Zeroizing};

/// A password in clear text: in Unicode's form NFC, so that keyboards that compose letters in other ways type the same
/// one (NIST 800-63B-4 §3.1.1.2). It is overwritten when it is dropped, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The clear text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(mut text: String) -> Self {
        let Cow::Owned(normal) = normalized(&text) else { return Self(Zeroizing::new(text)) };
        text.zeroize();
        Self(Zeroizing::new(normal))
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password([redacted])")
    }
}

/// The text in NFC.
pub(super) fn normalized(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        // Room for all of it from the start: a string that grows leaves pieces of the password behind.
        IsNormalized::No | IsNormalized::Maybe => {
            let mut normal = String::with_capacity(text.len().saturating_mul(GROWTH));
            normal.extend(text.nfc());
            Cow::Owned(normal)
        }
    }
}

/// The most that NFC makes a text longer in UTF-8 (UAX #15, table 9).
const GROWTH: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (typed, other) in [
            ("Ångström café", "A\u{30a}ngstro\u{308}m cafe\u{301}"),
            ("Ångström", "\u{212b}ngström"),
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
        ] {
            assert_ne!(typed, other);
            assert_eq!(Password::from(typed), Password::from(other), "{typed}");
        }
        // Compatible is not the same: NFKC would make fewer passwords of more.
        assert_ne!(Password::from("ﬁve"), Password::from("five"));
        assert_eq!(Password::from("plain").reveal(), "plain");
    }

    #[test]
    fn nothing_grows_more_than_there_is_room_for() {
        for character in ['\u{1d160}', '\u{fb2c}', '\u{390}', '\u{2adc}', '\u{f73}'] {
            let text = String::from(character).repeat(50);
            let normal = normalized(&text);
            assert!(normal.len() <= text.len() * GROWTH, "{character:?}: {}", normal.len());
        }
    }

    #[test]
    fn debug_hides_it() {
        assert_eq!(format!("{:?}", Password::from("quiet evening")), "Password([redacted])");
    }
}
