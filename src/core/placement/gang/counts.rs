//! What counts alone decide.
//!
//! Where all sets are alike, placing by counts finds a placement whenever there is one: a member takes one place of its
//! node, and a set as many places of its domain as it has members, whichever nodes and domains those are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::asks::{Asks, Kind};
use super::terrain::Terrain;
use super::trial::Trial;

/// Do counts decide everything? So they do where one block is placed whose members must at most keep off each other's
/// nodes, its sets are alike (but for those that others of them have a domain for already, if all share domains of one
/// level: one that must stay in a rack can take a node from those that need a clique, or another), and its parts too,
/// where they are bound to domains.
pub(super) fn is_exact(asks: &Asks, single_nodes: bool) -> bool {
    let one_block = asks.joining.iter().filter(|joining| **joining > 0).count() <= 1;
    let mut free_kinds: Vec<usize> = asks.sets.iter().filter(|set| set.pinned.is_none()).map(|set| set.kind).collect();
    free_kinds.sort_unstable();
    free_kinds.dedup();
    let mut levels = asks.kinds.iter().filter_map(|kind| Some(&kind.within.as_ref()?.level));
    let one_level = levels.next().is_none_or(|first| levels.all(|level| level == first));
    single_nodes && one_block && free_kinds.len() <= 1 && one_level && parts_are_alike(asks)
}

fn parts_are_alike(asks: &Asks) -> bool {
    let parts: Vec<_> = asks.parts.iter().filter(|part| !part.sets.is_empty()).collect();
    let Some(first) = parts.first() else { return true };
    let required = &first.bounds.required;
    if parts.iter().any(|part| part.bounds.required != *required || part.exclusive != first.exclusive) {
        return false;
    }
    // A pinned part has no choice, whatever its sets; the others must ask for the same.
    let mut sizes: Vec<usize> =
        parts.iter().filter(|part| !part.bounds.is_pinned).map(|part| part.sets.len()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    required.is_empty() || sizes.len() <= 1
}

/// How many places these nodes have for the sets, if by all counts they have enough.
pub(super) fn size_if_sufficient(asks: &Asks, trial: &Trial<'_>, sets: &[usize], nodes: &[usize]) -> Option<u64> {
    let mut size = 0;
    for (block, members) in asks.members(sets).into_iter().enumerate().filter(|(_, members)| *members > 0) {
        let places: u64 = nodes.iter().map(|at| u64::from(trial.copies(block, *at))).sum();
        if places < u64::from(members) {
            return None;
        }
        size += places;
    }
    let mut by_kind: BTreeMap<usize, u64> = BTreeMap::new();
    for set in sets.iter().map(|set| &asks.sets[*set]).filter(|set| set.pinned.is_none()) {
        *by_kind.entry(set.kind).or_default() += 1;
    }
    by_kind.into_iter().all(|(kind, sets)| places_for_sets(&asks.kinds[kind], trial, nodes) >= sets).then_some(size)
}

/// For how many sets of a kind alone these nodes have places, at most.
pub(super) fn places_for_sets(kind: &Kind, trial: &Trial<'_>, nodes: &[usize]) -> u64 {
    let Some(within) = &kind.within else { return u64::MAX };
    let mut by_group: Vec<(usize, usize)> = (nodes.iter())
        .filter_map(|at| Some((within.grouping.group(*at).filter(|group| within.joins[*group])?, *at)))
        .collect();
    by_group.sort_unstable();
    let sets = |nodes: &[(usize, usize)]| -> u64 {
        let places = |block: usize| nodes.iter().map(|(_, at)| u64::from(trial.copies(block, *at))).sum::<u64>();
        kind.runs.iter().map(|(block, count)| places(*block) / u64::from(*count)).min().unwrap_or(0)
    };
    by_group.chunk_by(|a, b| a.0 == b.0).map(sets).sum()
}

/// A domain with places for sets.
pub(super) struct Choice {
    pub nodes: Vec<usize>,
    /// For how many.
    pub sets: usize,
    pub order: Order,
}

/// Single nodes come before domains of several, and those with failed devices last; then by rank, then by name.
pub(super) type Order = (Reach, u64, usize);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Node,
    Several,
    DegradedNode,
}

impl Choice {
    pub fn of(block: usize, members: u32, nodes: Vec<usize>, terrain: &Terrain<'_>, trial: &Trial<'_>) -> Option<Self> {
        let places: u64 = nodes.iter().map(|at| u64::from(trial.copies(block, *at))).sum();
        let sets = usize::try_from(places / u64::from(members)).ok().filter(|sets| *sets > 0)?;
        let rank =
            nodes.iter().filter(|at| trial.copies(block, **at) > 0).filter_map(|at| terrain.rank(block, *at)).min()?;
        let reach = match nodes[..] {
            [at] if terrain.node(at).inventory.is_degraded() => Reach::DegradedNode,
            [_] => Reach::Node,
            _ => Reach::Several,
        };
        Some(Self { sets, order: (reach, rank, nodes[0]), nodes })
    }
}

/// Domains in the order in which they are used, but for [`next_choice`].
pub(super) fn in_order(mut choices: Vec<Choice>) -> VecDeque<Choice> {
    choices.sort_by_key(|choice| choice.order);
    choices.into()
}

/// The domain to use next for the sets that remain. Of single nodes the best; of others the largest that they fill, or,
/// when there is none, the smallest.
pub(super) fn next_choice(choices: &mut VecDeque<Choice>, remaining: usize) -> Option<Choice> {
    if choices.front()?.order.0 != Reach::Several {
        return choices.pop_front();
    }
    let several = || choices.iter().take_while(|choice| choice.order.0 == Reach::Several).enumerate();
    let filled = several().filter(|(_, choice)| choice.sets <= remaining);
    let largest = filled.max_by_key(|(at, choice)| (choice.sets, Reverse(*at)));
    let (at, _) = largest.or_else(|| several().min_by_key(|(at, choice)| (choice.sets, *at)))?;
    choices.remove(at)
}
