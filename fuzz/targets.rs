//! What is asked of input that anybody may have written: one function for each kind.
//!
//! Each takes any bytes. It panics where something is wrong: where the code does, or where what comes back is not what has
//! been promised. The fuzzer calls them (`fuzz_targets/`), and so does a test with all inputs of `corpus/`
//! (tests/fuzz_corpora.rs).

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use flate2::read::GzDecoder;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo::config::{Configuration, Mode};
use testudo::extender::answer::{Answer, Answers};
use testudo::extender::metrics::Metrics;
use testudo::host::{Bindings, Host};
use testudo::k8s::manifests::{self, Limits, Manifests, Reader};
use testudo::k8s::{node, object, pod};
use testudo::snapshot::Snapshot;
use testudo_core::claims::cel::Program;
use testudo_core::claims::{Attribute, Device};
use testudo_core::engine::{PlacementPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::fabric::Fabric;
use testudo_core::model::mig::Layout;
use testudo_core::model::node::Node;
use testudo_core::model::pod::Pod;
use testudo_core::model::quantity::Quantity;

/// What is done with an input.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Target); 9] = [
    ("extender", extender),
    ("node", node),
    ("quantity", quantity),
    ("gang", gang),
    ("cel", cel),
    ("catalogue", catalogue),
    ("config", config),
    ("policy", policy),
    ("snapshot", snapshot),
];

/// Not more than this of a file is looked at.
const LIMITS: Limits = Limits { file_bytes: 1 << 20, documents: 64 };

/// A host with a few nodes, behind the extender's protocol.
fn answers() -> &'static Answers<Host> {
    static ANSWERS: OnceLock<Answers<Host>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let mut registry = Registry::default();
        let catalogue = Catalogue::builtin();
        let host = Host::new(Policy::default(), Mode::Enforce, catalogue, Bindings::OwnCopy, &mut registry);
        let node = |name: &str, product: &str| {
            let resources = json!({"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8"});
            let labels = json!({"nvidia.com/gpu.product": product, "topology.kubernetes.io/zone": "a"});
            let node = json!({"metadata": {"name": name, "labels": labels}, "status": {"capacity": resources, "allocatable": resources}});
            serde_json::from_value(node).expect("a node")
        };
        host.take_manifests(Manifests {
            nodes: vec![node("a", "NVIDIA-H100-80GB-HBM3"), node("b", "NVIDIA-L40S")],
            ..Manifests::default()
        });
        Answers { extender: Arc::new(host), max_nodes: 64, metrics: Metrics::register(&mut registry) }
    })
}

/// Bodies of all verbs: there is an answer, in the form that the verb has, about no node that was not offered; and no
/// question changes anything.
pub fn extender(bytes: &[u8]) {
    let answers = answers();
    let generation = answers.extender.snapshot().generation();
    let named = |value: &Value| value.as_str().map(str::to_owned);
    let offered = offered(bytes);
    for (verb, answer) in [
        ("filter", answers.filter(bytes)),
        ("prioritize", answers.prioritize(bytes)),
        ("preempt", answers.preempt(bytes)),
    ] {
        let Answer { status, json, body } = answer;
        assert!(matches!(status, 200 | 400 | 500), "{verb}: status {status}");
        if !json {
            assert!(std::str::from_utf8(&body).is_ok_and(|text| !text.is_empty()), "{verb}: an empty text");
            continue;
        }
        let answer: Value = serde_json::from_slice(&body).expect("an answer is JSON");
        let about: Vec<String> = match verb {
            "filter" => {
                let refused = ["FailedNodes", "FailedAndUnresolvableNodes"].map(|key| answer[key].as_object());
                let refused = refused.into_iter().flatten().flat_map(|nodes| nodes.keys().cloned());
                let fitting = answer["NodeNames"].as_array().into_iter().flatten().filter_map(named);
                refused.chain(fitting).collect()
            }
            "prioritize" => {
                let entries = answer.as_array().expect("a list");
                assert!(entries.iter().all(|entry| entry["Score"].as_u64().is_some_and(|score| score <= 10)));
                entries.iter().filter_map(|entry| named(&entry["Host"])).collect()
            }
            _ => answer["NodeNameToMetaVictims"].as_object().expect("an object").keys().cloned().collect(),
        };
        if let Some(offered) = offered.as_ref().filter(|_| verb != "preempt") {
            let strange: Vec<&String> = about.iter().filter(|name| !offered.contains(*name)).collect();
            assert!(strange.is_empty(), "{verb}: {strange:?} were not offered");
        }
        assert_eq!(about.iter().collect::<BTreeSet<_>>().len(), about.len(), "{verb}: a node is there twice");
    }
    let _ = answers.binding(bytes);
    assert_eq!(answers.extender.snapshot().generation(), generation, "a question has changed something");
}

/// The names in a request, wherever they may stand; none where it cannot be read as a whole. What nobody asks for may be
/// nested deeper than this reads, or be no text.
fn offered(bytes: &[u8]) -> Option<BTreeSet<String>> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::String(name) => _ = names.insert(name.clone()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::from([String::new()]);
    collect(&serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()?, &mut names);
    Some(names)
}

/// Node objects: what cannot be understood is told, and what is concluded can be placed on.
pub fn node(bytes: &[u8]) {
    let Ok(object) = serde_json::from_slice::<object::Node>(bytes) else { return };
    let (parts, problems) = node::decode(&object);
    problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
    let (node, _) = Node::new(parts, &Catalogue::builtin());
    let allocatable = |name: &str| node.parts.allocatable.get(name);
    for pool in &node.inventory.pools {
        assert!(allocatable(pool.resource.as_str()) >= 0, "{} of {:?}", pool.resource, pool.unit);
    }
    let again = node::decode(&object).0;
    assert_eq!(again, node.parts, "the same object says the same");
}

/// Quantities: what is read is in order, whatever is written.
pub fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    assert!(quantity.units() <= quantity.millis() || quantity.millis() <= 0, "{text}");
    let shown = quantity.to_string();
    let again = Quantity::parse(&shown);
    // What is shown is rounded up to thousandths, and what is beyond 64 bits is the largest that there is.
    if quantity.millis() < i64::MAX && quantity.millis() > i64::MIN {
        assert_eq!(again.map(Quantity::millis), Ok(quantity.millis()), "{text} is shown as {shown}");
    }
    if !text.starts_with(['+', '-']) {
        let negative = Quantity::parse(&format!("-{text}")).expect("a quantity with a sign");
        assert!(negative.units() <= 0 && quantity.units() >= 0, "{text}");
    }
}

/// Pods with their annotations, and group objects: a pod is decoded, and if anything of it makes no sense the problem says
/// so in one line.
pub fn gang(bytes: &[u8]) {
    let mut reader = Reader::new(LIMITS);
    if reader.add("fuzz", bytes).is_err() {
        return;
    }
    let found = reader.finish();
    for object in &found.pods {
        let (decoded, problems) = pod::decode(object);
        assert_eq!(pod::decode(object).0, decoded, "the same object says the same");
        for problem in problems {
            assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }
    for group in &found.groups {
        assert!(!group.key.name.is_empty(), "a gang without a name");
    }
}

/// Selectors of devices: what compiles has an answer or an error on a device, in bounded time.
pub fn cel(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.to_owned();
    let check = move || {
        let Ok(program) = Program::compile(&text) else { return };
        let attributes = [
            ("model", Attribute::String("H100".into())),
            ("index", Attribute::Int(3)),
            ("mig", Attribute::Bool(false)),
            ("driverVersion", Attribute::Version("1.2.3".into())),
            ("resource.kubernetes.io/pcieRoot", Attribute::String("pci0000:01".into())),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let device = Device { name: "gpu-3".into(), attributes, ..Device::default() };
        let answer = program.matches("gpu.nvidia.com", &device);
        assert_eq!(program.matches("gpu.nvidia.com", &device), answer, "the same question has the same answer");
    };
    // As the parser asks for, see `Program::compile`.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(check).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Catalogue files with MIG tables, and matrices of `nvidia-smi topo -m`: every layout that a table allows can be made
/// and taken apart again.
pub fn catalogue(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Fabric::from_topo_matrix(text);
    let Ok(catalogue) = Catalogue::builtin().extended_with(text) else { return };
    for geometry in catalogue.geometries() {
        let mut layout = Layout::new(Arc::clone(geometry));
        for placement in geometry.placements().take(64) {
            let before = layout.clone();
            if layout.insert(placement).is_ok() {
                let mut undone = layout.clone();
                assert!(undone.remove(placement), "what was put in can be taken out");
                assert_eq!(undone, before);
            }
        }
    }
}

/// Configuration files: what is accepted makes a policy, what is not says why.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Configuration::parse(text, Path::new("fuzz.yaml")) {
        Ok(configuration) => drop(configuration.policy(PlacementPolicy::default())),
        Err(error) => assert!(error.to_string().contains("fuzz.yaml"), "{error}"),
    }
}

/// Pods of which a policy says what their places are chosen for.
fn pods() -> &'static [Pod; 2] {
    static PODS: OnceLock<[Pod; 2]> = OnceLock::new();
    PODS.get_or_init(|| {
        let decode = |metadata: Value, spec: Value| {
            let object = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod");
            pod::decode(&object).0
        };
        let labels = json!({"app": "chat", "tier": "gold"});
        let named = json!({"name": "chat-0", "namespace": "chat", "uid": "1", "labels": labels});
        let asking = json!({"resources": {"requests": {"nvidia.com/gpu": "8"}}});
        let plain = json!({"name": "a", "namespace": "b", "uid": "2"});
        [decode(named, json!({"priority": 1000, "containers": [asking]})), decode(plain, json!({"containers": []}))]
    })
}

/// Policy files: what is accepted has an answer for every pod, what is not says why.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match testudo::policy::parse(text, Path::new("fuzz.yaml")) {
        Ok(read) => {
            for pod in pods() {
                let profiles = &read.policy.profiles;
                assert!(Arc::ptr_eq(profiles.of(pod), profiles.of(pod)), "the same pod has the same profile");
            }
            assert!(read.warnings.iter().all(|warning| !warning.is_empty()));
        }
        Err(error) => assert!(error.to_string().contains("fuzz.yaml"), "{error}"),
    }
}

/// Snapshots, and manifests of all kinds: what is taken of them is written, and read again as the same.
pub fn snapshot(bytes: &[u8]) {
    let Ok(objects) = manifests::objects_in("fuzz", bytes, &LIMITS) else { return };
    let taken = Snapshot::of(&objects);
    let mut file = vec![];
    taken.write(&mut file, "2026-01-01T00:00:00Z").expect("memory takes all");
    let mut text = vec![];
    GzDecoder::new(file.as_slice()).read_to_end(&mut text).expect("what was packed can be unpacked");
    let again = manifests::objects_in("again", &text, &LIMITS).expect("what was written can be read");
    assert_eq!(again, taken.clone().into_objects(), "all there is in it is in the file");
    let again = Snapshot::of(&again);
    assert_eq!(again.manifests(), taken.manifests());
    drop(taken.anonymised().manifests());
}
