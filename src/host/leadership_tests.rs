use std::borrow::Cow;

use serde_json::json;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;
use tokio::time::sleep;

use super::*;
use crate::extender::{Binding, Extender, NodeVerdict, Offer};
use crate::host::{Bindings, LABEL_DEADLINE};
use crate::k8s::bind::Binder;
use crate::k8s::claims::ClaimWriter;
use crate::k8s::fence::fenced;
use crate::k8s::leader_label::LeaderLabel;
use crate::k8s::manifests::Manifests;
use crate::k8s::mock::ApiServer;
use crate::k8s::object;

/// One of several replicas, with one node of 8 GPUs, whose bindings `server` answers.
fn replica(server: &ApiServer) -> Arc<Host> {
    let leadership = Leadership::contested();
    let fence = leadership.clone();
    let client = fenced(server.client.clone(), move || fence.may_write());
    let bindings = Bindings::Cluster {
        binder: Binder::new(client.clone()),
        claims: ClaimWriter::new(client),
        timeout: Duration::from_secs(10),
    };
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), bindings, &mut Registry::default())
        .with_leadership(leadership);
    let resources = json!({"cpu": "96", "pods": "110", "nvidia.com/gpu": "8"});
    let node = json!({"metadata": {"name": "a"}, "status": {"capacity": resources, "allocatable": resources}});
    let nodes = vec![serde_json::from_value(node).expect("a node")];
    host.take_manifests(Manifests { nodes, ..Manifests::default() });
    Arc::new(host)
}

fn accepting() -> ApiServer {
    ApiServer::new(|_| Some((201, "{}".into())))
}

fn filter(host: &Host) -> Result<Vec<NodeVerdict>, Refusal> {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "p"},
        "spec": {"containers": [{"resources": {"requests": {"nvidia.com/gpu": "8"}}}]},
    });
    let pod: object::Pod = serde_json::from_value(pod).expect("a pod");
    host.filter(&pod, &Offer::Names(vec![Cow::Borrowed("a")])).map(|verdicts| verdicts.iter().collect())
}

async fn bind(host: &Host) -> Result<(), Refusal> {
    let (pod_name, pod_namespace, pod_uid) = ("p".into(), "default".into(), "p".into());
    host.bind(Binding { pod_name, pod_namespace, pod_uid, node: "a".into() }).await
}

fn unavailable(why: &str) -> Refusal {
    Refusal::Unavailable(format!("testudo: this replica {why}"))
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn only_the_leader_answers_and_all_are_ready() {
    let server = accepting();
    let host = replica(&server);
    assert_eq!(host.ready(), Ok(()));
    assert_eq!(filter(&host), Err(unavailable("does not lead")));
    assert_eq!(bind(&host).await, Err(unavailable("does not lead")));
    host.lead(1, Instant::now() + HOUR);
    assert_eq!(filter(&host), Ok(vec![NodeVerdict::Fits]));
    host.follow("another");
    assert_eq!(filter(&host), Err(unavailable("does not lead")));
    assert_eq!(bind(&host).await, Err(unavailable("does not lead")));
    assert_eq!(*server.requests.lock(), Vec::<String>::new(), "nothing was written");
    host.lead(2, Instant::now() + HOUR);
    assert!(filter(&host).is_ok());
    assert_eq!(bind(&host).await, Ok(()));
    assert_eq!(host.leadership.terms(), 2);
}

#[tokio::test]
async fn a_leader_whose_time_is_over_does_nothing_though_nobody_has_told_it() {
    let server = accepting();
    let host = replica(&server);
    host.lead(1, Instant::now() + Duration::from_millis(30));
    assert!(filter(&host).is_ok());
    sleep(Duration::from_millis(40)).await;
    assert_eq!(filter(&host), Err(unavailable("does not lead")));
    assert_eq!(bind(&host).await, Err(unavailable("does not lead")));
    assert!(!host.leadership.may_write());
    host.lead(1, Instant::now() + HOUR);
    assert_eq!(bind(&host).await, Ok(()), "nobody else has led meanwhile");
    assert_eq!(host.leadership.terms(), 1);
}

/// What an API server answers that has no pod with the label.
fn of_unlabelled(line: &str) -> String {
    let listed =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": []});
    if line.starts_with("GET") { listed.to_string() } else { "{}".into() }
}

async fn label_is_written(server: &ApiServer) {
    let is_labelled = |line: &String| line.starts_with("PATCH /api/v1/namespaces/testudo-system/pods/testudo-0/status");
    for _ in 0..100 {
        if server.requests.lock().iter().any(is_labelled) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the label was not written: {:?}", server.requests.lock());
}

#[tokio::test]
async fn the_label_is_kept_by_a_leader_who_renews_after_its_time() {
    let server = ApiServer::new(|line| Some((200, of_unlabelled(line))));
    let host = replica(&server);
    host.lead(1, Instant::now() + Duration::from_millis(30));
    // It is frozen, and nobody else has taken the lease when it goes on.
    sleep(Duration::from_millis(40)).await;
    let label = LeaderLabel::new(server.client.clone(), "testudo-system", "testudo-0");
    tokio::spawn(host.leadership.clone().keep_label(label, LABEL_DEADLINE));
    sleep(Duration::from_millis(40)).await;
    assert_eq!(*server.requests.lock(), Vec::<String>::new(), "it does not lead");
    host.lead(1, Instant::now() + HOUR);
    label_is_written(&server).await;
}

#[tokio::test]
async fn the_label_is_asked_for_again_where_no_answer_comes() {
    let mut asked = 0;
    let server = ApiServer::new(move |line| {
        asked += 1;
        (asked > 1).then(|| (200, of_unlabelled(line)))
    });
    let host = replica(&server);
    host.lead(1, Instant::now() + HOUR);
    let label = LeaderLabel::new(server.client.clone(), "testudo-system", "testudo-0");
    tokio::spawn(host.leadership.clone().keep_label(label, Duration::from_millis(20)));
    label_is_written(&server).await;
}

#[tokio::test]
async fn who_leaves_begins_nothing_and_ends_what_has_begun() {
    let answer = Arc::new(Mutex::new(None));
    let given = Arc::clone(&answer);
    // The binding is under way until there is an answer.
    let server = ApiServer::new(move |_| given.lock().clone());
    let host = replica(&server);
    host.lead(1, Instant::now() + HOUR);
    assert!(filter(&host).is_ok());
    let binding = tokio::spawn({
        let host = Arc::clone(&host);
        async move { bind(&host).await }
    });
    while server.requests.lock().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    let leaving = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.leave(Duration::from_millis(200)).await }
    });
    while host.ready().is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(host.ready(), Err("stopping".into()));
    assert_eq!(filter(&host), Err(unavailable("is stopping")));
    assert_eq!(bind(&host).await, Err(unavailable("is stopping")));
    leaving.await.expect("no panic");
    assert!(begun.elapsed() >= Duration::from_millis(200), "it has waited for the binding");
    assert!(!host.leadership.may_write(), "another may lead now");
    binding.abort();

    let host = replica(&accepting());
    host.lead(1, Instant::now() + HOUR);
    let begun = Instant::now();
    host.leave(HOUR).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "there was nothing to wait for");
}
