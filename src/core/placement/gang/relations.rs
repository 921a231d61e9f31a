//! How members of a kin must stand to each other, turned into bounds on how many may stand in each domain.
//!
//! What is said is read the way kube-scheduler reads it, which has the last word: label values are compared as they are;
//! a node without the label is apart from all others, but is nobody's neighbour and takes no part in a spread. The
//! domains of a spread are those of the nodes that the pods' own selector and affinity accept, be they full.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::domain::{Grouping, is_hostname, raw_label};
use super::kin::Kinship;
use super::room::Rooms;
use super::terrain::Terrain;
use super::{Block, Field};
use crate::model::gang::{Relation, SpreadRule};
use crate::model::node::{NodeName, NodeParts};
use crate::model::pod::Demand;
use crate::model::taint::{Effect, Taint};

/// Bounds on how many members of one kin may stand in each domain of one label.
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
        let (in_group, outside) = self.by_domain(places);
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

    /// How many places are in each domain, and how many are in none.
    fn by_domain(&self, places: impl Iterator<Item = (usize, u32)>) -> (Vec<u64>, u64) {
        let mut in_group = vec![0u64; self.grouping.len()];
        let mut outside = 0u64;
        for (at, copies) in places {
            match self.grouping.group(at) {
                Some(group) => in_group[group] += u64::from(copies),
                None => outside += u64::from(copies),
            }
        }
        (in_group, outside)
    }

    /// The same for a spread of which the emptiest domain has so many at least.
    fn bounded(&self, least: u32, max_skew: u32) -> Self {
        Self { least, most: least.saturating_add(max_skew), ..self.clone() }
    }

    /// How few the emptiest of the domains that count may have in the end, the most and so the most even first: `evenly` at
    /// most, where so many members come and domains have places for so many. What needs more places than there are is left out.
    fn leasts(&self, evenly: u32, coming: u32, max_skew: u32, places: &[u64]) -> Vec<u32> {
        let counts = || self.count.iter().map(|count| u64::from(*count));
        let in_the_end = counts().zip(places).map(|(count, places)| count + places);
        let fullest = in_the_end.zip(self.must.iter()).filter(|(_, must)| **must).map(|(most, _)| most).min();
        let highest =
            fullest.and_then(|fullest| u32::try_from(fullest).ok()).map_or(evenly, |fullest| fullest.min(evenly));
        let is_enough = |least: u32| {
            let most = u64::from(least.saturating_add(max_skew));
            let come = counts().zip(places).map(|(count, places)| (*places).min(most.saturating_sub(count)));
            come.sum::<u64>() >= u64::from(coming)
        };
        let mut leasts: Vec<u32> = (0..=highest).collect();
        // The more each domain may have, the more can come.
        let first = leasts.partition_point(|least| !is_enough(*least));
        leasts.drain(..first);
        leasts.reverse();
        leasts
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

/// One way to read the relations of all kins: where those that stay together are, and how few the emptiest domain of a
/// spread may have.
#[derive(Clone, Default)]
pub(super) struct Reading {
    /// By kin the nodes that it may use; none where it may use all.
    pub allowed: Vec<Option<Rc<[bool]>>>,
    /// By kin.
    pub caps: Vec<Vec<Cap>>,
}

/// What is left open by the relations: every combination is one [`Reading`].
pub(super) struct Relations {
    fixed: Reading,
    dials: Vec<Dial>,
}

struct Dial {
    kin: usize,
    choice: Choice,
}

enum Choice {
    /// In which of these domains all are.
    Together { grouping: Grouping, domains: Vec<usize> },
    /// How few the emptiest domain may have.
    Spread { cap: Cap, labelled: Rc<[bool]>, max_skew: u32, leasts: Vec<u32> },
}

impl Relations {
    /// Reads the relations; `joining` is how many members of each block are to be placed.
    pub fn of(
        blocks: &[Block],
        kinship: &Kinship,
        joining: &[u32],
        terrain: &Terrain<'_>,
        rooms: &Rooms<'_>,
        field: Field<'_>,
    ) -> Self {
        let reader = Reader { terrain, rooms, field };
        let mut fixed = Reading { allowed: vec![None; kinship.len()], caps: vec![vec![]; kinship.len()] };
        let mut dials = vec![];
        for at in 0..kinship.len() {
            let kin = Kin::of(kinship.blocks(at), blocks, joining);
            if kin.joining.is_empty() {
                continue;
            }
            let mut together: Option<Grouping> = None;
            for relation in &kin.block.relations {
                match relation {
                    Relation::Apart(key) => fixed.caps[at].push(reader.apart(&kin, key)),
                    Relation::Together(key) => {
                        let grouping = reader.grouping(key);
                        together = Some(together.map_or_else(|| grouping.clone(), |known| known.meet(&grouping)));
                    }
                    Relation::Spread(rule) => dials.push(Dial { kin: at, choice: reader.spread(&kin, rule) }),
                }
            }
            if let Some(grouping) = together {
                dials.push(Dial { kin: at, choice: reader.together(&kin, grouping) });
            }
        }
        Self { fixed, dials }
    }

    /// Every way to read them that could hold if all else were left aside, the best first. There is none where members that
    /// must stand together already do not.
    pub fn readings(&self) -> impl Iterator<Item = Reading> {
        let mut next = self.dials.iter().all(|dial| dial.choice.len() > 0).then(|| vec![0; self.dials.len()]);
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

    /// How many relations leave something open.
    pub fn open(&self) -> usize {
        self.dials.len()
    }

    /// The first kin of which more is said than how many of it may share a domain.
    pub fn open_kin(&self) -> Option<usize> {
        self.dials.iter().map(|dial| dial.kin).min()
    }

    fn after(&self, at: &[usize]) -> Option<Vec<usize>> {
        let mut next = at.to_vec();
        for (dial, position) in self.dials.iter().zip(&mut next).rev() {
            *position += 1;
            if *position < dial.choice.len() {
                return Some(next);
            }
            *position = 0;
        }
        None
    }

    fn reading(&self, at: &[usize]) -> Reading {
        let mut reading = self.fixed.clone();
        for (dial, position) in self.dials.iter().zip(at) {
            match &dial.choice {
                Choice::Together { grouping, domains } => {
                    let is_in = |at: usize| grouping.group(at) == Some(domains[*position]);
                    reading.allow(dial.kin, &(0..grouping.nodes()).map(is_in).collect());
                }
                Choice::Spread { cap, labelled, max_skew, leasts } => {
                    reading.allow(dial.kin, labelled);
                    reading.caps[dial.kin].push(cap.bounded(leasts[*position], *max_skew));
                }
            }
        }
        reading
    }
}

impl Choice {
    fn len(&self) -> usize {
        match self {
            Self::Together { domains, .. } => domains.len(),
            Self::Spread { leasts, .. } => leasts.len(),
        }
    }
}

impl Reading {
    fn allow(&mut self, kin: usize, nodes: &Rc<[bool]>) {
        let both = match &self.allowed[kin] {
            None => Rc::clone(nodes),
            Some(before) => before.iter().zip(nodes.iter()).map(|(a, b)| *a && *b).collect(),
        };
        self.allowed[kin] = Some(both);
    }
}

/// Does the domain of this node count, as far as this node is concerned?
fn counts(rule: &SpreadRule, demand: &Demand, node: &NodeParts) -> bool {
    let keeps_off = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule && !demand.tolerates(taint);
    (!rule.by_affinity || demand.affinity.accepts(node.name.as_str(), &node.labels))
        && (!rule.by_taints || !node.taints.iter().any(|taint| keeps_off(&taint)))
}

/// Blocks of one kin, as their relations are read.
struct Kin<'k> {
    /// The first of them: what is read of it is said of all.
    block: &'k Block,
    /// Those with members to be placed, and how many.
    joining: Vec<(usize, u32)>,
    /// Where members of any of them are already.
    placed: Vec<&'k NodeName>,
}

impl<'k> Kin<'k> {
    fn of(kin: &[usize], blocks: &'k [Block], joining: &[u32]) -> Self {
        Self {
            block: &blocks[kin[0]],
            joining: kin.iter().map(|block| (*block, joining[*block])).filter(|(_, joining)| *joining > 0).collect(),
            placed: kin.iter().flat_map(|block| &blocks[*block].placed).collect(),
        }
    }

    /// How many members of it are to be placed.
    fn total(&self) -> u32 {
        self.joining.iter().map(|(_, joining)| joining).sum()
    }
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
    fn counted(&self, kin: &Kin<'_>, key: &str) -> Cap {
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
        kin.placed.iter().filter_map(|name| self.terrain.find(name)).for_each(|at| cap.add(at));
        cap
    }

    fn apart(&self, kin: &Kin<'_>, key: &str) -> Cap {
        Cap { most: 1, ..self.counted(kin, key) }
    }

    /// One choice for each number that the emptiest domain could have in the end, the most even first.
    fn spread(&self, kin: &Kin<'_>, rule: &SpreadRule) -> Choice {
        let key = &*rule.key;
        let nodes = self.field.slots.iter().flatten().filter_map(|state| state.node());
        let counted = nodes.filter(|node| counts(rule, &kin.block.demand, &node.parts));
        let domains: BTreeSet<&str> = counted.filter_map(|node| raw_label(node, key)).collect();
        let cap = self.counted(kin, key);
        let value = |group: usize| raw_label(self.terrain.node(cap.grouping.members(group)[0]), key);
        let must: Rc<[bool]> =
            (0..cap.count.len()).map(|group| value(group).is_some_and(|value| domains.contains(value))).collect();
        let known = must.iter().filter(|must| **must).count();
        let has_empty = known < domains.len() || domains.len() < rule.min_domains as usize;
        let counted = cap.count.iter().zip(must.iter()).filter(|(_, must)| **must).map(|(count, _)| count);
        let total = kin.total().saturating_add(counted.sum());
        let evenly = if has_empty { 0 } else { total.checked_div(known as u32).unwrap_or(0) };
        let copies = |at: usize| {
            let of_block = |(block, joining): &(usize, u32)| self.copies(*block, at, *joining);
            kin.joining.iter().map(of_block).fold(0, u32::saturating_add)
        };
        let (places, _) = cap.by_domain((0..self.terrain.len()).map(|at| (at, copies(at))));
        let cap = Cap { must, ..cap };
        // A domain alone is as even as can be, whatever comes to it.
        let is_alone = !has_empty && known == 1 && cap.count.len() == 1;
        let (cap, leasts) = match is_alone {
            true => (Cap { must: [false].into(), ..cap }, vec![total]),
            false => {
                let leasts = cap.leasts(evenly, kin.total(), rule.max_skew, &places);
                (cap, leasts)
            }
        };
        let labelled = (0..self.terrain.len()).map(|at| cap.grouping.group(at).is_some()).collect();
        Choice::Spread { cap, labelled, max_skew: rule.max_skew, leasts }
    }

    /// One choice for each domain that could take all, the smallest first.
    fn together(&self, kin: &Kin<'_>, grouping: Grouping) -> Choice {
        let placed: Vec<Option<usize>> = kin.placed.iter().map(|name| self.terrain.find(name)).collect();
        let groups: Vec<usize> = match placed.is_empty() {
            true => (0..grouping.len()).collect(),
            false => grouping.common(&placed).into_iter().collect(),
        };
        let places = |group: usize| -> Option<u64> {
            let of_block = |&(block, joining): &(usize, u32)| {
                let copies = |node: &usize| u64::from(self.copies(block, *node, joining));
                let places = grouping.members(group).iter().map(copies).sum::<u64>();
                (places >= u64::from(joining)).then_some(places)
            };
            kin.joining.iter().map(of_block).sum()
        };
        let mut groups: Vec<(u64, usize)> =
            groups.into_iter().filter_map(|group| Some((places(group)?, group))).collect();
        groups.sort_unstable();
        Choice::Together { domains: groups.into_iter().map(|(_, group)| group).collect(), grouping }
    }

    /// For how many members of a block a node has room, however they must stand to each other.
    fn copies(&self, block: usize, at: usize, most: u32) -> u32 {
        self.terrain.rank(block, at).map_or(0, |_| self.rooms.copies(block, at, most))
    }
}
