//! Does everything come to a good end?
//!
//! stateright's `eventually` is not asked: it looks at paths without cycles only and loses sight of paths that join, and
//! here schedulers may try again for ever. So the graph of all states is walked by ourselves, and from each of them, however
//! it was brought about by faults, the end has to be in reach without another fault. Who is in reach of the end at every
//! step, and takes every step that is open again and again at some time, gets there.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use indexmap::IndexSet;
use stateright::Model;

use crate::protocol::{Protocol, State};

/// A state from which the end cannot be reached any more without a fault, if there is one; and how many states there are.
pub fn stuck(protocol: &Protocol, is_end: impl Fn(&State) -> bool) -> (Option<State>, usize) {
    let (mut reaches, mut steps) = (vec![], vec![]);
    walk(protocol, |state| reaches.push(is_end(state)), |from, to| steps.push((to, from)));
    steps.sort_unstable();
    let mut open: Vec<usize> = (0..reaches.len()).filter(|number| reaches[*number]).collect();
    while let Some(number) = open.pop() {
        let first = steps.partition_point(|(to, _)| (*to as usize) < number);
        for (_, from) in steps[first..].iter().take_while(|(to, _)| *to as usize == number) {
            if !std::mem::replace(&mut reaches[*from as usize], true) {
                open.push(*from as usize);
            }
        }
    }
    let stuck = reaches.iter().position(|reaches| !reaches);
    (stuck.and_then(|number| nth(protocol, number)), reaches.len())
}

/// Walks through all states, which are numbered as they are found. `found` is told of each, `step` of each way from one to
/// another that is no fault. Millions of states would take gigabytes: those that were looked at are known by their hashes, as
/// they are to stateright.
fn walk(protocol: &Protocol, mut found: impl FnMut(&State), mut step: impl FnMut(u32, u32)) {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut known: IndexSet<u64> = IndexSet::new();
    let mut ahead: VecDeque<State> = VecDeque::new();
    let mut number_of = |state: State, ahead: &mut VecDeque<State>| {
        let (number, is_new) = known.insert_full(hasher.hash_one(&state));
        if is_new {
            found(&state);
            ahead.push_back(state);
        }
        number as u32
    };
    protocol.init_states().into_iter().for_each(|state| _ = number_of(state, &mut ahead));
    let mut actions = vec![];
    for from in 0.. {
        let Some(state) = ahead.pop_front() else { return };
        protocol.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = protocol.next_state(&state, action) else { continue };
            let to = number_of(next, &mut ahead);
            if !action.is_fault() {
                step(from, to);
            }
        }
    }
}

/// The state of this number.
fn nth(protocol: &Protocol, number: usize) -> Option<State> {
    let (mut at, mut it) = (0.., None);
    let keep = |state: &State| {
        if at.next() == Some(number) {
            it = Some(state.clone());
        }
    };
    walk(protocol, keep, |_, _| {});
    it
}
