//! What a snapshot has, and that it is as good as the cluster.

use std::collections::BTreeSet;

use proptest::prelude::*;
use testudo_core::engine::{Offered, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::pod::{PodKey, Stage};

use super::*;
use crate::host::offline::{engine_of, settle};
use crate::k8s::mock::{ApiServer, failure};
use crate::sim::fleet::fleet;
use crate::sim::rng::Rng;
use crate::sim::workload::workload;

fn read(bytes: &[u8]) -> Manifests {
    let mut reader = Reader::new(Limits::default());
    reader.add("test", bytes).unwrap();
    reader.finish()
}

fn unpacked(snapshot: &Snapshot) -> Vec<u8> {
    use std::io::Read;
    let (mut packed, mut bytes) = (vec![], vec![]);
    snapshot.write(&mut packed, "2026-01-02T03:04:05Z").unwrap();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A cluster with nodes of many kinds, pods of which some have nodes, and a gang.
fn cluster(seed: u64) -> Vec<Value> {
    let mut rng = Rng::new(seed);
    let nodes = fleet(12);
    let mut objects: Vec<Value> = vec![];
    let object = |kind: &str, mut object: Value| {
        object["apiVersion"] = "v1".into();
        object["kind"] = kind.into();
        object
    };
    for node in &nodes {
        objects.push(object("Node", serde_json::to_value(node).unwrap()));
    }
    for (at, mut pod) in workload(40, &mut rng).into_iter().enumerate() {
        if rng.below(2) == 0 {
            pod.spec.node_name = Some(nodes[rng.below(nodes.len())].metadata.name.clone());
            pod.status.phase = Some("Running".into());
        }
        if at < 4 {
            pod.metadata.annotations.insert("testudo.dev/pod-group".into(), "secret-gang".into());
            pod.metadata.annotations.insert("testudo.dev/min-member".into(), "4".into());
        }
        objects.push(object("Pod", serde_json::to_value(pod).unwrap()));
    }
    objects
}

/// What the engine says of every pod: the node that it would choose, and how many nodes take it.
fn answers(manifests: &Manifests) -> Vec<(PodKey, Option<String>, usize)> {
    let mut engine = engine_of(manifests, &Catalogue::builtin(), Policy::default(), |_| true);
    settle(&mut engine);
    let snapshot = engine.snapshot();
    let pending = engine.cluster().pods().filter(|pod| pod.stage == Stage::Pending);
    let answer = |pod: &std::sync::Arc<testudo_core::model::pod::Pod>| {
        let judgement = snapshot.judge(pod);
        let names = snapshot.nodes().into_iter().map(|state| state.name().as_str());
        let fits = |name: &&str| judgement.of(Offered::Named(name)).rank().is_some();
        (pod.key.clone(), judgement.best().map(ToString::to_string), names.filter(fits).count())
    };
    let mut answers: Vec<_> = pending.map(answer).collect();
    answers.sort();
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_gives_the_answers_of_the_cluster(seed in any::<u64>()) {
        let objects = cluster(seed);
        let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
        let cluster = read(lines.join("\n").as_bytes());
        let snapshot = read(&unpacked(&Snapshot::of(&objects)));
        prop_assert_eq!(&snapshot, &cluster);
        prop_assert!(answers(&cluster).iter().any(|(_, node, _)| node.is_some()), "some pod fits");
        prop_assert_eq!(answers(&snapshot), answers(&cluster));
    }

    #[test]
    fn without_names_the_answers_are_the_same(seed in any::<u64>()) {
        let objects = cluster(seed);
        let snapshot = Snapshot::of(&objects);
        let (named, nameless) = (read(&unpacked(&snapshot)), read(&unpacked(&snapshot.clone().anonymised())));
        // Numbers follow the order of the names, so that node for node the choice is the same.
        let mut renamed: Vec<(&str, &str)> = vec![];
        for (named, nameless) in named.nodes.iter().zip(&nameless.nodes) {
            renamed.push((&named.metadata.name, &nameless.metadata.name));
        }
        let rename = |node: &String| renamed.iter().find(|(of, _)| of == node).map(|(_, to)| (*to).to_owned());
        let expected: Vec<_> =
            answers(&named).into_iter().map(|(_, node, fits)| (node.as_ref().and_then(rename), fits)).collect();
        let found: Vec<_> = answers(&nameless).into_iter().map(|(_, node, fits)| (node, fits)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_name_remains(seed in any::<u64>()) {
        let objects = cluster(seed);
        let text = String::from_utf8(unpacked(&Snapshot::of(&objects).anonymised())).unwrap();
        let mut names: BTreeSet<&str> = BTreeSet::from(["secret-gang"]);
        for object in &objects {
            for field in ["name", "namespace", "uid"] {
                names.extend(object["metadata"][field].as_str());
            }
        }
        let of_api = BTreeSet::from(["", "spec", "status", "gpu"]);
        for name in names.difference(&of_api) {
            prop_assert!(!text.contains(&format!("\"{name}\"")), "{} is still there", name);
        }
    }
}

/// What the API server says to whom it refuses names them, and kinds that nobody else has name who made them.
#[tokio::test]
async fn who_took_it_does_not_remain() {
    let group = json!({"name": "scheduling.run.ai", "versions": [{"groupVersion": "scheduling.run.ai/v2alpha2", "version": "v2alpha2"}]});
    let served = json!({"name": "podgroups", "namespaced": true, "kind": "PodGroup", "verbs": ["list", "watch"], "singularName": ""});
    let answers = [
        ("GET /apis ", json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})),
        (
            "GET /apis/scheduling.run.ai/v2alpha2 ",
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "scheduling.run.ai/v2alpha2", "resources": [served]}),
        ),
    ];
    let server = ApiServer::new(move |request| {
        let known = answers.iter().find(|(asked, _)| format!("{request} ").starts_with(asked));
        Some(match known {
            Some((_, answer)) => (200, answer.to_string()),
            None if request.contains("podgroups") => {
                failure(403, "Forbidden", "User \"jane@corp.example\" cannot list resource \"podgroups\"")
            }
            None => (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}).to_string()),
        })
    });
    let mut snapshot = list(&server.client, |_, _| {}).await.unwrap();
    let crd = json!({"apiVersion": "secret.corp.example/v1", "kind": "SecretProject", "metadata": {"name": "a"}});
    snapshot.left_out.extend(Snapshot::of(&[crd]).left_out);
    let named = String::from_utf8(unpacked(&snapshot)).unwrap();
    assert!(named.contains("jane@corp.example") && named.contains("SecretProject.secret.corp.example"), "{named}");
    let nameless = String::from_utf8(unpacked(&snapshot.anonymised())).unwrap();
    assert!(!nameless.to_lowercase().contains("secret") && !nameless.contains("corp.example"), "{nameless}");
    assert!(nameless.contains(r#""leftOut":{"podgroups.scheduling.run.ai":"forbidden"}"#), "{nameless}");
}

#[test]
fn keys_stay_that_are_the_same_everywhere() {
    let labels = json!({
        "node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/acme-secret-project": "",
        "node-restriction.kubernetes.io/secret": "", "secret.node-restriction.kubernetes.io/own": "", "scheduling.x-k8s.io/pod-group": "secret-gang",
    });
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": labels}});
    let nameless = Snapshot::of(&[node]).anonymised().into_objects();
    let labels = nameless[0]["metadata"]["labels"].as_object().unwrap();
    assert!(!nameless[0].to_string().contains("secret"), "{labels:?}");
    let known = labels.keys().filter(|key| !key.starts_with("key-")).collect::<Vec<_>>();
    assert_eq!(known, ["node-role.kubernetes.io/control-plane", "scheduling.x-k8s.io/pod-group"]);
}

#[test]
fn a_snapshot_of_another_version_is_not_guessed_at() {
    let mut reader = Reader::new(Limits::default());
    let newer = br#"{"apiVersion":"testudo.dev/v9","kind":"Snapshot","items":[{"apiVersion":"v1","kind":"Node"}]}"#;
    let error = reader.add("new.json.gz", newer).unwrap_err().to_string();
    assert_eq!(
        error,
        "new.json.gz: document 1, Snapshot (no name): is of version \"testudo.dev/v9\", and \"testudo.dev/v1alpha1\" \
         is read here: use the testudo that took it"
    );
}

#[test]
fn a_file_that_unpacks_to_too_much_is_refused() {
    let path = std::env::temp_dir().join(format!("testudo-bomb-{}", std::process::id()));
    let mut packed = GzEncoder::new(vec![], Compression::best());
    packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let limits = Limits { file_bytes: 1 << 16, ..Limits::default() };
    let error = crate::k8s::manifests::read(std::slice::from_ref(&path), &limits).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.ends_with("is larger than 65536 bytes once it is unpacked"), "{error}");
}

/// Devices and claims with a secret in every text that somebody may have chosen.
fn secretive() -> Vec<Value> {
    let device = |name: &str, team: &str| {
        json!({
            "name": name, "nodeName": null, "bindingConditions": ["secret.example.com/attached"],
            "attributes": {
                "productName": {"string": "NVIDIA H100 80GB HBM3"}, "secret": {"string": "secret-value"},
                "secret.example.com/team": {"string": team}, "driverVersion": {"version": "550.54.15"},
                "firmware": {"version": "1.2.3-secret"}, "tags": {"strings": ["secret-tag"]}, "index": {"int": 1},
            },
            "capacity": {"memory": {"value": "80Gi"}, "secret-units": {"value": "4"}},
            "consumesCounters": [{"counterSet": "secret-set", "counters": {"memory": {"value": "1"}, "secret-count": {"value": "1"}}}],
            "taints": [{"key": "secret.example.com/broken", "value": "secret", "effect": "NoSchedule"}],
        })
    };
    let pool = json!({"name": "secret-node", "generation": 1, "resourceSliceCount": 2});
    let selector = |expression: &str| json!([{"cel": {"expression": expression}}]);
    let chosen = "device.attributes['secret.example.com'].team == 'secret-team' // the secret team's";
    let ask = json!({
        "deviceClassName": "secret-class", "count": 1, "selectors": selector("device.driver.startsWith('secret')"),
        "tolerations": [{"key": "secret.example.com/broken", "operator": "Exists"}],
        "capacity": {"requests": {"secret-units": "2"}},
    });
    let spec = json!({"devices": {
        "requests": [{"name": "secret-request", "firstAvailable": [{"name": "secret-choice", "deviceClassName": "secret-class"}]},
            {"name": "secret-other", "exactly": ask}],
        "constraints": [{"requests": ["secret-request/secret-choice", "secret-other"], "matchAttribute": "secret.example.com/team"}],
        "config": [{"requests": ["secret-request"], "opaque": {"driver": "d", "parameters": {"token": "secret"}}}],
    }});
    let dra = "resource.k8s.io/v1";
    let metadata =
        |name: &str| json!({"name": name, "namespace": "secret-ns", "annotations": {"testudo.dev/devices": "secret"}});
    let result = json!({"request": "secret-request/secret-choice", "driver": "secret.example.com", "pool": "secret-node",
        "device": "secret-device", "shareID": "secret-share", "consumedCapacity": {"secret-units": "2"}});
    vec![
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "secret-node"}}),
        // Devices may be called so, and they alone.
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-77"}}),
        json!({"apiVersion": dra, "kind": "DeviceClass", "metadata": {"name": "secret-class"},
            "spec": {"selectors": selector(chosen), "extendedResourceName": "secret.example.com/gpu"}}),
        json!({"apiVersion": dra, "kind": "ResourceSlice", "metadata": {"name": "secret-slice"}, "spec": {
            "driver": "secret.example.com", "nodeName": "secret-node", "pool": pool,
            "devices": [device("secret-device", "secret-team"), device("gpu-3", "secret-others")]}}),
        json!({"apiVersion": dra, "kind": "ResourceSlice", "metadata": {"name": "secret-counters"}, "spec": {
            "driver": "secret.example.com", "nodeName": "secret-node", "pool": pool,
            "sharedCounters": [{"name": "secret-set", "counters": {"memory": {"value": "9"}, "secret-count": {"value": "9"}}}]}}),
        json!({"apiVersion": dra, "kind": "ResourceClaimTemplate", "metadata": metadata("secret-template"), "spec": {"spec": spec}}),
        json!({"apiVersion": dra, "kind": "ResourceClaim", "metadata": metadata("secret-claim"), "spec": spec, "status": {
            "allocation": {"devices": {"results": [result]}, "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [
                {"key": "metadata.name", "operator": "In", "values": ["secret-node"]}]}]}},
            "reservedFor": [{"resource": "pods", "name": "secret-pod", "uid": "secret-uid"}]}}),
    ]
}

#[test]
fn nothing_that_somebody_has_chosen_remains_of_devices() {
    let nameless = Snapshot::of(&secretive()).anonymised();
    assert!(nameless.left_out.is_empty(), "{:?}", nameless.left_out);
    let text = String::from_utf8(unpacked(&nameless)).unwrap();
    assert!(!text.contains("secret") && !text.contains("gpu-77"), "{text}");
    for stays in ["NVIDIA H100 80GB HBM3", "\"gpu-3\"", "550.54.15", "\"memory\"", "9999.0."] {
        assert!(text.contains(stays), "{stays} says what hardware it is, and is not in {text}");
    }
    let [.., slice, _, _, claim] = &nameless.into_objects()[..] else { panic!("all are there") };
    let class_says = |at: usize| slice["spec"]["devices"][at]["attributes"]["testudo.dev/s0"]["bool"] == true;
    assert_eq!((class_says(0), class_says(1)), (true, false), "what the class says of its devices: {slice}");
    let result = &claim["status"]["allocation"]["devices"]["results"][0];
    assert_eq!(result["device"], slice["spec"]["devices"][0]["name"], "names refer to each other as before");
    assert_eq!(result["pool"], slice["spec"]["nodeName"]);
    let request = &claim["spec"]["devices"]["requests"][0];
    let path =
        format!("{}/{}", request["name"].as_str().unwrap(), request["firstAvailable"][0]["name"].as_str().unwrap());
    assert_eq!(
        (&result["request"], &claim["spec"]["devices"]["constraints"][0]["requests"][0]),
        (&json!(path), &json!(path))
    );
}
