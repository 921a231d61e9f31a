//! Nodes and domains that are alike: exchanging their names changes nothing that the search could still find.

use std::rc::Rc;

use super::asks::Asks;
use super::domain::Grouping;
use super::terrain::Terrain;
use super::trial::Trial;

/// What tells nodes apart for good.
pub(super) struct Symmetry {
    groupings: Vec<Rc<Grouping>>,
    /// By grouping and domain: a number for what is possible there, and for whom it is given.
    uses: Vec<Vec<u32>>,
    /// By node: by grouping what its domain is like.
    of_node: Vec<Vec<Mark>>,
    /// By node the blocks that it takes at all, as they are told apart by number.
    admits: Vec<u32>,
}

/// What a node's domain is like, among the domains of one grouping.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// In none.
    Outside,
    /// With others: only nodes of the same domain are alike.
    Shared(usize),
    /// Alone, and so like others who are. The number tells those apart for whom more or less is possible.
    Alone(u32),
}

impl Symmetry {
    pub fn of(asks: &Asks, terrain: &Terrain<'_>, trial: &Trial<'_>) -> Self {
        let blocks = asks.joining.len();
        let mut groupings: Vec<Rc<Grouping>> = vec![];
        let within = asks.kinds.iter().filter_map(|kind| kind.within.as_ref()).map(|within| &within.grouping);
        let required = asks.parts.iter().map(|part| &part.bounds.grouping);
        let caps = trial.all_caps().map(|cap| cap.grouping());
        for grouping in within.chain(required).chain(caps).chain(asks.territories.groupings()) {
            if !groupings.iter().any(|known| Rc::ptr_eq(known, grouping)) {
                groupings.push(Rc::clone(grouping));
            }
        }
        let uses: Vec<Vec<u32>> = groupings
            .iter()
            .map(|grouping| numbered((0..grouping.len()).map(|group| uses(asks, trial, grouping, group))))
            .collect();
        let mark = |(grouping, uses): (&Rc<Grouping>, &Vec<u32>), at: usize| match grouping.group(at) {
            None => Mark::Outside,
            Some(group) if grouping.members(group).len() > 1 => Mark::Shared(group),
            Some(group) => Mark::Alone(uses[group]),
        };
        let nodes = 0..terrain.len();
        let marks = |at: usize| groupings.iter().zip(&uses).map(|of| mark(of, at)).collect();
        let open = |at: usize| (0..blocks).map(|block| trial.is_open(block, at)).collect::<Vec<bool>>();
        Self { of_node: nodes.clone().map(marks).collect(), admits: numbered(nodes.map(open)), groupings, uses }
    }

    /// Are two nodes alike, with all that stands on them now?
    pub fn nodes_alike(&self, trial: &Trial<'_>, a: usize, b: usize) -> bool {
        self.alike_but_for(trial, a, b, None)
    }

    /// Are two domains alike, node by node in the order of the names?
    pub fn domains_alike(&self, trial: &Trial<'_>, grouping: &Rc<Grouping>, a: usize, b: usize) -> bool {
        let but_for = self.groupings.iter().position(|known| Rc::ptr_eq(known, grouping));
        if but_for.is_some_and(|at| self.uses[at][a] != self.uses[at][b]) {
            return false;
        }
        let (a, b) = (grouping.members(a), grouping.members(b));
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.alike_but_for(trial, *a, *b, but_for))
    }

    fn alike_but_for(&self, trial: &Trial<'_>, a: usize, b: usize, but_for: Option<usize>) -> bool {
        let marks = self.of_node[a].iter().zip(&self.of_node[b]).enumerate();
        let counts = |at: usize| trial.all_caps().map(move |cap| cap.count(at));
        self.admits[a] == self.admits[b]
            && marks.filter(|(at, _)| Some(*at) != but_for).all(|(_, (a, b))| a == b)
            && counts(a).eq(counts(b))
            && trial.rooms().alike(a, b)
    }
}

/// What is possible in a domain, and which sets have it already.
fn uses(asks: &Asks, trial: &Trial<'_>, grouping: &Rc<Grouping>, group: usize) -> (Vec<bool>, Vec<usize>) {
    let within = asks.kinds.iter().filter_map(|kind| kind.within.as_ref());
    let joins = within.filter(|within| Rc::ptr_eq(&within.grouping, grouping)).map(|within| within.joins[group]);
    let parts = asks.parts.iter().map(|part| &part.bounds).filter(|bounds| Rc::ptr_eq(&bounds.grouping, grouping));
    let must = trial.all_caps().filter(|cap| Rc::ptr_eq(cap.grouping(), grouping)).map(|cap| cap.must(group));
    let is_given = |set: &usize| {
        let within = asks.kind(*set).within.as_ref();
        asks.sets[*set].pinned == Some(group) && within.is_some_and(|within| Rc::ptr_eq(&within.grouping, grouping))
    };
    let possible = joins.chain(parts.map(|bounds| bounds.possible[group])).chain(must).collect();
    (possible, (0..asks.sets.len()).filter(is_given).collect())
}

/// Numbers things so that equal ones, and only these, have the same.
fn numbered<T: PartialEq>(things: impl Iterator<Item = T>) -> Vec<u32> {
    let mut known: Vec<T> = vec![];
    let number = |thing: T| {
        let at = known.iter().position(|other| *other == thing);
        at.unwrap_or_else(|| {
            known.push(thing);
            known.len() - 1
        }) as u32
    };
    things.map(number).collect()
}
