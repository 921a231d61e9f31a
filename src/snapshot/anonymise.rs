//! Takes names out of a snapshot, so that it can be given to others.
//!
//! Every text that somebody has chosen is replaced by a number, the same text by the same number everywhere, so that what
//! refers to each other still does. Numbers follow the order of the texts: what is decided by the order of names is decided as
//! before. What stays: words of APIs, amounts, times, the keys of labels that are well known, and the values of those
//! that say what hardware a node has; so of devices, of which the names stay that drivers give them by number. Selectors of
//! devices become what they say ([`super::selectors`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{ANNOTATIONS, CONDITION, Kind, Taken};
use super::selectors::Selectors;

/// Domains of keys that are the same everywhere, with all below them.
const KNOWN_DOMAINS: &[&str] = &[
    "alibabacloud.com",
    "amazonaws.com",
    "aws.amazon.com",
    "azure.com",
    "cloud.google.com",
    "grove.io",
    "habana.ai",
    "k8s.aws",
    "k8s.io",
    "kai.scheduler",
    "karpenter.sh",
    "koordinator.sh",
    "kubeflow.org",
    "kubernetes.io",
    "nvidia.com",
    "amd.com",
    "platform",
    "ray.io",
    "serving.kserve.io",
    "testudo.dev",
    "topograph.run",
    "volcano.sh",
    "x-k8s.io",
];

/// Of these domains anybody makes up keys: only those that are listed are the same everywhere.
const FREE_DOMAINS: &[(&str, &[&str])] = &[
    ("node-restriction.kubernetes.io", &[]),
    ("node-role.kubernetes.io", &["control-plane", "controlplane", "etcd", "infra", "master", "node", "worker"]),
];

/// Keys without a domain that are the same everywhere; kinds of owners and names of schedulers count as such.
const KNOWN_KEYS: &[&str] = &[
    "DaemonSet",
    "Job",
    "LeaderWorkerSet",
    "ReplicaSet",
    "StatefulSet",
    "app",
    "cpu",
    "default-scheduler",
    "ephemeral-storage",
    "job-name",
    "memory",
    "metadata.name",
    "pod-group-name",
    "pods",
    "testudo-scheduler",
];

/// Labels whose values say what hardware a node has, or are one of few words.
const TELLING_LABELS: &[&str] = &[
    "eks.amazonaws.com/capacityType",
    "karpenter.sh/capacity-type",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "kubernetes.azure.com/scalesetpriority",
    "node.kubernetes.io/instance-type",
    "nvidia.com/gpu.family",
    "nvidia.com/gpu.machine",
    "nvidia.com/gpu.product",
    "nvidia.com/gpu.sharing-strategy",
    "nvidia.com/mig.config.state",
    "nvidia.com/mig.strategy",
    "platform/gpu-sharing",
    "ray.io/node-type",
];

/// Names that are the same everywhere: those of device classes that come with drivers.
const KNOWN_NAMES: &[&str] = &[
    "compute-domain-daemon.nvidia.com",
    "compute-domain-default-channel.nvidia.com",
    "gpu.amd.com",
    "gpu.intel.com",
    "gpu.nvidia.com",
    "mig.nvidia.com",
    "neuron.aws.com",
    "tpu.google.com",
    "vfio.gpu.nvidia.com",
];

/// Names of attributes, capacities and counters that drivers use; numbers at their ends do not count.
const KNOWN_FEATURES: &[&str] = &[
    "addressingMode",
    "architecture",
    "brand",
    "copy-engines",
    "copyEngines",
    "cudaComputeCapability",
    "cudaDriverVersion",
    "decoders",
    "driverVersion",
    "encoders",
    "index",
    "jpeg-engines",
    "jpegEngines",
    "memory",
    "memory-slice-",
    "memorySlice",
    "minor",
    "multiprocessors",
    "numaNode",
    "ofa-engines",
    "ofaEngines",
    "parentIndex",
    "parentMinor",
    "parentUUID",
    "partition",
    "pciBusID",
    "pcieBusID",
    "pcieRoot",
    "productName",
    "profile",
    "type",
    "uuid",
];

/// Attributes whose values say what hardware a device is.
const TELLING_FEATURES: &[&str] =
    &["addressingMode", "architecture", "brand", "pcieRoot", "productName", "profile", "type"];

/// Words of which names of devices are made, beside numbers and MIG profiles: `gpu-0-mig-1g10gb-15-4`.
const DEVICE_WORDS: &[&str] = &["channel", "daemon", "device", "gpu", "mig", "neuron", "tpu", "vfio"];

/// The snapshot without names. `objects` are what [`Kind::take`] has taken. Annotations and messages that are texts for people
/// or for one program are left out.
pub(super) fn anonymise(objects: &[Value]) -> Vec<Value> {
    let objects: Vec<(&Kind, &Value)> = objects.iter().filter_map(|object| Some((Kind::of(object)?, object))).collect();
    let mut finder = Finder::default();
    for (kind, object) in &objects {
        walk_object(kind, object, &mut finder);
    }
    let mut names = Names::of(finder);
    let nameless = objects.iter().map(|(kind, object)| {
        let mut nameless = walk_object(kind, object, &mut names);
        if object["kind"] == "ResourceSlice" {
            names.selectors.answer(object, &mut nameless);
        }
        nameless
    });
    nameless.collect()
}

/// Is a key the same everywhere?
fn is_known_key(key: &str) -> bool {
    let is_below = |domain: &str, known: &str| {
        domain.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let of_domain = |domain: &str| KNOWN_DOMAINS.iter().any(|known| is_below(domain, known));
    match key.split_once('/') {
        Some((domain, own)) => match FREE_DOMAINS.iter().find(|(free, _)| is_below(domain, free)) {
            Some((free, known)) => domain == *free && known.contains(&own),
            None => of_domain(domain),
        },
        None => KNOWN_KEYS.contains(&key) || key.starts_with("hugepages-") || of_domain(key),
    }
}

/// May a value of this key stay?
fn is_telling(key: &str, value: &str) -> bool {
    let is_plain = || matches!(value, "" | "true" | "false") || value.parse::<u64>().is_ok();
    TELLING_LABELS.contains(&key) || is_known_key(key) && is_plain()
}

/// What becomes of texts.
trait Texts {
    /// What somebody has called something.
    fn name(&mut self, text: &str) -> String;
    /// A key that is not known everywhere.
    fn key(&mut self, text: &str) -> String;
    /// A program that selects devices.
    fn program(&mut self, text: &str) -> String;
}

/// Notes them.
#[derive(Default)]
struct Finder {
    names: BTreeSet<String>,
    keys: BTreeSet<String>,
    programs: BTreeSet<String>,
}

impl Texts for Finder {
    fn name(&mut self, text: &str) -> String {
        self.names.insert(text.to_owned());
        String::new()
    }
    fn key(&mut self, text: &str) -> String {
        self.keys.insert(text.to_owned());
        String::new()
    }
    fn program(&mut self, text: &str) -> String {
        self.programs.insert(text.to_owned());
        String::new()
    }
}

/// Replaces them.
struct Names {
    names: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    selectors: Selectors,
}

impl Names {
    fn of(Finder { names, keys, programs }: Finder) -> Self {
        let number = |at: usize, text: &str| match ordinal(text) {
            Some(ordinal) => format!("n{at:07}-{ordinal}"),
            None => format!("n{at:07}"),
        };
        Self {
            names: names.into_iter().enumerate().map(|(at, text)| (text.clone(), number(at, &text))).collect(),
            keys: keys.into_iter().enumerate().map(|(at, text)| (text, format!("key-{at:05}"))).collect(),
            selectors: Selectors::of(programs),
        }
    }
}

impl Texts for Names {
    fn name(&mut self, text: &str) -> String {
        self.names.get(text).cloned().unwrap_or_default()
    }
    fn key(&mut self, text: &str) -> String {
        self.keys.get(text).cloned().unwrap_or_default()
    }
    fn program(&mut self, text: &str) -> String {
        self.selectors.question(text)
    }
}

/// The number at the end of the name of a StatefulSet's pod tells which member it is.
fn ordinal(text: &str) -> Option<u32> {
    text.rsplit_once('-')?.1.parse().ok().filter(|ordinal| *ordinal < 10_000)
}

fn walk_object(kind: &Kind, object: &Value, texts: &mut impl Texts) -> Value {
    let mut walked = Map::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        let taken = kind.fields.iter().find(|(known, _)| known == field).map(|(_, taken)| taken);
        let value = taken.map_or_else(|| Some(value.clone()), |taken| walk(taken, value, None, texts));
        walked.extend(value.map(|value| (field.clone(), value)));
    }
    Value::Object(walked)
}

/// `key` is that of the object in which the value stands, where it has one.
fn walk(taken: &Taken, value: &Value, key: Option<&str>, texts: &mut impl Texts) -> Option<Value> {
    Some(match (taken, value) {
        (Taken::Of(taken), value) => walk(taken, value, key, texts)?,
        (Taken::Prose, _) => return None,
        (Taken::Word, value) => value.clone(),
        (Taken::Name, value) => each(value, &mut |text| name(text, texts)),
        (Taken::Key, value) => each(value, &mut |text| key_text(text, texts)),
        (Taken::Feature, value) => each(value, &mut |text| feature(text, texts)),
        (Taken::ValueOfFeature, value) => each(value, &mut |text| match key.is_some_and(is_telling_feature) {
            true => text.to_owned(),
            false => name(text, texts),
        }),
        (Taken::Version, value) => each(value, &mut |text| version(text, texts)),
        (Taken::Device, value) => each(value, &mut |text| match is_by_number(text) {
            true => text.to_owned(),
            false => name(text, texts),
        }),
        (Taken::Path, value) => {
            each(value, &mut |text| text.split('/').map(|part| name(part, texts)).collect::<Vec<_>>().join("/"))
        }
        (Taken::Program, value) => each(value, &mut |text| texts.program(text)),
        (Taken::ValueOfKey, value) => each(value, &mut |text| value_of(key.unwrap_or_default(), text, texts)),
        (Taken::Labels, Value::Object(map)) => {
            entries(map, |key, value| Some((key_text(key, texts), each(value, &mut |text| value_of(key, text, texts)))))
        }
        (Taken::Amounts, Value::Object(map)) => entries(map, |key, value| Some((key_text(key, texts), value.clone()))),
        (Taken::Annotations, Value::Object(map)) => entries(map, |key, value| {
            let (_, taken) = ANNOTATIONS.iter().find(|(known, _)| *known == key)?;
            let value = match (taken, value.as_str()) {
                (Taken::Word, Some(text)) => Value::String(annotation(text, texts)),
                _ => walk(taken, value, None, texts)?,
            };
            Some((key.to_owned(), value))
        }),
        (Taken::Conditions, value) => walk(&Taken::List(&CONDITION), value, None, texts)?,
        (Taken::Fields(fields), Value::Object(map)) => {
            let key = map.get("key").and_then(Value::as_str).or(key);
            entries(map, |field, value| {
                let (_, taken) = fields.iter().find(|(known, _)| *known == field)?;
                Some((field.to_owned(), walk(taken, value, key, texts)?))
            })
        }
        (Taken::List(taken), Value::Array(items)) => {
            Value::Array(items.iter().filter_map(|item| walk(taken, item, None, texts)).collect())
        }
        (Taken::ByName(taken), Value::Object(map)) => {
            entries(map, |key, value| Some((name(key, texts), walk(taken, value, None, texts)?)))
        }
        (Taken::ByFeature(taken), Value::Object(map)) => {
            entries(map, |key, value| Some((feature(key, texts), walk(taken, value, Some(key), texts)?)))
        }
        _ => return None,
    })
}

fn name(text: &str, texts: &mut impl Texts) -> String {
    if text.is_empty() || KNOWN_NAMES.contains(&text) { text.to_owned() } else { texts.name(text) }
}

/// Has a driver named a device by its number?
fn is_by_number(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    // `1g10gb`, `1g5gb.me`
    let is_profile = |part: &str| {
        let rest = part.split_once('g').filter(|(slices, _)| is_number(slices)).map(|(_, rest)| rest);
        let memory = rest.and_then(|rest| rest.split_once("gb")).filter(|(memory, _)| is_number(memory));
        memory.is_some_and(|(_, more)| matches!(more, "" | ".me" | ".gfx" | "me" | "gfx"))
    };
    let is_word = |part: &str| DEVICE_WORDS.contains(&part);
    text.split('-').all(|part| is_number(part) || is_word(part) || is_profile(part))
        && text.split('-').next().is_some_and(is_word)
        && text.split('-').any(is_number)
}

/// The name of an attribute, a capacity or a counter, maybe with its domain, by each of which it can be found elsewhere.
fn feature(text: &str, texts: &mut impl Texts) -> String {
    let name = |name: &str, texts: &mut _| match is_known_feature(name) {
        true => name.to_owned(),
        false => Texts::key(texts, name),
    };
    match text.split_once('/') {
        Some((domain, own)) => format!("{}/{}", key_text(domain, texts), name(own, texts)),
        None => name(text, texts),
    }
}

fn is_known_feature(name: &str) -> bool {
    name.is_empty() || KNOWN_FEATURES.contains(&name.trim_end_matches(|last: char| last.is_ascii_digit()))
}

fn is_telling_feature(name: &str) -> bool {
    TELLING_FEATURES.contains(&name.rsplit('/').next().unwrap_or_default())
}

/// A version of numbers only stays; any other becomes one.
fn version(text: &str, texts: &mut impl Texts) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain {
        return text.to_owned();
    }
    let name = texts.name(text);
    let number: String = name.chars().skip(1).take_while(char::is_ascii_digit).collect();
    format!("9999.0.{}", number.trim_start_matches('0').parse::<u32>().unwrap_or_default())
}

fn key_text(text: &str, texts: &mut impl Texts) -> String {
    if text.is_empty() || is_known_key(text) { text.to_owned() } else { texts.key(text) }
}

fn value_of(key: &str, text: &str, texts: &mut impl Texts) -> String {
    // Selectors compare numbers. Long ones may be somebody's.
    let is_small = text.len() <= 6 && text.parse::<u32>().is_ok();
    if is_telling(key, text) || is_small { text.to_owned() } else { name(text, texts) }
}

/// Numbers and times stay, and so do lists of topology levels, whose keys are replaced. Anything else makes no sense there,
/// nor does what comes in its place.
fn annotation(text: &str, texts: &mut impl Texts) -> String {
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.len() <= 16 {
        return text.to_owned();
    }
    let rule = |rule: &str, texts: &mut _| match rule.split_once('=') {
        Some((strictness @ ("required" | "preferred"), level)) => {
            let is_level = matches!(level, "device-fabric" | "node" | "clique" | "zone" | "region");
            let level = if is_level { level.to_owned() } else { key_text(level, texts) };
            format!("{strictness}={level}")
        }
        _ => name(rule, texts),
    };
    let rules: Vec<String> = text.split(',').map(|part| rule(part.trim(), texts)).collect();
    rules.join(",")
}

/// A text, or each of a list.
fn each(value: &Value, replace: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(replace(text)),
        Value::Array(items) => Value::Array(items.iter().map(|item| each(item, replace)).collect()),
        other => other.clone(),
    }
}

fn entries(map: &Map<String, Value>, mut entry: impl FnMut(&str, &Value) -> Option<(String, Value)>) -> Value {
    Value::Object(map.iter().filter_map(|(key, value)| entry(key, value)).collect())
}
