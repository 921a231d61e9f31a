//! Selectors: each expression is compiled once, and evaluated once for all devices that look alike to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::cel::Program;
use super::features::{Facet, FeatureName, Features};
use super::inventory::{Inventory, Listing};

/// Most expressions that are remembered; then all are forgotten.
const MOST: usize = 1024;

/// An expression by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SelectorNo(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    No,
    Yes,
    Fails,
}

#[derive(Debug, Clone)]
struct Entry {
    program: Result<Program, String>,
    known: Vec<Known>,
    failures: BTreeMap<Listing, String>,
    looks: Option<Looks>,
}

/// What an expression sees of devices, and what it says of those that look so.
#[derive(Debug, Clone)]
struct Looks {
    reads: Vec<Read>,
    /// How many names were known when those of `reads` were last looked up.
    names: usize,
    answers: IndexMap<Box<[u32]>, bool, FxBuildHasher>,
    /// How the device that is looked at looks.
    look: Vec<u32>,
}

/// An attribute or a capacity that an expression looks at.
#[derive(Debug, Clone)]
struct Read {
    facet: Facet,
    domain: Box<str>,
    id: Box<str>,
    qualified: Box<str>,
    /// Under its full name, and under the short one that devices of the driver itself may use.
    names: [Option<FeatureName>; 2],
}

/// What selectors say of the devices of one inventory. Remembering changes no answer.
#[derive(Debug, Clone, Default)]
pub struct Selectors {
    entries: IndexMap<Arc<str>, Entry, FxBuildHasher>,
}

/// Why a selector has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SelectorFault {
    /// It is no valid expression.
    Expression(String),
    /// It failed on the device.
    Evaluation(String),
}

impl Selectors {
    /// Forgets enough to have room for a question of so many selectors. Numbers handed out before are void.
    pub(super) fn make_room(&mut self, selectors: usize) {
        if self.entries.len() + selectors > MOST {
            self.entries.clear();
        }
    }

    /// The inventory has other listings under the same numbers.
    pub(super) fn forget_devices(&mut self) {
        for entry in self.entries.values_mut() {
            entry.known.clear();
            entry.failures.clear();
            entry.looks = entry.program.as_ref().ok().and_then(Looks::of);
        }
    }

    /// The number of an expression. It is compiled now if it is new.
    pub(super) fn number(&mut self, expression: &Arc<str>) -> SelectorNo {
        if let Some(at) = self.entries.get_index_of(expression) {
            return SelectorNo(at);
        }
        let program = Program::compile(expression).map_err(|error| error.to_string());
        let looks = program.as_ref().ok().and_then(Looks::of);
        let entry = Entry { program, known: vec![], failures: BTreeMap::new(), looks };
        SelectorNo(self.entries.insert_full(Arc::clone(expression), entry).0)
    }

    /// Whether a selector takes a device.
    pub(super) fn takes(
        &mut self,
        selector: SelectorNo,
        inventory: &Inventory,
        listing: Listing,
    ) -> Result<bool, SelectorFault> {
        let entry = &mut self.entries[selector.0];
        match entry.known.get(listing.index()) {
            Some(Known::No) => return Ok(false),
            Some(Known::Yes) => return Ok(true),
            Some(Known::Fails) => return Err(SelectorFault::Evaluation(entry.failures[&listing].clone())),
            Some(Known::Nothing) | None => {}
        }
        entry.find_out(inventory, listing)
    }
}

impl Entry {
    fn find_out(&mut self, inventory: &Inventory, listing: Listing) -> Result<bool, SelectorFault> {
        let program = match &self.program {
            Ok(program) => program,
            Err(what) => return Err(SelectorFault::Expression(what.clone())),
        };
        if self.known.len() < inventory.listings() {
            self.known.resize(inventory.listings(), Known::Nothing);
        }
        let features = inventory.features();
        let looks = self.looks.as_mut().filter(|_| features.is_readable(listing));
        let looks = looks.map(|looks| looks.look_at(features, inventory.driver(listing), listing));
        if let Some(answer) = looks.as_ref().and_then(|looks| looks.answers.get(&*looks.look)) {
            self.known[listing.index()] = if *answer { Known::Yes } else { Known::No };
            return Ok(*answer);
        }
        let answer = program.matches(inventory.driver(listing), inventory.device(listing));
        self.known[listing.index()] = match &answer {
            Ok(true) => Known::Yes,
            Ok(false) => Known::No,
            Err(error) => {
                self.failures.insert(listing, error.to_string());
                Known::Fails
            }
        };
        if let (Some(looks), Ok(answer)) = (looks, &answer) {
            looks.answers.insert(looks.look.as_slice().into(), *answer);
        }
        answer.map_err(|error| SelectorFault::Evaluation(error.to_string()))
    }
}

impl Looks {
    /// None for an expression to which each device may look different.
    fn of(program: &Program) -> Option<Looks> {
        let read = |entry: &super::cel::Entry| Read {
            facet: entry.facet,
            domain: entry.domain.clone(),
            id: entry.id.clone(),
            qualified: entry.qualified.clone(),
            names: [None, None],
        };
        let reads = program.reads()?.into_iter().map(read).collect();
        Some(Looks { reads, names: 0, answers: IndexMap::default(), look: vec![] })
    }

    fn look_at(&mut self, features: &Features, driver: &str, listing: Listing) -> &mut Looks {
        if self.names != features.names() {
            self.names = features.names();
            for read in &mut self.reads {
                read.names = [&read.qualified, &read.id].map(|name| features.name(read.facet, name));
            }
        }
        self.look.clear();
        self.look.push(features.kind(listing));
        for Read { domain, names: [full, short], .. } in &self.reads {
            let value = |name: Option<FeatureName>| features.value(listing, name?);
            let value = value(*full).or_else(|| if **domain == *driver { value(*short) } else { None });
            self.look.push(value.map_or(0, |value| value + 1));
        }
        self
    }
}
