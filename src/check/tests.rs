use super::*;
use crate::k8s::manifests::{Limits, Reader};

fn manifests(yaml: &str) -> Manifests {
    let mut reader = Reader::new(Limits::default());
    reader.add("cluster.yaml", yaml.as_bytes()).unwrap();
    reader.finish()
}

const NODES: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: good, labels: {nvidia.com/gpu.product: NVIDIA-L40S, nvidia.com/gpu.present: "true"}}
status: {capacity: {nvidia.com/gpu: "8"}, allocatable: {nvidia.com/gpu: "7"}}
---
apiVersion: v1
kind: Node
metadata: {name: nameless}
status: {capacity: {nvidia.com/gpu: "8"}, allocatable: {nvidia.com/gpu: "8"}}
---
apiVersion: v1
kind: Node
metadata: {name: silent, labels: {nvidia.com/gpu.present: "true"}}
---
apiVersion: v1
kind: Node
metadata: {name: plain}
"#;

fn said(findings: &[Finding], status: Status, part: &str) -> bool {
    findings.iter().any(|finding| finding.status == status && finding.what.contains(part))
}

#[test]
fn nodes_that_show_no_gpus_are_named() {
    let findings = of_nodes(&manifests(NODES), &SliceNodes::new());
    assert!(said(&findings, Status::Ok, "2 nodes offer accelerators"), "{findings:?}");
    assert!(said(&findings, Status::Failed, "offer none to pods: silent"), "{findings:?}");
    assert!(said(&findings, Status::Warning, "not known of nameless"), "{findings:?}");
    assert!(said(&findings, Status::Warning, "do not work on good"), "{findings:?}");
    // The DRA driver runs on it.
    let findings = of_nodes(&manifests(NODES), &SliceNodes::from([("silent".to_owned(), 1)]));
    assert!(said(&findings, Status::Ok, "3 nodes offer accelerators"), "{findings:?}");
    assert!(!findings.iter().any(|finding| finding.status == Status::Failed), "{findings:?}");
    let nothing = of_nodes(&Manifests::default(), &SliceNodes::new());
    assert!(said(&nothing, Status::Failed, "no node offers accelerators"), "{nothing:?}");
}

fn pod(name: &str, namespace: &str, scheduler: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, uid: {name}}}\nspec:\n  \
         schedulerName: {scheduler}\n  containers: [{{name: c, resources: {{limits: {{nvidia.com/gpu: \"1\"}}}}}}]\n"
    )
}

#[test]
fn pods_that_pass_testudo_by_are_named() {
    let pods = [
        pod("a", "in", "testudo-scheduler"),
        pod("b", "in", "default-scheduler"),
        pod("c", "out", "default-scheduler"),
    ];
    let manifests = manifests(&pods.concat());
    let opted_in = OptedIn::from(["in".to_owned()]);
    let findings = of_objects(&manifests, &SliceNodes::new(), &Configuration::default(), Some(&opted_in));
    assert!(said(&findings, Status::Ok, "1 pods that ask for accelerators are of scheduler testudo-scheduler"));
    assert!(said(&findings, Status::Failed, "default-scheduler: in/b; their namespaces have opted in"), "{findings:?}");
    assert!(said(&findings, Status::Warning, "default-scheduler: out/c"), "{findings:?}");
    assert!(said(&findings, Status::Ok, "opted in: in"));
}

#[test]
fn versions_of_vendors_are_understood() {
    assert_eq!(of_version("v1.35.2-eks-abc").status, Status::Ok);
    assert_eq!(of_version("v1.33.0").status, Status::Failed);
    assert_eq!(of_version("v1.99.0").status, Status::Warning);
    assert_eq!(of_version("main").status, Status::Warning);
}

#[test]
fn what_is_needed_is_what_the_chart_gives_and_what_is_configured() {
    let has = |configuration: &Configuration, words: &str| {
        permissions::needed(configuration).iter().any(|permission| permission.to_string() == words)
    };
    let mut configuration = Configuration::default();
    for words in ["list nodes", "patch pods/status", "create pods/binding", "create events.events.k8s.io"] {
        assert!(has(&configuration, words), "{words}: {:?}", permissions::needed(&configuration));
    }
    assert!(!has(&configuration, "patch nodes") && !has(&configuration, "patch resourceclaims.resource.k8s.io"));
    configuration.autoscaling.enabled = true;
    configuration.claims.device_classes.insert("gpu".to_owned());
    assert!(has(&configuration, "patch nodes") && has(&configuration, "patch resourceclaims.resource.k8s.io"));
}

#[test]
fn names_are_told_up_to_a_few() {
    assert_eq!(few(["a", "b"]), "a, b");
    assert_eq!(few(["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
}
