//! The scheduling cycle of a PodGroup: its members are placed one after the other, each beside those before it. Either as many
//! as must start together find a place, and all that did are bound, or none is (`schedule_one_podgroup.go`, 1.36).

use super::cycle::Attempt;
use super::{Against, Around, Queue, Scheduler, Waiting};
use crate::api::store::{Key, Kind};

/// What came of a cycle.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cycle {
    Ended,
    /// A call of it has not come to an end: a member's, with this replica.
    Hangs {
        uid: String,
        replica: usize,
    },
}

impl Scheduler {
    /// Places the members of a group that wait.
    pub(super) fn place_group(&mut self, group: &Key, around: &mut Around<'_>) -> Cycle {
        let members = self.members(group);
        let Some(needed) = self.needed(group) else {
            // Held back before the queue, until there are more of them.
            let against = Against { quorum: true, ..Against::default() };
            let aside = Queue::Aside { since_ms: around.now_ms, against };
            members.iter().for_each(|member| self.rest(&member.pod.uid, aside));
            return Cycle::Ended;
        };
        let (mut placed, mut left) = (vec![], vec![]);
        for member in members {
            let uid = member.pod.uid.clone();
            match self.try_member(&member, around) {
                Attempt::Place(node) => {
                    self.assumed.insert(uid, (member.pod.clone(), node.clone()));
                    placed.push((member, node));
                }
                Attempt::Hangs(replica) => {
                    placed.iter().for_each(|(member, _)| _ = self.assumed.remove(&member.pod.uid));
                    return Cycle::Hangs { uid, replica };
                }
                attempt => left.push((member, attempt)),
            }
        }
        let are_enough = placed.len() >= needed;
        for (member, node) in placed {
            self.assumed.remove(&member.pod.uid);
            if are_enough {
                self.start_binding(member, node, around);
            } else {
                left.push((member, Attempt::Place(node)));
            }
        }
        self.put_all_aside(left, around);
        Cycle::Ended
    }

    fn try_member(&mut self, member: &Waiting, around: &mut Around<'_>) -> Attempt {
        if let Some(waiting) = self.waiting.get_mut(&member.pod.uid) {
            waiting.attempts += 1;
        }
        self.attempt(member, around)
    }

    /// What helps one of them helps all; nobody is evicted for them, and no claim loses its devices.
    fn put_all_aside(&mut self, left: Vec<(Waiting, Attempt)>, around: &mut Around<'_>) {
        let mut against = Against::default();
        for (_, attempt) in &left {
            if let Attempt::NoPlace(refusals) = attempt {
                against = against.or(refusals.against);
            }
        }
        let has_failed = left.iter().any(|(_, attempt)| matches!(attempt, Attempt::Error(_)));
        for (member, attempt) in left {
            let message = match attempt {
                Attempt::NoPlace(refusals) => refusals.message(),
                Attempt::Error(error) => error,
                Attempt::Place(_) | Attempt::Hangs(_) => "others of its pod group have no place".to_owned(),
            };
            if has_failed {
                self.fail(&member.pod, &message, around);
            } else {
                self.put_aside(&member.pod, &message, None, around);
                self.rest(&member.pod.uid, Queue::Aside { since_ms: around.now_ms, against });
            }
        }
    }

    /// The members that are not being bound, the most important first, then the oldest.
    fn members(&self, group: &Key) -> Vec<Waiting> {
        let is_member = |it: &&Waiting| it.pod.group.as_ref() == Some(group) && it.place != Queue::Binding;
        let mut members: Vec<Waiting> = self.waiting.values().filter(is_member).cloned().collect();
        members.sort_by_key(Waiting::turn);
        members
    }

    /// How many have to find a place beside those that have one; none where there are not as many yet as must start together.
    fn needed(&self, group: &Key) -> Option<usize> {
        let object = self.view.get(Kind::PodGroup, group)?;
        let together = object.pointer("/spec/schedulingPolicy/gang/minCount")?.as_u64()?;
        let together = usize::try_from(together).ok()?;
        let members = { self.view.all(Kind::Pod) }.map(|(_, object)| object.pod());
        let members: Vec<_> =
            members.filter(|pod| pod.group.as_ref() == Some(group) && !pod.ended && !pod.leaving).collect();
        let have_places =
            members.iter().filter(|pod| pod.node.is_some() || self.assumed.contains_key(&pod.uid)).count();
        (members.len() >= together).then(|| together.saturating_sub(have_places))
    }
}
