//! Selectors: each expression is compiled once, and evaluated once for each device.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::cel::Program;
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
        }
    }

    /// The number of an expression. It is compiled now if it is new.
    pub(super) fn number(&mut self, expression: &Arc<str>) -> SelectorNo {
        if let Some(at) = self.entries.get_index_of(expression) {
            return SelectorNo(at);
        }
        let program = Program::compile(expression).map_err(|error| error.to_string());
        let entry = Entry { program, known: vec![], failures: BTreeMap::new() };
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
        let program = match &entry.program {
            Ok(program) => program,
            Err(what) => return Err(SelectorFault::Expression(what.clone())),
        };
        if entry.known.len() < inventory.listings() {
            entry.known.resize(inventory.listings(), Known::Nothing);
        }
        match entry.known[listing.index()] {
            Known::No => return Ok(false),
            Known::Yes => return Ok(true),
            Known::Fails => return Err(SelectorFault::Evaluation(entry.failures[&listing].clone())),
            Known::Nothing => {}
        }
        let slice = inventory.slice_of(listing);
        let answer = program.matches(&slice.pool.driver, inventory.device(listing));
        entry.known[listing.index()] = match &answer {
            Ok(true) => Known::Yes,
            Ok(false) => Known::No,
            Err(error) => {
                entry.failures.insert(listing, error.to_string());
                Known::Fails
            }
        };
        answer.map_err(|error| SelectorFault::Evaluation(error.to_string()))
    }
}
