//! Pods, nodes and claims as the simulation itself reads them: not by testudo's code, which is what is being tested.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::store::{Key, at, has_ended, is_leaving, text};

/// The resource of whole GPUs of a device plugin.
pub const GPU: &str = "nvidia.com/gpu";

/// What pods ask for and nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Thousandths of CPUs.
    pub cpu: i64,
    /// GPUs of a device plugin.
    pub gpus: i64,
    /// Pods.
    pub pods: i64,
}

impl Amounts {
    /// Of a list of resources. CPUs stand there in thousandths: the simulation writes them so.
    pub fn read(list: &Value) -> Self {
        let amount = |name: &str| list[name].as_str()?.trim_end_matches('m').parse().ok();
        Self { cpu: amount("cpu").unwrap_or(0), gpus: amount(GPU).unwrap_or(0), pods: amount("pods").unwrap_or(0) }
    }

    /// Is there as much of everything?
    pub fn covers(self, other: Self) -> bool {
        self.cpu >= other.cpu && self.gpus >= other.gpus && self.pods >= other.pods
    }
}

impl std::ops::Add for Amounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, gpus: self.gpus + other.gpus, pods: self.pods + other.pods }
    }
}

impl std::ops::Sub for Amounts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { cpu: self.cpu - other.cpu, gpus: self.gpus - other.gpus, pods: self.pods - other.pods }
    }
}

impl std::iter::Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), std::ops::Add::add)
    }
}

/// A pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// Its unique id.
    pub uid: String,
    /// Which version of it this is.
    pub version: u64,
    /// Its node.
    pub node: Option<String>,
    /// Has it succeeded or failed?
    pub ended: bool,
    /// Has it done what it had to?
    pub succeeded: bool,
    /// Is it being deleted?
    pub leaving: bool,
    /// Does its controller make others only when it runs?
    pub staged: bool,
    /// Has it any scheduling gate?
    pub gated: bool,
    /// Is one of them Kueue's?
    pub queued: bool,
    /// Is it placed by the scheduler that asks testudo?
    pub is_ours: bool,
    /// Its priority.
    pub priority: i64,
    /// When it was made.
    pub created: String,
    /// What it asks for.
    pub asks: Amounts,
    /// Where it is nominated to.
    pub nominated: Option<String>,
    /// Does it show a plan of testudo's?
    pub promised: bool,
    /// What its condition says why it has no node.
    pub message: String,
    /// The claims that it uses, by name; none for one that is yet to be made.
    pub claims: Vec<Option<String>>,
    /// Its gang, and how many must start together. Generations of one name are gangs of their own here.
    pub gang: Option<(String, usize)>,
    /// Its workload.
    pub workload: String,
    /// Which generation of that it belongs to.
    pub generation: u64,
    /// Its role in the gang.
    pub role: String,
    /// How long it goes on when it is deleted, at most.
    pub ends_ms: usize,
    /// Its PodGroup, if the gang is one of Kubernetes itself.
    pub group: Option<Key>,
}

impl Pod {
    /// Reads one.
    pub fn read(pod: &Value) -> Self {
        let optional = |at: &str| Some(text(pod, at)).filter(|text| !text.is_empty()).map(str::to_owned);
        let annotation = |name: &str| pod["metadata"]["annotations"][name].as_str();
        let group = optional("/spec/schedulingGroup/podGroupName");
        let min_member = annotation(if group.is_some() { MIN_COUNT } else { "testudo.dev/min-member" });
        let generation = annotation(GENERATION).and_then(|number| number.parse().ok()).unwrap_or(1);
        let gang = group.clone().or_else(|| annotation("testudo.dev/pod-group").map(str::to_owned));
        let gang = gang.map(|name| gang_of(&name, generation));
        let gates = pod["spec"]["schedulingGates"].as_array();
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let refusal = { conditions }.find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
        let requests = &pod["spec"]["containers"][0]["resources"]["requests"];
        Self {
            key: Key::of(pod),
            uid: text(pod, "/metadata/uid").to_owned(),
            version: version(pod),
            node: optional("/spec/nodeName"),
            ended: has_ended(pod),
            succeeded: text(pod, "/status/phase") == "Succeeded",
            staged: pod["metadata"]["labels"][POD_INDEX].is_string(),
            leaving: is_leaving(pod),
            gated: !pod["spec"]["schedulingGates"].is_null(),
            queued: gates.is_some_and(|gates| gates.iter().any(|gate| gate["name"] == KUEUES_GATE)),
            is_ours: text(pod, "/spec/schedulerName") == SCHEDULER,
            priority: pod["spec"]["priority"].as_i64().unwrap_or(0),
            created: text(pod, "/metadata/creationTimestamp").to_owned(),
            asks: Amounts { pods: 1, ..Amounts::read(requests) },
            nominated: optional("/status/nominatedNodeName"),
            promised: annotation("testudo.dev/plan").is_some(),
            message: refusal.map(|it| text(it, "/message").to_owned()).unwrap_or_default(),
            claims: claims(pod),
            gang: gang.zip(min_member.and_then(|number| number.parse().ok())),
            workload: text(pod, "/metadata/labels/workload").to_owned(),
            generation,
            role: annotation(ROLE).unwrap_or_default().to_owned(),
            ends_ms: annotation(ENDS).and_then(|ms| ms.parse().ok()).unwrap_or(1_500),
            group: group.map(|name| Key::new(text(pod, "/metadata/namespace"), &name)),
        }
    }

    /// Does it belong to the gang of this name, in whatever generation?
    pub fn is_of(&self, name: &str) -> bool {
        self.gang.as_ref().is_some_and(|(gang, _)| *gang == gang_of(name, self.generation))
    }

    /// Does it wait for a node?
    pub fn is_pending(&self) -> bool {
        self.node.is_none() && !self.ended && !self.leaving
    }

    /// Does it use what it asks for on its node?
    pub fn is_on(&self, node: &str) -> bool {
        self.node.as_deref() == Some(node) && !self.ended
    }

    /// The keys of its claims that there are.
    pub fn claim_keys(&self) -> impl Iterator<Item = Key> {
        self.claims.iter().flatten().map(|name| Key::new(&self.key.namespace, name))
    }
}

/// What the PodGroup of a native gang says, for who reads pods only.
pub const MIN_COUNT: &str = "simulation/min-count";

/// The annotation that says which generation of its workload a pod belongs to.
pub const GENERATION: &str = "simulation/generation";

/// The annotation that says how long a pod goes on when it is deleted, in milliseconds.
pub const ENDS: &str = "simulation/ends";

/// The label of pods of a controller that makes one after the other.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The annotation that says which role a pod has in its gang.
pub const ROLE: &str = "testudo.dev/role";

/// The gate of pods that Kueue has not admitted yet.
pub const KUEUES_GATE: &str = "kueue.x-k8s.io/admission";

/// What is called a gang here: what is left of one generation is no part of the next, though testudo reads one name.
fn gang_of(name: &str, generation: u64) -> String {
    if generation == 1 { name.to_owned() } else { format!("{name} (generation {generation})") }
}

/// The scheduler that asks testudo.
pub const SCHEDULER: &str = "testudo-scheduler";

/// `metadata.resourceVersion`.
pub fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

fn claims(pod: &Value) -> Vec<Option<String>> {
    let list = |path: &str| at(pod, path).as_array().cloned().unwrap_or_default();
    let made = list("/status/resourceClaimStatuses");
    let claim = |reference: &Value| {
        let by_status = || made.iter().find(|status| status["name"] == reference["name"]);
        let name = reference["resourceClaimName"].as_str();
        name.or_else(|| by_status()?["resourceClaimName"].as_str()).map(str::to_owned)
    };
    list("/spec/resourceClaims").iter().map(claim).collect()
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it has for pods.
    pub has: Amounts,
    /// Nothing new may go there.
    pub closed: bool,
}

impl Node {
    /// Reads one.
    pub fn read(node: &Value) -> Self {
        let taints = node["spec"]["taints"].as_array();
        let is_closed = node["spec"]["unschedulable"].as_bool().unwrap_or(false);
        Self {
            name: text(node, "/metadata/name").to_owned(),
            has: Amounts::read(&node["status"]["allocatable"]),
            closed: is_closed || taints.is_some_and(|taints| !taints.is_empty()),
        }
    }
}

/// A device: driver, pool and name.
pub type Device = (String, String, String);

/// A claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Namespace and name.
    pub key: Key,
    /// The devices that it has, if it is allocated.
    pub devices: Option<Vec<Device>>,
    /// The only node where these can be used.
    pub node: Option<String>,
    /// The pods that use it, by unique id.
    pub reserved: BTreeSet<String>,
    /// Does testudo say that it has allocated it?
    pub marked: bool,
    /// How many devices it asks for, and of which class.
    pub asks: Vec<(String, usize)>,
    /// Is it being deleted?
    pub leaving: bool,
}

impl Claim {
    /// Reads one.
    pub fn read(claim: &Value) -> Self {
        let list = |path: &str| at(claim, path).as_array().into_iter().flatten();
        let field = |object: &Value, name: &str| text(object, &format!("/{name}")).to_owned();
        let device = |result: &Value| (field(result, "driver"), field(result, "pool"), field(result, "device"));
        let terms = "/status/allocation/nodeSelector/nodeSelectorTerms/0";
        let node = list(&format!("{terms}/matchFields")).chain(list(&format!("{terms}/matchExpressions")));
        let ask = |request: &Value| {
            let count = request["exactly"]["count"].as_u64().unwrap_or(1);
            (text(request, "/exactly/deviceClassName").to_owned(), usize::try_from(count).unwrap_or(usize::MAX))
        };
        Self {
            key: Key::of(claim),
            devices: claim["status"]["allocation"]
                .is_object()
                .then(|| list("/status/allocation/devices/results").map(device).collect()),
            node: { node }.next().map(|requirement| text(requirement, "/values/0").to_owned()),
            reserved: list("/status/reservedFor").map(|consumer| field(consumer, "uid")).collect(),
            marked: !claim["metadata"]["annotations"]["testudo.dev/devices"].is_null(),
            asks: list("/spec/devices/requests").map(ask).collect(),
            leaving: is_leaving(claim),
        }
    }
}

/// The devices of the newest generation of each pool, by node, each with what it draws of which counters; and the
/// counters that there are.
#[derive(Debug, Clone, Default)]
pub struct Devices {
    /// By device.
    pub devices: BTreeMap<Device, Published>,
    /// By driver, pool, set and counter.
    pub counters: BTreeMap<Counter, i64>,
}

/// Driver, pool, set and name.
pub type Counter = (String, String, String, String);

/// A device as its driver publishes it.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Where it is.
    pub node: String,
    /// `gpu` or `mig`.
    pub kind: String,
    /// What it draws.
    pub draws: Vec<(Counter, i64)>,
}

impl Devices {
    /// Reads slices.
    pub fn read<'s>(slices: impl Iterator<Item = &'s Value> + Clone) -> Self {
        let pool = |slice: &Value| (text(slice, "/spec/driver").to_owned(), text(slice, "/spec/pool/name").to_owned());
        let generation = |slice: &Value| slice["spec"]["pool"]["generation"].as_u64().unwrap_or(0);
        let mut newest: BTreeMap<(String, String), u64> = BTreeMap::new();
        for slice in slices.clone() {
            let known = newest.entry(pool(slice)).or_default();
            *known = (*known).max(generation(slice));
        }
        let mut all = Self::default();
        for slice in { slices }.filter(|slice| newest.get(&pool(slice)) == Some(&generation(slice))) {
            all.read_slice(slice, &pool(slice));
        }
        all
    }

    fn read_slice(&mut self, slice: &Value, (driver, pool): &(String, String)) {
        let list = |path: &str| at(slice, path).as_array().into_iter().flatten();
        let counters = |set: &str, counters: &Value| -> Vec<(Counter, i64)> {
            let counter = |(name, amount): (&String, &Value)| {
                let key = (driver.clone(), pool.clone(), set.to_owned(), name.clone());
                (key, text(amount, "/value").parse().unwrap_or(0))
            };
            counters.as_object().into_iter().flatten().map(counter).collect()
        };
        for set in list("/spec/sharedCounters") {
            self.counters.extend(counters(text(set, "/name"), &set["counters"]));
        }
        for device in list("/spec/devices") {
            let draws = device["consumesCounters"].as_array().into_iter().flatten();
            let published = Published {
                node: text(slice, "/spec/nodeName").to_owned(),
                kind: text(device, "/attributes/type/string").to_owned(),
                draws: draws.flat_map(|draw| counters(text(draw, "/counterSet"), &draw["counters"])).collect(),
            };
            self.devices.insert((driver.clone(), pool.clone(), text(device, "/name").to_owned()), published);
        }
    }
}
