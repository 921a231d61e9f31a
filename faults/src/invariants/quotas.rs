//! Users have no more than they may.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::store::Key;
use crate::facts::{Claim, Pod};
use crate::script::Quota;

/// What users have, or would have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    gpus: usize,
    gangs: BTreeSet<String>,
    /// Claims that have devices, so many, though no pod that has a node uses them.
    idle: BTreeMap<Key, usize>,
}

impl Used {
    /// What pods that have a node and have not ended have, with their claims.
    pub fn of<'p>(pods: impl Iterator<Item = &'p Pod>, claims: &[&Claim]) -> Self {
        let mut used = Self::default();
        let mut counted = BTreeSet::new();
        for pod in pods.filter(|pod| pod.is_ours && pod.node.is_some() && !pod.ended) {
            used.add(pod);
            for claim in claims.iter().filter(|claim| pod.claim_keys().any(|key| key == claim.key)) {
                if counted.insert(&claim.key) {
                    used.gpus += claim.devices.as_ref().map_or(0, Vec::len);
                }
            }
        }
        let idle = claims.iter().filter(|claim| !counted.contains(&claim.key));
        used.idle = idle.filter_map(|claim| Some((claim.key.clone(), claim.devices.as_ref()?.len()))).collect();
        used
    }

    fn add(&mut self, pod: &Pod) {
        self.gpus += usize::try_from(pod.asks.gpus).unwrap_or(0);
        // One whose members all leave is a gang no more.
        self.gangs.extend(pod.gang.iter().filter(|_| !pod.leaving).map(|(gang, _)| gang.clone()));
    }

    /// The same with these pods, and what their claims ask for. What other claims have counts now, too: as long as they are not
    /// taken back nobody else has it.
    pub fn with(&self, pods: &[(&Pod, Vec<(String, usize)>)]) -> Self {
        let mut used = self.clone();
        for (pod, asks) in pods {
            used.add(pod);
            used.gpus += asks.iter().map(|(_, count)| count).sum::<usize>();
        }
        let is_theirs = |key: &Key| pods.iter().any(|(pod, _)| pod.claim_keys().any(|own| own == *key));
        used.gpus += self.idle.iter().filter(|(key, _)| !is_theirs(key)).map(|(_, devices)| devices).sum::<usize>();
        used
    }

    /// Is it within what they may have?
    pub fn is_within(&self, quota: Quota) -> bool {
        self.gpus <= quota.gpus && self.gangs.len() <= quota.gangs
    }
}
