//! Which pods are members of which gang, and what is said of the gangs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::gang::{GangKey, Group};
use crate::model::pod::{Pod, PodUid, Stage};

/// A gang, as far as it has been seen: members, its group object, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GangState {
    /// Its object, where it has one and that has been seen.
    pub group: Option<Arc<Group>>,
    /// Its members, by unique id.
    pub members: BTreeMap<PodUid, Arc<Pod>>,
}

impl GangState {
    /// Has any member a node, and is to stay there? Those that leave are of an earlier generation of the same name: the next is
    /// a new gang.
    pub fn runs(&self) -> bool {
        self.members.values().any(|pod| matches!(pod.stage, Stage::Bound(_)) && !pod.leaving)
    }
}

/// All gangs, and which of them have changed. It grows with the pods and group objects that the cluster holds.
#[derive(Debug, Clone, Default)]
pub struct Gangs {
    by_key: BTreeMap<GangKey, GangState>,
    changed: BTreeSet<GangKey>,
}

impl Gangs {
    /// A gang.
    pub fn get(&self, key: &GangKey) -> Option<&GangState> {
        self.by_key.get(key)
    }

    /// The gangs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&GangKey, &GangState)> {
        self.by_key.iter()
    }

    /// The objects that describe a gang, the nearest first.
    pub fn descriptions(&self, key: &GangKey, gang: &GangState) -> Vec<Arc<Group>> {
        let also = gang.members.values().filter_map(|pod| pod.membership.as_ref()).flat_map(|m| &m.also);
        let mut keys: Vec<GangKey> = key.described_by().collect();
        for key in also.flat_map(GangKey::described_by) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.iter().filter_map(|key| self.get(key)?.group.clone()).collect()
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<GangKey> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn change_all(&mut self) {
        self.changed = self.by_key.keys().cloned().collect();
    }

    pub(super) fn set_group(&mut self, group: Group) {
        let key = group.key.clone();
        if self.get(&key).is_none_or(|gang| gang.group.as_deref() != Some(&group)) {
            self.change(&key, |gang| gang.group = Some(Arc::new(group)));
            self.change_described(&key);
        }
    }

    pub(super) fn remove_group(&mut self, key: &GangKey) {
        if self.by_key.contains_key(key) {
            self.change(key, |gang| gang.group = None);
            self.change_described(key);
        }
    }

    /// The object of this key describes other gangs, too.
    fn change_described(&mut self, object: &GangKey) {
        let is_described = |(key, gang): &(&GangKey, &GangState)| {
            let first = gang.members.values().find_map(|pod| pod.membership.as_ref());
            let also = first.into_iter().flat_map(|membership| &membership.also);
            key.namespace == object.namespace
                && std::iter::once(*key).chain(also).any(|key| key.described_by().any(|key| key == *object))
        };
        let described: Vec<GangKey> = self.by_key.iter().filter(is_described).map(|(key, _)| key.clone()).collect();
        self.changed.extend(described);
    }

    /// Forgets all group objects but these.
    pub(super) fn retain_groups(&mut self, listed: &BTreeSet<GangKey>) {
        let described = self.by_key.iter().filter(|(_, gang)| gang.group.is_some());
        let gone: Vec<GangKey> = described.map(|(key, _)| key.clone()).filter(|key| !listed.contains(key)).collect();
        for key in gone {
            self.remove_group(&key);
        }
    }

    /// A pod was replaced by what it is now; either can be nothing.
    pub(super) fn replace(&mut self, former: Option<&Pod>, pod: Option<&Arc<Pod>>) {
        let gang_of = |pod: &Pod| pod.membership.as_ref().map(|membership| membership.gang.clone());
        let (before, after) = (former.and_then(gang_of), pod.and_then(|pod| gang_of(pod)));
        if let (Some(before), Some(former)) = (&before, former)
            && after.as_ref() != Some(before)
        {
            self.change(before, |gang| drop(gang.members.remove(&former.uid)));
        }
        if let (Some(after), Some(pod)) = (after, pod)
            && former.is_none_or(|former| *former != **pod)
        {
            self.change(&after, |gang| drop(gang.members.insert(pod.uid.clone(), Arc::clone(pod))));
        }
    }

    fn change(&mut self, key: &GangKey, change: impl FnOnce(&mut GangState)) {
        let gang = match self.by_key.get_mut(key) {
            Some(gang) => gang,
            None => self.by_key.entry(key.clone()).or_default(),
        };
        change(gang);
        if gang.group.is_none() && gang.members.is_empty() {
            self.by_key.remove(key);
        }
        self.changed.insert(key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gang::{Dialect, ObjectRef, Terms};
    use crate::testing::pod;

    fn key(name: &str) -> GangKey {
        GangKey { namespace: "default".into(), name: name.into(), dialect: Dialect::Testudo }
    }

    fn group(name: &str) -> Group {
        let (object, terms) = (ObjectRef::default(), Terms::default());
        Group { key: key(name), object, created_s: 0, priority: None, terms, fault: None }
    }

    #[test]
    fn a_gang_is_there_while_a_member_or_its_object_is() {
        let mut gangs = Gangs::default();
        let member = |gang: &str| Arc::new(pod("p").member_of(gang, "", 0, Terms::default()).build());
        gangs.replace(None, Some(&member("a")));
        gangs.set_group(group("a"));
        assert_eq!(gangs.take_changed(), [key("a")].into());
        gangs.replace(Some(&member("a")), Some(&member("a")));
        gangs.set_group(group("a"));
        assert!(gangs.take_changed().is_empty(), "nothing is new");
        gangs.replace(Some(&member("a")), Some(&member("b")));
        assert_eq!(gangs.take_changed(), [key("a"), key("b")].into());
        assert!(gangs.get(&key("a")).is_some_and(|gang| gang.members.is_empty()));
        gangs.retain_groups(&[key("a")].into());
        assert!(gangs.get(&key("a")).is_some());
        gangs.retain_groups(&BTreeSet::new());
        assert!(gangs.get(&key("a")).is_none());
        gangs.replace(Some(&member("b")), None);
        assert_eq!(gangs.iter().count(), 0);
    }
}
