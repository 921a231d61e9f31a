//! Does everything come to a good end?
//!
//! stateright's `eventually` looks at paths without cycles only, and here schedulers may try again for ever. So the graph of
//! all states is built, and from each of them, however it was brought about by faults, the end has to be in reach without
//! another fault. Who is in reach of the end at every step, and takes every step that is open again and again at some
//! time, gets there.

use indexmap::IndexSet;
use stateright::Model;

use crate::protocol::{Protocol, State};

/// A state from which the end cannot be reached any more without a fault, if there is one; and how many states there are.
pub fn stuck(protocol: &Protocol, is_end: impl Fn(&State) -> bool) -> (Option<State>, usize) {
    let mut states: IndexSet<State> = protocol.init_states().into_iter().collect();
    // By number of the state: those from which one step leads there that is no fault.
    let mut before: Vec<Vec<u32>> = vec![vec![]; states.len()];
    let (mut looked_at, mut actions) = (0, vec![]);
    while let Some(state) = states.get_index(looked_at).cloned() {
        protocol.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = protocol.next_state(&state, action) else { continue };
            let (number, _) = states.insert_full(next);
            before.resize(states.len(), vec![]);
            if !action.is_fault() {
                before[number].push(looked_at as u32);
            }
        }
        looked_at += 1;
    }
    let mut reaches: Vec<bool> = states.iter().map(is_end).collect();
    let mut open: Vec<usize> = (0..states.len()).filter(|number| reaches[*number]).collect();
    while let Some(number) = open.pop() {
        for from in before[number].iter().map(|from| *from as usize) {
            if !std::mem::replace(&mut reaches[from], true) {
                open.push(from);
            }
        }
    }
    let stuck = reaches.iter().position(|reaches| !reaches);
    (stuck.and_then(|number| states.get_index(number).cloned()), states.len())
}
