//! The proof of order and access, held against a model that knows nothing of it: a machine that walks a request of each
//! principal through the chain and looks at what happens.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;

/// One layer as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    name: &'static str,
    declaration: &'static str,
    /// Facts it reads, and the ones it writes.
    reads: &'static [&'static str],
    writes: &'static [&'static str],
    /// The principals that it lets through; empty is everybody.
    lets: &'static [&'static str],
    refuses: bool,
}

const LAYERS: [Model; 10] = [
    layer("client-ip", "kind = \"client_ip\"", &[], &["ip"], &[], false),
    layer("request-id", "kind = \"request_id\"", &["ip"], &["id"], &[], false),
    layer("log", "kind = \"access_log\"", &["id"], &[], &[], false),
    layer("cors", "kind = \"cors\"", &[], &[], &[], false),
    layer("catch-panic", "kind = \"catch_panic\"", &[], &[], &[], false),
    layer("limit", "kind = \"rate_limit\"\nrequests = 1\nwindow = 1000", &["ip"], &[], &[], true),
    layer(
        "user-limit",
        "kind = \"rate_limit\"\nkey = \"principal\"\nrequests = 1\nwindow = 1",
        &["who"],
        &[],
        &[],
        true,
    ),
    layer("session", "kind = \"auth\"\nmethod = \"session\"", &[], &["who"], &["member", "admin"], true),
    layer(
        "sdk-key",
        "kind = \"auth\"\nmethod = \"sdk_key\"",
        &[],
        &["who"],
        &["client_key", "server_key"],
        true,
    ),
    layer("require-admin", "kind = \"role\"\nrole = \"admin\"", &["who"], &[], &["admin"], true),
];

const PRINCIPALS: [&str; 6] = ["anonymous", "client_key", "server_key", "stream_token", "member", "admin"];

const fn layer(
    name: &'static str,
    declaration: &'static str,
    reads: &'static [&'static str],
    writes: &'static [&'static str],
    lets: &'static [&'static str],
    refuses: bool,
) -> Model {
    Model { name, declaration, reads, writes, lets, refuses }
}

/// The principals that reach the end of a chain.
fn who_passes(chain: &[(Model, bool)]) -> BTreeSet<&'static str> {
    let passes = |principal: &&str| {
        chain
            .iter()
            .all(|(layer, observe)| *observe || layer.lets.is_empty() || layer.lets.contains(principal))
    };
    PRINCIPALS.into_iter().filter(passes).collect()
}

/// Whether every layer finds what it reads, and those that must see refusals see them.
fn order_holds(chain: &[(Model, bool)]) -> bool {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut refused_outside = false;
    let mut authenticated_outside = false;
    let mut panics_outside = false;
    for (layer, observe) in chain {
        if layer.reads.iter().any(|fact| !known.contains(fact)) {
            return false;
        }
        let sees = matches!(layer.name, "log" | "cors");
        if sees && (refused_outside || panics_outside) {
            return false;
        }
        if layer.name == "limit" && authenticated_outside {
            return false;
        }
        if !observe {
            known.extend(layer.writes);
        }
        refused_outside |= layer.refuses;
        authenticated_outside |= layer.writes.contains(&"who");
        panics_outside |= layer.name == "catch-panic";
    }
    true
}

fn file(chain: &[(Model, bool)]) -> String {
    let mut text = "version = 1\n".to_owned();
    for (layer, observe) in chain {
        let mode = if *observe { "mode = \"observe\"\n" } else { "" };
        text += &format!("[layers.{}]\n{}\n{mode}", layer.name, layer.declaration);
    }
    let names: Vec<_> = chain.iter().map(|(layer, _)| layer.name).collect();
    text += &format!("[chains]\nall = {names:?}\nnone = []\n");
    text + "[[routes]]\npath = \"/{*rest}\"\nchain = \"all\"\n[fallback]\nchain = \"none\"\n"
}

const GOOD_ORDER: [&str; 10] = [
    "client-ip",
    "request-id",
    "log",
    "cors",
    "catch-panic",
    "limit",
    "session",
    "sdk-key",
    "user-limit",
    "require-admin",
];

/// Chains that are in order but for a few swaps: of those that are shuffled, hardly any has a single fault.
fn chains() -> impl Strategy<Value = Vec<(Model, bool)>> {
    let layers = subsequence(LAYERS.to_vec(), 0..=LAYERS.len());
    let swaps = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3);
    let ordered = (layers, swaps).prop_map(|(mut layers, swaps): (Vec<Model>, Vec<_>)| {
        layers.sort_by_key(|layer| GOOD_ORDER.iter().position(|name| *name == layer.name));
        let swaps: Vec<(prop::sample::Index, prop::sample::Index)> =
            if layers.is_empty() { Vec::new() } else { swaps };
        for (one, other) in swaps {
            let (from, to) = (one.index(layers.len()), other.index(layers.len()));
            let layer: Model = layers.remove(from);
            layers.insert(to, layer);
        }
        layers
    });
    (ordered, vec(prop::bool::weighted(0.35), LAYERS.len())).prop_map(|(layers, observe)| {
        layers.into_iter().zip(observe).map(|(layer, observe)| (layer, observe && layer.refuses)).collect()
    })
}

#[test]
fn one_of_a_kind_is_the_most_where_the_kind_says_so() {
    let text = changed("[layers.log]", "[layers.other-ip]\nkind = \"client_ip\"\n\n[layers.log]")
        .replace("\"request-id\", \"log\"", "\"request-id\", \"other-ip\", \"log\"");
    let found = planned(&text).report.diagnostics;
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["more-than-once"]);
    assert_eq!(found[0].related[0].line, 47);
}

/// Half of the time one that any chain gives, so that the order alone decides.
fn wanted() -> impl Strategy<Value = Access> {
    let strict = [Access::AnyKey, Access::ServerKey, Access::StreamToken, Access::Member, Access::Admin];
    prop_oneof![Just(Access::Public), prop::sample::select(strict.to_vec())]
}

fn access(wanted: Access) -> BTreeSet<&'static str> {
    match wanted {
        Access::Public => PRINCIPALS.into(),
        Access::AnyKey => ["client_key", "server_key"].into(),
        Access::ServerKey => ["server_key"].into(),
        Access::StreamToken => ["stream_token"].into(),
        Access::Member => ["member", "admin"].into(),
        Access::Admin => ["admin"].into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn what_is_accepted_holds_in_the_model_and_what_holds_is_accepted(
        chain in chains(),
        wanted in wanted(),
    ) {
        let routes = [RouteSpec::new(Method::GET, "/x", "x", wanted)];
        let text = file(&chain);
        let planned = plan_bytes(Path::new("p.toml"), text.as_bytes(), &kinds::registry(), &routes, &variables(&[]));
        let passing = who_passes(&chain);
        let proven = order_holds(&chain) && !passing.is_empty() && passing.is_subset(&access(wanted));
        prop_assert_eq!(planned.plan.is_some(), proven, "{}\n{}", text, planned.report);
        // A fault of order is not taken for one of access, nor the other way round.
        let codes: BTreeSet<_> = planned.report.diagnostics.iter().map(|found| found.code).collect();
        let opened = codes.contains("access") || codes.contains("nobody-passes");
        prop_assert_eq!(opened, passing.is_empty() || !passing.is_subset(&access(wanted)), "{}", planned.report);
    }

    #[test]
    fn a_chain_is_the_same_spliced_and_written_out(chain in chains(), cut in 0..LAYERS.len()) {
        let cut = cut.min(chain.len());
        let names: Vec<_> = chain.iter().map(|(layer, _)| layer.name).collect();
        let text = file(&chain);
        let (before, after) = names.split_at(cut);
        let mut spliced = vec!["@first".to_owned()];
        spliced.extend(after.iter().map(|name| (*name).to_owned()));
        // What is brought in and taken out again is as if it had never been there.
        if let Some(last) = after.last() {
            spliced.push(format!("-{last}"));
            spliced.push((*last).to_owned());
        }
        let rewritten = text.replace(&format!("all = {names:?}"), &format!("first = {before:?}\nall = {spliced:?}"));
        let routes = [RouteSpec::new(Method::GET, "/x", "x", Access::Public)];
        let read = |text: &str| {
            let planned = plan_bytes(Path::new("p.toml"), text.as_bytes(), &kinds::registry(), &routes, &variables(&[]));
            planned.plan.map(|plan| {
                let route = plan.routes[0].clone().unwrap();
                plan.chain(&route).map(|instance| instance.name.to_string()).collect::<Vec<_>>()
            })
        };
        prop_assert_eq!(read(&text), read(&rewritten), "{}", rewritten);
    }
}
