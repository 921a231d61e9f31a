//! `kueue.x-k8s.io`: Kueue's groups of plain pods, and the topology that it asks for on pods of every kind of workload.

use testudo_core::model::gang::{Role, Slices, Strictness, Terms, TopologyRule};

use super::levels;
use super::limits::{MEMBERS, is_label_key};
use super::reading::{Reading, Said};

const GROUP_NAME: &str = "kueue.x-k8s.io/pod-group-name";
const TOTAL_COUNT: &str = "kueue.x-k8s.io/pod-group-total-count";
const REQUIRED: &str = "kueue.x-k8s.io/podset-required-topology";
const PREFERRED: &str = "kueue.x-k8s.io/podset-preferred-topology";
const SLICE_REQUIRED: &str = "kueue.x-k8s.io/podset-slice-required-topology";
const SLICE_SIZE: &str = "kueue.x-k8s.io/podset-slice-size";
/// Podsets of one such group are placed as one.
const PODSET_GROUP: &str = "kueue.x-k8s.io/podset-group-name";
const INDEX_LABEL: &str = "kueue.x-k8s.io/pod-group-pod-index-label";

/// The pod's podset.
pub(super) const PODSET: &str = "kueue.x-k8s.io/podset";
/// Kueue makes a group of the pods of a StatefulSet by itself, to admit them together.
const SERVING: &str = "kueue.x-k8s.io/pod-group-serving";

/// Its number in a group of pods.
pub(super) const POD_INDEX: &str = "kueue.x-k8s.io/pod-group-pod-index";

/// Where the pod names its group.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.either(GROUP_NAME)
}

/// The label that has the pod's number, where it is none of the usual ones.
pub(super) fn index_label<'a>(reading: &Reading<'a, '_>) -> Option<&'a str> {
    reading.annotation(INDEX_LABEL).map(|said| said.text)
}

/// Is the pod one of several servers that Kueue admits together, and of which nobody has said that they start together?
pub(super) fn is_server(reading: &Reading<'_, '_>) -> bool {
    let is_of_set = reading.pod.metadata.owner_references.iter().any(|owner| owner.kind == "StatefulSet");
    is_of_set && reading.annotation(SERVING).is_some_and(|said| said.text == "true")
}

pub(super) fn terms(reading: &mut Reading<'_, '_>) -> Terms {
    let total = reading.number(reading.annotation(TOTAL_COUNT), MEMBERS);
    Terms { min_member: total, total, ..Terms::default() }
}

/// Adds the topology that is asked for. It goes for the podset, which is the role; where roles are placed as one, or
/// there are none, for the gang.
pub(super) fn add_topology(reading: &mut Reading<'_, '_>, role: &Role, terms: &mut Terms) {
    let mut rules: Vec<TopologyRule> = vec![];
    for (strictness, key) in [(Strictness::Required, REQUIRED), (Strictness::Preferred, PREFERRED)] {
        rules.extend(level(reading, key).map(|level| TopologyRule { strictness, level }));
    }
    let size = reading.number(reading.annotation(SLICE_SIZE), MEMBERS);
    let within = level(reading, SLICE_REQUIRED);
    let slices = size.zip(within).map(|(members, within)| Slices { members, within });
    if rules.is_empty() && slices.is_none() {
        return;
    }
    if role.is_empty() || reading.annotation(PODSET_GROUP).is_some() {
        terms.topology.extend(rules);
        terms.slices = slices.or(terms.slices.take());
    } else {
        let of_role = terms.roles.entry(role.clone()).or_default();
        of_role.topology.extend(rules);
        of_role.slices = slices.or(of_role.slices.take());
    }
}

fn level(reading: &mut Reading<'_, '_>, key: &'static str) -> Option<testudo_core::model::gang::TopologyLevel> {
    let said = reading.annotation(key)?;
    let label = is_label_key(said.text).then(|| levels::of_label(said.text));
    reading.accept(said, label.ok_or_else(|| format!("{:?} is no key of a label", said.text)))
}
