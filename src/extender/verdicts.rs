//! What is said of the nodes of an offer.

use std::sync::Arc;

/// The verdict about one offered node. The texts become part of the pod's `PodScheduled` condition, so the same
/// situation must give the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeVerdict {
    /// The pod may go there.
    Fits,
    /// It may not, but the eviction of others could change that.
    Fails(Arc<str>),
    /// It may not, and no eviction helps.
    Unresolvable(Arc<str>),
}

/// Why a pod may not go to some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRefusal {
    /// What users read.
    pub text: Arc<str>,
    /// The eviction of others could change it.
    pub preemption_can_help: bool,
}

/// The verdicts on the nodes of an offer, in its order. Thousands of nodes refuse a pod for a handful of reasons, so each
/// reason is there once.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    of: Vec<u32>,
    refusals: Vec<NodeRefusal>,
}

impl Verdicts {
    /// For each node 0 where the pod may go, else one more than the index of the refusal.
    ///
    /// # Panics
    /// Where an index is beyond the refusals.
    pub fn new(of: Vec<u32>, refusals: Vec<NodeRefusal>) -> Self {
        assert!(of.iter().all(|at| *at as usize <= refusals.len()), "a refusal that is not there");
        Self { of, refusals }
    }

    /// The pod may go to all of so many nodes.
    pub fn all_fit(nodes: usize) -> Self {
        Self { of: vec![0; nodes], refusals: vec![] }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The refusals, each once.
    pub fn refusals(&self) -> &[NodeRefusal] {
        &self.refusals
    }

    /// For each node the index of the refusal; nothing where the pod may go.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = Option<usize>> {
        self.of.iter().map(|at| (*at as usize).checked_sub(1))
    }

    /// The verdicts one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = NodeVerdict> {
        self.indices().map(|at| match at.map(|at| &self.refusals[at]) {
            None => NodeVerdict::Fits,
            Some(NodeRefusal { text, preemption_can_help: true }) => NodeVerdict::Fails(Arc::clone(text)),
            Some(NodeRefusal { text, preemption_can_help: false }) => NodeVerdict::Unresolvable(Arc::clone(text)),
        })
    }
}

/// Equal are verdicts that say the same of each node.
impl PartialEq for Verdicts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<NodeVerdict> for Verdicts {
    fn from_iter<I: IntoIterator<Item = NodeVerdict>>(verdicts: I) -> Self {
        let mut all = Self::default();
        for verdict in verdicts {
            let refusal = match verdict {
                NodeVerdict::Fits => {
                    all.of.push(0);
                    continue;
                }
                NodeVerdict::Fails(text) => NodeRefusal { text, preemption_can_help: true },
                NodeVerdict::Unresolvable(text) => NodeRefusal { text, preemption_can_help: false },
            };
            let at = all.refusals.iter().rposition(|known| *known == refusal).unwrap_or_else(|| {
                all.refusals.push(refusal);
                all.refusals.len() - 1
            });
            all.of.push(at as u32 + 1);
        }
        all
    }
}
