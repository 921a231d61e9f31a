//! What is said of misses is true: once what is said is done, the pod fits.

use std::sync::Arc;

use testudo_core::cluster::NodeState;
use testudo_core::engine::{Engine, GangView, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::Pod;
use testudo_core::placement::{self, Reason};

use super::*;
use crate::host::offline::{engine_of, settle};
use crate::k8s::manifests::{Limits, Manifests, Reader};

const WHOLE: &str = "cpu: \"64\", memory: 512Gi, pods: \"110\", nvidia.com/gpu: \"8\"";

fn node(name: &str, labels: &str, spec: &str, amounts: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{nvidia.com/gpu.product: \
         NVIDIA-H100-80GB-HBM3{labels}}}}}, spec: {{{spec}}}, status: {{capacity: {{{amounts}}}, allocatable: \
         {{{amounts}}}}}}}\n"
    )
}

fn pod(name: &str, spec: &str, gpus: u32) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{spec}, containers: [{{name: c, resources: \
         {{limits: {{cpu: 4, nvidia.com/gpu: {gpus}}}}}}}]}}}}\n"
    )
}

struct Scene {
    manifests: Manifests,
    engine: Engine,
}

impl Scene {
    fn of(text: &str) -> Self {
        let mut reader = Reader::new(Limits::default());
        reader.add("test.yaml", text.as_bytes()).unwrap();
        let manifests = reader.finish();
        let mut engine = engine_of(&manifests, &Catalogue::builtin(), Policy::default(), |_| true);
        settle(&mut engine);
        Self { manifests, engine }
    }

    fn pod(&self, name: &str) -> Arc<Pod> {
        Arc::clone(self.engine.cluster().pods().find(|pod| pod.key.name == name).unwrap())
    }

    fn misses(&mut self, name: &str) -> Vec<Miss> {
        let pod = self.pod(name);
        let snapshot = self.engine.snapshot();
        misses(&snapshot, &pod, self.engine.cluster().pods().map(AsRef::as_ref))
    }

    fn state(&self, name: &str) -> NodeState {
        NodeState::clone(self.engine.cluster().node(name).unwrap())
    }

    fn gang(&self) -> GangView {
        self.engine.gangs().next().unwrap()
    }
}

fn names(leave: &Option<Vec<Leaver>>) -> Vec<&str> {
    leave.iter().flatten().map(|leaver| leaver.pod.name.as_str()).collect()
}

#[test]
fn those_who_leave_make_room_and_nobody_else_need_go() {
    let mut scene = Scene::of(
        &[
            node("a", "", "", WHOLE),
            pod("least", "nodeName: a, priority: 1", 2),
            pod("less", "nodeName: a, priority: 2", 2),
            pod("equal", "nodeName: a, priority: 5", 2),
            pod("large", "nodeName: a, priority: 3", 2),
            pod("wants", "priority: 5", 4),
        ]
        .concat(),
    );
    let misses = scene.misses("wants");
    assert_eq!(names(&misses[0].leave), ["less", "least"], "the most important of the lower ones stays");
    let leaving: Vec<_> = ["less", "least"].map(|name| scene.pod(name).uid.clone()).into();
    let wants = scene.pod("wants");
    assert!(placement::check(&wants.demand, &scene.state("a").without(&leaving)).is_ok());
    assert!(placement::check(&wants.demand, &scene.state("a").without(&leaving[..1])).is_err());
    let advice = remedy(&misses[0]);
    assert_eq!(advice, ["let default/less, default/least go from a: of lower priority, and the pod then fits"]);
}

#[test]
fn all_that_stands_against_a_node_is_told_and_the_nearest_comes_first() {
    let mut scene = Scene::of(
        &[
            node("absent", "", "", "cpu: \"64\", memory: 512Gi, pods: \"110\""),
            node("cordoned", ", pool: x", "unschedulable: true", WHOLE),
            node("full", ", pool: x", "", WHOLE),
            node("small", ", pool: x", "", "cpu: \"64\", memory: 512Gi, pods: \"110\", nvidia.com/gpu: \"2\""),
            node("tainted", "", "taints: [{key: team, value: red, effect: NoSchedule}]", WHOLE),
            pod("holder", "nodeName: full", 6),
            pod("wants", "nodeSelector: {pool: x}", 4),
        ]
        .concat(),
    );
    let misses = scene.misses("wants");
    let order: Vec<&str> = misses.iter().map(|miss| miss.node.as_str()).collect();
    assert_eq!(order, ["full", "cordoned", "tainted", "small", "absent"]);
    assert_eq!(misses[0].leave, None, "of the same priority");
    assert_eq!(remedy(&misses[0]), ["free 2 more nvidia.com/gpu on full, or add a node (testudo plan says which)"]);
    assert_eq!(remedy(&misses[1]), ["let pods onto cordoned again: kubectl uncordon cordoned"]);
    let labels: Vec<&str> = misses[2].obstacles.iter().map(Reason::label).collect();
    assert_eq!(labels, ["taint", "affinity"]);
    assert_eq!(misses[2].missing_labels, ["pool=x"]);
    assert!(remedy(&misses[2])[1].ends_with("kubectl label node tainted pool=x"), "{:?}", remedy(&misses[2]));
    assert!(remedy(&misses[3])[0].starts_with("ask for 2 nvidia.com/gpu at most"), "{:?}", remedy(&misses[3]));
}

#[test]
fn a_pod_does_not_stand_in_its_own_way() {
    let mut scene = Scene::of(&[node("a", "", "", WHOLE), pod("p", "nodeName: a", 8)].concat());
    assert_eq!(scene.misses("p"), []);
}

#[test]
fn a_pod_whose_scheduler_does_not_ask_testudo_is_told_so() {
    let of_ours = pod("ours", "schedulerName: testudo-scheduler", 1);
    let scene = Scene::of(&[node("a", "", "", WHOLE), of_ours, pod("other", "priority: 0", 1)].concat());
    let mut policy = Policy::default();
    let told = |policy: &Policy, name: &str| {
        let mut engine = engine_of(&scene.manifests, &Catalogue::builtin(), policy.clone(), |_| true);
        treated_as(&engine.snapshot(), &scene.pod(name))
    };
    assert_eq!(told(&policy, "other"), "placed by testudo", "nobody has said who asks");
    policy.gangs.schedulers = ["testudo-scheduler".to_owned()].into();
    assert_eq!(told(&policy, "ours"), "placed by testudo");
    assert_eq!(told(&policy, "other"), "placed by default-scheduler, which does not ask testudo");
}

fn member(name: &str, priority: i32, topology: &str) -> String {
    pod(name, &format!("priority: {priority}"), 8).replace(
        &format!("{{name: {name}}}"),
        &format!(
            "{{name: {name}, annotations: {{testudo.dev/pod-group: g, testudo.dev/min-member: \"2\", \
             testudo.dev/topology: required={topology}}}}}"
        ),
    )
}

#[test]
fn a_gang_is_told_how_near_each_domain_is_and_who_would_have_to_go() {
    let zone = |zone: &str| format!(", topology.kubernetes.io/zone: {zone}");
    let mut scene = Scene::of(
        &[
            node("a-0", &zone("a"), "", WHOLE),
            node("a-1", &zone("a"), "", WHOLE),
            node("b-0", &zone("b"), "", WHOLE),
            node("none", "", "", WHOLE),
            pod("low", "nodeName: a-1, priority: 1", 8),
            member("m-0", 9, "zone"),
            member("m-1", 9, "zone"),
        ]
        .concat(),
    );
    let members = [scene.pod("m-0"), scene.pod("m-1")];
    let domains = domains(&scene.engine.snapshot(), &members);
    let counts: Vec<_> =
        domains.iter().map(|miss| (miss.name.as_str(), miss.nodes, miss.places, miss.needed)).collect();
    assert_eq!(counts, [("a", 2, 1, 2), ("b", 1, 1, 2)]);
    assert_eq!(domains[0].level, "zone");
    let key = scene.gang().key;
    let must_end = scene.engine.making_room(&key).and_then(|task| task.who_must_end()).unwrap();
    let must_end: Vec<&str> = must_end.iter().map(|(pod, _)| pod.name.as_str()).collect();
    assert_eq!(must_end, ["low"]);
    // Without it the gang has places.
    scene.manifests.pods.retain(|pod| pod.metadata.name != "low");
    let mut engine = engine_of(&scene.manifests, &Catalogue::builtin(), Policy::default(), |_| true);
    settle(&mut engine);
    assert!(engine.gangs().all(|gang| gang.why.is_none()));
    let placed: Vec<Option<NodeName>> =
        engine.gangs().flat_map(|gang| gang.members).map(|member| member.node).collect();
    assert!(placed.iter().all(Option::is_some), "{placed:?}");
}

#[test]
fn a_gang_is_told_how_near_each_domain_is_for_one_of_its_sets() {
    let clique = |clique: &str| format!(", nvidia.com/gpu.clique: {clique}");
    let nodes = ["a-0", "a-1", "b-0"].map(|name| node(name, &clique(&name[..1]), "", WHOLE)).concat();
    let low = pod("low", "nodeName: a-1, priority: 1", 8);
    let told = |gpus: u32| {
        let names = ["m-0", "m-1", "m-2", "m-3"];
        let size = format!("testudo.dev/tensor-parallel-size: \"{gpus}\"");
        let member = |name| {
            member(name, 9, "zone").replace("testudo.dev/topology: required=zone", &size).replace("\"2\"", "\"4\"")
        };
        let mut scene = Scene::of(&[&*nodes, &*low, &*names.map(member).concat()].concat());
        let members = names.map(|name| scene.pod(name));
        let domains = domains(&scene.engine.snapshot(), &members);
        assert!(domains.iter().all(|miss| miss.level == "NVLink fabric (each set)"), "{domains:?}");
        domains.into_iter().map(|miss| (miss.name, miss.nodes, miss.places, miss.needed)).collect::<Vec<_>>()
    };
    let (a, b) = (|needed| ("a".to_owned(), 2, 1, needed), |needed| ("b".to_owned(), 1, 1, needed));
    assert_eq!(told(16), [a(2), b(2)]);
    assert_eq!(told(8), [a(1), b(1)], "a member is a set by itself");
}

#[test]
fn a_gang_is_told_whose_a_domain_is_that_it_cannot_share() {
    let rack = |rack: &str| format!(", rack: {rack}");
    let job = |set: &str, index: u32, node: &str| {
        let pod = pod(&format!("{set}-{index}"), node, 8);
        pod.replace(
            &format!("{{name: {set}-{index}}}"),
            &format!(
                "{{name: {set}-{index}, labels: {{jobset.sigs.k8s.io/jobset-name: {set}, jobset.sigs.k8s.io/replicatedjob-name: w, \
                 jobset.sigs.k8s.io/job-index: \"0\"}}, annotations: {{alpha.jobset.sigs.k8s.io/exclusive-topology: rack, \
                 testudo.dev/min-member: \"2\", batch.kubernetes.io/job-completion-index: \"{index}\"}}}}"
            ),
        )
    };
    let nodes = ["a-0", "a-1", "a-2", "b-0"].map(|name| node(name, &rack(&name[..1]), "", WHOLE)).concat();
    let running = job("first", 0, "nodeName: a-0") + &job("first", 1, "nodeName: a-1");
    let mut scene =
        Scene::of(&[nodes, running, job("second", 0, "priority: 1"), job("second", 1, "priority: 1")].concat());
    let domains = domains(&scene.engine.snapshot(), &[scene.pod("second-0"), scene.pod("second-1")]);
    let told: Vec<_> = domains.iter().map(|miss| (miss.name.as_str(), miss.places, miss.taken_by.as_deref())).collect();
    assert_eq!(told, [("b", 1, None), ("a", 0, Some("gang default/first"))]);
    assert_eq!(domains[0].level, "domain of rack");
    let why = scene.engine.gangs().find(|gang| gang.key.name == "second").and_then(|gang| gang.why).unwrap();
    assert!(why.contains("1 domain of rack is left out"), "{why}");
}
