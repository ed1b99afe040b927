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

/// Appends a line that is formatted already: what could end it or act on a terminal is written as JSON has it.
pub(super) fn line(text: &str, buffer: &mut Vec<u8>) {
    for character in text.chars() {
        if is_dangerous(character) {
            number(character, buffer);
        } else {
            buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// As much of a text as is logged.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}

/// Terminals act on control characters, of Latin-1 too; some readers take separators for the end of a line; and what is
/// not seen, or turns the direction of writing, makes a text look like another.
pub(super) fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

fn escaped(text: &str, buffer: &mut Vec<u8>) {
    let cut = cut(text);
    if is_plain(cut.as_bytes()) {
        buffer.extend_from_slice(cut.as_bytes());
    } else {
        cut.chars().for_each(|character| push(character, buffer));
    }
    if cut.len() < text.len() {
        buffer.extend_from_slice("…".as_bytes());
    }
}

/// Whether all of it is visible ASCII that JSON does not escape. Sixteen bytes are looked at at once, the last of them
/// twice where they are no multiple.
fn is_plain(text: &[u8]) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    let all_plain = |bytes: &[u8; 16]| bytes.iter().fold(true, |all, byte| all & plain(*byte));
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(all_plain) && all_plain(last),
        None => text.iter().all(|byte| plain(*byte)),
    }
}

fn push(character: char, buffer: &mut Vec<u8>) {
    match character {
        '"' | '\\' => buffer.extend_from_slice(&[b'\\', character as u8]),
        _ if is_dangerous(character) => number(character, buffer),
        _ => buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends a character as `\u` and its number, which has four digits.
fn number(character: char, buffer: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let code = u32::from(character) as usize;
    buffer.extend_from_slice(b"\\u");
    buffer.extend([12, 8, 4, 0].map(|shift| DIGITS[code >> shift & 0xf]));
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
        let nasty = "a\"b\\c\nd\re\tf\0g\u{1b}[31mh\u{7f}i\u{85}j\u{9b}k\u{2028}l\u{2029}m\u{202e}n\u{200b}ä";
        let escaped = r#""a\"b\\c\u000ad\u000de\u0009f\u0000g\u001b[31mh\u007fi\u0085j\u009bk\u2028l\u2029m\u202en\u200bä""#;
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

    #[test]
    fn what_must_be_escaped_is_seen_wherever_it_stands() {
        for length in 1..50 {
            let plain = "~".repeat(length);
            assert_eq!(written(json, &plain), format!("\"{plain}\""));
            for place in 0..length {
                for byte in ["\"", "\\", "\u{1f}", "\u{7f}"] {
                    let mut value = plain.clone();
                    value.replace_range(place..=place, byte);
                    let line = written(json, &value);
                    assert_eq!(
                        line.len(),
                        length + 2 + if matches!(byte, "\"" | "\\") { 1 } else { 5 },
                        "{line}"
                    );
                    assert_eq!(serde_json::from_str::<String>(&line).unwrap(), value);
                }
            }
        }
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
