//! Which fields of which kinds a snapshot takes. Nothing else of an object gets into it: what is not named here, such as
//! environment variables, volumes, commands and annotations of others, cannot.
//!
//! Each field also says what it is, which decides what becomes of it when names are taken out ([`super::anonymise`]).

use serde_json::{Map, Value};

use super::dra;

/// What is taken of a field.
#[derive(Debug)]
pub(super) enum Taken {
    /// A word of an API, a number or a truth value; also a list of such.
    Word,
    /// What somebody has called something; also a list of such.
    Name,
    /// A text for people.
    Prose,
    /// The key of a label, a taint or a resource.
    Key,
    /// The value that belongs to the `key` beside it; also a list of such.
    ValueOfKey,
    /// Labels: all of them.
    Labels,
    /// Annotations: those that are listed.
    Annotations,
    /// Amounts by resource.
    Amounts,
    /// Conditions: those that are listed.
    Conditions,
    /// An object: these of its fields.
    Fields(&'static [(&'static str, Taken)]),
    /// The same, named elsewhere.
    Of(&'static Taken),
    /// A list.
    List(&'static Taken),
    /// An object with names for keys.
    ByName(&'static Taken),
    /// An object with names of attributes, capacities or counters for keys.
    ByFeature(&'static Taken),
    /// Such a name, maybe with its domain.
    Feature,
    /// The value of the attribute in whose object it stands; also a list of such.
    ValueOfFeature,
    /// A version; also a list of such.
    Version,
    /// What a driver has called a device.
    Device,
    /// Names with `/` between them; also a list of such.
    Path,
    /// A program that selects devices.
    Program,
}

/// A kind of which objects are taken.
#[derive(Debug)]
pub(super) struct Kind {
    /// `apiVersion` without the version.
    pub api_group: &'static str,
    pub name: &'static str,
    /// What its resource is called.
    pub plural: &'static str,
    pub fields: &'static [(&'static str, Taken)],
}

use Taken::{
    Amounts, Annotations, ByFeature, ByName, Conditions, Device, Feature, Fields, Key, Labels, List, Name, Of, Path,
    Program, Prose, ValueOfFeature, ValueOfKey, Version, Word,
};

/// Annotations that are read, with what they hold. The keys are words of others and of ours, and no secrets.
pub(super) const ANNOTATIONS: &[(&str, Taken)] = &[
    ("alibabacloud.com/gpu-index", Word),
    ("alpha.jobset.sigs.k8s.io/exclusive-topology", Key),
    ("alpha.jobset.sigs.k8s.io/node-selector", Word),
    ("batch.kubernetes.io/job-completion-index", Word),
    ("gang.scheduling.koordinator.sh/groups", Prose),
    ("gang.scheduling.koordinator.sh/min-available", Word),
    ("gang.scheduling.koordinator.sh/name", Name),
    ("gang.scheduling.koordinator.sh/total-number", Word),
    ("gang.scheduling.koordinator.sh/waiting-time", Word),
    ("kueue.x-k8s.io/pod-group-name", Name),
    ("kueue.x-k8s.io/pod-group-pod-index-label", Key),
    ("kueue.x-k8s.io/pod-group-total-count", Word),
    ("kueue.x-k8s.io/podset-group-name", Name),
    ("kueue.x-k8s.io/podset-preferred-topology", Key),
    ("kueue.x-k8s.io/podset-required-topology", Key),
    ("kueue.x-k8s.io/podset-slice-required-topology", Key),
    ("kueue.x-k8s.io/podset-slice-size", Word),
    ("leaderworkerset.sigs.k8s.io/exclusive-topology", Key),
    ("leaderworkerset.sigs.k8s.io/size", Word),
    ("leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology", Key),
    ("leaderworkerset.sigs.k8s.io/subgroup-size", Word),
    ("pod-group-name", Name),
    ("resource.kubernetes.io/extended-resource-claim", Word),
    ("scheduling.k8s.io/group-name", Name),
    ("scheduling.volcano.sh/group-min-member", Word),
    ("scheduling.volcano.sh/group-name", Name),
    ("testudo.dev/devices", Prose),
    ("testudo.dev/hold-timeout", Word),
    ("testudo.dev/index", Word),
    ("testudo.dev/min-member", Word),
    ("testudo.dev/pipeline-parallel-size", Word),
    ("testudo.dev/plan", Prose),
    ("testudo.dev/pod-group", Name),
    ("testudo.dev/role", Name),
    ("testudo.dev/tensor-parallel-size", Word),
    ("testudo.dev/topology", Word),
    ("volcano.sh/task-index", Word),
    ("volcano.sh/task-spec", Name),
];

const OWNER: Taken = Fields(&[("apiVersion", Key), ("kind", Key), ("name", Name), ("uid", Name), ("controller", Word)]);

pub(super) const METADATA: Taken = Fields(&[
    ("name", Name),
    ("namespace", Name),
    ("uid", Name),
    ("labels", Labels),
    ("annotations", Annotations),
    ("creationTimestamp", Word),
    ("generation", Word),
    ("deletionTimestamp", Word),
    ("ownerReferences", List(&OWNER)),
]);

/// A taint, or a toleration.
pub(super) const TAINT: Taken = Fields(&[("key", Key), ("operator", Word), ("value", ValueOfKey), ("effect", Word)]);

const REQUIREMENT: Taken = Fields(&[("key", Key), ("operator", Word), ("values", ValueOfKey)]);

const NODE_TERM: Taken = Fields(&[("matchExpressions", List(&REQUIREMENT)), ("matchFields", List(&REQUIREMENT))]);

pub(super) const NODE_SELECTOR: Taken = Fields(&[("nodeSelectorTerms", List(&NODE_TERM))]);

const PREFERENCE: Taken = Fields(&[("weight", Word), ("preference", Of(&NODE_TERM))]);

const SELECTOR: Taken = Fields(&[("matchLabels", Labels), ("matchExpressions", List(&REQUIREMENT))]);

const POD_TERM: Taken = Fields(&[
    ("labelSelector", Of(&SELECTOR)),
    ("namespaces", Name),
    ("namespaceSelector", Of(&SELECTOR)),
    ("mismatchLabelKeys", Key),
    ("topologyKey", Key),
]);

const POD_AFFINITY: Taken = Fields(&[("requiredDuringSchedulingIgnoredDuringExecution", List(&POD_TERM))]);

const AFFINITY: Taken = Fields(&[
    (
        "nodeAffinity",
        Fields(&[
            ("requiredDuringSchedulingIgnoredDuringExecution", Of(&NODE_SELECTOR)),
            ("preferredDuringSchedulingIgnoredDuringExecution", List(&PREFERENCE)),
        ]),
    ),
    ("podAffinity", Of(&POD_AFFINITY)),
    ("podAntiAffinity", Of(&POD_AFFINITY)),
]);

const RESOURCES: Taken = Fields(&[("requests", Amounts), ("limits", Amounts)]);

const CONTAINER: Taken = Fields(&[("name", Name), ("resources", Of(&RESOURCES)), ("restartPolicy", Word)]);

const SPREAD: Taken = Fields(&[
    ("maxSkew", Word),
    ("topologyKey", Key),
    ("whenUnsatisfiable", Word),
    ("labelSelector", Of(&SELECTOR)),
    ("minDomains", Word),
    ("nodeAffinityPolicy", Word),
    ("nodeTaintsPolicy", Word),
]);

const GATE: Taken = Fields(&[("name", Key)]);

const POD_CLAIM: Taken = Fields(&[("name", Name), ("resourceClaimName", Name), ("resourceClaimTemplateName", Name)]);

const POD_SPEC: Taken = Fields(&[
    ("nodeName", Name),
    ("schedulerName", Key),
    ("priority", Word),
    ("preemptionPolicy", Word),
    ("nodeSelector", Labels),
    ("affinity", Of(&AFFINITY)),
    ("tolerations", List(&TAINT)),
    ("initContainers", List(&CONTAINER)),
    ("containers", List(&CONTAINER)),
    ("overhead", Amounts),
    ("resources", Of(&RESOURCES)),
    ("resourceClaims", List(&POD_CLAIM)),
    ("topologySpreadConstraints", List(&SPREAD)),
    ("schedulingGates", List(&GATE)),
    ("workloadRef", Fields(&[("name", Name), ("podGroup", Name), ("podGroupReplicaKey", Name)])),
    ("schedulingGroup", Fields(&[("podGroupName", Name)])),
]);

/// Conditions of pods that are read.
const CONDITIONS: &[&str] = &["PodScheduled", "PodResizePending", "testudo.dev/Planned"];

pub(super) const CONDITION: Taken = Fields(&[("type", Word), ("status", Word), ("reason", Word), ("message", Prose)]);

const CONTAINER_STATUS: Taken =
    Fields(&[("name", Name), ("resources", Of(&RESOURCES)), ("allocatedResources", Amounts)]);

const CLAIM_STATUS: Taken = Fields(&[("name", Name), ("resourceClaimName", Name)]);

const NODE: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    ("spec", Fields(&[("unschedulable", Word), ("taints", List(&TAINT))])),
    ("status", Fields(&[("capacity", Amounts), ("allocatable", Amounts)])),
];

const POD: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    ("spec", POD_SPEC),
    (
        "status",
        Fields(&[
            ("phase", Word),
            ("nominatedNodeName", Name),
            ("conditions", Conditions),
            ("resourceClaimStatuses", List(&CLAIM_STATUS)),
            ("extendedResourceClaimStatus", Fields(&[("resourceClaimName", Name)])),
            ("initContainerStatuses", List(&CONTAINER_STATUS)),
            ("containerStatuses", List(&CONTAINER_STATUS)),
            ("resources", Of(&RESOURCES)),
            ("allocatedResources", Amounts),
        ]),
    ),
];

const TEMPLATE: Taken = Fields(&[("metadata", METADATA), ("spec", POD_SPEC)]);

const NATIVE_POLICY: Taken = Fields(&[("gang", Fields(&[("minCount", Word)])), ("basic", Fields(&[]))]);

/// PodGroups of every API.
const POD_GROUP: &[(&str, Taken)] = &[("metadata", METADATA), ("spec", POD_GROUP_SPEC)];

const TOPOLOGY_LEVELS: Taken = Fields(&[
    ("requiredTopologyLevel", Key),
    ("preferredTopologyLevel", Key),
    ("packConstraint", Fields(&[("required", Key), ("preferred", Key)])),
]);

const NETWORK_TOPOLOGY: Taken = Fields(&[("mode", Word), ("highestTierAllowed", Word)]);

const SUB_GROUP: Taken = Fields(&[
    ("name", Name),
    ("minMember", Word),
    ("minSubGroup", Word),
    ("parent", Name),
    ("topologyConstraint", Of(&TOPOLOGY_LEVELS)),
]);

const POD_GROUP_SPEC: Taken = Fields(&[
    ("schedulingPolicy", Of(&NATIVE_POLICY)),
    ("schedulingConstraints", Fields(&[("topology", List(&Fields(&[("key", Key)])))])),
    ("parentCompositePodGroupName", Name),
    ("priority", Word),
    ("minMember", Word),
    ("minTaskMember", ByName(&Word)),
    ("minSubGroup", Word),
    ("subGroups", List(&SUB_GROUP)),
    ("scheduleTimeoutSeconds", Word),
    ("networkTopology", Of(&NETWORK_TOPOLOGY)),
    ("subGroupPolicy", List(&Fields(&[("networkTopology", Of(&NETWORK_TOPOLOGY))]))),
    ("topologyConstraint", Of(&TOPOLOGY_LEVELS)),
]);

const WORKLOAD: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    ("spec", Fields(&[("podGroups", List(&Fields(&[("name", Name), ("policy", Of(&NATIVE_POLICY))])))])),
];

const POD_GANG: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            (
                "podgroups",
                List(&Fields(&[
                    ("name", Name),
                    ("minReplicas", Word),
                    ("podReferences", List(&Fields(&[("namespace", Name), ("name", Name)]))),
                    ("topologyConstraint", Of(&TOPOLOGY_LEVELS)),
                ])),
            ),
            ("topologyConstraint", Of(&TOPOLOGY_LEVELS)),
            (
                "topologyConstraintGroupConfigs",
                List(&Fields(&[("podGroupNames", Name), ("topologyConstraint", Of(&TOPOLOGY_LEVELS))])),
            ),
        ]),
    ),
];

const LEADER_WORKER_SET: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            ("replicas", Word),
            (
                "leaderWorkerTemplate",
                Fields(&[
                    ("size", Word),
                    ("leaderTemplate", Of(&TEMPLATE)),
                    ("workerTemplate", Of(&TEMPLATE)),
                    ("subGroupPolicy", Fields(&[("subGroupSize", Word)])),
                ]),
            ),
        ]),
    ),
];

const JOB_TEMPLATE: Taken = Fields(&[
    ("metadata", METADATA),
    ("spec", Fields(&[("parallelism", Word), ("completions", Word), ("template", Of(&TEMPLATE))])),
]);

const JOB_SET: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[(
            "replicatedJobs",
            List(&Fields(&[
                ("name", Name),
                ("replicas", Word),
                ("template", Of(&JOB_TEMPLATE)),
                ("dependsOn", List(&Fields(&[("name", Name), ("status", Word)]))),
            ])),
        )]),
    ),
];

const RAY_CLUSTER: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            ("enableInTreeAutoscaling", Word),
            ("headGroupSpec", Fields(&[("template", Of(&TEMPLATE))])),
            (
                "workerGroupSpecs",
                List(&Fields(&[
                    ("suspend", Word),
                    ("groupName", Name),
                    ("replicas", Word),
                    ("minReplicas", Word),
                    ("maxReplicas", Word),
                    ("numOfHosts", Word),
                    ("template", Of(&TEMPLATE)),
                ])),
            ),
        ]),
    ),
];

/// All kinds of which objects are taken.
pub(super) const KINDS: &[Kind] = &[
    Kind { api_group: "", name: "Node", plural: "nodes", fields: NODE },
    Kind { api_group: "", name: "Pod", plural: "pods", fields: POD },
    Kind { api_group: "scheduling.k8s.io", name: "PodGroup", plural: "podgroups", fields: POD_GROUP },
    Kind { api_group: "scheduling.k8s.io", name: "Workload", plural: "workloads", fields: WORKLOAD },
    Kind { api_group: "scheduling.x-k8s.io", name: "PodGroup", plural: "podgroups", fields: POD_GROUP },
    Kind { api_group: "scheduling.sigs.k8s.io", name: "PodGroup", plural: "podgroups", fields: POD_GROUP },
    Kind { api_group: "scheduling.volcano.sh", name: "PodGroup", plural: "podgroups", fields: POD_GROUP },
    Kind { api_group: "scheduling.run.ai", name: "PodGroup", plural: "podgroups", fields: POD_GROUP },
    Kind { api_group: "scheduler.grove.io", name: "PodGang", plural: "podgangs", fields: POD_GANG },
    Kind {
        api_group: "leaderworkerset.x-k8s.io",
        name: "LeaderWorkerSet",
        plural: "leaderworkersets",
        fields: LEADER_WORKER_SET,
    },
    Kind { api_group: "jobset.x-k8s.io", name: "JobSet", plural: "jobsets", fields: JOB_SET },
    Kind { api_group: "ray.io", name: "RayCluster", plural: "rayclusters", fields: RAY_CLUSTER },
    Kind { api_group: dra::API_GROUP, name: "DeviceClass", plural: "deviceclasses", fields: dra::DEVICE_CLASS },
    Kind { api_group: dra::API_GROUP, name: "ResourceSlice", plural: "resourceslices", fields: dra::RESOURCE_SLICE },
    Kind {
        api_group: dra::API_GROUP,
        name: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        fields: dra::RESOURCE_CLAIM_TEMPLATE,
    },
    Kind { api_group: dra::API_GROUP, name: "ResourceClaim", plural: "resourceclaims", fields: dra::RESOURCE_CLAIM },
];

impl Kind {
    /// The kind of an object.
    pub fn of(object: &Value) -> Option<&'static Kind> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let api_group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        KINDS.iter().find(|kind| kind.name == text("kind") && kind.api_group == api_group)
    }

    /// What is taken of an object of this kind.
    pub fn take(&self, object: &Value) -> Value {
        let mut taken = Map::new();
        for field in ["apiVersion", "kind"] {
            taken.insert(field.into(), object.get(field).cloned().unwrap_or_default());
        }
        if let Some(fields) = object.as_object() {
            take_fields(self.fields, fields, &mut taken);
        }
        Value::Object(taken)
    }

    /// `pods` or `podgroups.scheduling.run.ai`.
    pub fn resource(&self) -> String {
        if self.api_group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.api_group) }
    }
}

/// The fields of all kinds, one in a line: `pods: spec.containers[].resources.requests{}`.
pub fn listed() -> Vec<String> {
    let mut lines = vec![];
    for kind in KINDS {
        for (field, taken) in kind.fields {
            list(&format!("{}: {field}", kind.resource()), taken, &mut lines);
        }
    }
    lines.extend(ANNOTATIONS.iter().map(|(key, _)| format!("metadata.annotations, everywhere: {key}")));
    lines
}

fn list(path: &str, taken: &Taken, lines: &mut Vec<String>) {
    match taken {
        Of(taken) => list(path, taken, lines),
        Fields([]) => lines.push(format!("{path} (that it is there)")),
        Fields(fields) => fields.iter().for_each(|(field, taken)| list(&format!("{path}.{field}"), taken, lines)),
        List(taken) => list(&format!("{path}[]"), taken, lines),
        ByName(taken) | ByFeature(taken) => list(&format!("{path}{{}}"), taken, lines),
        Labels | Amounts => lines.push(format!("{path}{{}}")),
        Conditions => {
            lines.extend(CONDITIONS.iter().map(|kind| format!("{path}[type={kind}].{{status,reason,message}}")))
        }
        Annotations => lines.push(format!("{path} (see the end of this list)")),
        Word | Name | Prose | Key | ValueOfKey | Feature | ValueOfFeature | Version | Path | Device | Program => {
            lines.push(path.to_owned());
        }
    }
}

/// What is taken of a value; nothing where it is not of the form that it should have.
fn take(taken: &Taken, value: &Value) -> Option<Value> {
    match (taken, value) {
        (Of(taken), value) => take(taken, value),
        (
            Word | Name | Prose | Key | ValueOfKey | Feature | ValueOfFeature | Version | Path | Device | Program,
            value,
        ) => texts(value),
        (Labels | Amounts, Value::Object(map)) => Some(only(map, |_, value| texts(value))),
        (Annotations, Value::Object(map)) => {
            Some(only(map, |key, value| ANNOTATIONS.iter().any(|(known, _)| *known == key).then(|| texts(value))?))
        }
        (Conditions, Value::Array(items)) => {
            let is_read =
                |item: &&Value| item.get("type").and_then(Value::as_str).is_some_and(|kind| CONDITIONS.contains(&kind));
            Some(Value::Array(items.iter().filter(is_read).filter_map(|item| take(&CONDITION, item)).collect()))
        }
        (Fields(fields), Value::Object(map)) => {
            let mut kept = Map::new();
            take_fields(fields, map, &mut kept);
            Some(Value::Object(kept))
        }
        (List(taken), Value::Array(items)) => {
            Some(Value::Array(items.iter().filter_map(|item| take(taken, item)).collect()))
        }
        (ByName(taken) | ByFeature(taken), Value::Object(map)) => Some(only(map, |_, value| take(taken, value))),
        _ => None,
    }
}

fn take_fields(fields: &[(&str, Taken)], from: &Map<String, Value>, to: &mut Map<String, Value>) {
    let taken = |(field, taken): &(&str, Taken)| Some(((*field).to_owned(), take(taken, from.get(*field)?)?));
    to.extend(fields.iter().filter_map(taken));
}

fn only(map: &Map<String, Value>, keep: impl Fn(&str, &Value) -> Option<Value>) -> Value {
    Value::Object(map.iter().filter_map(|(key, value)| Some((key.clone(), keep(key, value)?))).collect())
}

/// A single value, or a list of such: nothing can hide in it.
fn texts(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Array(items) => {
            Some(Value::Array(items.iter().filter(|item| !item.is_object() && !item.is_array()).cloned().collect()))
        }
        single => Some(single.clone()),
    }
}

#[cfg(test)]
mod tests;
