//! Group objects: what is said of gangs beside their pods.
//!
//! Each kind says in a file of its own what its fields mean. `testudo.dev/...` on the object itself and on templates for
//! pods goes for it as it does on pods.

mod coscheduling;
mod described;
mod grove;
mod jobset;
mod kai;
mod kuberay;
mod leader_worker_set;
mod native;
mod volcano;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use testudo_core::model::gang::{Dialect, GangKey, Group, ObjectRef, Role, RoleTerms, Terms};

use self::described::Described;
use super::super::object::{Metadata, seconds};
use super::super::problem::Problem;

/// A kind of object that describes gangs.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// `apiVersion` without the version.
    pub api_group: &'static str,
    /// `kind`.
    pub name: &'static str,
    /// What its resource is called.
    pub plural: &'static str,
    /// The versions that are understood, the newest first.
    pub versions: &'static [&'static str],
    /// Whose gangs it describes.
    pub dialect: Dialect,
    read: fn(&mut Described<'_>, &Value) -> Result<Vec<Saying>, String>,
}

impl Kind {
    /// `podgroups.scheduling.volcano.sh`: no other kind is called like this.
    pub fn resource(&self) -> String {
        format!("{}.{}", self.plural, self.api_group)
    }
}

/// What an object says of the gangs of one name.
struct Saying {
    name: String,
    priority: Option<i32>,
    terms: Terms,
}

/// All kinds that are understood. Of two kinds of one dialect the first is the newer.
pub const KINDS: &[Kind] = &[
    Kind {
        api_group: "scheduling.k8s.io",
        name: "PodGroup",
        plural: "podgroups",
        versions: &["v1beta1", "v1alpha3", "v1alpha2"],
        dialect: Dialect::Native,
        read: native::pod_group,
    },
    Kind {
        api_group: "scheduling.k8s.io",
        name: "Workload",
        plural: "workloads",
        // From 1.36 on a Workload only says what PodGroups are to be made.
        versions: &["v1alpha1"],
        dialect: Dialect::Native,
        read: native::workload,
    },
    Kind {
        api_group: "scheduling.x-k8s.io",
        name: "PodGroup",
        plural: "podgroups",
        versions: &["v1alpha1"],
        dialect: Dialect::Coscheduling,
        read: coscheduling::pod_group,
    },
    Kind {
        api_group: "scheduling.sigs.k8s.io",
        name: "PodGroup",
        plural: "podgroups",
        versions: &["v1alpha1"],
        dialect: Dialect::Coscheduling,
        read: coscheduling::pod_group,
    },
    Kind {
        api_group: "scheduling.volcano.sh",
        name: "PodGroup",
        plural: "podgroups",
        versions: &["v1beta1"],
        dialect: Dialect::Volcano,
        read: volcano::pod_group,
    },
    Kind {
        api_group: "scheduling.run.ai",
        name: "PodGroup",
        plural: "podgroups",
        versions: &["v2alpha2"],
        dialect: Dialect::Kai,
        read: kai::pod_group,
    },
    Kind {
        api_group: "scheduler.grove.io",
        name: "PodGang",
        plural: "podgangs",
        versions: &["v1alpha1"],
        dialect: Dialect::Grove,
        read: grove::pod_gang,
    },
    Kind {
        api_group: "leaderworkerset.x-k8s.io",
        name: "LeaderWorkerSet",
        plural: "leaderworkersets",
        versions: &["v1"],
        dialect: Dialect::LeaderWorkerSet,
        read: leader_worker_set::leader_worker_set,
    },
    Kind {
        api_group: "jobset.x-k8s.io",
        name: "JobSet",
        plural: "jobsets",
        versions: &["v1alpha2"],
        dialect: Dialect::JobSet,
        read: jobset::jobset,
    },
    Kind {
        api_group: "ray.io",
        name: "RayCluster",
        plural: "rayclusters",
        versions: &["v1", "v1alpha1"],
        dialect: Dialect::KubeRay,
        read: kuberay::ray_cluster,
    },
];

/// An object of one of these kinds, as far as it is read: its status is not.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct GroupObject {
    /// Who it is.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Value,
}

impl<'de> Deserialize<'de> for GroupObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            #[serde(default, deserialize_with = "super::super::object::null_as_default")]
            metadata: Metadata,
            #[serde(default)]
            spec: Value,
        }
        let Parts { metadata, spec } = Parts::deserialize(deserializer)?;
        Ok(Self { metadata, spec })
    }
}

/// The gangs that an object of this version describes, and what could not be understood; an error if it cannot be read at
/// all.
pub fn decode(kind: &Kind, version: &str, object: &GroupObject) -> Result<(Vec<Group>, Vec<Problem>), String> {
    let mut described = Described::of(kind.name, &object.metadata);
    let ours = described.ours();
    let sayings = (kind.read)(&mut described, &object.spec)?;
    let problems = described.into_problems();
    let fault = problems.iter().find(|problem| problem.blocking);
    let fault = fault.map(|problem| format!("{}: {}", problem.field, problem.what).into());
    let reference = ObjectRef {
        api_version: format!("{}/{version}", kind.api_group).into(),
        kind: kind.name.into(),
        name: object.metadata.name.as_str().into(),
        uid: object.metadata.uid.as_str().into(),
        generation: object.metadata.generation,
    };
    let groups = sayings.into_iter().map(|saying| {
        let Saying { name, priority, mut terms } = saying;
        ours.clone().overrule(&mut terms);
        let namespace = object.metadata.namespace.clone();
        Group {
            key: GangKey { namespace, name, dialect: kind.dialect },
            object: reference.clone(),
            created_s: object.metadata.creation_timestamp.as_deref().and_then(seconds).unwrap_or(0),
            priority,
            terms,
            fault: Option::clone(&fault),
        }
    });
    Ok((groups.collect(), problems))
}

/// Adds what is said of a role, which our words may have given a name that another has, too: then they are one.
fn add_role(terms: &mut Terms, role: Role, said: RoleTerms) {
    let known = terms.roles.entry(role).or_default();
    let sum = |a: Option<u32>, b: Option<u32>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
    *known = RoleTerms {
        min_member: sum(known.min_member, said.min_member),
        total: sum(known.total, said.total),
        template: known.template.take().or(said.template),
        tensor_parallel: known.tensor_parallel,
        pipeline_parallel: known.pipeline_parallel,
        first: if known.total.is_some() { known.first.min(said.first) } else { said.first },
        ..said
    };
}

#[cfg(test)]
mod tests;
