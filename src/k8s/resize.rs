//! In-place resize of pods: what is asked for and what was given differ for a while, and for good where the node has not as
//! much. Counted as kube-scheduler does (`determineEffectiveRequests` in `k8s.io/component-helpers/resource`).

use testudo_core::model::resources::{ResourceName, Resources};

use super::object;

/// What can be resized.
const RESIZABLE: [&str; 2] = [ResourceName::CPU, ResourceName::MEMORY];

/// How the resize of a pod stands, if there is one.
pub struct Resize<'a> {
    status: &'a object::PodStatus,
    /// The kubelet has said that its node has not as much: what is asked for will not be given.
    is_infeasible: bool,
}

/// What the kubelet says of a container or a pod.
pub struct Given<'a> {
    /// What is in force.
    pub actuated: &'a object::ResourceList,
    /// What was set aside for it.
    pub allocated: &'a object::ResourceList,
}

impl<'a> Resize<'a> {
    pub fn of(status: &'a object::PodStatus) -> Self {
        let pending = status.conditions.iter().find(|condition| condition.kind == "PodResizePending");
        Self { status, is_infeasible: pending.is_some_and(|condition| condition.reason == "Infeasible") }
    }

    /// What a container has been given, if its kubelet says so.
    pub fn of_container(&self, name: &str) -> Option<Given<'a>> {
        let mut statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        let status = statuses.find(|status| status.name == name)?;
        Some(Given { actuated: &status.resources.as_ref()?.requests, allocated: &status.allocated_resources })
    }

    /// What the pod as a whole has been given.
    pub fn of_pod(&self) -> Option<Given<'a>> {
        Some(Given { actuated: &self.status.resources.as_ref()?.requests, allocated: &self.status.allocated_resources })
    }

    /// What counts of what is asked for, where so much was given: whichever is more, and where the resize is infeasible what was
    /// given.
    pub fn apply(&self, asked: &mut Resources, given: &Resources) {
        for name in RESIZABLE.into_iter().filter(|name| given.contains(name)) {
            let given = given.get(name);
            let counts = if self.is_infeasible { given } else { given.max(asked.get(name)) };
            asked.set(name.into(), counts);
        }
    }
}
