//! `scheduling.k8s.io`: the gangs of Kubernetes itself. In 1.35 a pod names a pod group of a Workload, from 1.36 on a
//! PodGroup.

use super::reading::Reading;

/// The name of the gang, and where that is said. Pod groups of a Workload are called `workload/group`, and
/// `workload/group/replica` where the pod names a replica of it.
pub(super) fn group(reading: &Reading<'_, '_>) -> Option<(&'static str, String)> {
    let spec = &reading.pod.spec;
    let of_group = spec.scheduling_group.as_ref().and_then(|group| group.pod_group_name.clone());
    if let Some(name) = of_group.filter(|name| !name.is_empty()) {
        return Some(("spec.schedulingGroup.podGroupName", name));
    }
    let workload = spec.workload_ref.as_ref().filter(|workload| !workload.name.is_empty())?;
    let parts = [&workload.name, &workload.pod_group, &workload.pod_group_replica_key];
    let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    Some(("spec.workloadRef", parts.join("/")))
}
