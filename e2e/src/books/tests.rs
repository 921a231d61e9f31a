//! The audits find what they are for, and nothing where all is well.

use serde_json::{Value, json};

use super::*;

const GPU: &str = "nvidia.com/gpu";

fn pod(name: &str, gpus: u32, node: Option<&str>) -> Value {
    let container = json!({"name": "main", "resources": {"requests": {GPU: gpus.to_string(), "cpu": "500m"}}});
    json!({"metadata": {"name": name, "uid": name}, "spec": {"nodeName": node, "containers": [container]}})
}

/// One of a gang of this size.
fn member(gang: &str, size: u32, at: u32, gpus: u32, node: Option<&str>) -> Value {
    let mut member = pod(&format!("{gang}-{at}"), gpus, node);
    member["metadata"]["annotations"] = json!({GANG: gang, MIN_MEMBER: size.to_string()});
    member
}

fn typed(pods: Vec<Value>) -> Vec<Pod> {
    pods.into_iter().map(|pod| serde_json::from_value(pod).expect("a pod")).collect()
}

fn node(name: &str, gpus: u32) -> Node {
    let node = json!({"metadata": {"name": name}, "status": {"allocatable": {GPU: gpus.to_string(), "cpu": "96"}}});
    serde_json::from_value(node).expect("a node")
}

/// What is wrong with two nodes of 8 GPUs and these pods.
fn faults(pods: Vec<Value>) -> Vec<String> {
    let free = [("a".to_owned(), 8), ("b".to_owned(), 8)].into();
    let asks = |pod: &Pod| Ok(extended_requests(pod)?.get(GPU).copied().unwrap_or(0));
    Books::of(free, &typed(pods), asks).expect("books").faults()
}

#[test]
fn a_node_that_is_overcommitted_is_found() {
    let nodes = [node("a", 8), node("b", 8)];
    let over = |pods: Vec<Value>| overcommitted(&nodes, &typed(pods)).expect("counts");
    let (first, second) = (pod("x", 5, Some("a")), pod("y", 4, Some("a")));
    assert_eq!(over(vec![first.clone(), second.clone()]), ["node a has 8 nvidia.com/gpu, its pods ask for 9"]);
    assert_eq!(faults(vec![first.clone(), second.clone()]), ["node a has given 1 more than it has"]);
    assert_eq!(over(vec![first.clone(), pod("y", 4, Some("b")), pod("z", 3, Some("a")), pod("w", 8, None)]), [""; 0]);
    // Who is to go is there until it is gone; who has ended has nothing.
    let mut going = second.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    assert_eq!(over(vec![first.clone(), going]).len(), 1);
    let mut ended = second;
    ended["status"] = json!({"phase": "Succeeded"});
    assert_eq!(over(vec![first, ended]), [""; 0]);
}

#[test]
fn a_pod_that_waits_although_it_would_fit_is_found() {
    let full = pod("full", 8, Some("a"));
    let idle = faults(vec![full.clone(), pod("six", 6, Some("b")), pod("idle", 2, None)]);
    assert_eq!(idle, ["pod idle waits for 2, and some node has them free"]);
    // As many are free, but on no node together.
    assert_eq!(faults(vec![pod("x", 6, Some("a")), pod("y", 6, Some("b")), pod("late", 4, None)]), [""; 0]);
    // What asks for none of these units is none of these books' business.
    assert_eq!(faults(vec![pod("other", 0, None)]), [""; 0]);
}

#[test]
fn half_a_gang_is_found() {
    let (running, waiting) = (member("g", 2, 0, 8, Some("a")), member("g", 2, 1, 8, None));
    let rest = pod("rest", 8, Some("b"));
    assert_eq!(faults(vec![running.clone(), waiting.clone(), rest.clone()]), ["1 of 2 of gang g run"]);
    // And it is no better where there is room for the other half.
    assert_eq!(faults(vec![running.clone(), waiting])[0], "1 of 2 of gang g run");
    // The other member was taken away.
    assert_eq!(faults(vec![running.clone(), rest]), [""; 0]);
    assert_eq!(faults(vec![running, member("g", 2, 1, 8, Some("b"))]), [""; 0]);
}

#[test]
fn a_gang_that_waits_although_all_of_it_would_fit_is_found() {
    let gang = |size, gpus| (0..size).map(move |at| member("g", size, at, gpus, None));
    let beside = |running: Vec<Value>, gang: Vec<Value>| faults(running.into_iter().chain(gang).collect());
    let waits = |asks: &str, count: u32| format!("gang g waits with {count} members, and all of {asks} are free");
    assert_eq!(beside(vec![], gang(2, 8).collect()), [waits("[8, 8]", 2)]);
    assert_eq!(beside(vec![pod("x", 4, Some("a"))], gang(3, 4).collect()), [waits("[4, 4, 4]", 3)]);
    // There is room for each of them, and not for all.
    assert_eq!(beside(vec![pod("x", 1, Some("a"))], gang(2, 8).collect()), [""; 0]);
    assert_eq!(beside(vec![pod("x", 5, Some("a"))], gang(3, 4).collect()), [""; 0]);
    // A member has yet to be made.
    assert_eq!(beside(vec![], gang(3, 4).take(2).collect()), [""; 0]);
    // The small ones go into what the large ones leave.
    let mixed = [3, 5, 5, 3].into_iter().zip(0..).map(|(gpus, at)| member("g", 4, at, gpus, None));
    assert_eq!(beside(vec![], mixed.collect()), [waits("[3, 3, 5, 5]", 4)]);
}

#[test]
fn a_member_beyond_the_size_of_its_gang_waits_for_itself_only() {
    let running = |at, node| member("g", 2, at, 4, Some(node));
    let late = || [member("g", 2, 2, 4, None), member("g", 2, 3, 5, None)];
    let found = faults([running(0, "a"), running(1, "b")].into_iter().chain(late()).collect());
    assert_eq!(found, ["gang g waits with 1 members, and all of [4] are free"]);
    let full = [running(0, "a"), running(1, "b"), pod("x", 2, Some("a")), pod("y", 2, Some("b"))];
    assert_eq!(faults(full.into_iter().chain(late()).collect()), [""; 0]);
}

#[test]
fn who_is_bound_twice_or_by_another_is_found() {
    let request = |user: &str, uid: &str, code| BindingRequest {
        user: user.to_owned(),
        pod: "x".to_owned(),
        uid: uid.to_owned(),
        code,
    };
    let bound = |requests: &[(&str, &str, u64)]| {
        let requests = requests.iter().map(|(user, uid, code)| request(user, uid, *code)).collect();
        bound_once(requests, "testudo").map_err(|error| error.to_string())
    };
    assert_eq!(bound(&[("testudo", "1", 201), ("testudo", "1", 201)]), Err("pod x was bound twice".to_owned()));
    assert!(bound(&[("testudo", "1", 201), ("other", "2", 409)]).is_err_and(|error| error.starts_with("other has")));
    assert!(bound(&[("testudo", "", 201)]).is_err());
    let all = bound(&[("testudo", "1", 403), ("testudo", "1", 500), ("testudo", "1", 201), ("testudo", "1", 409)]);
    assert_eq!(all, Ok([("1".to_owned(), (1, 1))].into()));
}
