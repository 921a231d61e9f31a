//! Which service a pod is a replica of, from its labels.
//!
//! A service here is what clients reach under one name and what should survive the loss of a rack: the pods of a
//! LeaderWorkerSet, an InferenceService, an application. It is no Kubernetes `Service`: several of these may select the
//! same pods. Jobs and gangs are none: their pods stand or fall together, so that nothing is gained by spreading them.

use super::pod::Pod;
use super::selector::Labels;

/// By what a service is named; the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// `leaderworkerset.sigs.k8s.io/name`.
    LeaderWorkerSet,
    /// `serving.kserve.io/inferenceservice`.
    InferenceService,
    /// `ray.io/cluster`.
    RayCluster,
    /// `app.kubernetes.io/name`, with instance and component where they are given.
    Application,
    /// `app`.
    App,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: String,
    /// By what it is named.
    pub kind: ServiceKind,
    /// Its name.
    pub name: String,
}

impl ServiceKey {
    /// The service that a pod belongs to, if its labels name one.
    pub fn of(pod: &Pod) -> Option<Self> {
        Replica::of(pod).map(|replica| replica.service)
    }
}

/// A pod as a part of its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// The service.
    pub service: ServiceKey,
    /// Where several pods are one replica (leader and workers, a Ray cluster): which. They want to be near each other,
    /// and only other groups are spread.
    pub group: Option<String>,
}

/// Labels of pods that run to completion or start as one.
const TOGETHER: &[&str] = &[
    "batch.kubernetes.io/job-name",
    "job-name",
    "jobset.sigs.k8s.io/jobset-name",
    "kueue.x-k8s.io/pod-group-name",
    "scheduling.x-k8s.io/pod-group",
    "training.kubeflow.org/job-name",
    "volcano.sh/job-name",
];

impl Replica {
    /// What a pod is a replica of, if its labels name a service.
    pub fn of(pod: &Pod) -> Option<Self> {
        let (kind, name, group) = named_by(&pod.labels)?;
        Some(Self { service: ServiceKey { namespace: pod.key.namespace.clone(), kind, name }, group })
    }
}

fn named_by(labels: &Labels) -> Option<(ServiceKind, String, Option<String>)> {
    let value = |key: &str| labels.get(key).filter(|value| !value.is_empty());
    if let Some(name) = value("leaderworkerset.sigs.k8s.io/name") {
        // Without an index each pod is taken for a replica of its own, as it is in sets of size one.
        let group = value("leaderworkerset.sigs.k8s.io/group-index").map(str::to_owned);
        return Some((ServiceKind::LeaderWorkerSet, name.into(), group));
    }
    if let Some(name) = value("serving.kserve.io/inferenceservice") {
        return Some((ServiceKind::InferenceService, name.into(), None));
    }
    if let Some(name) = value("ray.io/cluster") {
        // Ray's own scheduler spreads work over its pods, tensor-parallel ranks included: all of them are one replica.
        return Some((ServiceKind::RayCluster, name.into(), Some(name.into())));
    }
    if TOGETHER.iter().any(|key| value(key).is_some()) {
        return None;
    }
    if let Some(name) = value("app.kubernetes.io/name") {
        // A release of a chart has one instance and several components, of which each is replicated by itself.
        let parts = [value("app.kubernetes.io/instance"), Some(name), value("app.kubernetes.io/component")];
        let name: Vec<&str> = parts.into_iter().map(Option::unwrap_or_default).collect();
        return Some((ServiceKind::Application, name.join("/"), None));
    }
    Some((ServiceKind::App, value("app")?.into(), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    /// Kind, name and group by labels, `key=value` by blanks.
    fn read(labels: &str) -> Option<(ServiceKind, String, Option<String>)> {
        let pairs = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
        let pod = pairs.fold(pod("p"), |pod, (key, value)| pod.label(key, value)).build();
        let replica = Replica::of(&pod);
        assert_eq!(ServiceKey::of(&pod), replica.as_ref().map(|replica| replica.service.clone()));
        replica.map(|Replica { service, group }| {
            assert_eq!(service.namespace, "default");
            (service.kind, service.name, group)
        })
    }

    #[test]
    fn the_surest_label_names_the_service() {
        let lws = "leaderworkerset.sigs.k8s.io";
        let set = |group: Option<&str>| Some((ServiceKind::LeaderWorkerSet, "llama".into(), group.map(str::to_owned)));
        let labels = format!("app=x {lws}/name=llama {lws}/group-index=3 {lws}/worker-index=1");
        assert_eq!(read(&labels), set(Some("3")));
        // Kueue makes a pod group of each group of the set.
        assert_eq!(read(&format!("{labels} kueue.x-k8s.io/pod-group-name=llama-3")), set(Some("3")));
        assert_eq!(read(&format!("{lws}/name=llama")), set(None));
        let isvc = read("app=isvc.m-predictor serving.kserve.io/inferenceservice=m");
        assert_eq!(isvc, Some((ServiceKind::InferenceService, "m".into(), None)));
        let ray = read("ray.io/cluster=r ray.io/node-type=worker app.kubernetes.io/name=kuberay");
        assert_eq!(ray, Some((ServiceKind::RayCluster, "r".into(), Some("r".into()))));
    }

    #[test]
    fn releases_and_components_are_services_of_their_own() {
        let app = |name: &str| Some((ServiceKind::Application, name.to_owned(), None));
        let name = "app.kubernetes.io/name=vllm";
        assert_eq!(read(name), app("/vllm/"));
        assert_eq!(read(&format!("{name} app.kubernetes.io/instance=prod app=other")), app("prod/vllm/"));
        let router = format!("{name} app.kubernetes.io/instance=prod app.kubernetes.io/component=router");
        assert_eq!(read(&router), app("prod/vllm/router"));
        assert_eq!(read("app.kubernetes.io/instance=prod app=m"), Some((ServiceKind::App, "m".into(), None)));
    }

    #[test]
    fn jobs_and_gangs_are_no_services() {
        for label in TOGETHER {
            assert_eq!(read(&format!("app=train {label}=train-1")), None, "{label}");
            assert!(read(&format!("app=train {label}=")).is_some(), "an empty label says nothing");
        }
        assert_eq!(read(""), None);
        assert_eq!(read("app="), None);
    }
}
