//! Gangs: pods that start together or not at all.
//!
//! A gang has roles (leader and workers, head, prefill and decode) of members. Members can form sets, whose GPUs must share
//! one NVLink fabric: the ranks of one tensor-parallel group. What is said of a gang stands partly on its pods, partly on
//! an object of its own; both are [`Terms`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::exclusive::Exclusivity;

/// In which API a gang is written. Where a pod belongs to several, the first counts: from what was said to us, through
/// objects made to describe gangs, to controllers whose pods happen to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// `testudo.dev/pod-group` on pods.
    Testudo,
    /// `scheduling.k8s.io` PodGroup and Workload.
    Native,
    /// `scheduling.x-k8s.io` PodGroup of scheduler-plugins.
    Coscheduling,
    /// `scheduling.volcano.sh` PodGroup.
    Volcano,
    /// `scheduling.run.ai` PodGroup of KAI.
    Kai,
    /// `gang.scheduling.koordinator.sh` on pods.
    Koordinator,
    /// `scheduler.grove.io` PodGang.
    Grove,
    /// A group of a LeaderWorkerSet.
    LeaderWorkerSet,
    /// A JobSet.
    JobSet,
    /// A RayCluster.
    KubeRay,
    /// `kueue.x-k8s.io/pod-group-name` on pods.
    Kueue,
    /// No gang: a single pod, planned together with the devices of its claims.
    Claims,
}

impl Dialect {
    /// What its groups are called.
    pub fn group_kind(self) -> &'static str {
        match self {
            Self::Testudo => "testudo.dev/pod-group",
            Self::Native => "PodGroup (scheduling.k8s.io)",
            Self::Coscheduling => "PodGroup (scheduling.x-k8s.io)",
            Self::Volcano => "PodGroup (scheduling.volcano.sh)",
            Self::Kai => "PodGroup (scheduling.run.ai)",
            Self::Koordinator => "gang.scheduling.koordinator.sh/name",
            Self::Grove => "PodGang (scheduler.grove.io)",
            Self::LeaderWorkerSet => "LeaderWorkerSet group",
            Self::JobSet => "JobSet",
            Self::KubeRay => "RayCluster",
            Self::Kueue => "kueue.x-k8s.io/pod-group-name",
            Self::Claims => "pod with claims",
        }
    }

    /// Is what a gang needs written on an object beside its pods, without which little is known of it?
    pub fn has_object(self) -> bool {
        !matches!(self, Self::Testudo | Self::Koordinator | Self::Kueue | Self::Claims)
    }
}

/// Which gang: people call it by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GangKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name: that of the group object, where it has one.
    pub name: String,
    /// In which API it is written.
    pub dialect: Dialect,
}

impl GangKey {
    /// Keys under which an object may describe this gang, the nearest first: its own, and where one object stands for
    /// many gangs, the start of its name. `lws/3` is a group of the LeaderWorkerSet `lws`, `job/workers/a` a replica of
    /// what the Workload `job` says of `job/workers`. Names of objects have no slash.
    pub fn described_by(&self) -> impl Iterator<Item = GangKey> {
        let ends = self.name.rmatch_indices('/').map(|(at, _)| at);
        let names = std::iter::once(self.name.len()).chain(ends).map(|end| self.name[..end].to_owned());
        names.map(|name| GangKey { name, ..self.clone() })
    }
}

impl GangKey {
    /// Is it a gang, and not one pod that is planned like one, for its claims?
    pub fn is_of_several(&self) -> bool {
        self.dialect != Dialect::Claims
    }

    /// How texts begin that are about it: `gang team/train`, or `claims of pod team/one`.
    pub fn title(&self) -> String {
        match self.dialect {
            Dialect::Claims => format!("{CLAIMS_OF} {self}"),
            _ => format!("{GANG} {self}"),
        }
    }
}

const GANG: &str = "gang";
const CLAIMS_OF: &str = "claims of pod";

/// Is a text one that begins, or goes on, with a title of a gang's?
pub fn names_a_gang(text: &str) -> bool {
    [GANG, CLAIMS_OF].iter().any(|word| text.contains(&format!("{word} ")))
}

impl fmt::Display for GangKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name of a role; empty where all members are alike.
pub type Role = Arc<str>;

/// A pod as a member of its gang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The gang.
    pub gang: GangKey,
    /// What else it belongs to that is no contradiction, in order of precedence: the LeaderWorkerSet for whose group a
    /// PodGroup was made. Objects of these say what the pods will look like that do not exist yet.
    pub also: Vec<GangKey>,
    /// Its role.
    pub role: Role,
    /// The part of its role that its controller numbers by itself: a job of a JobSet, a replica of several hosts of
    /// KubeRay. `index` counts inside the part, and sets do not cross parts.
    pub part: Option<u32>,
    /// Its number in the role (or part), where it has one. Members of one set have successive numbers, and one that takes
    /// the place of another has the same. Roles that count on from each other ([`RoleTerms::first`]) can share sets.
    pub index: Option<u32>,
    /// Its controller may make others only after this one is ready.
    pub staged: bool,
    /// Kind and name of its controller, if it has one: what that has finished is not missing in what it still runs.
    pub controller: Option<Box<str>>,
    /// What the pod says of its gang.
    pub terms: Terms,
    /// How members must stand to each other, from the pod's affinity and topology spread.
    pub relations: Vec<Relation>,
    /// How it stands to pods of other jobs of JobSets, or groups of LeaderWorkerSets, if it is of one.
    pub exclusivity: Option<Exclusivity>,
}

/// What is said of a gang. What is not said is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// How many members must be able to start at once. 0 and 1: each starts for itself.
    pub min_member: Option<u32>,
    /// How many members there will be; fewer may exist yet.
    pub total: Option<u32>,
    /// What is said of single roles.
    pub roles: BTreeMap<Role, RoleTerms>,
    /// How many GPUs form one tensor-parallel set, connected by NVLink.
    pub tensor_parallel: Option<u32>,
    /// Of how many sets one pipeline consists. They talk to each other over the network.
    pub pipeline_parallel: Option<u32>,
    /// Other sets of members that must stand together.
    pub slices: Option<Slices>,
    /// Where the whole gang may or should stand.
    pub topology: Vec<TopologyRule>,
    /// For how long places are held for members that do not exist yet, in milliseconds.
    pub hold_timeout_ms: Option<u64>,
}

impl Terms {
    /// Takes over what is not said yet.
    pub fn fill(&mut self, other: &Self) {
        self.min_member = self.min_member.or(other.min_member);
        self.total = self.total.or(other.total);
        self.tensor_parallel = self.tensor_parallel.or(other.tensor_parallel);
        self.pipeline_parallel = self.pipeline_parallel.or(other.pipeline_parallel);
        self.hold_timeout_ms = self.hold_timeout_ms.or(other.hold_timeout_ms);
        if self.slices.is_none() {
            self.slices.clone_from(&other.slices);
        }
        if self.topology.is_empty() {
            self.topology.clone_from(&other.topology);
        }
        for (role, terms) in &other.roles {
            self.roles.entry(Arc::clone(role)).or_default().fill(terms);
        }
    }

    /// How many GPUs form one tensor-parallel set of a role.
    pub fn tensor_parallel_of(&self, role: &Role) -> Option<u32> {
        self.roles.get(role).and_then(|role| role.tensor_parallel).or(self.tensor_parallel)
    }

    /// Of how many sets one pipeline of a role consists.
    pub fn pipeline_parallel_of(&self, role: &Role) -> Option<u32> {
        self.roles.get(role).and_then(|role| role.pipeline_parallel).or(self.pipeline_parallel)
    }

    /// How many members of a role must be able to start at once, of each of which that is said. Where fewer are to start in all
    /// than these together, only that number counts, as in Volcano (`CheckTaskValid` in its `job_info.go`).
    pub fn role_minimums(&self) -> BTreeMap<&Role, u32> {
        let minimums: BTreeMap<&Role, u32> =
            self.roles.iter().filter_map(|(role, terms)| Some((role, terms.min_member?))).collect();
        let together = minimums.values().fold(0, |sum: u32, min| sum.saturating_add(*min));
        if self.min_member.is_some_and(|in_all| in_all < together) { BTreeMap::new() } else { minimums }
    }

    /// How many members must be able to start at once, as far as that is said.
    pub fn required(&self) -> Option<u32> {
        let by_role = self.roles.values().filter_map(|role| role.min_member).reduce(u32::saturating_add);
        self.min_member.or(by_role).or(self.total)
    }
}

impl RoleTerms {
    fn fill(&mut self, other: &Self) {
        self.min_member = self.min_member.or(other.min_member);
        self.total = self.total.or(other.total);
        self.first = self.first.max(other.first);
        self.precedes |= other.precedes;
        self.part_size = self.part_size.or(other.part_size);
        self.tensor_parallel = self.tensor_parallel.or(other.tensor_parallel);
        self.pipeline_parallel = self.pipeline_parallel.or(other.pipeline_parallel);
        if self.slices.is_none() {
            self.slices.clone_from(&other.slices);
        }
        if self.topology.is_empty() {
            self.topology.clone_from(&other.topology);
        }
        if self.exclusive.is_none() {
            self.exclusive.clone_from(&other.exclusive);
        }
        if self.template.is_none() {
            self.template.clone_from(&other.template);
        }
    }
}

/// What is said of one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleTerms {
    /// How many members of it must be able to start at once. 0: the gang does not wait for them, and they start each for
    /// itself, or by whole parts or sets where they form those.
    pub min_member: Option<u32>,
    /// How many there will be.
    pub total: Option<u32>,
    /// The number of its first member: the workers of a LeaderWorkerSet start at 1, for the leader is 0.
    pub first: u32,
    /// Of how many members each of its parts consists, where it has parts. With 1 the parts are the members, and count as
    /// they do.
    pub part_size: Option<u32>,
    /// How many GPUs form one tensor-parallel set of this role, where roles differ in it.
    pub tensor_parallel: Option<u32>,
    /// Of how many such sets one pipeline of this role consists.
    pub pipeline_parallel: Option<u32>,
    /// Where all members of the role may or should stand.
    pub topology: Vec<TopologyRule>,
    /// Sets of its members that must stand together.
    pub slices: Option<Slices>,
    /// The label of nodes of which each of its parts has one domain to itself: no other member of the gang stands there.
    pub exclusive: Option<Arc<str>>,
    /// Others of the gang are made only when it has ended: its members start each for itself, whatever sets they form.
    pub precedes: bool,
    /// What members that do not exist yet will ask for.
    pub template: Option<Arc<super::pod::Demand>>,
}

/// Sets of so many members, by their numbers, each within one domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slices {
    /// Members of one set.
    pub members: u32,
    /// What they must share.
    pub within: TopologyLevel,
}

/// Is it a condition or a wish?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strictness {
    /// The gang waits until it can be so.
    Required,
    /// It is so where possible.
    Preferred,
}

/// Members must or should share a domain of this level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopologyRule {
    /// Is it a condition or a wish?
    pub strictness: Strictness,
    /// What they share.
    pub level: TopologyLevel,
}

/// A kind of domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopologyLevel {
    /// Devices connected by NVLink or NeuronLink: inside a node, or in a clique of several.
    DeviceFabric,
    /// One node.
    Node,
    /// One NVLink domain of several nodes, by any of the labels that name it.
    Clique,
    /// All nodes with the same value of this label.
    Label(Arc<str>),
}

impl fmt::Display for TopologyLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceFabric => f.write_str("NVLink fabric"),
            Self::Node => f.write_str("node"),
            Self::Clique => f.write_str("clique"),
            Self::Label(key) => match &**key {
                "topology.kubernetes.io/zone" => f.write_str("zone"),
                "topology.kubernetes.io/region" => f.write_str("region"),
                "kubernetes.io/hostname" => f.write_str("node"),
                key => write!(f, "domain of {key}"),
            },
        }
    }
}

/// How members must stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// No two in one domain of this label.
    Apart(Arc<str>),
    /// All in one domain of this label.
    Together(Arc<str>),
    /// Evenly over the domains of a label.
    Spread(SpreadRule),
}

/// How evenly members stand: one of `topologySpreadConstraints`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpreadRule {
    /// The label.
    pub key: Arc<str>,
    /// The domains differ by so many members at most.
    pub max_skew: u32,
    /// Where there are fewer domains, one that has no member is thought of beside them (`minDomains`).
    pub min_domains: u32,
    /// Domains count only if the members' node selector and affinity accept a node there (`nodeAffinityPolicy: Honor`).
    pub by_affinity: bool,
    /// Domains count only if the members tolerate the taints of a node there (`nodeTaintsPolicy: Honor`).
    pub by_taints: bool,
}

impl SpreadRule {
    /// With all else as the API has it by default.
    pub fn new(key: &str, max_skew: u32) -> Self {
        Self { key: key.into(), max_skew, min_domains: 1, by_affinity: true, by_taints: false }
    }
}

/// Which object of the cluster something is said of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectRef {
    /// Group and version of its API, in which it was seen.
    pub api_version: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its unique id.
    pub uid: Arc<str>,
    /// Grows with each change of what it asks for.
    pub generation: i64,
}

/// A group object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Whose it is.
    pub key: GangKey,
    /// Which object it is.
    pub object: ObjectRef,
    /// When it was made, in seconds since 1970.
    pub created_s: i64,
    /// Its priority, where it has one of its own.
    pub priority: Option<i32>,
    /// What it says.
    pub terms: Terms,
    /// What it asks for that makes no sense or cannot be kept. Until that is mended no member is placed: it would be on a
    /// guess.
    pub fault: Option<Arc<str>>,
}
