//! The flags that are measured: boolean, with three rules of one or two conditions. Of four neighbours one answers by its
//! first rule, one by its second, one by its third, and one by none.

use serde_json::{Value, json};

/// Who asks.
pub(crate) fn context() -> Value {
    json!({
        "targetingKey": "user-4711",
        "plan": "pro",
        "country": "NO",
        "appVersion": "2.4.1",
        "email": "kari@example.com",
        "age": 42,
    })
}

pub(crate) fn key(index: usize) -> String {
    format!("flag-{index}")
}

/// The flag's own fields.
pub(crate) fn flag(index: usize) -> Value {
    json!({ "key": key(index), "name": format!("Flag {index}"), "type": "boolean" })
}

/// Its configuration in an environment.
pub(crate) fn config(index: usize) -> Value {
    let plans = if by_rule(index) == Some(1) { ["team", "pro"] } else { ["team", "trial"] };
    let version = if by_rule(index) == Some(2) { "2.0.0" } else { "3.0.0" };
    let age = if by_rule(index) == Some(3) { 18 } else { 99 };
    json!({
        "enabled": true,
        "fallthrough": { "variant": "off" },
        "rules": [
            {
                "id": "plans",
                "when": { "attribute": "plan", "op": "in", "values": plans },
                "serve": { "variant": "on" },
            },
            {
                "id": "new-clients-in-the-north",
                "when": { "all": [
                    { "attribute": "country", "op": "in", "values": ["DK", "FI", "IS", "NO", "SE"] },
                    { "attribute": "appVersion", "op": "semver_gt", "values": [version] },
                ] },
                "serve": { "variant": "on" },
            },
            {
                "id": "grown-up-staff",
                "when": { "all": [
                    { "attribute": "email", "op": "ends_with", "values": ["@example.com"] },
                    { "attribute": "age", "op": "gte", "values": [age] },
                ] },
                "serve": { "variant": "on" },
            },
        ],
    })
}

/// What [`context`] gets.
pub(crate) fn answer(index: usize) -> bool {
    by_rule(index).is_some()
}

/// The same in OFREP's form, as the server writes it.
pub(crate) fn ofrep_answer(index: usize) -> String {
    let (reason, variant) = if answer(index) { ("TARGETING_MATCH", "on") } else { ("DEFAULT", "off") };
    let (key, value) = (key(index), answer(index));
    format!(r#"{{"key":"{key}","reason":"{reason}","variant":"{variant}","value":{value}}}"#)
}

/// The rule that answers [`context`], counted from one.
fn by_rule(index: usize) -> Option<usize> {
    // The first flag, which is also measured alone, goes through all rules.
    match index % 4 {
        0 => Some(3),
        1 => Some(2),
        2 => Some(1),
        _ => None,
    }
}
