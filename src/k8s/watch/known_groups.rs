//! Which gangs are described by which objects: what is told of them, and when they are gone.

use std::collections::{BTreeMap, BTreeSet};

use testudo_core::model::gang::GangKey;

use super::super::gang::objects::{self, GroupObject};
use super::super::problem::{Problem, describe};
use super::super::watched::ServedGroups;
use super::ClusterEvent;

/// Objects of all kinds that are watched.
#[derive(Debug, Default)]
pub(super) struct KnownGroups {
    /// By resource.
    kinds: BTreeMap<String, KnownKind>,
    /// By how many objects each gang is described.
    described: BTreeMap<GangKey, usize>,
    /// It is known which kinds there are.
    discovered: bool,
}

#[derive(Debug, Default)]
struct KnownKind {
    /// By uid.
    objects: BTreeMap<String, KnownObject>,
    /// Its objects have been listed, or cannot be.
    listed: bool,
}

#[derive(Debug, Default)]
struct KnownObject {
    describes: BTreeSet<GangKey>,
    /// What the object is called, if it has problems.
    troubled: Option<String>,
}

impl KnownGroups {
    /// A kind is watched from now on, or anew in another version.
    pub(super) fn begin(&mut self, resource: &str) {
        self.kinds.entry(resource.to_owned()).or_default().listed = false;
    }

    /// A kind is not served any more: its objects are gone.
    pub(super) fn end(&mut self, resource: &str) -> Vec<ClusterEvent> {
        let gone = self.kinds.remove(resource).unwrap_or_default().objects;
        let mut events: Vec<ClusterEvent> = gone.into_values().flat_map(|object| self.forget(object)).collect();
        // It may have been the one that all waited for.
        events.extend(self.synced());
        events
    }

    /// It is known which kinds there are.
    pub(super) fn discovered(&mut self) -> Option<ClusterEvent> {
        let first = !std::mem::replace(&mut self.discovered, true);
        first.then(|| self.synced()).flatten()
    }

    /// An object was added or changed.
    pub(super) fn applied(&mut self, served: &ServedGroups, object: &GroupObject) -> Vec<ClusterEvent> {
        let (kind, resource) = (served.kind, served.kind.resource());
        let name = describe(kind.name, &object.metadata);
        let known = self.kinds.entry(resource).or_default();
        let (groups, problems) = match objects::decode(kind, served.version, object) {
            Ok(decoded) => decoded,
            Err(what) => {
                // What was known of it still stands.
                known.objects.entry(object.metadata.uid.clone()).or_default().troubled = Some(name.clone());
                let problem = Problem { object: name, field: "spec".into(), what, blocking: true };
                return vec![ClusterEvent::Unreadable(problem)];
            }
        };
        let now = KnownObject {
            describes: groups.iter().map(|group| group.key.clone()).collect(),
            troubled: (!problems.is_empty()).then(|| name.clone()),
        };
        for key in &now.describes {
            *self.described.entry(key.clone()).or_default() += 1;
        }
        let tell_problems = now.troubled.is_some();
        let before = known.objects.insert(object.metadata.uid.clone(), now).unwrap_or_default();
        let tell_problems = tell_problems || before.troubled.is_some();
        let mut events: Vec<ClusterEvent> =
            groups.into_iter().map(|group| ClusterEvent::GroupApplied(Box::new(group))).collect();
        events.extend(tell_problems.then_some(ClusterEvent::GroupProblems { object: name, problems }));
        events.extend(self.forget(KnownObject { troubled: None, ..before }));
        events
    }

    /// An object is gone.
    pub(super) fn deleted(&mut self, resource: &str, uid: &str) -> Vec<ClusterEvent> {
        let gone = self.kinds.get_mut(resource).and_then(|kind| kind.objects.remove(uid));
        gone.map_or_else(Vec::new, |object| self.forget(object))
    }

    /// All objects of a kind have been listed; these are their uids.
    pub(super) fn listed(&mut self, resource: &str, uids: &BTreeSet<String>) -> Vec<ClusterEvent> {
        let known = self.kinds.entry(resource.to_owned()).or_default();
        known.listed = true;
        let gone = known.objects.extract_if(.., |uid, _| !uids.contains(uid)).map(|(_, object)| object);
        let gone: Vec<KnownObject> = gone.collect();
        let mut events: Vec<ClusterEvent> = gone.into_iter().flat_map(|object| self.forget(object)).collect();
        events.extend(self.synced());
        events
    }

    /// A kind cannot be seen for now, and nobody waits for it. What was known of it still stands.
    pub(super) fn unseen(&mut self, resource: &str) -> Option<ClusterEvent> {
        self.kinds.entry(resource.to_owned()).or_default().listed = true;
        self.synced()
    }

    /// What there is, once all of it is known.
    fn synced(&self) -> Option<ClusterEvent> {
        let complete = self.discovered && self.kinds.values().all(|kind| kind.listed);
        complete.then(|| ClusterEvent::GroupsSynced(self.described.keys().cloned().collect()))
    }

    /// Tells of gangs that no object describes any more.
    fn forget(&mut self, object: KnownObject) -> Vec<ClusterEvent> {
        let mut gone = vec![];
        for key in object.describes {
            match self.described.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.described.remove(&key);
                    gone.push(ClusterEvent::GroupDeleted(key));
                }
            }
        }
        let mended = object.troubled.map(|object| ClusterEvent::GroupProblems { object, problems: vec![] });
        gone.extend(mended);
        gone
    }
}
