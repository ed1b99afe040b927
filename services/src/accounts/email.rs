//! E-mail addresses: what is accepted and the one form they are kept in.

/// Longest address: RFC 5321 §4.5.3.1.3 less the angle brackets.
pub(super) const MAXIMUM_CHARACTERS: usize = 254;

/// Longest part before the `@`: RFC 5321 §4.5.3.1.1.
const MAXIMUM_LOCAL: usize = 64;

/// Longest label of a domain: RFC 1035 §2.3.4.
const MAXIMUM_LABEL: usize = 63;

/// The address in the form it is kept and looked up in: lower case. `None` where it is no address: ASCII
/// only, as look-alike letters would make two accounts that read the same.
pub(super) fn normalize(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let valid = text.len() <= MAXIMUM_CHARACTERS
        && local.len() <= MAXIMUM_LOCAL
        && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte))
        && domain.split('.').all(is_label);
    valid.then(|| text.to_ascii_lowercase())
}

/// Whether accounts can have this address.
pub fn is_email(text: &str) -> bool {
    normalize(text).is_some()
}

/// RFC 5322 §3.2.3, `atext`.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    (1..=MAXIMUM_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn addresses_are_kept_in_lower_case() {
        assert_eq!(normalize(" Ada.Lovelace+x@Example.COM ").as_deref(), Some("ada.lovelace+x@example.com"));
        assert_eq!(normalize("admin@localhost").as_deref(), Some("admin@localhost"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}", "b.".repeat(130) + "c");
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a",
            "a@b@c",
            "a..b@c",
            ".a@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@b.",
            "a\n@b",
            "ä@example.com",
            "a@exämple.com",
            "a@[127.0.0.1]",
            &long_local,
            &long,
        ] {
            assert_eq!(normalize(text), None, "{text:?}");
        }
    }
}
