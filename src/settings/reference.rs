//! `docs/settings.md`: every setting, from its type and from the shipped files.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::setting::{self, Kind, Setting};

const FLAGSTONE: &str = include_str!("../../config/flagstone.toml");
const PIPELINE: &str = include_str!("../../config/pipeline.toml");

const INTRODUCTION: &str = "\
# Settings

<!-- Made by `flagstone reference settings`; a test fails where it drifted. -->

The server's own settings stand in `flagstone.toml`. A variable named in the second column sets one whatever the file \
says; those in the third are bound in the shipped file (`{ env = \"PORT\" }`), the first that is set counts. An empty \
variable is none. With `_FILE` after its name, any of them names a file that holds the value, without the line break at \
its end; to set both is a fault. How all this is read: [operations](operations.md#settings).

All settings take effect at a start. Where `flagstone.toml` changes while the server runs, the reload says which of them \
wait for a restart (`restart_required`).

Durations are written `250ms`, `60s`, `5m`, `12h`, `7d`, or as a number of milliseconds; sizes `64KiB`, `1MiB`, `10MB`, \
or as a number of bytes; lists as an array or as a text with commas.
";

/// A value that variables may give.
pub(super) struct Binding {
    /// Where it is used: `server.port`, `layers.cors.origins`.
    pub(super) setting: String,
    /// The variables, the first that is set counts.
    pub(super) variables: Vec<String>,
    default: Option<Value>,
}

/// The reference, as Markdown.
pub(crate) fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let bindings = bindings(FLAGSTONE);
    let settings = setting::all();
    let outside = settings.iter().filter(|setting| setting.section.is_empty());
    table(&mut text, "Outside the tables", outside, &bindings);
    let mut sections: Vec<&str> = settings.iter().map(|setting| setting.section.as_str()).collect();
    sections.dedup();
    for section in sections.into_iter().filter(|section| !section.is_empty()) {
        let settings = settings.iter().filter(|setting| setting.section == section);
        table(&mut text, &format!("`[{section}]`"), settings, &bindings);
    }
    text.push_str("\n## Variables of the shipped pipeline\n\n");
    text.push_str(
        "Bound in `pipeline.toml`, where more can be; a reload reads their files anew, the process's ",
    );
    text.push_str("variables stay as they were at the start.\n\n");
    text.push_str("| Variable | Setting | Default |\n|---|---|---|\n");
    for Binding { setting, variables, default } in self::bindings(PIPELINE) {
        let variables = variables.join("`, `");
        let default = default.map(|default| default.to_string()).unwrap_or_default();
        let _ = writeln!(text, "| `{variables}` | `{setting}` | {} |", code(default.trim_matches('"')));
    }
    text
}

fn table<'s>(
    text: &mut String,
    title: &str,
    settings: impl Iterator<Item = &'s Setting>,
    bindings: &[Binding],
) {
    let _ = writeln!(text, "\n## {title}\n");
    text.push_str("| Setting | Variable | Bound | Type | Default | Meaning |\n|---|---|---|---|---|---|\n");
    for setting in settings {
        let bound = bindings.iter().filter(|binding| binding.setting == setting.name());
        let bound: Vec<&str> = bound.flat_map(|binding| &binding.variables).map(String::as_str).collect();
        let bound = if bound.is_empty() { String::new() } else { format!("`{}`", bound.join("`, `")) };
        let default = match &setting.default {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) if items.is_empty() => String::new(),
            other => other.to_string(),
        };
        let secret = if setting.is_secret { " Secret: printed redacted." } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {bound} | {} | {} | {}{secret} |",
            setting.key,
            setting.variable(),
            kind(setting),
            code(&default),
            setting.description.replace('|', "\\|"),
        );
    }
}

fn code(text: &str) -> String {
    if text.is_empty() { "empty".to_owned() } else { format!("`{text}`") }
}

fn kind(setting: &Setting) -> String {
    let name = match &setting.kind {
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Choice(choices) => format!("`{}`", choices.join("` or `")),
        Kind::List => "list".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Time => "duration".to_owned(),
    };
    match &setting.range {
        Some((least, most)) => format!("{name}, {least} to {most}"),
        None => name,
    }
}

/// All values of a file that variables may give.
pub(super) fn bindings(file: &str) -> Vec<Binding> {
    let mut found = Vec::new();
    if let Ok(table) = file.parse::<Table>() {
        collect("", &table, &mut found);
    }
    found
}

fn collect(path: &str, table: &Table, found: &mut Vec<Binding>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(table) = value.as_table() else { continue };
        let variables: Vec<String> = match table.get("env") {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => {
                collect(&path, table, found);
                continue;
            }
        };
        found.push(Binding { setting: path, variables, default: table.get("default").cloned() });
    }
}
