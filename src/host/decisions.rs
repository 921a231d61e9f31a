//! What was decided lately, and what spoke for it: for people to look at. Nothing is decided by this memory, and it is
//! bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use testudo_core::model::gang::GangKey;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Pod, PodKey, PodUid};

/// Decisions that are remembered.
pub const MAX_DECISIONS: usize = 256;

/// Pods of which is remembered what filter and prioritize said, until they are bound.
const MAX_CONSIDERED: usize = 512;

/// Places that are remembered of those that were ordered, the best first.
pub const MAX_PLACES: usize = 5;

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was bound.
    Bound(NodeName),
    /// It fits on none of the nodes that kube-scheduler offered.
    NoPlace,
    /// Its binding was refused, with the reason.
    Refused(NodeName, Arc<str>),
}

/// What was found out about a pod before it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Considered {
    /// How many nodes kube-scheduler offered.
    pub offered: usize,
    /// On how many of them it fits.
    pub fitting: u64,
    /// Why not on the others, with the number of nodes. One text stands for all that say the same of other amounts.
    pub refusals: Vec<(Arc<str>, u64)>,
    /// The best places with their scores, 0 to 10.
    pub places: Vec<(Arc<str>, u8)>,
    /// What the best place has before the next one that is not its equal.
    pub merit: Option<Arc<str>>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Counts the decisions of this process.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// On which pod.
    pub pod: PodKey,
    /// The gang that it is a member of.
    pub gang: Option<GangKey>,
    /// What became of it.
    pub verdict: Verdict,
    /// What was known.
    pub considered: Considered,
}

/// The decisions that were made last, oldest first.
#[derive(Debug, Default)]
pub struct RecentDecisions {
    decided: VecDeque<(PodUid, Arc<Decision>)>,
    considered: VecDeque<(PodUid, Considered)>,
    /// How many there have been.
    count: u64,
}

impl RecentDecisions {
    /// Filter was asked about a pod. That it fits nowhere is a decision; of gangs the engine says that for all members.
    pub fn filtered(&mut self, pod: &Pod, considered: Considered, at_ms: u64) {
        if considered.fitting > 0 {
            self.considered.retain(|(uid, _)| *uid != pod.uid);
            if self.considered.len() == MAX_CONSIDERED {
                self.considered.pop_front();
            }
            self.considered.push_back((pod.uid.clone(), considered));
        } else if pod.membership.is_none() {
            // kube-scheduler asks again and again: only the last time counts.
            self.decided.retain(|(uid, known)| *uid != pod.uid || known.verdict != Verdict::NoPlace);
            self.push(pod, Verdict::NoPlace, considered, at_ms);
        }
    }

    /// Prioritize has ordered the places of a pod.
    pub fn ordered(&mut self, pod: &PodUid, places: Vec<(Arc<str>, u8)>, merit: Option<Arc<str>>) {
        if let Some((_, considered)) = self.considered.iter_mut().rev().find(|(uid, _)| uid == pod) {
            (considered.places, considered.merit) = (places, merit);
        }
    }

    /// Bind has come to an end.
    pub fn ended(&mut self, pod: &Pod, verdict: Verdict, at_ms: u64) {
        let at = self.considered.iter().rposition(|(uid, _)| *uid == pod.uid);
        let considered = at.and_then(|at| self.considered.remove(at)).map(|(_, considered)| considered);
        self.push(pod, verdict, considered.unwrap_or_default(), at_ms);
    }

    fn push(&mut self, pod: &Pod, verdict: Verdict, considered: Considered, at_ms: u64) {
        if self.decided.len() == MAX_DECISIONS {
            self.decided.pop_front();
        }
        self.count += 1;
        let gang = pod.membership.as_ref().map(|membership| membership.gang.clone());
        let decision = Decision { number: self.count, at_ms, pod: pod.key.clone(), gang, verdict, considered };
        self.decided.push_back((pod.uid.clone(), Arc::new(decision)));
    }

    /// The decisions after the one of this number, oldest first.
    pub fn since(&self, number: u64) -> Vec<Arc<Decision>> {
        let news = self.decided.iter().filter(|(_, decision)| decision.number > number);
        news.map(|(_, decision)| Arc::clone(decision)).collect()
    }
}

#[cfg(test)]
mod tests {
    use testudo_core::model::pod::Demand;

    use super::*;

    fn pod(name: &str) -> Pod {
        let key = PodKey { namespace: "default".into(), name: name.into() };
        Pod::new(key, PodUid::from(name), Demand::default())
    }

    fn fits(fitting: u64) -> Considered {
        Considered { offered: 2, fitting, ..Considered::default() }
    }

    #[test]
    fn what_was_considered_stands_with_what_was_decided() {
        let mut decisions = RecentDecisions::default();
        decisions.filtered(&pod("p"), fits(2), 1);
        decisions.ordered(&PodUid::from("p"), vec![("a".into(), 10)], Some("fewest left over".into()));
        decisions.ended(&pod("p"), Verdict::Bound(NodeName::from("a")), 2);
        decisions.ended(&pod("unknown"), Verdict::Bound(NodeName::from("b")), 3);
        let [first, second] = decisions.since(0).try_into().expect("two decisions");
        assert_eq!(first.considered.places, [("a".into(), 10)]);
        assert_eq!((first.considered.fitting, first.at_ms), (2, 2));
        assert_eq!(second.considered, Considered::default());
        assert_eq!(decisions.since(1), [second], "only what is new");
    }

    #[test]
    fn a_pod_that_fits_nowhere_stands_there_once() {
        let mut decisions = RecentDecisions::default();
        for at_ms in 1..=3 {
            decisions.filtered(&pod("p"), fits(0), at_ms);
        }
        decisions.filtered(&pod("q"), fits(0), 4);
        let told: Vec<(String, u64)> = decisions.since(0).iter().map(|d| (d.pod.name.clone(), d.at_ms)).collect();
        assert_eq!(told, [("p".to_owned(), 3), ("q".to_owned(), 4)]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut decisions = RecentDecisions::default();
        for number in 0..2 * MAX_CONSIDERED as u64 {
            decisions.filtered(&pod(&number.to_string()), fits(1), number);
            decisions.ended(&pod("p"), Verdict::NoPlace, number);
        }
        assert_eq!(decisions.since(0).len(), MAX_DECISIONS);
        assert_eq!(decisions.considered.len(), MAX_CONSIDERED);
    }
}
