//! Whether a definition would lead to itself, or so deep that evaluation would refuse it.

use std::collections::{BTreeMap, HashMap};

use super::surroundings::Surroundings;
use crate::compile::Links;
use crate::fault::Fault;
use crate::graph;
use crate::limits;
use crate::references::{Name, References};

/// The definitions as nodes.
struct Graph<'d> {
    names: Vec<Name<'d>>,
    places: HashMap<Name<'d>, usize>,
    leads_to: Vec<Vec<usize>>,
    depths: Vec<usize>,
}

pub(super) fn check(
    name: Name<'_>,
    references: &References<'_>,
    surroundings: &dyn Surroundings,
) -> Vec<Fault> {
    let graph = Graph::new(name, references, surroundings);
    let Some(&start) = graph.places.get(&name) else { return Vec::new() };
    let toward = graph.toward(start);
    let back = references.found.iter().filter_map(|reference| {
        let target = *graph.places.get(&reference.to)?;
        let detail = format!("leads back to itself: {name} → {}", graph.way(target, start, &toward)?);
        Some(Fault { pointer: reference.pointer.clone(), code: "cycle", detail })
    });
    let cycles: Vec<Fault> = back.collect();
    if !cycles.is_empty() {
        return cycles;
    }
    let (_, depths) = graph::sort(&graph.depths, &graph.leads_to);
    let deep = graph.names.iter().zip(depths).enumerate();
    let deep = deep.filter(|(place, (_, depth))| {
        toward.contains_key(place) && depth.is_some_and(|it| it > limits::NESTING)
    });
    deep.map(|(_, (deep, _))| {
        let most = limits::NESTING;
        let detail =
            format!("the {deep} would nest more than {most} deep through the flags and segments it leads to");
        Fault { pointer: String::new(), code: "too_deep", detail }
    })
    .collect()
}

impl<'d> Graph<'d> {
    /// All definitions, the one that is checked as it is to be.
    fn new(name: Name<'d>, references: &'d References<'d>, surroundings: &'d dyn Surroundings) -> Self {
        let own = Links::new(references);
        let others = || surroundings.environment().links().filter(|(other, _)| *other != name);
        let names: Vec<Name<'d>> = others().map(|(other, _)| other).chain([name]).collect();
        let places: HashMap<Name<'d>, usize> =
            names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let links = || others().map(|(_, links)| links).chain([&own]);
        let targets =
            |links: &Links| links.names().filter_map(|target| places.get(&target).copied()).collect();
        let leads_to = links().map(targets).collect();
        let depths = links().map(|links| links.depth).collect();
        Self { names, places, leads_to, depths }
    }

    /// The nodes that lead to `goal`, each with the next one on the way there.
    fn toward(&self, goal: usize) -> BTreeMap<usize, usize> {
        let mut led_from: Vec<Vec<usize>> = vec![Vec::new(); self.names.len()];
        for (node, targets) in self.leads_to.iter().enumerate() {
            for target in targets {
                if let Some(sources) = led_from.get_mut(*target) {
                    sources.push(node);
                }
            }
        }
        let mut next = BTreeMap::from([(goal, goal)]);
        let mut seen = vec![goal];
        let mut at = 0;
        while let Some(&node) = seen.get(at) {
            at += 1;
            for &source in led_from.get(node).into_iter().flatten() {
                next.entry(source).or_insert_with(|| {
                    seen.push(source);
                    node
                });
            }
        }
        next
    }

    /// The way from a node to the goal, for people.
    fn way(&self, from: usize, goal: usize, toward: &BTreeMap<usize, usize>) -> Option<String> {
        let mut node = from;
        let mut way = self.names.get(node)?.to_string();
        while node != goal {
            node = *toward.get(&node)?;
            way = format!("{way} → {}", self.names.get(node)?);
        }
        Some(way)
    }
}
