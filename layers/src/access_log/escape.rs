//! Text from outside in a log line: it can neither end the line nor the value it stands in.

/// The longest text of a request that is logged, in bytes; the rest is cut off and `…` put in its place.
const LONGEST: usize = 1024;

/// Appends a JSON string, quotes included.
pub(super) fn json(text: &str, buffer: &mut Vec<u8>) {
    buffer.push(b'"');
    escaped(text, buffer);
    buffer.push(b'"');
}

/// Appends a value of a `key=value` line: bare where that is plain, otherwise as a JSON string.
pub(super) fn text(text: &str, buffer: &mut Vec<u8>) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain) {
        buffer.extend_from_slice(text.as_bytes());
    } else {
        json(text, buffer);
    }
}

fn escaped(text: &str, buffer: &mut Vec<u8>) {
    let cut = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default();
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if cut.bytes().all(plain) {
        buffer.extend_from_slice(cut.as_bytes());
    } else {
        cut.chars().for_each(|character| push(character, buffer));
    }
    if cut.len() < text.len() {
        buffer.extend_from_slice("…".as_bytes());
    }
}

fn push(character: char, buffer: &mut Vec<u8>) {
    match character {
        '"' | '\\' => buffer.extend_from_slice(&[b'\\', character as u8]),
        // Terminals act on control characters, of Latin-1 too, and some readers take separators for the end of a line.
        _ if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let code = u32::from(character) as usize;
            buffer.extend_from_slice(b"\\u");
            buffer.extend([12, 8, 4, 0].map(|shift| DIGITS[code >> shift & 0xf]));
        }
        _ => buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: fn(&str, &mut Vec<u8>), value: &str) -> String {
        let mut buffer = Vec::new();
        write(value, &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn what_could_end_a_line_or_move_a_cursor_is_escaped() {
        let nasty = "a\"b\\c\nd\re\tf\0g\u{1b}[31mh\u{7f}i\u{85}j\u{9b}k\u{2028}l\u{2029}mä";
        let escaped =
            r#""a\"b\\c\u000ad\u000de\u0009f\u0000g\u001b[31mh\u007fi\u0085j\u009bk\u2028l\u2029mä""#;
        assert_eq!(written(json, nasty), escaped);
        assert_eq!(written(text, nasty), escaped);
    }

    #[test]
    fn a_plain_text_is_quoted_only_where_it_must_be() {
        assert_eq!(written(text, "/a/b?c"), "/a/b?c");
        for (value, expected) in [("", r#""""#), ("a b", r#""a b""#), ("a=b", r#""a=b""#)] {
            assert_eq!(written(text, value), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(written(json, &"a".repeat(1024)), format!("\"{}\"", "a".repeat(1024)));
        assert_eq!(written(json, &"a".repeat(1025)), format!("\"{}…\"", "a".repeat(1024)));
        assert_eq!(written(text, &"a".repeat(1025)), format!("\"{}…\"", "a".repeat(1024)));
        assert_eq!(written(json, &format!("a{}", "ä".repeat(600))), format!("\"a{}…\"", "ä".repeat(511)));
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_and_is_read_back(value in "(?s).{0,200}") {
            let line = written(json, &value);
            prop_assert!(!line.chars().any(|c| c.is_control()));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), value);
        }
    }
}
