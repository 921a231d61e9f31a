//! Who places a pod.

use testudo_core::engine::{Snapshot, Stance};
use testudo_core::model::pod::Pod;

/// Who places a pod, as what is said of it.
pub fn treated_as(snapshot: &Snapshot, pod: &Pod) -> String {
    match snapshot.stance(pod) {
        Stance::Placed if !snapshot.is_asked_about(pod) => {
            format!("placed by {}, which does not ask testudo", pod.scheduler)
        }
        Stance::Placed => "placed by testudo".to_owned(),
        Stance::Unconcerned => "asks for no accelerators: kube-scheduler decides".to_owned(),
        Stance::Excluded => "excluded by the policy".to_owned(),
    }
}
