//! The ledger beside what is seen: both say who is where, and they must say the same.
//!
//! Sights replace what was assumed and lists end what has gone, so that nothing should ever be found here. It is looked for
//! all the same: a device that only the ledger has in use is lost until a restart, and one that only the world has in use is
//! given to a second pod.

use super::{Cluster, NodeState, Standing};
use crate::model::pod::Stage;
use crate::model::resources::Resources;

/// The ledger beside the pods that are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Pods that are seen on a node where the ledger has nothing of theirs, or something else.
    pub not_held: usize,
    /// What the ledger has as seen, of pods that are not seen there.
    pub not_seen: usize,
    /// Places kept by plans.
    pub planned: usize,
    /// Places of bindings that are under way, or of which nobody knows how they ended.
    pub assumed: usize,
    /// Places of bindings that the API server has accepted and the watch has yet to show.
    pub committed: usize,
    /// Places of pods that were seen there.
    pub observed: usize,
}

impl Cluster {
    /// Compares the ledger with the pods that are seen.
    pub fn audit(&self) -> Audit {
        let mut audit = Audit::default();
        // Both are in the order of the unique ids: one walk over each.
        let mut pods = self.pods.iter().peekable();
        for (uid, entry) in &self.ledger {
            while let Some((_, pod)) = pods.next_if(|(seen, _)| *seen < uid) {
                audit.not_held += usize::from(matches!(pod.stage, Stage::Bound(_)));
            }
            let seen_on = pods.next_if(|(seen, _)| *seen == uid).and_then(|(_, pod)| match &pod.stage {
                Stage::Bound(node) => Some((node, &pod.demand)),
                Stage::Pending | Stage::Finished(_) => None,
            });
            let held = (&entry.holding.node, &entry.holding.demand);
            match (entry.standing, seen_on) {
                (Standing::Observed, Some(sight)) if sight == held => audit.observed += 1,
                (Standing::Observed, _) => audit.not_seen += 1,
                (_, Some(_)) => audit.not_held += 1,
                (Standing::Planned, None) => audit.planned += 1,
                (Standing::Assumed { .. }, None) => audit.assumed += 1,
                (Standing::Committed, None) => audit.committed += 1,
            }
        }
        audit.not_held += pods.filter(|(_, pod)| matches!(pod.stage, Stage::Bound(_))).count();
        audit
    }
}

impl NodeState {
    /// Is what is counted as used what its holders ask for, all together?
    pub fn adds_up(&self) -> bool {
        let mut sum = Resources::default();
        self.holders().values().for_each(|holding| sum.add(&holding.demand.requests));
        // A name with an amount of nothing says nothing.
        let has = |all: &Resources, of: &Resources| of.iter().all(|(name, amount)| all.get(name.as_str()) == amount);
        has(&sum, self.used()) && has(self.used(), &sum)
    }

    /// Is more of an accelerator resource held than the node can give? Devices have failed under their pods, or somebody else
    /// has placed pods here, too.
    pub fn is_overcommitted(&self) -> bool {
        let Some(node) = self.node() else { return false };
        node.inventory.pools.iter().any(|pool| self.used().get(pool.resource.as_str()) > pool.allocatable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Holding;
    use crate::model::pod::PodUid;
    use crate::testing::{node, pod};

    fn uid(name: &str) -> PodUid {
        format!("uid-{name}").as_str().into()
    }

    /// A node of 8 GPUs with two pods, and one that waits.
    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        cluster.set_node(node("n").has("nvidia.com/gpu", 8).build());
        cluster.set_pod(pod("a").gpus(3).on("n").build());
        cluster.set_pod(pod("b").gpus(2).on("n").build());
        cluster.set_pod(pod("waits").gpus(1).build());
        cluster
    }

    #[test]
    fn what_is_seen_is_held() {
        let mut cluster = cluster();
        assert_eq!(cluster.audit(), Audit { observed: 2, ..Audit::default() });
        cluster.set_pod(pod("a").gpus(3).on("n").finished().build());
        cluster.remove_pod(&uid("b"));
        assert_eq!(cluster.audit(), Audit::default());
    }

    #[test]
    fn what_is_only_meant_to_be_is_no_difference() {
        let mut cluster = cluster();
        let (waits, n) = (pod("waits").gpus(1).build(), "n".into());
        for (standing, wanted) in [
            (Standing::Planned, Audit { observed: 2, planned: 1, ..Audit::default() }),
            (Standing::Assumed { until_ms: 1 }, Audit { observed: 2, assumed: 1, ..Audit::default() }),
            (Standing::Committed, Audit { observed: 2, committed: 1, ..Audit::default() }),
        ] {
            cluster.hold(&waits.uid, Holding::of(&waits, &n), standing);
            assert_eq!(cluster.audit(), wanted);
        }
        cluster.set_pod(pod("waits").gpus(1).on("n").build());
        assert_eq!(cluster.audit(), Audit { observed: 3, ..Audit::default() });
    }

    #[test]
    fn differences_are_found() {
        let mut lost = cluster();
        lost.ledger.remove(&uid("b"));
        assert_eq!(lost.audit(), Audit { observed: 1, not_held: 1, ..Audit::default() });

        let mut elsewhere = cluster();
        let a = pod("a").gpus(3).build();
        elsewhere.hold(&a.uid, Holding::of(&a, &"m".into()), Standing::Observed);
        assert_eq!(elsewhere.audit(), Audit { observed: 1, not_seen: 1, ..Audit::default() });

        let mut undecided = cluster();
        undecided.set_standing(&uid("a"), Standing::Committed);
        assert_eq!(undecided.audit(), Audit { observed: 1, not_held: 1, ..Audit::default() });

        let mut gone = cluster();
        gone.forget(&uid("a"));
        assert_eq!(gone.audit(), Audit { observed: 1, not_seen: 1, ..Audit::default() });
    }

    #[test]
    fn nodes_add_up_and_are_not_overcommitted_unless_they_are() {
        let mut cluster = cluster();
        let state = |cluster: &Cluster| NodeState::clone(cluster.node("n").expect("it is there"));
        assert!(state(&cluster).adds_up() && !state(&cluster).is_overcommitted());
        cluster.set_node(node("n").has("nvidia.com/gpu", 4).build());
        assert!(state(&cluster).adds_up() && state(&cluster).is_overcommitted(), "half of its GPUs have failed");
    }
}
