use serde_json::json;

use super::*;
use crate::k8s::manifests::{Limits, Reader};
use crate::k8s::mock::{ApiServer, failure};

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

const SERVER: &str = "v1.36.3";

#[test]
fn what_is_needed_is_what_the_chart_gives_and_what_is_configured() {
    let needed = |configuration: &Configuration| -> BTreeSet<String> {
        permissions::needed(configuration, SERVER).iter().map(ToString::to_string).collect()
    };
    let mut configuration = Configuration::default();
    let plain = needed(&configuration);
    for words in ["list nodes", "patch pods/status", "create pods/binding", "create events.events.k8s.io"] {
        assert!(plain.contains(words), "{words}: {plain:?}");
    }
    configuration.autoscaling.enabled = true;
    let more = |configuration: &Configuration| needed(configuration).difference(&plain).cloned().collect::<Vec<_>>();
    assert_eq!(more(&configuration), ["get nodes", "patch nodes"]);
    // What was protected is let go.
    configuration.autoscaling.protect_nodes = false;
    assert_eq!(more(&configuration), ["get nodes", "patch nodes"]);
    configuration.autoscaling.enabled = false;
    configuration.claims.device_classes.insert("gpu".to_owned());
    let of_claims = |words: &str| format!("{words}.resource.k8s.io");
    let mut expected = [
        "get deviceclasses",
        "get resourceclaims",
        "list deviceclasses",
        "list resourceclaims",
        "list resourceslices",
        "patch resourceclaims",
        "update resourceclaims/binding",
        "update resourceclaims/status",
        "watch deviceclasses",
        "watch resourceclaims",
        "watch resourceslices",
    ]
    .map(of_claims)
    .to_vec();
    assert_eq!(more(&configuration), expected);
    let before = permissions::needed(&configuration, "v1.35.2-eks-abc");
    let before: BTreeSet<String> = before.iter().map(ToString::to_string).collect();
    expected.retain(|words| !words.contains("binding"));
    assert_eq!(before.difference(&plain).cloned().collect::<Vec<_>>(), expected);
}

#[test]
fn gates_may_be_left_to_nobody() {
    let all = permissions::needed(&Configuration::default(), SERVER);
    let only = |verb: &str| all.iter().filter(|p| p.verb == verb && p.resource == "pods").cloned().collect::<Vec<_>>();
    let findings = permissions::of_account("testudo", &Ok(only("patch")));
    assert!(said(&findings, Status::Warning, "testudo may not patch pods: it opens no gates"), "{findings:?}");
    assert_eq!(findings.len(), 1);
    let findings = permissions::of_account("testudo", &Ok([only("patch"), only("list")].concat()));
    assert!(said(&findings, Status::Failed, "testudo may not list pods"), "{findings:?}");
    assert_eq!(findings.len(), 2);
    assert!(said(&permissions::of_account("testudo", &Ok(vec![])), Status::Ok, "may do what testudo does"));
}

/// An installation whose account has a name of its own.
#[tokio::test]
async fn the_account_is_that_of_the_deployment() {
    for (named, account) in [(Some("robot"), "robot"), (None, "default")] {
        let server = ApiServer::new(move |request| {
            let pod = json!({"serviceAccountName": named, "containers": []});
            let spec = json!({"selector": {}, "template": {"metadata": {}, "spec": pod}});
            let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": spec});
            Some(match request == "GET /apis/apps/v1/namespaces/ns/deployments/shields" {
                true => (200, deployment.to_string()),
                false => failure(404, "NotFound", "not there"),
            })
        });
        let installed = cluster::Installed::look(&server.client, "ns", "shields", SERVER).await;
        assert_eq!(installed.account, format!("system:serviceaccount:ns:{account}"));
        let asked = format!("\"user\":\"system:serviceaccount:ns:{account}\"");
        assert!(server.requests.lock().iter().any(|request| request.contains(&asked)));
    }
    let nothing = ApiServer::new(|_| Some(failure(403, "Forbidden", "no")));
    let installed = cluster::Installed::look(&nothing.client, "ns", "shields", SERVER).await;
    assert_eq!(installed.account, "system:serviceaccount:ns:shields", "as the chart calls it");
}

#[test]
fn names_are_told_up_to_a_few() {
    assert_eq!(few(["a", "b"]), "a, b");
    assert_eq!(few(["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
}
