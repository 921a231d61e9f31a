//! Claims of workloads, on devices that can be counted by hand.

use testudo_core::model::catalogue::Catalogue;

use super::tests::{cluster, fitting, more, read};
use super::*;

/// A node group of so many nodes whose driver publishes so many GPUs on each.
fn drivers(group: &str, count: usize, gpus: usize) -> String {
    let node = |at: usize| {
        let devices: Vec<String> = (0..gpus).map(|at| format!("{{name: gpu-{at}}}")).collect();
        format!(
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {group}-{at}, labels: {{eks.amazonaws.com/nodegroup: \
             {group}}}}}, status: {{allocatable: {{cpu: 64, memory: 1Ti, pods: 110}}, capacity: {{cpu: 64, memory: 1Ti, pods: \
             110}}}}}}\n---\n{{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {{name: {group}-{at}}}, spec: \
             {{driver: gpu.nvidia.com, nodeName: {group}-{at}, pool: {{name: {group}-{at}, generation: 1, resourceSliceCount: \
             1}}, devices: [{}]}}}}\n",
            devices.join(", ")
        )
    };
    let class = "---\n{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu.nvidia.com}, spec: {selectors: \
                 [{cel: {expression: \"device.driver == 'gpu.nvidia.com'\"}}]}}\n";
    (0..count).map(node).chain([class.to_owned()]).collect()
}

fn asking(count: usize) -> String {
    format!("{{devices: {{requests: [{{name: gpu, exactly: {{deviceClassName: gpu.nvidia.com, count: {count}}}}}]}}}}")
}

fn template(gpus: usize) -> String {
    format!(
        "---\n{{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {{name: gpus, namespace: team}}, spec: \
         {{spec: {}}}}}\n",
        asking(gpus)
    )
}

/// So many pods, each with a claim of that template.
fn deployment(replicas: usize, annotations: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d, namespace: team}}, spec: {{replicas: {replicas}, \
         template: {{metadata: {{annotations: {{{annotations}}}}}, spec: {{containers: [{{name: c}}], resourceClaims: [{{name: \
         gpus, resourceClaimTemplateName: gpus}}]}}}}}}}}\n"
    )
}

fn one(text: &str) -> Workload {
    let [workload] = read(text).unwrap().try_into().expect("one workload");
    workload
}

#[test]
fn pods_fit_as_far_as_there_are_devices() {
    let cluster = cluster(&drivers("p5", 2, 4));
    let workload = one(&(deployment(100, "") + &template(2)));
    let fit = fitting(&cluster, &workload, 100);
    assert_eq!(fit.placed.len(), 4, "two on each node");
    let refusal = fit.refusal.unwrap();
    assert_eq!(
        refusal.reason,
        "no node has free devices: claim gpus needs 2 devices of class gpu.nvidia.com for request gpu"
    );
    let [(of_nodes, 2)] = &refusal.nodes[..] else { panic!("both nodes say the same: {:?}", refusal.nodes) };
    assert!(of_nodes.starts_with("claim gpus, ") && of_nodes.contains("4 in use"), "{of_nodes}");
    assert_eq!(more(&cluster, &one(&(deployment(7, "") + &template(2)))), [("p5".to_owned(), 2)]);
    assert_eq!(more(&cluster, &one(&(deployment(1, "") + &template(5)))), [], "no such node has five");
}

/// Far more pods than may be planned ahead of kube-scheduler.
#[test]
fn there_is_no_end_to_single_pods() {
    let workload = one(&(deployment(150, "") + &template(1)));
    assert_eq!(fitting(&cluster(&drivers("p5", 40, 4)), &workload, 150).placed.len(), 150);
}

#[test]
fn what_claims_of_others_have_is_not_there() {
    let running = "---\n{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, namespace: x}, spec: {}, status: \
                   {allocation: {devices: {results: [{request: r, driver: gpu.nvidia.com, pool: p5-0, device: gpu-0}]}}}}\n";
    let workload = one(&(deployment(2, "") + &template(2)));
    assert_eq!(fitting(&cluster(&drivers("p5", 1, 4)), &workload, 2).placed.len(), 2);
    assert_eq!(fitting(&cluster(&(drivers("p5", 1, 4) + running)), &workload, 2).placed.len(), 1);
}

#[test]
fn a_gang_gets_its_devices_as_a_whole_or_not_at_all() {
    let gang = "testudo.dev/pod-group: g, testudo.dev/min-member: \"3\"";
    let workload = one(&(deployment(3, gang) + &template(4)));
    assert!(workload.is_gang());
    let fit = fitting(&cluster(&drivers("p5", 7, 4)), &workload, 3);
    assert_eq!(fit.placed.len(), 2, "a node for each member");
    assert!(fit.refusal.unwrap().reason.contains("needs 3 places"));
    assert_eq!(fitting(&cluster(&drivers("p5", 2, 4)), &workload, 1).placed.len(), 0);
    assert_eq!(more(&cluster(&drivers("p5", 2, 4)), &workload), [("p5".to_owned(), 1)]);
}

#[test]
fn who_shares_a_claim_is_where_its_devices_are() {
    let claim = format!(
        "---\n{{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {{name: ours, namespace: team}}, spec: {}}}\n",
        asking(4)
    );
    let named = deployment(3, "").replace("resourceClaimTemplateName: gpus", "resourceClaimName: ours");
    let fit = fitting(&cluster(&drivers("p5", 3, 4)), &one(&(named.clone() + &claim)), 3);
    let nodes: Vec<&str> = fit.placed.iter().map(|placed| placed.nodes[0].as_str()).collect();
    assert_eq!((nodes.len(), nodes[0], nodes[1]), (3, nodes[1], nodes[2]), "{:?}", fit.refusal);
    let missing = fitting(&cluster(&drivers("p5", 3, 4)), &one(&named), 1).refusal.unwrap();
    assert_eq!(missing.reason, "claim team/ours does not exist");
    // One that has its devices: on a node where there are no CPUs any more.
    let given = claim.replace("team}", "team, uid: u}").replace("}}\n", "}, status: {allocation: {nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [p5-1]}]}]}, devices: {results: [{request: gpu, driver: gpu.nvidia.com, pool: p5-1, device: gpu-0}]}}}}\n");
    let cpus =
        |count: usize| named.replace("{name: c}", &format!("{{name: c, resources: {{requests: {{cpu: {count}}}}}}}"));
    let fit = fitting(&cluster(&(drivers("p5", 3, 4) + &given)), &one(&cpus(30)), 3);
    let nodes: Vec<&str> = fit.placed.iter().map(|placed| placed.nodes[0].as_str()).collect();
    assert_eq!(nodes, ["p5-1", "p5-1"]);
    let refusal = fit.refusal.unwrap();
    assert!(
        refusal.nodes.contains(&("the devices of claim team/ours are elsewhere".to_owned(), 2)),
        "{:?}",
        refusal.nodes
    );
}

#[test]
fn without_a_template_nothing_is_said() {
    let workload = one(&deployment(1, ""));
    let error = workload.clone().with_templates(&[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "Deployment team/d: its pods use ResourceClaimTemplate team/gpus, which is not known: give its manifest with that of the \
         workload"
    );
    let cluster = cluster(&(drivers("p5", 1, 4) + &template(2)));
    let workload = workload.with_templates(&cluster.templates).unwrap();
    assert_eq!(fitting(&cluster, &workload, 9).placed.len(), 2, "that of the cluster is taken");
    let old = template(1).replace("k8s.io/v1", "k8s.io/v1beta1");
    let error = read(&(deployment(1, "") + &old)).unwrap_err().to_string();
    assert_eq!(error, "ResourceClaimTemplate gpus: version v1beta1 is not read: use resource.k8s.io/v1");
}

#[test]
fn a_class_that_is_not_there_gives_nothing() {
    let unknown = template(1).replace("gpu.nvidia.com", "gpu.example.com");
    let refusal = fitting(&cluster(&drivers("p5", 1, 4)), &one(&(deployment(1, "") + &unknown)), 1).refusal.unwrap();
    assert!(refusal.reason.contains("gpu.example.com"), "{}", refusal.reason);
}

/// A class that serves an extended resource: kube-scheduler makes the claims.
#[test]
fn devices_behind_extended_resources_count() {
    let class = "---\n{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: served}, spec: {extendedResourceName: \
                 nvidia.com/gpu}}\n";
    let workload = one(&super::tests::deployment(3, 2, ""));
    let cluster = cluster(&(drivers("p5", 1, 4) + class));
    assert_eq!(fitting(&cluster, &workload, 3).placed.len(), 2);
    // The same devices for both: who gets which is not known.
    let by_claims = one(&(deployment(1, "") + &template(2)));
    for (first, second) in [(&workload, &by_claims), (&by_claims, &workload)] {
        let mut room = Room::new(&cluster, &Catalogue::builtin(), More::default()).unwrap();
        room.can_judge(first).unwrap();
        let error = room.can_judge(second).unwrap_err().to_string();
        assert!(error.ends_with("try them one by one"), "{error}");
    }
}
