//! How members of a block must stand to each other, turned into bounds on how many may stand in each domain.
//!
//! What is said is read the way kube-scheduler reads it, which has the last word: label values are compared as they are;
//! a node without the label is apart from all others, but is nobody's neighbour and takes no part in a spread. The
//! domains of a spread are those of the nodes that the pods' own selector and affinity accept, be they full.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::domain::{Grouping, is_hostname, raw_label};
use super::room::Rooms;
use super::terrain::Terrain;
use super::{Block, Field};
use crate::model::gang::{Relation, SpreadRule};
use crate::model::node::NodeParts;
use crate::model::pod::Demand;
use crate::model::taint::{Effect, Taint};

/// Bounds on how many members of one block may stand in each domain of one label.
#[derive(Clone)]
pub(super) struct Cap {
    grouping: Rc<Grouping>,
    count: Vec<u32>,
    /// So many must stand in each of these domains in the end.
    least: u32,
    must: Rc<[bool]>,
    /// More than so many may not be added to.
    most: u32,
    /// The domains are single nodes.
    pub per_node: bool,
}

impl Cap {
    /// How many more may come to the domain of a node.
    pub fn room(&self, at: usize) -> u32 {
        self.grouping.group(at).map_or(u32::MAX, |group| self.most.saturating_sub(self.count[group]))
    }

    /// Are there still too few in the domain of a node?
    pub fn lacks(&self, at: usize) -> bool {
        self.grouping.group(at).is_some_and(|group| self.must[group] && self.count[group] < self.least)
    }

    pub fn add(&mut self, at: usize) {
        if let Some(group) = self.grouping.group(at) {
            self.count[group] += 1;
        }
    }

    pub fn remove(&mut self, at: usize) {
        if let Some(group) = self.grouping.group(at) {
            self.count[group] -= 1;
        }
    }

    /// How many members can come at most where nodes have places for so many, if all who must come still can; none if not.
    pub fn bound(&self, places: impl Iterator<Item = (usize, u32)>) -> Option<u64> {
        let mut in_group = vec![0u64; self.grouping.len()];
        let mut outside = 0u64;
        for (at, copies) in places {
            match self.grouping.group(at) {
                Some(group) => in_group[group] += u64::from(copies),
                None => outside += u64::from(copies),
            }
        }
        let mut bound = outside;
        for (group, places) in in_group.into_iter().enumerate() {
            let count = u64::from(self.count[group]);
            if self.must[group] && count + places < u64::from(self.least) {
                return None;
            }
            bound += places.min(u64::from(self.most).saturating_sub(count));
        }
        Some(bound)
    }

    /// How many must still come.
    pub fn missing(&self) -> u64 {
        if self.least == 0 {
            return 0;
        }
        let lacking = |group: &usize| u64::from(self.least.saturating_sub(self.count[*group]));
        (0..self.count.len()).filter(|group| self.must[*group]).map(|group| lacking(&group)).sum()
    }

    pub fn grouping(&self) -> &Rc<Grouping> {
        &self.grouping
    }

    /// Does a domain count for how even the spread is?
    pub fn must(&self, group: usize) -> bool {
        self.must[group]
    }

    /// How many stand in the domain of a node; none where it is in none.
    pub fn count(&self, at: usize) -> Option<u32> {
        self.grouping.group(at).map(|group| self.count[group])
    }
}

/// One way to read the relations of all blocks: where those that stay together are, and how few the emptiest domain of a
/// spread may have.
#[derive(Clone, Default)]
pub(super) struct Reading {
    /// By block the nodes that it may use; none where it may use all.
    pub allowed: Vec<Option<Rc<[bool]>>>,
    /// By block.
    pub caps: Vec<Vec<Cap>>,
}

/// What is left open by the relations: every combination is one [`Reading`].
pub(super) struct Relations {
    fixed: Reading,
    dials: Vec<Dial>,
}

struct Dial {
    block: usize,
    positions: Vec<Position>,
}

#[derive(Clone)]
enum Position {
    Together(Rc<[bool]>),
    Spread(Cap),
}

impl Relations {
    /// Reads the relations; `joining` is how many members of each block are to be placed.
    pub fn of(blocks: &[Block], joining: &[u32], terrain: &Terrain<'_>, rooms: &Rooms<'_>, field: Field<'_>) -> Self {
        let reader = Reader { terrain, rooms, field };
        let mut fixed = Reading { allowed: vec![None; blocks.len()], caps: vec![vec![]; blocks.len()] };
        let mut dials = vec![];
        for (at, block) in blocks.iter().enumerate().filter(|(at, _)| joining[*at] > 0) {
            let mut together: Option<Grouping> = None;
            for relation in &block.relations {
                match relation {
                    Relation::Apart(key) => fixed.caps[at].push(reader.apart(block, key)),
                    Relation::Together(key) => {
                        let grouping = reader.grouping(key);
                        together = Some(together.map_or_else(|| grouping.clone(), |known| known.meet(&grouping)));
                    }
                    Relation::Spread(rule) => {
                        let positions = reader.spread(block, joining[at], rule);
                        dials.push(Dial { block: at, positions });
                    }
                }
            }
            if let Some(grouping) = together {
                dials.push(Dial { block: at, positions: reader.together(at, block, joining[at], &grouping) });
            }
        }
        Self { fixed, dials }
    }

    /// Every way to read them, the best first. There is none where members that must stand together already do not.
    pub fn readings(&self) -> impl Iterator<Item = Reading> {
        let mut next = self.dials.iter().all(|dial| !dial.positions.is_empty()).then(|| vec![0; self.dials.len()]);
        std::iter::from_fn(move || {
            let at = next.take()?;
            next = self.after(&at);
            Some(self.reading(&at))
        })
    }

    /// Does nothing but the number of members on a node matter?
    pub fn are_of_single_nodes(&self) -> bool {
        self.dials.is_empty() && self.fixed.caps.iter().flatten().all(|cap| cap.per_node)
    }

    /// What holds however the rest is read.
    pub fn fixed(&self) -> &Reading {
        &self.fixed
    }

    /// The first block of which more is said than how many of it may share a domain.
    pub fn open_block(&self) -> Option<usize> {
        self.dials.iter().map(|dial| dial.block).min()
    }

    fn after(&self, at: &[usize]) -> Option<Vec<usize>> {
        let mut next = at.to_vec();
        for (dial, position) in self.dials.iter().zip(&mut next).rev() {
            *position += 1;
            if *position < dial.positions.len() {
                return Some(next);
            }
            *position = 0;
        }
        None
    }

    fn reading(&self, at: &[usize]) -> Reading {
        let mut reading = self.fixed.clone();
        for (dial, position) in self.dials.iter().zip(at) {
            match &dial.positions[*position] {
                Position::Together(allowed) => reading.allow(dial.block, allowed),
                Position::Spread(cap) => {
                    let labelled: Rc<[bool]> =
                        (0..cap.grouping.nodes()).map(|at| cap.grouping.group(at).is_some()).collect();
                    reading.allow(dial.block, &labelled);
                    reading.caps[dial.block].push(cap.clone());
                }
            }
        }
        reading
    }
}

impl Reading {
    fn allow(&mut self, block: usize, nodes: &Rc<[bool]>) {
        let both = match &self.allowed[block] {
            None => Rc::clone(nodes),
            Some(before) => before.iter().zip(nodes.iter()).map(|(a, b)| *a && *b).collect(),
        };
        self.allowed[block] = Some(both);
    }
}

/// Does the domain of this node count, as far as this node is concerned?
fn counts(rule: &SpreadRule, demand: &Demand, node: &NodeParts) -> bool {
    let keeps_off = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule && !demand.tolerates(taint);
    (!rule.by_affinity || demand.affinity.accepts(node.name.as_str(), &node.labels))
        && (!rule.by_taints || !node.taints.iter().any(|taint| keeps_off(&taint)))
}

struct Reader<'r, 'a> {
    terrain: &'r Terrain<'a>,
    rooms: &'r Rooms<'a>,
    field: Field<'r>,
}

impl Reader<'_, '_> {
    fn grouping(&self, key: &str) -> Grouping {
        Grouping::by(self.terrain.len(), |at| raw_label(self.terrain.node(at), key))
    }

    /// The cap without its bounds, with those counted who are there already.
    fn counted(&self, block: &Block, key: &str) -> Cap {
        let grouping = Rc::new(self.grouping(key));
        let groups = grouping.len();
        let mut cap = Cap {
            grouping,
            count: vec![0; groups],
            least: 0,
            must: vec![false; groups].into(),
            most: u32::MAX,
            per_node: is_hostname(key),
        };
        block.placed.iter().filter_map(|name| self.terrain.find(name)).for_each(|at| cap.add(at));
        cap
    }

    fn apart(&self, block: &Block, key: &str) -> Cap {
        Cap { most: 1, ..self.counted(block, key) }
    }

    /// One cap for each number that the emptiest domain could have in the end, the most even first.
    fn spread(&self, block: &Block, joining: u32, rule: &SpreadRule) -> Vec<Position> {
        let key = &*rule.key;
        let nodes = self.field.slots.iter().flatten().filter_map(|state| state.node());
        let counted = nodes.filter(|node| counts(rule, &block.demand, &node.parts));
        let domains: BTreeSet<&str> = counted.filter_map(|node| raw_label(node, key)).collect();
        let cap = self.counted(block, key);
        let value = |group: usize| raw_label(self.terrain.node(cap.grouping.members(group)[0]), key);
        let must: Rc<[bool]> =
            (0..cap.count.len()).map(|group| value(group).is_some_and(|value| domains.contains(value))).collect();
        let known = must.iter().filter(|must| **must).count();
        let counted = cap.count.iter().zip(must.iter()).filter(|(_, must)| **must).map(|(count, _)| count);
        let total = joining.saturating_add(counted.sum());
        let has_empty = known < domains.len() || domains.len() < rule.min_domains as usize;
        let evenly = if has_empty { 0 } else { total.checked_div(known as u32).unwrap_or(0) };
        let bounded = |least: u32| Cap {
            least,
            must: Rc::clone(&must),
            most: least.saturating_add(rule.max_skew),
            ..cap.clone()
        };
        (0..=evenly).rev().map(|least| Position::Spread(bounded(least))).collect()
    }

    /// One choice for each domain that could take all, the smallest first.
    fn together(&self, at: usize, block: &Block, joining: u32, grouping: &Grouping) -> Vec<Position> {
        let placed: Vec<Option<usize>> = block.placed.iter().map(|name| self.terrain.find(name)).collect();
        let groups: Vec<usize> = match placed.is_empty() {
            true => (0..grouping.len()).collect(),
            false => grouping.common(&placed).into_iter().collect(),
        };
        let copies = |node: &usize| match self.terrain.rank(at, *node) {
            Some(_) => u64::from(self.rooms.copies(at, *node, joining)),
            None => 0,
        };
        let places = |group: &usize| grouping.members(*group).iter().map(copies).sum::<u64>();
        let mut groups: Vec<(u64, usize)> = groups.into_iter().map(|group| (places(&group), group)).collect();
        groups.retain(|(places, _)| *places >= u64::from(joining));
        groups.sort_unstable();
        let allowed = |group: usize| (0..self.terrain.len()).map(|at| grouping.group(at) == Some(group)).collect();
        groups.into_iter().map(|(_, group)| Position::Together(allowed(group))).collect()
    }
}
