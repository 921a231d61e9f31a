//! The audits of devices find what they are for, and nothing where all is well.

use serde_json::{Value, json};

use super::*;
use crate::devices;

/// Two nodes of 8 GPUs each.
fn inventory() -> (Inventory, BTreeSet<String>) {
    inventory_of(["a", "b"].iter().flat_map(|node| devices::whole_gpus(node)))
}

fn inventory_of(slices: impl IntoIterator<Item = Value>) -> (Inventory, BTreeSet<String>) {
    let mut inventory = Inventory::default();
    for slice in slices {
        inventory.add(serde_json::from_value(slice).expect("a slice")).expect("devices");
    }
    (inventory, ["a".to_owned(), "b".to_owned()].into())
}

/// A claim of as many devices as it has, and who uses them.
fn claim(name: &str, node: &str, devices: &[&str], users: &[&str]) -> Value {
    let request = devices::request("r", "gpu", devices.len(), None);
    let mut claim = devices::claim("ns", name, vec![request], vec![]);
    let results: Vec<Value> = devices
        .iter()
        .map(|device| json!({"request": "r", "driver": devices::DRIVER, "pool": node, "device": device}))
        .collect();
    let users: Vec<Value> = users.iter().map(|user| json!({"resource": "pods", "name": user, "uid": user})).collect();
    claim["status"] = json!({"allocation": {"devices": {"results": results}}, "reservedFor": users});
    claim
}

/// A pod that uses a claim by its name.
fn pod(name: &str, node: Option<&str>, claim: &str) -> Value {
    let claims = json!([{"name": "c", "resourceClaimName": claim}]);
    let spec = json!({"nodeName": node, "containers": [{"name": "main"}], "resourceClaims": claims});
    json!({"metadata": {"name": name, "uid": name}, "spec": spec})
}

fn moment(pods: Vec<Value>, claims: Vec<Value>) -> Moment {
    let pods = pods.into_iter().map(|pod| serde_json::from_value(pod).expect("a pod")).collect();
    let claims = claims.into_iter().map(|claim| serde_json::from_value(claim).expect("a claim")).collect();
    Moment { namespace: "ns".to_owned(), pods, claims }
}

fn fault(pods: Vec<Value>, claims: Vec<Value>) -> Option<String> {
    let (inventory, nodes) = inventory();
    moment(pods, claims).check(&inventory, &nodes).err().map(|error| error.to_string())
}

#[test]
fn a_device_that_is_given_twice_is_found() {
    let (x, y) = (claim("x", "a", &["gpu-0", "gpu-1"], &["x"]), claim("y", "a", &["gpu-1"], &["y"]));
    let twice = fault(vec![], vec![x.clone(), y]);
    assert_eq!(twice.as_deref(), Some("device a/gpu-1 was given to claims ns/x and ns/y"));
    // One of that name on another node is another one.
    assert_eq!(fault(vec![], vec![x.clone(), claim("y", "b", &["gpu-1"], &["y"])]), None);
    // It is as bad if the other claim is of another namespace.
    let mut stranger = claim("y", "a", &["gpu-0"], &[]);
    stranger["metadata"]["namespace"] = json!("other");
    assert!(fault(vec![], vec![x, stranger]).is_some());
    let unknown = fault(vec![], vec![claim("x", "a", &["gpu-8"], &["x"])]);
    assert_eq!(unknown.as_deref(), Some("claim ns/x has a/gpu-8, which is not there"));
}

#[test]
fn partitions_that_overlap_are_found() {
    let (inventory, nodes) = inventory_of(devices::dynamic_mig("a"));
    let check = |second: &str| {
        let claims = vec![claim("x", "a", &["gpu-0-mig-3g40gb-9-0"], &[]), claim("y", "a", &[second], &[])];
        moment(vec![], claims).check(&inventory, &nodes)
    };
    assert!(check("gpu-0-mig-2g20gb-14-2").is_err_and(|error| error.to_string().contains("partitions draw 2 of")));
    assert!(check("gpu-0").is_err());
    assert!(check("gpu-0-mig-3g40gb-9-4").is_ok());
    assert!(check("gpu-1-mig-3g40gb-9-0").is_ok());
}

#[test]
fn who_runs_without_its_devices_is_found() {
    let given = || claim("c", "a", &["gpu-0"], &["x"]);
    assert_eq!(fault(vec![pod("x", Some("a"), "c")], vec![given()]), None);
    // Nobody is there yet, and nobody is there any more.
    assert_eq!(fault(vec![pod("x", None, "c")], vec![]), None);
    let mut ended = pod("x", Some("a"), "c");
    ended["status"] = json!({"phase": "Failed"});
    assert_eq!(fault(vec![ended], vec![]), None);

    let without = "pod x is on its node without devices for claim c";
    assert_eq!(fault(vec![pod("x", Some("a"), "c")], vec![]).as_deref(), Some(without));
    let others = claim("c", "a", &["gpu-0"], &["y"]);
    assert_eq!(fault(vec![pod("x", Some("a"), "c")], vec![others]).as_deref(), Some(without));
    let elsewhere = fault(vec![pod("x", Some("b"), "c")], vec![given()]);
    assert_eq!(elsewhere.as_deref(), Some("pod x is on b, and claim c has a device on Some(\"a\")"));
    let mut unmade = pod("x", Some("a"), "c");
    unmade["spec"]["resourceClaims"] = json!([{"name": "c", "resourceClaimTemplateName": "t"}]);
    let no_claim = "pod x has no claim from its template for c";
    assert_eq!(fault(vec![unmade.clone()], vec![given()]).as_deref(), Some(no_claim));
    unmade["status"] = json!({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "c"}]});
    assert_eq!(fault(vec![unmade], vec![given()]), None);
}

#[test]
fn devices_that_nobody_uses_are_found() {
    let used = |pods, claims| moment(pods, claims).check_used().map_err(|error| error.to_string());
    assert_eq!(used(vec![pod("x", None, "c")], vec![claim("c", "a", &["gpu-0"], &["x"])]), Ok(()));
    let idle = used(vec![pod("x", None, "c")], vec![claim("c", "a", &["gpu-0"], &[])]);
    assert_eq!(idle, Err("claim ns/c has devices, and nobody uses them".to_owned()));
    let left = used(vec![], vec![claim("c", "a", &["gpu-0"], &["x"])]);
    assert_eq!(left, Err("claim ns/c is used by nobody".to_owned()));
}

#[test]
fn a_pod_or_a_gang_that_waits_although_devices_are_free_is_found() {
    let (inventory, nodes) = inventory();
    let templates = [("six".to_owned(), 6)].into();
    let faults = |pods, claims| moment(pods, claims).books(&inventory, &nodes, &templates).expect("books").faults();
    let (x, six) = (|| pod("x", Some("a"), "x"), || claim("x", "a", &["gpu-0", "gpu-1", "gpu-2"], &["x"]));
    let unmet = |name: &str, count| devices::claim("ns", name, vec![devices::request("r", "gpu", count, None)], vec![]);
    let idle = faults(vec![x(), pod("idle", None, "eight")], vec![six(), unmet("eight", 8)]);
    assert_eq!(idle, ["pod idle waits for 8, and some node has them free"]);
    assert_eq!(faults(vec![x(), pod("late", None, "nine")], vec![six(), unmet("nine", 9)]), [""; 0]);
    // Two have room on the nodes that are empty, beside three devices on one of them has but one.
    let gang = || {
        (0..2).map(|at| {
            let mut member = pod(&format!("g-{at}"), None, "");
            member["spec"]["resourceClaims"] = json!([{"name": "c", "resourceClaimTemplateName": "six"}]);
            let words = json!({"testudo.dev/pod-group": "g", "testudo.dev/min-member": "2"});
            member["metadata"]["annotations"] = words;
            member
        })
    };
    assert_eq!(faults(gang().collect(), vec![]), ["gang g waits with 2 members, and all of [6, 6] are free"]);
    assert_eq!(faults([x()].into_iter().chain(gang()).collect(), vec![six()]), [""; 0]);
}
