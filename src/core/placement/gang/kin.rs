//! Blocks whose members count in each other's relations.
//!
//! Members of one role become several blocks when nodes have refused some of them, or when they need other devices.
//! kube-scheduler knows nothing of blocks: it counts all pods that a selector selects. Who says the same in one role is taken
//! to be selected by the same selectors. Where there are no roles that is known only of those that ask for the same: others may
//! be of another controller. Those that accept other nodes are spread over other domains, so that each kind counts for itself.

use std::collections::BTreeMap;

use super::Block;

/// All blocks, as they are related.
pub(super) struct Kinship {
    kins: Vec<Vec<usize>>,
    /// By block.
    of: Vec<usize>,
}

impl Kinship {
    pub fn of(blocks: &[Block]) -> Self {
        let mut known = BTreeMap::new();
        let mut kins: Vec<Vec<usize>> = vec![];
        let mut of = vec![];
        for (at, Block { role, demand, relations, .. }) in blocks.iter().enumerate() {
            let same = Some(demand).filter(|_| role.is_empty());
            let kin =
                *known.entry((role, relations, &demand.affinity, &demand.tolerations, same)).or_insert(kins.len());
            if kin == kins.len() {
                kins.push(vec![]);
            }
            kins[kin].push(at);
            of.push(kin);
        }
        Self { kins, of }
    }

    /// How many kins there are.
    pub fn len(&self) -> usize {
        self.kins.len()
    }

    /// The kin of a block.
    pub fn kin_of(&self, block: usize) -> usize {
        self.of[block]
    }

    /// The blocks of a kin, of which it has one at least.
    pub fn blocks(&self, kin: usize) -> &[usize] {
        &self.kins[kin]
    }
}
