//! What fits, and what would have to grow, on clusters that can be counted by hand.

use prometheus_client::registry::Registry;
use testudo_core::engine::{AutoscalingPolicy, ClaimPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;

use super::*;
use crate::claims::with_large_stack;
use crate::config::Mode;
use crate::host::{Bindings, Host};
use crate::k8s::manifests::{self, Limits, Reader};

pub(super) fn cluster(text: &str) -> Manifests {
    let mut reader = Reader::new(Limits::default());
    reader.add("cluster.yaml", text.as_bytes()).unwrap();
    reader.finish()
}

/// So many nodes of 8 H100 in a node group.
fn nodes(group: &str, count: usize, labels: &str) -> String {
    let node = |at: usize| {
        let amounts = "{cpu: \"192\", memory: 2Ti, pods: \"110\", nvidia.com/gpu: \"8\"}";
        format!(
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {group}-{at}, labels: {{eks.amazonaws.com/nodegroup: \
             {group}, nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3{labels}}}}}, status: {{capacity: {amounts}, \
             allocatable: {amounts}}}}}\n"
        )
    };
    (0..count).map(node).collect()
}

pub(super) fn read(text: &str) -> Result<Vec<Workload>, WorkloadError> {
    let path = std::env::temp_dir().join(format!("testudo-plan-{:?}.yaml", std::thread::current().id()));
    std::fs::write(&path, format!("---\n{text}")).unwrap();
    let objects = manifests::objects(std::slice::from_ref(&path), &Limits::default()).unwrap();
    std::fs::remove_file(path).unwrap();
    workloads(&objects)
}

pub(super) fn deployment(replicas: usize, gpus: u32, annotations: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d, namespace: team}}, spec: {{replicas: {replicas}, \
         template: {{metadata: {{annotations: {{{annotations}}}}}, spec: {{containers: [{{name: c, resources: {{limits: \
         {{cpu: 4, nvidia.com/gpu: {gpus}}}}}}}]}}}}}}}}\n"
    )
}

pub(super) fn fitting(cluster: &Manifests, workload: &Workload, copies: usize) -> Fit {
    fill(&mut Room::new(cluster, &Catalogue::builtin(), More::default()).unwrap(), workload, copies)
}

pub(super) fn more(cluster: &Manifests, workload: &Workload) -> Vec<(String, usize)> {
    let growths = growths(cluster, &Catalogue::builtin(), &[(workload, workload.copies)]).unwrap();
    growths.into_iter().map(|growth| (growth.group.name, growth.more)).collect()
}

#[test]
fn single_pods_fit_one_by_one() {
    let cluster = cluster(&nodes("p5", 2, ""));
    let workload = &read(&deployment(5, 4, "")).unwrap()[0];
    assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (5, 1, false));
    let fit = fitting(&cluster, workload, 5);
    assert_eq!(fit.placed.len(), 4);
    let refusal = fit.refusal.unwrap();
    assert_eq!(refusal.nodes, [("needs 4 nvidia.com/gpu, too few are free".to_owned(), 2)]);
    assert_eq!(more(&cluster, workload), [("p5".to_owned(), 1)]);
    assert_eq!(fitting(&cluster, workload, 3).placed.len(), 3, "no more than asked for");
}

#[test]
fn a_gang_fits_as_a_whole_or_not_at_all() {
    let gang = "testudo.dev/pod-group: g, testudo.dev/min-member: \"3\"";
    let workload = &read(&deployment(3, 8, gang)).unwrap()[0];
    assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (1, 3, true));
    let small = cluster(&nodes("p5", 2, ""));
    let fit = fitting(&small, workload, 1);
    assert_eq!(fit.placed.len(), 0);
    assert!(fit.refusal.unwrap().reason.contains("needs 3 places"), "the planner's words");
    assert_eq!(more(&small, workload), [("p5".to_owned(), 1)]);
    let large = cluster(&nodes("p5", 7, ""));
    let fit = fitting(&large, workload, MAX_COPIES);
    assert_eq!(fit.placed.len(), 2, "copies are gangs of their own");
    let of_copy = |at: usize| fit.placed[at].nodes.len();
    assert_eq!((of_copy(0), of_copy(1)), (3, 3));
}

#[test]
fn members_beyond_the_minimum_need_places_too() {
    let gang = "testudo.dev/pod-group: g, testudo.dev/min-member: \"2\"";
    let workload = &read(&deployment(3, 8, gang)).unwrap()[0];
    assert_eq!(fitting(&cluster(&nodes("p5", 3, "")), workload, 1).placed.len(), 1);
    let fit = fitting(&cluster(&nodes("p5", 2, "")), workload, 1);
    assert_eq!(fit.placed.len(), 0);
    assert_eq!(fit.refusal.unwrap().reason, "2 of 3 members have places, the others have none");
}

#[test]
fn a_leader_worker_set_is_a_gang_for_each_replica() {
    let set = std::fs::read_to_string("deploy/examples/workloads/leaderworkerset.yaml").unwrap();
    let workload = &read(&set).unwrap()[0];
    assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (2, 2, true));
    let zone = ", topology.kubernetes.io/zone: a";
    let fit = fitting(&cluster(&nodes("p5", 3, zone)), workload, 2);
    assert_eq!(fit.placed.len(), 1);
    assert_eq!(more(&cluster(&nodes("p5", 3, zone)), workload), [("p5".to_owned(), 1)]);
    // Leader and worker share a zone, which nodes without one cannot give them.
    assert_eq!(fitting(&cluster(&nodes("p5", 3, "")), workload, 1).placed.len(), 0);
}

#[test]
fn a_ray_cluster_is_one_gang_of_its_head_and_all_hosts() {
    let cluster_file = std::fs::read_to_string("deploy/examples/workloads/raycluster.yaml").unwrap();
    let job = cluster_file
        .replace("kind: RayCluster", "kind: RayJob")
        .replace("spec:\n  rayVersion", "spec:\n rayClusterSpec:\n  rayVersion");
    // Two workers of two hosts each, a set of 16 GPUs over the hosts of each: they need an NVLink domain of two nodes.
    let pair = |at: usize| {
        nodes(&format!("nvl{at}"), 2, &format!(", topology.kubernetes.io/zone: a, nvidia.com/gpu.clique: c{at}"))
    };
    for file in [cluster_file, job] {
        let workload = &read(&file).unwrap()[0];
        assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (1, 5, true), "{}", workload.name);
        assert_eq!(fitting(&cluster(&(pair(0) + &pair(1))), workload, 1).placed.len(), 1);
        let fit = fitting(&cluster(&pair(0)), workload, 1);
        assert_eq!(fit.placed.len(), 0, "{}", workload.name);
    }
}

#[test]
fn workers_of_one_host_form_sets_with_each_other() {
    let file = std::fs::read_to_string("deploy/examples/workloads/raycluster.yaml").unwrap();
    let changes = [
        ("eplicas: 2", "eplicas: 4"),
        ("numOfHosts: 2", "numOfHosts: 1"),
        ("gpu: \"8\"", "gpu: \"2\""),
        ("cpu: \"64\"", "cpu: \"8\""),
        ("500Gi", "50Gi"),
        ("\"16\"", "\"8\""),
    ];
    let file = changes.iter().fold(file, |file, (from, to)| file.replace(from, to));
    let workload = &read(&file).unwrap()[0];
    assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (1, 5, true));
    let fit = fitting(&cluster(&nodes("p5", 1, ", topology.kubernetes.io/zone: a")), workload, 1);
    assert_eq!((fit.placed.len(), fit.refusal.map(|refusal| refusal.reason)), (1, None));
}

fn jobset(replicas: usize) -> String {
    let job = |name: &str, replicas: usize, gpus: usize, depends: &str| {
        format!(
            "{{name: {name}, replicas: {replicas}, {depends} template: {{spec: {{parallelism: 2, completions: 2, template: \
             {{spec: {{containers: [{{name: c, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}}}}}}}}}"
        )
    };
    format!(
        "{{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {{name: train, namespace: team, annotations: \
         {{alpha.jobset.sigs.k8s.io/exclusive-topology: topology.kubernetes.io/zone}}}}, spec: {{replicatedJobs: [{}, {}]}}}}",
        job("prepare", 1, 1, ""),
        job("workers", replicas, 8, "dependsOn: [{name: prepare, status: Complete}],"),
    )
}

#[test]
fn a_jobset_is_what_runs_together_and_each_job_is_in_one_domain() {
    let workload = &read(&jobset(2)).unwrap()[0];
    assert_eq!(
        (workload.copies, workload.pods(), workload.is_gang()),
        (1, 4, true),
        "what is prepared is over by then"
    );
    let zone = |at: usize| nodes(&format!("z{at}"), 2, &format!(", topology.kubernetes.io/zone: z{at}"));
    assert_eq!(fitting(&cluster(&(zone(0) + &zone(1))), workload, 1).placed.len(), 1);
    let one = nodes("z0", 8, ", topology.kubernetes.io/zone: z0");
    assert_eq!(fitting(&cluster(&one), workload, 1).placed.len(), 0, "nor do two jobs share one");
    let large = |at: usize| nodes(&format!("z{at}"), 4, &format!(", topology.kubernetes.io/zone: z{at}"));
    let three = large(0) + &large(1) + &large(2);
    assert_eq!(fitting(&cluster(&three), workload, 2).placed.len(), 1, "nor those of two JobSets");
    let apart: String =
        (0..4).map(|at| nodes(&format!("z{at}"), 1, &format!(", topology.kubernetes.io/zone: z{at}"))).collect();
    assert_eq!(fitting(&cluster(&apart), workload, 1).placed.len(), 0, "a job does not span zones");
}

#[test]
fn an_inference_service_over_two_nodes_is_a_gang_and_a_plain_one_so_many_pods() {
    let service = std::fs::read_to_string("deploy/examples/workloads/kserve-inferenceservice.yaml").unwrap();
    let workload = &read(&service).unwrap()[0];
    assert_eq!((workload.copies, workload.pods(), workload.is_gang()), (1, 2, true));
    let zone = ", topology.kubernetes.io/zone: a";
    assert_eq!(fitting(&cluster(&nodes("p5", 2, zone)), workload, 1).placed.len(), 1);
    assert_eq!(more(&cluster(&nodes("p5", 1, zone)), workload), [("p5".to_owned(), 1)]);
    let plain = |resources: &str| {
        format!(
            "{{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {{name: s}}, spec: {{predictor: \
             {{minReplicas: 3, model: {{modelFormat: {{name: huggingface}}{resources}}}}}}}}}"
        )
    };
    let pods = &read(&plain(", resources: {limits: {nvidia.com/gpu: 2}}")).unwrap()[0];
    assert_eq!((pods.copies, pods.pods(), pods.is_gang()), (3, 1, false));
    let error = read(&plain("")).unwrap_err().to_string();
    assert!(error.contains("spec.predictor.model.resources"), "{error}");
    let head = "metadata: {name: s}, spec: {predictor: {model: {resources: {limits: {nvidia.com/gpu: 8}}}, workerSpec: \
                {tensorParallelSize: 16}}}";
    let error =
        read(&format!("{{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, {head}}}")).unwrap_err();
    assert!(error.to_string().contains("spec.predictor.workerSpec.containers[].resources"), "{error}");
}

#[test]
fn new_nodes_of_cliques_are_new_cliques() {
    let gang = "testudo.dev/pod-group: g, testudo.dev/min-member: \"2\", testudo.dev/topology: required=clique";
    let workload = &read(&deployment(2, 8, gang)).unwrap()[0];
    let one_each = nodes("gb", 1, ", nvidia.com/gpu.clique: a") + &nodes("gc", 1, ", nvidia.com/gpu.clique: b");
    assert_eq!(more(&cluster(&one_each), workload), [], "cliques of one node never hold two");
    let busy = "---\n{apiVersion: v1, kind: Pod, metadata: {name: busy}, spec: {nodeName: gb-0, containers: [{name: c, \
                resources: {limits: {nvidia.com/gpu: 1}}}]}}\n";
    let pair = nodes("gb", 2, ", nvidia.com/gpu.clique: a") + busy;
    assert_eq!(fitting(&cluster(&pair), workload, 1).placed.len(), 0);
    assert_eq!(more(&cluster(&pair), workload), [("gb".to_owned(), 2)], "one new node would be alone in its clique");
}

#[test]
fn what_runs_takes_room_and_what_waits_does_not() {
    let pod = |name: &str, node: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{nodeName: \"{node}\", containers: \
             [{{name: c, resources: {{limits: {{nvidia.com/gpu: 8}}}}}}]}}}}\n"
        )
    };
    let cluster = cluster(&(nodes("p5", 2, "") + &pod("runs", "p5-0") + &pod("waits", "")));
    let workload = &read(&deployment(2, 8, "")).unwrap()[0];
    let fit = fitting(&cluster, workload, 2);
    assert_eq!(fit.placed.len(), 1);
    assert_eq!(fit.placed[0].nodes[0].as_str(), "p5-1");
    assert_eq!(waiting(&cluster), 1);
}

#[test]
fn members_that_start_each_for_itself_are_placed_so() {
    let alone = "testudo.dev/pod-group: g, testudo.dev/min-member: \"1\"";
    let workload = &read(&deployment(3, 8, alone)).unwrap()[0];
    let fit = fitting(&cluster(&nodes("p5", 4, "")), workload, 1);
    assert_eq!(fit.placed.len(), 1, "{:?}", fit.refusal);
    let refusal = fitting(&cluster(&nodes("p5", 2, "")), workload, 1).refusal.unwrap();
    assert_eq!(refusal.reason, "none of 2 nodes has a place: needs 8 nvidia.com/gpu, too few are free");
}

#[test]
fn bad_workloads_are_told() {
    let error = |text: &str| read(text).unwrap_err().to_string();
    let bound = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: node-1}}";
    assert!(error(bound).starts_with("Pod default/p has a node already"), "{}", error(bound));
    let many = error(&deployment(20_000, 1, ""));
    assert_eq!(many, "Deployment team/d: number of pods: 20000 is not from 0 to 10000");
    let size = error(&deployment(2, 1, "testudo.dev/pod-group: g, testudo.dev/min-member: two"));
    assert!(size.contains("testudo.dev/min-member") && size.contains("\"two\""), "{size}");
    assert_eq!(read("{apiVersion: v1, kind: Service, metadata: {name: s}}").unwrap().len(), 0);
}

/// A gang of three whose members claim both GPUs of a node each, beside one such node; devices are found for it on nodes like
/// that one.
#[test]
fn what_drivers_would_publish_for_new_nodes_is_counted() {
    const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: gpus-0, labels: {eks.amazonaws.com/nodegroup: gpus}}
status: {allocatable: {cpu: "64", memory: 1Ti, pods: "110"}}
---
apiVersion: v1
kind: Node
metadata: {name: cpus-0, labels: {eks.amazonaws.com/nodegroup: cpus}}
status: {allocatable: {cpu: "64", memory: 1Ti, pods: "110"}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: gpus-0-0}
spec:
  driver: gpu.nvidia.com
  nodeName: gpus-0
  pool: {name: gpus-0, generation: 1, resourceSliceCount: 1}
  devices:
    - {name: gpu-0, attributes: {type: {string: gpu}}}
    - {name: gpu-1, attributes: {type: {string: gpu}}, taints: [{key: broken, effect: NoSchedule}]}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec: {selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].type == 'gpu'"}}]}
"#;
    let member = |at: usize| {
        format!(
            r#"---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {{name: c{at}, namespace: team, uid: c{at}}}
spec: {{devices: {{requests: [{{name: gpus, exactly: {{deviceClassName: gpu.nvidia.com, allocationMode: ExactCount, count: 2}}}}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: g-{at}, namespace: team, uid: g-{at}, annotations: {{testudo.dev/pod-group: g, testudo.dev/min-member: "3"}}}}
spec:
  schedulerName: testudo-scheduler
  containers: [{{name: c, resources: {{claims: [{{name: gpus}}]}}}}]
  resourceClaims: [{{name: gpus, resourceClaimName: c{at}}}]
"#
        )
    };
    let manifests = cluster(&format!("{CLUSTER}{}", (0..3).map(member).collect::<String>()));
    let claims = ClaimPolicy { classes: ["gpu.nvidia.com".to_owned()].into(), ..ClaimPolicy::default() };
    let policy = Policy { claims, autoscaling: Some(AutoscalingPolicy::default()), ..Policy::default() };
    let registry = &mut Registry::default();
    let host = Host::new(policy, Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
    host.take_manifests(manifests);
    let mut branch = host.branch();
    let gang = branch.gangs().next().expect("a gang").key;
    let found = with_large_stack(|| {
        assert_eq!(branch.want(&gang).map(|want| want.members), Some(3));
        // Nothing of the first attempt is left for the second.
        Ok([(); 2].map(|()| growths_for(&gang, &mut branch, &Catalogue::builtin())))
    });
    for growths in found.expect("a thread") {
        let [Growth { group, nodes: 1, more: 3 }] = &growths[..] else { panic!("{growths:?}") };
        assert_eq!(group.name, "gpus", "the first node has one GPU that works");
    }
}
