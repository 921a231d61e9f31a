//! Parts that have a domain to themselves ([`Part::exclusive`](super::Part::exclusive)).
//!
//! Whose a domain is follows from who stands there. As for relations values of labels are compared as kube-scheduler does:
//! racks of the same name in two zones are one domain to it, though a set would not be spread over them.

use std::rc::Rc;
use std::sync::Arc;

use super::Formation;
use super::domain::{Grouping, Map, raw_label};
use crate::model::gang::TopologyLevel;

pub(super) struct Territories {
    /// The labels of which parts have a domain to themselves, with the domains.
    labels: Vec<(Arc<str>, Rc<Grouping>)>,
    /// By part the number of its label, if it has a domain of one to itself.
    of_part: Vec<Option<usize>>,
    /// The part and the node of each member that has its place already.
    placed: Vec<(usize, usize)>,
    nodes: usize,
}

/// Whose domains are, label by label.
pub(super) type Owners = Vec<Vec<Option<usize>>>;

impl Territories {
    pub fn of(formation: &Formation, map: &Map<'_>) -> Self {
        let mut labels: Vec<(Arc<str>, Rc<Grouping>)> = vec![];
        let mut of_part = vec![];
        for part in &formation.parts {
            let number = part.exclusive.as_ref().map(|key| {
                labels.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                    labels.push((Arc::clone(key), domains(key, map)));
                    labels.len() - 1
                })
            });
            of_part.push(number);
        }
        let placed = if labels.is_empty() { vec![] } else { placed(formation, map) };
        Self { labels, of_part, placed, nodes: map.terrain.len() }
    }

    /// Has no part a domain to itself?
    pub fn are_none(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of the label of which a part has a domain to itself.
    pub fn label_of(&self, part: usize) -> Option<usize> {
        self.of_part[part]
    }

    /// What a numbered label stands for.
    pub fn level(&self, label: usize) -> TopologyLevel {
        TopologyLevel::Label(Arc::clone(&self.labels[label].0))
    }

    /// The domains of a numbered label.
    pub fn grouping(&self, label: usize) -> &Rc<Grouping> {
        &self.labels[label].1
    }

    /// The domains of all labels.
    pub fn groupings(&self) -> impl Iterator<Item = &Rc<Grouping>> {
        self.labels.iter().map(|(_, grouping)| grouping)
    }

    /// By node: can no member of a part be there, with members of these parts on these nodes besides those that were placed
    /// before?
    pub fn closed(&self, part: usize, seats: impl Iterator<Item = (usize, usize)>) -> Vec<bool> {
        let mut closed = vec![false; self.nodes];
        let mut done: Vec<Vec<bool>> = self.groupings().map(|grouping| vec![false; grouping.len()]).collect();
        for (other, at) in self.placed.iter().copied().chain(seats).filter(|(other, _)| *other != part) {
            for label in [self.of_part[part], self.of_part[other]].into_iter().flatten() {
                let grouping = self.grouping(label);
                let Some(group) = grouping.group(at) else { continue };
                if !std::mem::replace(&mut done[label][group], true) {
                    grouping.members(group).iter().for_each(|at| closed[*at] = true);
                }
            }
        }
        closed
    }

    /// Whose domains are by the members that were placed before.
    pub fn owners(&self) -> Owners {
        let mut owners: Owners = self.groupings().map(|grouping| vec![None; grouping.len()]).collect();
        for (part, at) in &self.placed {
            self.settle(&mut owners, *part, *at);
        }
        owners
    }

    /// Gives a part that is to have one to itself the domain of a node. Says whose it was; nothing where it is another's.
    pub fn settle(&self, owners: &mut Owners, part: usize, at: usize) -> Option<Option<usize>> {
        let Some(owner) = self.domain(owners, part, at) else { return Some(None) };
        let before = *owner;
        before.is_none_or(|before| before == part).then(|| {
            *owner = Some(part);
            before
        })
    }

    /// Takes back what [`settle`](Self::settle) did; `before` is what it said.
    pub fn leave(&self, owners: &mut Owners, part: usize, at: usize, before: Option<usize>) {
        if let Some(owner) = self.domain(owners, part, at) {
            *owner = before;
        }
    }

    fn domain<'o>(&self, owners: &'o mut Owners, part: usize, at: usize) -> Option<&'o mut Option<usize>> {
        let label = self.of_part[part]?;
        let group = self.grouping(label).group(at)?;
        Some(&mut owners[label][group])
    }

    /// Are two nodes in domains of the same owners?
    pub fn are_owned_alike(&self, owners: &Owners, a: usize, b: usize) -> bool {
        let owner = |(grouping, owners): (&Rc<Grouping>, &Vec<Option<usize>>), at| owners[grouping.group(at)?];
        self.groupings().zip(owners).all(|of| owner(of, a) == owner(of, b))
    }

    /// May members of a part be on a node, as far as the domains of others go?
    pub fn is_open(&self, owners: &Owners, part: usize, at: usize) -> bool {
        let owner = |(grouping, owners): (&Rc<Grouping>, &Vec<Option<usize>>)| owners[grouping.group(at)?];
        self.groupings().zip(owners).filter_map(owner).all(|owner| owner == part)
    }
}

/// The domains of a label. Where they are also those of the level they are the same object, so that the search sees that
/// domains which differ in their names only are alike.
fn domains(key: &Arc<str>, map: &Map<'_>) -> Rc<Grouping> {
    let raw = Grouping::by(map.terrain.len(), |at| raw_label(map.terrain.node(at), key));
    let of_level = map.grouping(&[TopologyLevel::Label(Arc::clone(key))]);
    if raw == *of_level { of_level } else { Rc::new(raw) }
}

fn placed(formation: &Formation, map: &Map<'_>) -> Vec<(usize, usize)> {
    let parts = formation.parts.iter().enumerate();
    let names =
        parts.flat_map(|(at, part)| part.sets.iter().flat_map(move |set| set.placed.iter().map(move |n| (at, n))));
    names.filter_map(|(part, name)| Some((part, map.terrain.find(name)?))).collect()
}
