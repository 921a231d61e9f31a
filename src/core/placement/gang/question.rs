//! A formation on a field, prepared to be planned: first by counts, then by search.

use std::iter::repeat_n;
use std::rc::Rc;

use super::asks::Asks;
use super::domain::Map;
use super::kin::Kinship;
use super::relations::{Reading, Relations};
use super::room::Rooms;
use super::search::{Outcome, search};
use super::steps::Steps;
use super::terrain::Terrain;
use super::trial::Trial;
use super::{Field, Formation, No, Places, Set, counts, greedy, proof};
use crate::model::node::NodeName;

pub(super) struct Question<'a> {
    formation: &'a Formation,
    field: Field<'a>,
    map: Map<'a>,
    asks: Asks,
    rooms: Rooms<'a>,
    kinship: Rc<Kinship>,
    relations: Relations,
}

impl<'a> Question<'a> {
    /// # Errors
    /// When members that are running already contradict what is asked.
    pub fn of(formation: &'a Formation, field: Field<'a>) -> Result<Self, No> {
        let map = Map::new(Terrain::of(formation, field));
        let asks = Asks::of(formation, &map)?;
        let demands: Vec<_> = formation.blocks.iter().map(|block| block.demand.as_ref()).collect();
        let rooms = Rooms::of(&demands, &map.terrain);
        let kinship = Rc::new(Kinship::of(&formation.blocks));
        let relations = Relations::of(&formation.blocks, &kinship, &asks.joining, &map.terrain, &rooms, field);
        Ok(Self { formation, field, map, asks, rooms, kinship, relations })
    }

    fn trial(&self, reading: &Reading, within: impl Fn(usize) -> bool) -> Trial<'a> {
        Trial::new(self.rooms.clone(), &self.map.terrain, &self.kinship, reading, &self.asks.joining, within)
    }

    fn failed_bound(&self, trial: &Trial<'a>) -> Option<No> {
        proof::failed_bound(self.formation, self.field, &self.asks, &self.map, trial)
    }

    /// A placement by counts, if that finds one with half of the budget: a search tries more on each reading of the relations,
    /// so that the rest is better spent on that.
    ///
    /// # Errors
    /// A bound that proves that there is none, or the budget is spent.
    pub fn by_counts(&self, steps: &mut Steps) -> Result<Option<Places>, No> {
        let mut fixed = self.trial(self.relations.fixed(), |_| true);
        if let Some(no) = self.failed_bound(&fixed) {
            return Err(no);
        }
        let Some(kin) = self.relations.open_kin() else { return Ok(self.counted(&mut fixed, steps)) };
        let mut is_possible = false;
        for (nth, reading) in self.relations.readings().enumerate() {
            if steps.is_half_spent() {
                return Ok(None);
            }
            steps.take_for_reading(nth, self.reading_steps())?;
            let mut trial = self.trial(&reading, |_| true);
            if self.failed_bound(&trial).is_some() {
                continue;
            }
            is_possible = true;
            if let Some(places) = self.counted(&mut trial, steps) {
                return Ok(Some(places));
            }
            steps.take_for_reading(nth, trial.steps())?;
        }
        match is_possible {
            true => Ok(None),
            false => Err(No::Relations { role: self.formation.blocks[self.kinship.blocks(kin)[0]].role.clone() }),
        }
    }

    /// How many places are looked at to find out what bounds say of one reading: for each block, relation, kind of set and
    /// bound part all nodes, and for each set all domains.
    fn reading_steps(&self) -> u64 {
        let sets = self.asks.kinds.iter().filter(|kind| kind.within.is_some()).count();
        let bounds = || self.asks.bounds().filter(|(bounds, _)| !bounds.required.is_empty());
        let looks = self.asks.joining.len() + self.relations.open() + sets + bounds().count();
        let domains: usize = bounds().map(|(bounds, sets)| bounds.grouping.len().saturating_mul(sets)).sum();
        (self.map.terrain.len().saturating_mul(looks) + domains) as u64
    }

    fn counted(&self, trial: &mut Trial<'a>, steps: &Steps) -> Option<Places> {
        let placed = !self.rooms.depends_on_order() && greedy::place(&self.asks, &self.map.terrain, trial);
        placed.then(|| self.places(trial, steps))
    }

    /// Is there no placement where [`Question::by_counts`] finds none?
    pub fn is_decided_by_counts(&self) -> bool {
        !self.rooms.depends_on_order() && counts::is_exact(&self.asks, self.relations.are_of_single_nodes())
    }

    /// Any placement.
    ///
    /// # Errors
    /// There is none, or the budget is spent.
    pub fn by_search(&self, steps: &mut Steps) -> Result<Places, No> {
        let bounds = &self.asks.gang;
        let domains = (0..bounds.grouping.len()).filter(|domain| bounds.possible[*domain]);
        let all: Vec<usize> = (0..self.asks.sets.len()).collect();
        let in_order = self.rooms.depends_on_order();
        let members: Vec<Vec<usize>> = all.iter().map(|set| self.members(*set, in_order)).collect();
        for (nth, reading) in self.relations.readings().enumerate() {
            steps.take_for_reading(nth, self.reading_steps())?;
            let whole = self.trial(&reading, |_| true);
            let holds = |domain: &usize| {
                counts::size_if_sufficient(&self.asks, &whole, &all, bounds.grouping.members(*domain)).is_some()
            };
            for domain in domains.clone().filter(holds) {
                let mut trial = self.trial(&reading, |at| bounds.grouping.group(at) == Some(domain));
                steps.take(self.map.terrain.len() as u64)?;
                match search(&self.asks, &self.map.terrain, &mut trial, &members, in_order, steps.left()) {
                    Outcome::Found => return Ok(self.places(&trial, steps)),
                    Outcome::Exhausted => steps.take(trial.steps())?,
                    Outcome::Spent => return Err(steps.gave_up()),
                }
            }
        }
        Err(No::NoCombination)
    }

    /// The blocks of the members of a set: as the formation names them, or those that ask for most first.
    fn members(&self, set: usize, in_order: bool) -> Vec<usize> {
        let (part, at) = self.asks.place_of(set);
        match in_order {
            true => self.formation.parts[part].sets[at].members.clone(),
            false => self.asks.kind(set).runs.iter().flat_map(|(block, n)| repeat_n(*block, *n as usize)).collect(),
        }
    }

    fn places(&self, trial: &Trial<'a>, before: &Steps) -> Places {
        let nowhere = |set: &Set| vec![None; set.members.len()];
        let mut parts: Vec<Vec<Vec<Option<NodeName>>>> =
            self.formation.parts.iter().map(|part| part.sets.iter().map(nowhere).collect()).collect();
        for seat in trial.seats() {
            let (part, set) = self.asks.place_of(seat.set);
            let mut members = self.formation.parts[part].sets[set].members.iter().zip(&mut parts[part][set]);
            if let Some((_, node)) = members.find(|(block, node)| **block == seat.block && node.is_none()) {
                *node = Some(self.map.terrain.state(seat.node).name().clone());
            }
        }
        let all = |set: Vec<Option<NodeName>>| set.into_iter().flatten().collect();
        let parts = parts.into_iter().map(|part| part.into_iter().map(all).collect()).collect();
        Places { parts, steps: before.taken() + trial.steps() }
    }
}
