//! What is free while members are being placed, one after the other, and taken back again.

use std::rc::Rc;

use super::kin::Kinship;
use super::relations::{Cap, Reading};
use super::room::Rooms;
use super::terrain::Terrain;
use crate::cluster::SharedGpus;

/// A member with its place.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    /// Its set, by number.
    pub set: usize,
    pub block: usize,
    pub node: usize,
}

/// The state of a trial.
pub(super) struct Trial<'a> {
    nodes: usize,
    rooms: Rooms<'a>,
    kinship: Rc<Kinship>,
    /// By kin.
    caps: Vec<Vec<Cap>>,
    open: Vec<bool>,
    copies: Vec<u32>,
    /// By block how many of it are to be placed: more places than these need not be counted.
    most: Rc<[u32]>,
    places: Vec<u64>,
    /// With what was free of the node's GPUs before, where shares of them are asked for.
    taken: Vec<(Seat, Option<SharedGpus>)>,
    steps: u64,
}

impl<'a> Trial<'a> {
    /// A trial on the nodes that `within` says, the relations being read in one way.
    pub fn new(
        rooms: Rooms<'a>,
        terrain: &Terrain<'a>,
        kinship: &Rc<Kinship>,
        reading: &Reading,
        most: &Rc<[u32]>,
        within: impl Fn(usize) -> bool,
    ) -> Self {
        let nodes = terrain.len();
        let allows =
            |block: usize, at: usize| reading.allowed[kinship.kin_of(block)].as_ref().is_none_or(|allowed| allowed[at]);
        let open = |block: usize, at: usize| terrain.rank(block, at).is_some() && allows(block, at) && within(at);
        let blocks = 0..most.len();
        let mut trial = Self {
            nodes,
            rooms,
            kinship: Rc::clone(kinship),
            caps: reading.caps.clone(),
            open: blocks
                .clone()
                .flat_map(|block| (0..nodes).map(move |at| (block, at)))
                .map(|(b, at)| open(b, at))
                .collect(),
            copies: vec![0; most.len() * nodes],
            places: vec![0; most.len()],
            most: Rc::clone(most),
            taken: vec![],
            steps: 0,
        };
        for block in blocks {
            (0..nodes).for_each(|at| trial.count(block, at));
        }
        trial
    }

    /// Counts anew how many members of a block a node has places for.
    fn count(&mut self, block: usize, at: usize) {
        let index = block * self.nodes + at;
        if !self.open[index] {
            return;
        }
        let copies = self.room_for(block, at, self.most_on(block, at, self.most[block]));
        self.places[block] = self.places[block] - u64::from(self.copies[index]) + u64::from(copies);
        self.copies[index] = copies;
    }

    /// How many more members of a block and its kin may come to a node, as far as bounds on single nodes say; `most` at most.
    pub fn most_on(&self, block: usize, at: usize, most: u32) -> u32 {
        let by_node = self.caps(block).iter().filter(|cap| cap.per_node).map(|cap| cap.room(at));
        by_node.fold(most, u32::min)
    }

    /// How many more members of a block, and of no other, a node has room for, however they must stand to each other; more
    /// than `most` are not counted.
    pub fn room_for(&self, block: usize, at: usize, most: u32) -> u32 {
        if self.is_open(block, at) { self.rooms.copies(block, at, most) } else { 0 }
    }

    /// How many more members of a block, and of no other, a node has places for.
    pub fn copies(&self, block: usize, at: usize) -> u32 {
        self.copies[block * self.nodes + at]
    }

    /// On all nodes together.
    pub fn places(&self, block: usize) -> u64 {
        self.places[block]
    }

    /// May one more member of a block go to a node?
    pub fn fits(&self, block: usize, at: usize) -> bool {
        self.copies(block, at) > 0 && self.caps(block).iter().all(|cap| cap.room(at) > 0)
    }

    /// Is a node one of those that a block may use?
    pub fn is_open(&self, block: usize, at: usize) -> bool {
        self.open[block * self.nodes + at]
    }

    /// The bounds on the members of a block and its kin.
    pub fn caps(&self, block: usize) -> &[Cap] {
        &self.caps[self.kinship.kin_of(block)]
    }

    /// The bounds on all kins, those of one after those of another.
    pub fn all_caps(&self) -> impl Iterator<Item = &Cap> {
        self.caps.iter().flatten()
    }

    pub fn kinship(&self) -> &Rc<Kinship> {
        &self.kinship
    }

    /// Could so many more members of the blocks of a kin, by block, come to these nodes, as far as the bounds on domains say?
    pub fn is_within_bounds(&self, kin: usize, left: &[u32], nodes: &[usize]) -> bool {
        if self.caps[kin].is_empty() {
            return true;
        }
        let coming: Vec<usize> = self.coming(kin, left).collect();
        let all_left: u64 = coming.iter().map(|block| u64::from(left[*block])).sum();
        let copies = |at: usize| coming.iter().map(|block| self.copies(*block, at)).fold(0, u32::saturating_add);
        let places = || nodes.iter().map(|at| (*at, copies(*at)));
        let holds = |cap: &Cap| {
            // A block alone has no more places on a node than the bounds on nodes leave.
            let is_wide = !coming.is_empty() && (!cap.per_node || coming.len() > 1);
            cap.missing() <= all_left && (!is_wide || cap.bound(places()).is_some_and(|most| most >= all_left))
        };
        self.caps[kin].iter().all(holds)
    }

    /// How many blocks are looked at on each node to find that out.
    pub fn breadth(&self, kin: usize, left: &[u32]) -> usize {
        match self.coming(kin, left).count() {
            1 => usize::from(self.caps[kin].iter().any(|cap| !cap.per_node)),
            several if !self.caps[kin].is_empty() => several,
            _ => 0,
        }
    }

    fn coming<'t>(&'t self, kin: usize, left: &'t [u32]) -> impl Iterator<Item = usize> + 't {
        self.kinship.blocks(kin).iter().copied().filter(|block| left[*block] > 0)
    }

    /// Are members of a block bound by anything wider than nodes?
    pub fn is_bound(&self, block: usize) -> bool {
        self.caps(block).iter().any(|cap| !cap.per_node)
    }

    /// Puts a member where it fits.
    pub fn take(&mut self, seat: Seat) {
        let shares = self.rooms.take(seat.block, seat.node);
        self.caps[self.kinship.kin_of(seat.block)].iter_mut().for_each(|cap| cap.add(seat.node));
        self.taken.push((seat, shares));
        (0..self.most.len()).for_each(|block| self.count(block, seat.node));
    }

    /// How many members have been put somewhere.
    pub fn mark(&self) -> usize {
        self.taken.len()
    }

    /// Takes members back until so many remain.
    pub fn undo_to(&mut self, mark: usize) {
        while self.taken.len() > mark {
            let Some((Seat { block, node, .. }, shares)) = self.taken.pop() else { return };
            self.rooms.give_back(block, node, shares);
            self.caps[self.kinship.kin_of(block)].iter_mut().for_each(|cap| cap.remove(node));
            (0..self.most.len()).for_each(|block| self.count(block, node));
        }
    }

    /// The members placed so far, in that order.
    pub fn seats(&self) -> impl Iterator<Item = Seat> {
        self.taken.iter().map(|(seat, _)| *seat)
    }

    pub fn rooms(&self) -> &Rooms<'a> {
        &self.rooms
    }

    /// Counts work: one step for each place that was looked at.
    pub fn step(&mut self, places: u64) {
        self.steps += places;
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }
}
