use super::*;

fn read(files: &[(&str, &str)]) -> Result<Manifests, String> {
    read_within(files, Limits::default())
}

fn read_within(files: &[(&str, &str)], limits: Limits) -> Result<Manifests, String> {
    let mut reader = Reader::new(limits);
    for (name, text) in files {
        reader.add(name, text.as_bytes()).map_err(|error| error.to_string())?;
    }
    Ok(reader.finish())
}

fn names(manifests: &Manifests) -> (Vec<&str>, Vec<String>) {
    let pod = |pod: &object::Pod| format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
    (manifests.nodes.iter().map(|node| node.metadata.name.as_str()).collect(), manifests.pods.iter().map(pod).collect())
}

fn error(text: &str) -> String {
    read(&[("f", text)]).expect_err("an error")
}

const YAML: &str = "\
# a small fleet
---
apiVersion: v1
kind: Node
metadata:
  name: n-1
  labels: {driver: 1.10, on: yes, octal: 0755}
  annotations:
    note: |
      --- not a document
status:
  allocatable: {cpu: 8, nvidia.com/gpu: \"2\"}
---
# nothing here
--- # and here a list
apiVersion: v1
kind: List
metadata: {resourceVersion: ''}
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: p-1, uid: u-1, namespace: team}
  spec: {nodeName: n-1}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: 2}}
- {apiVersion: v1, kind: Pod, metadata: {name: p-2}, spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c2}}
";

#[test]
fn reads_yaml_of_many_documents_and_lists() {
    let manifests = read(&[("f", YAML)]).unwrap();
    assert_eq!(names(&manifests), (vec!["n-1"], vec!["team/p-1".to_owned(), "default/p-2".into()]));
    let ignored: Vec<_> = manifests.ignored.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(ignored, [("ConfigMap", 2), ("Deployment.apps", 1)]);
    let node = &manifests.nodes[0];
    assert_eq!(node.metadata.labels["driver"], "1.10", "stays the text it is");
    assert_eq!((node.metadata.labels["on"].as_str(), node.metadata.labels["octal"].as_str()), ("yes", "0755"));
    assert_eq!(node.status.allocatable["cpu"], "8".into());
    assert_eq!(node.metadata.annotations["note"], "--- not a document\n");
}

#[test]
fn reads_json_one_after_the_other() {
    let text = r#"
        {"apiVersion": "v1", "kind": "NodeList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}
        {"kind": "List", "apiVersion": "v1", "items": null}
        {"items": [{"kind": "Pod", "metadata": {"name": "p"}}], "apiVersion": "v1", "kind": "List"}"#;
    let manifests = read(&[("f", text)]).unwrap();
    assert_eq!(names(&manifests), (vec!["a", "b"], vec!["default/p".to_owned()]));
}

#[test]
fn fills_in_what_a_cluster_would_have() {
    let manifests = read(&[("f", YAML)]).unwrap();
    assert_eq!(manifests.nodes[0].metadata.uid, "manifest:node/n-1");
    let pod = |at: usize| (manifests.pods[at].metadata.uid.as_str(), manifests.pods[at].status.phase.as_deref());
    assert_eq!(pod(0), ("u-1", Some("Running")));
    assert_eq!(pod(1), ("manifest:pod/default/p-2", Some("Pending")));
    let finished = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: n}, status: {phase: Failed}}";
    let finished = read(&[("f", finished)]).unwrap();
    assert_eq!(finished.pods[0].status.phase.as_deref(), Some("Failed"), "YAML may begin like JSON");
}

#[test]
fn the_same_object_twice_is_an_error() {
    let node = |name: &str, uid: &str| format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, uid: {uid}}}\n");
    let twice = read(&[("a", &node("n", "u")), ("b", &format!("\n---\n{}", node("n", "v")))]).unwrap_err();
    assert_eq!(twice, "b: document 2, Node n: is there twice, first in a, document 1");
    let same_uid = read(&[("a", &format!("{}---\n{}", node("n", "u"), node("m", "u")))]).unwrap_err();
    assert_eq!(same_uid, "a: document 2, Node m: has the uid u of Node n");
    let placed = "kind: Node\nmetadata: {name: n, namespace: x}\n";
    assert!(read(&[("a", &node("n", "u")), ("b", placed)]).is_err(), "nodes have no namespace");
    let pod = |namespace: &str| format!("--- {{kind: Pod, metadata: {{name: p, namespace: {namespace}}}}}\n");
    assert!(read(&[("a", &pod("x")), ("b", &pod("y"))]).is_ok());
}

#[test]
fn errors_say_where() {
    let yaml =
        "kind: Node\nmetadata: {name: n}\n---\nkind: Pod\nmetadata: {name: p, namespace: t}\nspec:\n  containers: 7\n";
    assert_eq!(error(yaml), "f:7:15: document 2, Pod t/p: expected sequence start");
    let json = "{\"kind\": \"Node\", \"metadata\": {\"name\": \"n\"}}\n{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [\n\
                {\"kind\": \"Pod\", \"metadata\": {\"name\": \"p\"},\n \"spec\": {\"priority\": \"high\"}}]}";
    assert_eq!(error(json), "f:4:28: document 2, Pod p: invalid type: string \"high\", expected i32");
    assert_eq!(error("kind: Node\nmetadata: {name: n\n---\n"), "f:2:11: document 1: unclosed bracket '{'");
    assert!(error("{\"kind\": \"Node\"").starts_with("f:1:15: document 1: EOF while parsing"));
    assert_eq!(error("metadata: {name: x}"), "f: document 1: kind is missing");
    assert_eq!(error("kind: Node"), "f: document 1, Node (no name): metadata.name is missing");
    assert_eq!(error("just words"), "f:1:1: document 1: expected mapping start");
    let missing = super::read(&[PathBuf::from("no-such-file.yaml")], &Limits::default()).unwrap_err().to_string();
    assert!(missing.starts_with("no-such-file.yaml: No such file"), "{missing}");
    let mut reader = Reader::new(Limits::default());
    assert!(reader.add("f", b"\xff\xfe").unwrap_err().to_string().starts_with("f: is no text"));
}

#[test]
fn a_node_of_another_group_is_another_kind() {
    let manifests = read(&[("f", "apiVersion: metrics.k8s.io/v1\nkind: Node\nmetadata: {name: n}")]).unwrap();
    assert_eq!(manifests.ignored.keys().collect::<Vec<_>>(), ["Node.metrics.k8s.io"]);
    assert!(manifests.nodes.is_empty());
}

#[test]
fn size_and_number_are_bounded() {
    let documents = Limits { documents: 2, ..Limits::default() };
    let config_map = "---\nkind: ConfigMap\n";
    assert!(read_within(&[("f", &config_map.repeat(2))], documents).is_ok());
    assert_eq!(read_within(&[("f", &config_map.repeat(3))], documents).unwrap_err(), "f: has more than 2 documents");
    let this_file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let small = Limits { file_bytes: 10, ..Limits::default() };
    assert!(super::read(&[this_file], &small).unwrap_err().what.ends_with("is larger than 10 bytes"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    // A long comment, for what is allowed grows with the text; what aliases repeat does not.
    let comment = "x".repeat(2_000_000);
    assert!(error(&format!("# {comment}\nkind: ConfigMap\n{bomb}")).contains("alias"), "{}", error(&bomb));
}

#[test]
fn a_large_file_is_no_bomb() {
    let large = format!("kind: ConfigMap\nmetadata: {{name: c}}\ndata: [{}]\n", "x, ".repeat(300_000));
    assert_eq!(read(&[("f", &large)]).unwrap().ignored["ConfigMap"], 1);
}

#[test]
fn group_objects_describe_gangs() {
    let pod_group = |api: &str| {
        format!("--- {{apiVersion: {api}, kind: PodGroup, metadata: {{name: g}}, spec: {{minMember: 2}}}}\n")
    };
    let all =
        ["scheduling.x-k8s.io/v1alpha1", "scheduling.volcano.sh/v1beta1", "example.com/v1", "scheduling.volcano.sh/v9"];
    let lws = "--- {apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: l, namespace: t}, \
               spec: {leaderWorkerTemplate: {size: 3, workerTemplate: {spec: {containers: [{name: a, resources: {limits: {nvidia.com/gpu: 8}}}]}}}}}\n";
    let text: String = all.map(pod_group).into_iter().chain([lws.to_owned()]).collect();
    let manifests = read(&[("f", &text)]).unwrap();
    let said = |group: &Group| (group.key.to_string(), group.object.uid.to_string(), group.terms.min_member);
    let expected = [
        ("default/g".to_owned(), "manifest:podgroup.scheduling.x-k8s.io/default/g".to_owned(), Some(2)),
        ("default/g".to_owned(), "manifest:podgroup.scheduling.volcano.sh/default/g".to_owned(), Some(2)),
        ("t/l".to_owned(), "manifest:leaderworkerset.leaderworkerset.x-k8s.io/t/l".to_owned(), Some(3)),
    ];
    assert_eq!(manifests.groups.iter().map(said).collect::<Vec<_>>(), expected);
    let worker = manifests.groups[2].terms.roles["worker"].template.clone().unwrap();
    assert_eq!(worker.requests.get("nvidia.com/gpu"), 8);
    let ignored: Vec<_> = manifests.ignored.keys().collect();
    assert_eq!(
        ignored,
        ["PodGroup.example.com", "PodGroup.scheduling.volcano.sh"],
        "kinds and versions that nobody knows"
    );
    assert!(manifests.pods.is_empty(), "no controller makes any here");
    let wrong = "apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: g}\nspec: {minMember: two}";
    let expected = "f: document 1, PodGroup.scheduling.x-k8s.io default/g: invalid type: string \"two\", expected i64";
    assert_eq!(error(wrong), expected);
    let odd = "apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: g}\nspec: {minMember: -1}";
    assert_eq!(read(&[("f", odd)]).unwrap().group_problems.len(), 1);
}
