use serde_json::Value;

use super::{escape, spec::Format};

/// The longest line of the host's own that is written as it is, in bytes.
const LONGEST: usize = 32 << 10;

/// Appends a line of the host's own, with the context that every line has.
pub(super) fn write(line: &str, format: Format, context: &[u8], buffer: &mut Vec<u8>) {
    let line = line.trim_end_matches(['\n', '\r']);
    let short = (line.len() > LONGEST).then(|| shortened(line, format));
    let line = short.as_deref().unwrap_or(line);
    match (format, line.strip_suffix('}')) {
        (Format::Json, Some(open)) => {
            escape::line(open, buffer);
            buffer.extend_from_slice(context);
            buffer.push(b'}');
        }
        _ => {
            escape::line(line, buffer);
            buffer.extend_from_slice(context);
        }
    }
    buffer.push(b'\n');
}

/// Of a JSON object, the texts in it are cut, so that it stays one.
fn shortened(line: &str, format: Format) -> String {
    match (format, serde_json::from_str::<Value>(line)) {
        (Format::Json, Ok(mut value)) => {
            shorten(&mut value);
            value.to_string()
        }
        _ => escape::cut(line).to_owned() + "…",
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            let length = escape::cut(text).len();
            if length < text.len() {
                text.truncate(length);
                text.push('…');
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(line: &str, format: Format, context: &str) -> String {
        let mut buffer = Vec::new();
        write(line, format, context.as_bytes(), &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_context_is_added_in_either_format() {
        assert_eq!(
            written("{\"message\":\"ready\"}\n", Format::Json, ",\"release\":\"1\""),
            "{\"message\":\"ready\",\"release\":\"1\"}\n"
        );
        assert_eq!(written("INFO ready x={}\n", Format::Text, " release=1"), "INFO ready x={} release=1\n");
    }

    #[test]
    fn one_event_is_one_line_whatever_is_in_it() {
        let nasty = "a\nb\rc\u{1b}[2Kd\u{9b}e\u{2028}f\u{202e}g\u{feff}h\n";
        assert_eq!(
            written(nasty, Format::Text, ""),
            "a\\u000ab\\u000dc\\u001b[2Kd\\u009be\\u2028f\\u202eg\\ufeffh\n"
        );
        let event = json!({ "error": nasty });
        let line = written(&event.to_string(), Format::Json, "");
        assert_eq!(
            line.matches(|c: char| escape::is_dangerous(c)).count(),
            1,
            "the line's own end: {line:?}"
        );
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), event);
    }

    #[test]
    fn what_is_far_too_long_is_cut_and_stays_whole() {
        let event = json!({ "message": "x", "error": "ä".repeat(100_000), "list": ["y".repeat(5_000)] });
        let line = written(&event.to_string(), Format::Json, ",\"release\":\"1\"");
        assert!(line.len() < 4_000, "{}", line.len());
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["message"], &read["release"]), (&json!("x"), &json!("1")));
        assert!(read["error"].as_str().unwrap().ends_with("ä…"));
        let text = written(&"z".repeat(100_000), Format::Text, " release=1");
        assert!(text.len() < 4_000 && text.ends_with("z… release=1\n"), "{}", text.len());
    }
}
