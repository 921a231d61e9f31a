//! What a policy file says, field by field. The reference in `docs/policy.md` is made of the comments here.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;
use testudo_core::claims::cel::PodSelector;
use testudo_core::engine::{PlacementPolicy, Profile, Profiles, Quotas, Starvation};
use testudo_core::model::accelerator::AcceleratorResource;
use testudo_core::model::quota::{Item, Quota};
use testudo_core::placement::fragmentation::Expected;
use testudo_core::placement::{Aim, CapacityPolicy, Order, ZonePolicy};
use testudo_core::yaml::YamlError;

use super::{Read, ready_made};
use crate::config::{milliseconds, units};

/// `apiVersion` of the file.
pub const API_VERSION: &str = "policy.testudo.dev/v1alpha1";
/// `kind` of the file.
pub const KIND: &str = "PlacementPolicy";

/// The file. Every field but version and kind can be left out; an empty policy is what testudo does without one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// `policy.testudo.dev/v1alpha1`.
    #[schemars(with = "String")]
    pub api_version: Spanned<String>,
    /// `PlacementPolicy`.
    #[schemars(with = "String")]
    pub kind: Spanned<String>,
    /// What places are chosen for, by pod. A pod has the first profile whose `when` holds for it; a gang has that of its first
    /// member by name.
    #[serde(default)]
    pub profiles: Vec<ProfileSection>,
    /// How much of what testudo lets start in a namespace. What a namespace has is counted from the state: what its pods hold or
    /// are promised, whoever placed them.
    #[serde(default)]
    #[schemars(with = "Vec<QuotaSection>")]
    pub quotas: Vec<Spanned<QuotaSection>>,
    /// Which pods are typical, for the aim `fragmentation`. It holds for the whole fleet: places are judged by the pods to come,
    /// whoever makes them.
    #[serde(default)]
    pub mix: MixSection,
}

/// A profile: what places are chosen for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileSection {
    /// Its name, which `testudo explain pod` shows.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// Which pods have it: an expression in CEL about `pod`. One that has no answer for a pod, since it asks for a label which
    /// the pod lacks, does not hold. A profile without it is that of all other pods, and the last one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// A ready-made profile that this one is like: `latency-serving`, `batch`, `dense-small-models` or `ultra-server`. What is
    /// written beside it wins.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub like: Option<Spanned<String>>,
    /// What a place is chosen for, the most important first: the first aim in which two places differ decides between them.
    /// What is left out does not count. Before all of it come taints that advise against a node, and the preferences that the
    /// pod itself states.
    #[serde(default)]
    #[schemars(with = "Option<Vec<AimName>>")]
    pub order: Option<Spanned<Vec<AimName>>>,
    /// Which priorities prefer which kind of capacity.
    #[serde(default)]
    #[schemars(with = "Option<CapacitySection>")]
    pub capacity: Option<Spanned<CapacitySection>>,
    /// In which zones the replicas of a service belong, for the aim `zone`. `together` where nothing is said.
    #[serde(default)]
    pub zones: Option<ZonesName>,
    /// When nodes are kept free for a gang that waits. Never, where nothing is said: smaller work may then pass it as long as
    /// there is some.
    #[serde(default)]
    pub starvation: Option<StarvationSection>,
}

/// What a place can be chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AimName {
    /// The kind of capacity (spot, on demand, reserved) suits the pod's priority: see `capacity`.
    Capacity,
    /// Whole devices before MIG slices before replicas, for a pod that asks for `nvidia.com/gpu` and does not say which it wants;
    /// nodes without accelerators, for one that asks for none.
    Form,
    /// Several devices are connected by NVLink or NeuronLink, on a node none of whose devices has failed.
    Links,
    /// Slices and replicas go to nodes in use: as long as a node is idle its devices could be cut otherwise.
    Uncut,
    /// The place takes the least from the pods to come: of what is free as little as possible becomes useless to typical pods,
    /// and dear and scarce devices stay free.
    Fragmentation,
    /// NVLink domains of several nodes (UltraServers, NVL72 racks) stay whole: domains in use before idle ones.
    Domains,
    /// Nodes in use before idle ones, then the node with the least left over.
    Packing,
    /// Idle nodes before those in use, then the node with the most left over. Not together with `packing`.
    Spreading,
    /// A zone that suits the pod's service: see `zones`.
    Zone,
    /// Few other replicas of the pod's service on the node, then in its rack.
    Replicas,
}

/// Which pods are typical. Testudo learns it from the pods that it sees; this is what it expects before, and beside, that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MixSection {
    /// Pods to expect. What is said of a resource replaces what is built in for it: sixteen pods, mostly of one device.
    #[schemars(with = "Vec<PriorSection>")]
    pub prior: Vec<Spanned<PriorSection>>,
}

/// Pods to expect of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriorSection {
    /// What they ask for: `nvidia.com/gpu`, `nvidia.com/mig-3g.20gb`, ...
    pub resource: String,
    /// How many units each asks for; of `alibabacloud.com/gpu-milli` thousandths.
    pub units: u32,
    /// How many such pods there are to expect, up to 1024: as much as so many pods that were seen.
    pub pods: u32,
}

/// How much namespaces may have. A pod that would pass a limit is refused on all nodes; a gang waits as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaSection {
    /// The namespaces. Each has the quota for itself. A quota without it is that of each namespace which no other names.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub namespaces: Option<Vec<Spanned<String>>>,
    /// Whole GPUs and Neuron devices, as pods ask for them and as claims of the classes in `claims.deviceClasses` do; a GPU that
    /// is shared by thousandths counts by these. No limit where nothing is said.
    #[serde(default)]
    pub gpus: Option<u32>,
    /// MIG slices, of whatever size: `nvidia.com/mig-*`, and claims of class `mig.nvidia.com`.
    #[serde(default)]
    pub mig_slices: Option<u32>,
    /// Replicas of shared devices: `nvidia.com/gpu.shared`, `nvidia.com/mig-*.shared`.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// Neuron cores.
    #[serde(default)]
    pub neuron_cores: Option<u32>,
    /// Gangs that have started or have places.
    #[serde(default)]
    pub gangs: Option<u32>,
}

/// Which priorities prefer which kind of capacity. Those between the two have no preference. What is left out is taken from the
/// profile that `like` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CapacitySection {
    /// Pods of this priority and below prefer spot, -1 by default.
    pub spot_up_to: Option<i32>,
    /// Pods of this priority and above prefer reserved and then on-demand capacity, 1 by default.
    pub steady_from: Option<i32>,
}

/// In which zones the replicas of a service belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ZonesName {
    /// In those where the service is: traffic inside a zone is free and fast.
    Together,
    /// Evenly in as many as there are, to survive the loss of one.
    Spread,
}

/// When nodes are kept free for a gang that waits: for so long nodes on which it would fit, once what runs there has ended, take
/// no later pods of the same or a lower priority. Nobody is evicted. Labels are written by whoever makes pods: let the `when` of
/// a profile with this name namespaces. What is left out is taken from the profile that `like` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StarvationSection {
    /// How long all members of a gang must have found no place, `15m` by default.
    #[serde(deserialize_with = "units::some_duration")]
    #[schemars(with = "Option<String>")]
    pub limit: Option<Duration>,
    /// For how long nodes are then kept free at most, `30m` by default.
    #[serde(deserialize_with = "units::some_duration")]
    #[schemars(with = "Option<String>")]
    pub keep_free: Option<Duration>,
    /// For how long not again after that, `30m` by default.
    #[serde(deserialize_with = "units::some_duration")]
    #[schemars(with = "Option<String>")]
    pub pause: Option<Duration>,
}

impl CapacitySection {
    /// This policy, but for what is said here.
    fn over(self, policy: CapacityPolicy) -> CapacityPolicy {
        let Self { spot_up_to, steady_from } = self;
        CapacityPolicy {
            spot_up_to: spot_up_to.unwrap_or(policy.spot_up_to),
            steady_from: steady_from.unwrap_or(policy.steady_from),
        }
    }
}

impl StarvationSection {
    /// The same, but for what is said here.
    fn over(self, starvation: Starvation) -> Starvation {
        let Self { limit, keep_free, pause } = self;
        Starvation {
            after_ms: limit.map_or(starvation.after_ms, milliseconds),
            keep_free_ms: keep_free.map_or(starvation.keep_free_ms, milliseconds),
            pause_ms: pause.map_or(starvation.pause_ms, milliseconds),
        }
    }
}

impl From<AimName> for Aim {
    fn from(name: AimName) -> Self {
        match name {
            AimName::Capacity => Self::Capacity,
            AimName::Form => Self::Form,
            AimName::Links => Self::Links,
            AimName::Uncut => Self::Uncut,
            AimName::Fragmentation => Self::Fragmentation,
            AimName::Domains => Self::Domains,
            AimName::Packing => Self::Packing,
            AimName::Spreading => Self::Spreading,
            AimName::Zone => Self::Zone,
            AimName::Replicas => Self::Replicas,
        }
    }
}

impl From<ZonesName> for ZonePolicy {
    fn from(name: ZonesName) -> Self {
        match name {
            ZonesName::Together => Self::Together,
            ZonesName::Spread => Self::Spread,
        }
    }
}

/// What is wrong with a value, where it stands.
fn wrong<T, V>(value: &Spanned<V>, message: impl ToString) -> Result<T, YamlError> {
    let at = value.referenced;
    Err(YamlError { line: at.line(), column: at.column(), message: message.to_string() })
}

/// What one pod may be expected to ask for, and how many such pods.
const MAX_UNITS: u32 = 1_000_000;
const MAX_PODS: u32 = 1024;

/// More profiles than this are asked for no pod.
const MAX_PROFILES: usize = 64;

impl PolicyFile {
    /// The policy that it means. Compiles selectors: call it where the stack is large.
    ///
    /// # Errors
    /// When it means none, with the place of what is wrong.
    pub(super) fn policy(&self) -> Result<Read, YamlError> {
        for (found, known) in [(&self.api_version, API_VERSION), (&self.kind, KIND)] {
            if found.value != known {
                return wrong(found, format!("{} is not known to this version of testudo; use {known}", found.value));
            }
        }
        let mut warnings = vec![];
        let profiles = self.profiles(&mut warnings)?;
        Ok(Read {
            policy: PlacementPolicy { profiles, quotas: self.quotas()?, expected: self.mix.expected()? },
            warnings,
        })
    }

    fn quotas(&self) -> Result<Quotas, YamlError> {
        let (mut named, mut others) = (BTreeMap::<Box<str>, Quota>::new(), None);
        for section in &self.quotas {
            let quota = section.value.quota();
            if quota.limits().next().is_none() {
                return wrong(section, "a quota needs a limit: gpus, migSlices, replicas, neuronCores or gangs");
            }
            match &section.value.namespaces {
                None if others.is_some() => {
                    return wrong(section, "there are two quotas without `namespaces`; one is that of all others");
                }
                None => others = Some(quota),
                Some(namespaces) => {
                    for namespace in namespaces {
                        if named.insert(namespace.value.as_str().into(), quota).is_some() {
                            return wrong(namespace, format!("namespace {:?} has two quotas", namespace.value));
                        }
                    }
                }
            }
        }
        Ok(Quotas::new(named, others))
    }

    fn profiles(&self, warnings: &mut Vec<String>) -> Result<Profiles, YamlError> {
        let (mut chosen, mut default) = (vec![], None);
        for (at, section) in self.profiles.iter().enumerate() {
            let name = &section.name;
            if at >= MAX_PROFILES {
                return wrong(name, format!("is one profile more than the {MAX_PROFILES} that there may be"));
            }
            if name.value.is_empty() {
                return wrong(name, "a profile needs a name");
            }
            if self.profiles[..at].iter().any(|other| other.name.value == name.value) {
                return wrong(name, format!("there are two profiles {:?}", name.value));
            }
            if default.is_some() {
                let message = format!(
                    "no pod would get profile {:?}: the one before has no `when` and takes all pods; put that last",
                    name.value
                );
                return wrong(name, message);
            }
            let profile = section.profile()?;
            match &section.when {
                None => default = Some(profile),
                Some(when) => {
                    let selector = match PodSelector::compile(&when.value) {
                        Ok(selector) => selector,
                        Err(error) => return wrong(when, format!("profile {:?}: when: {error}", name.value)),
                    };
                    warnings.extend(section.warning(&selector));
                    chosen.push((selector, profile));
                }
            }
        }
        Ok(Profiles::new(chosen, default.unwrap_or_default()))
    }
}

impl MixSection {
    fn expected(&self) -> Result<Expected, YamlError> {
        let mut expected = Expected::new();
        for entry in &self.prior {
            let PriorSection { resource, units, pods } = &entry.value;
            if AcceleratorResource::parse(resource).is_none() {
                return wrong(entry, format!("{resource:?} is no resource of accelerators that testudo knows"));
            }
            if !(1..=MAX_UNITS).contains(units) || !(1..=MAX_PODS).contains(pods) {
                return wrong(entry, format!("units are from 1 to {MAX_UNITS}, and pods from 1 to {MAX_PODS}"));
            }
            expected.entry(resource.as_str().into()).or_default().push((i64::from(*units), *pods));
        }
        Ok(expected)
    }
}

impl QuotaSection {
    fn quota(&self) -> Quota {
        let limits = [
            (Item::Gpus, self.gpus),
            (Item::MigSlices, self.mig_slices),
            (Item::Replicas, self.replicas),
            (Item::NeuronCores, self.neuron_cores),
            (Item::Gangs, self.gangs),
        ];
        let given = limits.into_iter().filter_map(|(item, limit)| Some((item, limit?)));
        given.fold(Quota::default(), |quota, (item, limit)| quota.limited(item, limit))
    }
}

impl ProfileSection {
    fn profile(&self) -> Result<Profile, YamlError> {
        let mut profile = match &self.like {
            None => Profile::default(),
            Some(like) => match ready_made::profile(&like.value) {
                Some(profile) => profile,
                None => {
                    let known = ready_made::names().collect::<Vec<_>>().join(", ");
                    return wrong(like, format!("there is no ready-made profile {:?}; there are {known}", like.value));
                }
            },
        };
        profile.name = self.name.value.as_str().into();
        if let Some(order) = &self.order {
            let aims: Vec<Aim> = order.value.iter().map(|aim| Aim::from(*aim)).collect();
            profile.order = Order::of(&aims).or_else(|error| wrong(order, error))?;
        }
        if let Some(capacity) = &self.capacity {
            profile.capacity = capacity.value.over(profile.capacity);
            let CapacityPolicy { spot_up_to, steady_from } = profile.capacity;
            if spot_up_to >= steady_from {
                // With both, since one of them may be that of another profile.
                let both = format!("{spot_up_to} and {steady_from}");
                return wrong(
                    capacity,
                    format!("spotUpTo must be below steadyFrom, and they are {both}: no priority can prefer both"),
                );
            }
        }
        if let Some(zones) = self.zones {
            profile.zones = zones.into();
        }
        if let Some(starvation) = self.starvation {
            profile.starvation = Some(starvation.over(profile.starvation.unwrap_or_default()));
        }
        Ok(profile)
    }

    /// Whoever makes pods writes their labels, and could have nodes kept free that others need.
    fn warning(&self, selector: &PodSelector) -> Option<String> {
        let is_risky = self.starvation.is_some() && !selector.asks_for("namespace");
        let name = &self.name.value;
        is_risky.then(|| {
            format!(
                "profile {name:?} keeps nodes free, and whoever makes pods can choose it: its `when` does not ask for \
                 pod.namespace"
            )
        })
    }
}
