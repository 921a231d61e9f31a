//! Which pods are members of which gang, and what is said of the gangs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::gang::{Dialect, GangKey, Group, Membership};
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

    /// Does any member run, or has any done so with success?
    pub fn has_run(&self) -> bool {
        self.runs() || self.members.values().any(|pod| pod.has_succeeded())
    }
}

/// All gangs, and which of them have changed. It grows with the pods and group objects that the cluster holds.
#[derive(Debug, Clone, Default)]
pub struct Gangs {
    by_key: BTreeMap<GangKey, GangState>,
    /// For each key that members name beside their gang, the gangs whose members do, and how many of them.
    beside: BTreeMap<GangKey, BTreeMap<GangKey, usize>>,
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
        let own = described(&self.by_key, object).map(|(gang, _)| gang);
        let beside = described(&self.beside, object).flat_map(|(_, gangs)| gangs.keys());
        self.changed.extend(own.chain(beside).cloned());
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
        let was = former.and_then(|pod| pod.membership.as_ref());
        let is = pod.and_then(|pod| pod.membership.as_ref());
        if was != is {
            is.into_iter().for_each(|membership| self.note_beside(membership));
            was.into_iter().for_each(|membership| self.strike_beside(membership));
        }
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

    fn note_beside(&mut self, membership: &Membership) {
        for key in &membership.also {
            let gangs = self.beside.entry(key.clone()).or_default();
            *gangs.entry(membership.gang.clone()).or_default() += 1;
        }
    }

    fn strike_beside(&mut self, membership: &Membership) {
        for key in &membership.also {
            let Some(gangs) = self.beside.get_mut(key) else { continue };
            let is_last = gangs.get_mut(&membership.gang).is_some_and(|members| {
                *members -= 1;
                *members == 0
            });
            if is_last {
                gangs.remove(&membership.gang);
            }
            if gangs.is_empty() {
                self.beside.remove(key);
            }
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

/// The keys that an object describes ([`GangKey::described_by`]): its own, and those whose names go on after it with a slash.
/// Only these names are looked at, in all dialects, however many others there are.
fn described<'a, V>(by_key: &'a BTreeMap<GangKey, V>, object: &GangKey) -> impl Iterator<Item = (&'a GangKey, &'a V)> {
    let first = |next: char| GangKey {
        namespace: object.namespace.clone(),
        name: format!("{}{next}", object.name),
        dialect: Dialect::Testudo,
    };
    // Of all dialects ours is the first, and of all characters after the slash the zero.
    let longer = by_key.range(first('/')..first('0'));
    let dialect = object.dialect;
    by_key.get_key_value(object).into_iter().chain(longer.filter(move |(key, _)| key.dialect == dialect))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::model::gang::{ObjectRef, Terms};
    use crate::testing::pod;

    fn key(name: &str) -> GangKey {
        GangKey { namespace: "default".into(), name: name.into(), dialect: Dialect::Testudo }
    }

    fn group(name: &str) -> Group {
        group_of(key(name))
    }

    fn group_of(key: GangKey) -> Group {
        let (object, terms) = (ObjectRef::default(), Terms::default());
        Group { key, object, created_s: 0, priority: None, terms, fault: None }
    }

    fn member_of(name: &str, gang: GangKey, also: Vec<GangKey>) -> Arc<Pod> {
        let pod = pod(name).member_of("", "", 0, Terms::default()).build();
        let membership = pod.membership.as_deref().map(|member| Membership { gang, also, ..member.clone() });
        Arc::new(Pod { membership: membership.map(Arc::new), ..pod })
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

    #[test]
    fn ten_thousand_objects_of_one_namespace_are_taken_in_at_once() {
        let mut gangs = Gangs::default();
        // With each of them compared with all others this takes minutes.
        for at in 0..10_000 {
            gangs.set_group(group(&format!("train-{at}")));
        }
        assert_eq!(gangs.take_changed().len(), 10_000);
        gangs.retain_groups(&BTreeSet::new());
        assert_eq!((gangs.take_changed().len(), gangs.iter().count()), (10_000, 0));
    }

    #[test]
    fn an_object_is_news_to_a_gang_of_which_only_some_members_are_its() {
        let set = |name: &str| GangKey { dialect: Dialect::LeaderWorkerSet, ..key(name) };
        let mut gangs = Gangs::default();
        for (pod, of) in [("leader-a", "a/0"), ("leader-b", "b/0")] {
            gangs.replace(None, Some(&member_of(pod, key("both"), vec![set(of)])));
        }
        gangs.take_changed();
        for name in ["a", "b"] {
            gangs.set_group(group_of(set(name)));
            assert_eq!(gangs.take_changed(), [key("both"), set(name)].into());
        }
        let other = member_of("leader-b", key("both"), vec![set("c/0")]);
        gangs.replace(Some(&member_of("leader-b", key("both"), vec![set("b/0")])), Some(&other));
        gangs.take_changed();
        gangs.remove_group(&set("b"));
        assert_eq!(gangs.take_changed(), [set("b")].into(), "it has left");
    }

    const DIALECTS: [Dialect; 12] = [
        Dialect::Testudo,
        Dialect::Native,
        Dialect::Coscheduling,
        Dialect::Volcano,
        Dialect::Kai,
        Dialect::Koordinator,
        Dialect::Grove,
        Dialect::LeaderWorkerSet,
        Dialect::JobSet,
        Dialect::KubeRay,
        Dialect::Kueue,
        Dialect::Claims,
    ];

    /// Names that are, go on with, or only begin like each other.
    const NAMES: [&str; 10] = ["", "/a", "a", "a/", "a/0", "a/0/x", "a-1", "a.b", "a0", "ab"];

    fn keys() -> impl Iterator<Item = GangKey> {
        let named = ["default", "other"].into_iter().flat_map(|namespace| NAMES.map(|name| (namespace, name)));
        named.flat_map(|(namespace, name)| {
            DIALECTS.map(|dialect| GangKey { namespace: namespace.into(), name: name.into(), dialect })
        })
    }

    /// The gangs that an object describes, by looking at all of them.
    fn described_by_full_scan(gangs: &Gangs, object: &GangKey) -> BTreeSet<GangKey> {
        let is_described = |(key, gang): &(&GangKey, &GangState)| {
            let members = gang.members.values().filter_map(|pod| pod.membership.as_ref());
            let also = members.flat_map(|membership| &membership.also);
            std::iter::once(*key).chain(also).any(|key| key.described_by().any(|key| key == *object))
        };
        gangs.iter().filter(is_described).map(|(key, _)| key.clone()).collect()
    }

    fn some_key() -> impl Strategy<Value = GangKey> {
        select(keys().collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_object_is_news_to_those_whom_a_full_scan_finds(
            groups in proptest::collection::vec(some_key(), 0..8),
            sights in proptest::collection::vec(
                (0..4_u32, proptest::option::of((some_key(), proptest::collection::vec(some_key(), 0..4)))),
                0..16,
            ),
        ) {
            let mut gangs = Gangs::default();
            groups.into_iter().for_each(|key| gangs.set_group(group_of(key)));
            let mut pods: BTreeMap<u32, Arc<Pod>> = BTreeMap::new();
            for (pod, membership) in sights {
                let now = membership.map(|(gang, also)| member_of(&pod.to_string(), gang, also));
                gangs.replace(pods.get(&pod).map(|former| &**former), now.as_ref());
                match now {
                    Some(now) => drop(pods.insert(pod, now)),
                    None => drop(pods.remove(&pod)),
                }
            }
            for object in keys() {
                let mut expected = described_by_full_scan(&gangs, &object);
                expected.insert(object.clone());
                let is_known = gangs.get(&object).is_some_and(|gang| gang.group.is_some());
                gangs.take_changed();
                gangs.set_group(group_of(object.clone()));
                prop_assert_eq!(gangs.take_changed(), if is_known { BTreeSet::new() } else { expected.clone() });
                gangs.remove_group(&object);
                prop_assert_eq!(gangs.take_changed(), expected);
            }
        }
    }
}
