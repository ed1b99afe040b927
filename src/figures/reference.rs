//! `docs/metrics.md`, from what the metrics say of themselves.

use std::fmt::Write as _;

use flagstone_layers::kernel::{LabelValues, MetricLabel, MetricSpec};

use super::Figures;

const INTRODUCTION: &str = "\
# Metrics

<!-- Generated: flagstone reference metrics > docs/metrics.md -->

`GET /metrics` of the admin listener shows all of them, in Prometheus' text format or, to a client that accepts it, in
OpenMetrics 1.0. The public listener shows them where an entry of `pipeline.toml` covers `/metrics`; the shipped file has
one commented out, behind an address filter. Scrape configuration and alert rules: `deploy/prometheus/`.

No client can make up a label: methods are those of the list, paths are the patterns of routes, names are those of the
configuration. Counters begin at zero with the process.

Not there yet: `token_refreshes_total` comes with refresh tokens, `invites_accepted_total` with invitations,
`emails_sent_total` and `emails_failed_total` with e-mail.

| Metric | Type | Labels | What it says |
|---|---|---|---|
";

/// The reference, as Markdown.
pub(crate) fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for spec in Figures::specs() {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            spec.full_name(),
            kind(&spec),
            labels(&spec),
            spec.help
        );
    }
    text
}

fn kind(spec: &MetricSpec) -> String {
    match spec.unit() {
        Some(unit) => format!("{}, {unit}", spec.kind),
        None => spec.kind.to_string(),
    }
}

fn labels(spec: &MetricSpec) -> String {
    let labels: Vec<String> = spec.labels.iter().map(label).collect();
    labels.join("<br>")
}

fn label(label: &MetricLabel) -> String {
    let values = match label.values {
        LabelValues::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            values.join(", ")
        }
        LabelValues::Named(words) => words.to_owned(),
    };
    format!("`{}`: {values}", label.name)
}

fn quoted(value: &str) -> String {
    if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_said_once_and_help_is_a_sentence_in_one_cell() {
        let specs = Figures::specs();
        let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), specs.len());
        for spec in specs {
            assert!(spec.help.len() > 15 && !spec.help.ends_with('.'), "{}: {}", spec.name, spec.help);
            assert!(!spec.help.contains(['|', '\n']), "{}", spec.name);
            assert!(!spec.name.ends_with("_total"), "{}", spec.name);
        }
    }
}
