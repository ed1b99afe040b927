//! The requests of `[[tests]]` with the answers they should have.

use http::{HeaderName, HeaderValue, Method};
use toml::{Spanned, de::DeValue};

use super::{
    PlannedAlias, PlannedRoute, PlannedTest,
    layers::Layers,
    lower::{Lowering, Merged},
    reach::{Reached, RouteTable},
    routes::method,
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
    fields::{Fields, Text, wrong_type},
};

/// What a test's request can reach.
struct Reach<'c> {
    routes: RouteTable,
    aliases: crate::alias::Aliases,
    planned: &'c [Option<PlannedRoute>],
    fallback: &'c PlannedRoute,
    layers: &'c Layers<'c, 'c>,
}

pub(super) fn read<'c>(
    merged: &Merged<'_, '_>,
    lowering: &Lowering<'_>,
    aliases: &[PlannedAlias],
    planned: &'c [Option<PlannedRoute>],
    fallback: &'c PlannedRoute,
    layers: &'c Layers<'_, '_>,
    faults: &mut Faults,
) -> Vec<PlannedTest> {
    let aliases =
        crate::alias::Aliases::new(aliases.iter().map(|alias| (alias.from.clone(), alias.to.clone())));
    let reach = Reach { routes: RouteTable::new(lowering.specs), aliases, planned, fallback, layers };
    let mut tests: Vec<PlannedTest> = Vec::new();
    for value in &merged.tests {
        let Some(test) = read_test(value, &reach, faults) else { continue };
        if let Some(first) = tests.iter().find(|known| known.name == test.name) {
            let fault = Diagnostic::error(
                "duplicate-name",
                &test.location,
                format!("there are two tests \"{}\"", test.name),
            );
            faults.push(fault.related(&first.location, "the first one"));
        }
        tests.push(test);
    }
    tests
}

fn read_test(value: &Spanned<DeValue<'_>>, reach: &Reach<'_>, faults: &mut Faults) -> Option<PlannedTest> {
    let fields = Fields::of(value, "a test", &["name", "request", "expect"], faults)?;
    let name = fields.required_text("name", faults);
    if let Some((_, span)) = name.as_ref().filter(|(name, _)| name.trim().is_empty()) {
        faults.error("invalid-value", span.clone(), "a test has a name");
    }
    let request = fields.required("request", faults);
    let request = request
        .and_then(|request| Fields::of(request, "a test's request", &["method", "path", "headers"], faults));
    let expect = fields.required("expect", faults).and_then(|expect| {
        Fields::of(expect, "what a test expects", &["status", "stopped_by", "headers"], faults)
    });
    let (request, expect) = (request?, expect?);
    let method = match request.text("method", faults) {
        Some((text, span)) => method(text, span, faults),
        None => Some(Method::GET),
    };
    let path = request.required_text("path", faults).filter(|path| check_path(path, faults));
    let status = expect.get("status").and_then(|status| read_status(status, faults));
    let headers = request.text_table("headers", faults);
    let expected_headers = expect.text_table("headers", faults);
    check_headers(&request, &headers, faults);
    check_headers(&expect, &expected_headers, faults);
    let stopped_by = expect.text("stopped_by", faults);
    let asks = ["status", "stopped_by", "headers"].iter().any(|key| expect.get(key).is_some());
    if !asks {
        faults.error(
            "missing-key",
            value.span(),
            "a test expects a status, a layer that stops it, or headers",
        );
    }
    let (method, (path, _), (name, span)) = (method?, path?, name?);
    let route = reach.route(&method, path);
    if let Some(layer) = &stopped_by {
        check_stopped_by(layer, route, reach, faults);
    }
    Some(PlannedTest {
        name: name.to_owned(),
        method,
        path: path.to_owned(),
        headers,
        route,
        status,
        stopped_by: stopped_by.map(|(layer, _)| layer.to_owned()),
        expected_headers,
        location: faults.at(span),
    })
}

fn check_path((path, span): &Text<'_>, faults: &mut Faults) -> bool {
    let sound = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    if !sound {
        faults.error("invalid-path", span.clone(), format!("`{path}` is not the path of a request"));
    }
    sound
}

fn read_status(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<u16> {
    let Some(number) = value.get_ref().as_integer() else {
        wrong_type(value, "`status`", "a whole number", faults);
        return None;
    };
    let status = u16::from_str_radix(number.as_str(), number.radix()).ok();
    let status = status.filter(|status| (100..=599).contains(status));
    if status.is_none() {
        faults.error("invalid-value", value.span(), "a status is between 100 and 599");
    }
    status
}

fn check_headers(fields: &Fields<'_, '_>, headers: &[(String, String)], faults: &mut Faults) {
    let Some(table) = fields.get("headers").and_then(|headers| headers.get_ref().as_table()) else { return };
    for (name, value) in headers {
        let span = table.get_key_value(name.as_str()).map_or(0..0, |(key, _)| key.span());
        if HeaderName::try_from(name).is_err() {
            faults.error("invalid-value", span, format!("`{name}` is not the name of a header"));
        } else if HeaderValue::try_from(value).is_err() {
            faults.error("invalid-value", span, format!("`{name}` cannot have this value"));
        }
    }
}

/// The layer is known, and stands in the chain that the request runs.
fn check_stopped_by((layer, span): &Text<'_>, route: Option<usize>, reach: &Reach<'_>, faults: &mut Faults) {
    let location = faults.at(span.clone());
    if !reach.layers.declared.contains_key(layer) {
        let fault = Diagnostic::error("unknown-layer", &location, format!("there is no layer `{layer}`"));
        faults.push(fault.help_if(did_you_mean(layer, reach.layers.declared.keys().copied())));
        return;
    }
    let runs = route.and_then(|route| reach.planned.get(route)?.as_ref()).unwrap_or(reach.fallback);
    let instances = &reach.layers.instances;
    let stands = |instance: usize| instances.get(instance).is_some_and(|instance| *instance.layer == **layer);
    if !runs.broken && !runs.steps.iter().any(|step| stands(step.instance)) {
        let message = format!("the request runs chain `{}`, which has no `{layer}`", runs.chain);
        let fault = Diagnostic::error("absent-layer", &location, message);
        faults.push(fault.related(&runs.chain_named, "this chain"));
    }
}

// === impl Reach ===

impl Reach<'_> {
    /// The handler route that a request reaches; `None` is the fallback.
    fn route(&self, method: &Method, path: &str) -> Option<usize> {
        let path = path.split('?').next().unwrap_or_default();
        let resolved = self.aliases.resolve(path);
        let Reached::Route(id) = self.routes.reach(method, resolved.as_deref().unwrap_or(path)) else {
            return None;
        };
        self.planned.get(id)?.as_ref().map(|_| id)
    }
}
