//! A shorter script that still fails.

use crate::invariants::Rule;
use crate::script::Script;
use crate::story::Story;
use crate::world::play;

/// Scripts that are tried, at most.
const TRIES: usize = 400;

/// The shortest script that was found by leaving out inputs, and nodes that are not needed, which breaks the same rule.
pub fn shortest(script: &Script, rule: Rule) -> Script {
    let mut search = Search { best: script.clone(), rule, tries: 0 };
    let mut size = script.inputs.len().div_ceil(2);
    while size > 0 && search.tries < TRIES {
        let was_shortened = search.without_runs_of(size);
        if !was_shortened {
            size /= 2;
        }
    }
    search.without_last_nodes();
    search.without(|script| script.quota = None);
    search.without(|script| script.group = None);
    search.without(|script| script.impatient = false);
    search.best
}

struct Search {
    best: Script,
    rule: Rule,
    tries: usize,
}

impl Search {
    fn fails(&mut self, script: &Script) -> bool {
        self.tries += 1;
        let (outcome, _) = play(script, Story::default());
        outcome.violation.is_some_and(|violation| violation.rule == self.rule)
    }

    fn without_runs_of(&mut self, size: usize) -> bool {
        let mut at = 0;
        let mut was_shortened = false;
        while at < self.best.inputs.len() && self.tries < TRIES {
            let mut shorter = self.best.clone();
            shorter.inputs.drain(at..(at + size).min(self.best.inputs.len()));
            if self.fails(&shorter) {
                self.best = shorter;
                was_shortened = true;
            } else {
                at += size;
            }
        }
        was_shortened
    }

    fn without(&mut self, change: impl FnOnce(&mut Script)) {
        let mut simpler = self.best.clone();
        change(&mut simpler);
        if simpler != self.best && self.fails(&simpler) {
            self.best = simpler;
        }
    }

    fn without_last_nodes(&mut self) {
        while self.best.nodes.len() > 1 {
            let mut shorter = self.best.clone();
            shorter.nodes.pop();
            if !self.fails(&shorter) {
                return;
            }
            self.best = shorter;
        }
    }
}
