//! Slots by node name.
//!
//! Each question of the extender looks up thousands of names, and most of that time goes into reaching them in memory. So
//! they stand one behind the other, and not each where its node was read.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxBuildHasher;

use super::Slot;

/// Slots by node name.
#[derive(Debug, Clone, Default)]
pub struct NameIndex {
    table: HashTable<Named>,
    /// The names, and what was left by those that are gone.
    text: Vec<u8>,
    /// How much of the text is left over.
    left_over: usize,
}

/// A name, as where it stands in the text, and its slot.
#[derive(Debug, Clone, Copy)]
struct Named {
    start: u32,
    end: u32,
    slot: Slot,
}

impl Named {
    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// A text of this many bytes is not worth tidying.
const SMALL_TEXT: usize = 4096;

impl NameIndex {
    /// The slot of a node.
    pub fn get(&self, name: &str) -> Option<Slot> {
        let name = name.as_bytes();
        self.table.find(hash(name), |named| named.of(&self.text) == name).map(|named| named.slot)
    }

    /// Is there no node?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A node has a slot now.
    ///
    /// # Panics
    /// When all names together take four gigabytes.
    pub(super) fn insert(&mut self, name: &str, slot: Slot) {
        let Self { table, text, .. } = self;
        let name = name.as_bytes();
        match table.entry(hash(name), |named| named.of(text) == name, |named| hash(named.of(text))) {
            Entry::Occupied(mut known) => known.get_mut().slot = slot,
            Entry::Vacant(vacant) => {
                let offset =
                    |at: usize| u32::try_from(at).expect("the names of a cluster take less than four gigabytes");
                let (start, end) = (offset(text.len()), offset(text.len() + name.len()));
                vacant.insert(Named { start, end, slot });
                text.extend_from_slice(name);
            }
        }
    }

    /// A node has no slot any more.
    pub(super) fn remove(&mut self, name: &str) {
        let (name, text) = (name.as_bytes(), &self.text);
        let Ok(known) = self.table.find_entry(hash(name), |named| named.of(text) == name) else { return };
        known.remove();
        self.left_over += name.len();
        if self.left_over > SMALL_TEXT.max(self.text.len() / 2) {
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        let former = std::mem::take(self);
        let all = former.table.iter().map(|named| (named.of(&former.text), named.slot));
        for (name, slot) in all {
            self.insert(str::from_utf8(name).expect("it was inserted as a text"), slot);
        }
    }
}

fn hash(name: &[u8]) -> u64 {
    FxBuildHasher.hash_one(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Names come and go, and each time the index says what a map says.
    #[test]
    fn it_is_a_map_whose_text_does_not_grow_with_what_is_gone() {
        let mut index = NameIndex::default();
        let mut map = BTreeMap::new();
        let name = |at: usize| format!("ip-10-0-{}-{}.ec2.internal", at / 7, at % 7);
        for round in 0..4_000 {
            let at = round * 31 % 400;
            if round % 3 == 0 {
                index.remove(&name(at));
                map.remove(&name(at));
            } else {
                index.insert(&name(at), Slot::at(round));
                map.insert(name(at), Slot::at(round));
            }
            let probe = name(round * 17 % 500);
            assert_eq!(index.get(&probe), map.get(&probe).copied(), "{probe} in round {round}");
            assert_eq!(index.is_empty(), map.is_empty());
        }
        assert!((0..500).map(name).all(|name| index.get(&name) == map.get(&name).copied()));
        let longest = 400 * name(399).len();
        assert!(index.text.len() <= 2 * longest + SMALL_TEXT, "{} bytes for {}", index.text.len(), map.len());
    }
}
