//! Copies of gangs, for what-if and simulations: the same pods and group objects under another name.

use testudo_core::model::gang::{GangKey, Group, ObjectRef};

use super::super::object;

/// The key of a copy. Of a name such as `set/3` the object's part is renamed.
pub fn key(gang: &GangKey, number: usize) -> GangKey {
    let object = object_name(gang);
    GangKey { name: format!("{}{}", renamed(object, number), &gang.name[object.len()..]), ..gang.clone() }
}

/// What a copy of a group object says.
pub fn group(group: &Group, number: usize) -> Group {
    let key = key(&group.key, number);
    let name = object_name(&key).into();
    let object = ObjectRef { name, uid: format!("copy:{key}").into(), ..group.object.clone() };
    Group { object, key, ..group.clone() }
}

/// Makes a pod a member of the copy, wherever it names its gang.
pub fn join(pod: &mut object::Pod, gang: &GangKey, number: usize) {
    let name = object_name(gang);
    let new = renamed(name, number);
    let texts = pod.metadata.labels.values_mut().chain(pod.metadata.annotations.values_mut());
    texts.filter(|text| *text == name).for_each(|text| text.clone_from(&new));
    if let Some(group) = &mut pod.spec.scheduling_group {
        group.pod_group_name = group.pod_group_name.take().map(|_| new.clone());
    }
    if let Some(workload) = &mut pod.spec.workload_ref {
        workload.name = new;
    }
}

/// The name of the object that stands for a gang: `set` of `set/3`.
fn object_name(gang: &GangKey) -> &str {
    gang.name.split('/').next().unwrap_or_default()
}

fn renamed(name: &str, number: usize) -> String {
    format!("{name}-copy-{number}")
}
