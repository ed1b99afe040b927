//! Paths that stand for others.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

use super::{
    PlannedAlias,
    lower::{Handler, Lowering, Merged},
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
    fields::Fields,
    pattern::{Parsed, Pattern},
};

pub(super) fn read(
    merged: &Merged<'_, '_>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> Vec<PlannedAlias> {
    let mut aliases: Vec<(Pattern, Range<usize>, PlannedAlias)> = Vec::new();
    let mut router = matchit::Router::new();
    for value in &merged.aliases {
        let Some((pattern, span, alias)) = read_alias(value, lowering, faults) else { continue };
        if let Some((_, first, _)) = aliases.iter().find(|(known, ..)| *known == pattern) {
            let location = faults.at(span);
            let fault =
                Diagnostic::error("alias-conflict", &location, format!("`{}` is an alias twice", alias.from));
            faults.push(fault.related(&faults.at(first.clone()), "the first one"));
            continue;
        }
        if let Err(conflict) = router.insert(alias.from.clone(), ()) {
            let message = format!("`{}` is in conflict with another alias: {conflict}", alias.from);
            faults.error("alias-conflict", span, message);
            continue;
        }
        aliases.push((pattern, span, alias));
    }
    aliases.into_iter().map(|(.., alias)| alias).collect()
}

fn read_alias(
    value: &Spanned<DeValue<'_>>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> Option<(Pattern, Range<usize>, PlannedAlias)> {
    let fields = Fields::of(value, "an alias", &["from", "to"], faults)?;
    let from = fields.required_text("from", faults);
    let to = fields.required_text("to", faults);
    let parse = |text: Option<(&'_ str, Range<usize>)>, faults: &mut Faults| {
        let (text, span) = text?;
        match Pattern::parse(text) {
            Ok(parsed) => Some((text.to_owned(), span, parsed.pattern)),
            Err(fault) => {
                faults.error("invalid-path", span, format!("`{text}`: {fault}"));
                None
            }
        }
    };
    let from = parse(from, faults);
    let to = parse(to, faults);
    let ((from, from_span, from_pattern), (to, to_span, to_pattern)) = (from?, to?);
    let before = faults.len();
    check_parameters((&from, &from_span), (&to, &to_span), faults);
    check_target(&to, &to_span, &to_pattern, lowering, faults);
    check_shadows(&from, &from_span, &from_pattern, lowering, faults);
    if faults.len() > before {
        return None;
    }
    let location = faults.at(from_span.clone());
    Some((from_pattern, from_span, PlannedAlias { from, to, location }))
}

/// Every parameter of the target comes from the alias.
fn check_parameters(from: (&str, &Range<usize>), to: (&str, &Range<usize>), faults: &mut Faults) {
    let parameters =
        |path| Pattern::parse(path).map(|Parsed { parameters, .. }| parameters).unwrap_or_default();
    let given: Vec<&str> = parameters(from.0);
    let wanted: Vec<&str> = parameters(to.0);
    for name in wanted.iter().filter(|name| !given.contains(name)) {
        let location = faults.at(to.1.clone());
        let fault =
            Diagnostic::error("alias-parameter", &location, format!("`from` has no parameter `{{{name}}}`"))
                .related(&faults.at(from.1.clone()), "this one")
                .help_if(did_you_mean(name, given.iter().copied()));
        faults.push(fault);
    }
    for name in given.iter().filter(|name| !wanted.contains(name)) {
        let location = faults.at(from.1.clone());
        let message = format!("`to` does not use the parameter `{{{name}}}`");
        faults.push(Diagnostic::error("alias-parameter", &location, message));
    }
}

fn check_target(
    to: &str,
    span: &Range<usize>,
    pattern: &Pattern,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) {
    let reaches = |handler: &Pattern| {
        // What stands for all below a path reaches whatever handlers are there.
        handler.covers(pattern) || (pattern.ends_in_catch_all() && pattern.covers(handler))
    };
    if !lowering.handlers.iter().any(|handler| reaches(&handler.pattern)) {
        let location = faults.at(span.clone());
        let fault = Diagnostic::error("alias-target", &location, format!("`{to}` reaches no handler route"));
        faults.push(fault.help_if(did_you_mean(to, lowering.specs.iter().map(|spec| spec.path))));
    }
}

/// An alias comes before the routes: it must not take requests from one. Where a handler takes whatever is left, an
/// alias may be among it.
fn check_shadows(
    from: &str,
    span: &Range<usize>,
    pattern: &Pattern,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) {
    let shadowed = lowering.handlers.iter().find(|Handler { pattern: handler, .. }| {
        if handler.ends_in_catch_all() { pattern.covers(handler) } else { pattern.overlaps(handler) }
    });
    if let Some(Handler { spec, .. }) = shadowed {
        let location = faults.at(span.clone());
        let message =
            format!("the alias `{from}` would take requests from the handler route `{}`", spec.path);
        faults
            .push(Diagnostic::error("alias-shadows", &location, message).help("give the alias another path"));
    }
}
