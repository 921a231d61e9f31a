//! How much has been done on a question, and how much may be.

use super::{Budget, No};

/// Steps taken on a question, in all the ways in which it is read.
pub(super) struct Steps {
    taken: u64,
    budget: Budget,
}

impl Steps {
    pub fn within(budget: Budget) -> Self {
        Self { taken: 0, budget }
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// What may still be done.
    pub fn left(&self) -> Budget {
        Budget { steps: self.budget.steps.saturating_sub(self.taken) }
    }

    /// Counts work.
    ///
    /// # Errors
    /// When that is more than may be done.
    pub fn take(&mut self, steps: u64) -> Result<(), No> {
        self.taken = self.taken.saturating_add(steps);
        if self.taken > self.budget.steps { Err(self.gave_up()) } else { Ok(()) }
    }

    /// Counts work on one more way to read the relations; what is done on the first any gang takes.
    ///
    /// # Errors
    /// When that is more than may be done.
    pub fn take_for_reading(&mut self, nth: usize, steps: u64) -> Result<(), No> {
        if nth == 0 { Ok(()) } else { self.take(steps) }
    }

    /// Is no more than half of the budget left?
    pub fn is_half_spent(&self) -> bool {
        self.taken > self.budget.steps / 2
    }

    /// The answer when the budget is spent.
    pub fn gave_up(&self) -> No {
        No::GaveUp { steps: self.budget.steps }
    }
}
