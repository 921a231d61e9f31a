use serde_json::{Value, json};

use super::super::mock::{ApiServer, failure};
use super::*;

const SHORT: Pauses = Pauses { shortest: Duration::from_millis(1), longest: Duration::from_millis(2) };

/// Answers lists and watches of nodes with these, in this order each; then every request waits.
fn api_server(lists: Vec<(u16, String)>, watches: Vec<(u16, String)>) -> ApiServer {
    let (mut lists, mut watches) = (lists.into_iter(), watches.into_iter());
    ApiServer::new(move |request| if request.contains("watch=true") { watches.next() } else { lists.next() })
}

fn node(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name, "resourceVersion": version}, "spec": {}, "status": {}})
}

fn malformed(name: &str, version: &str) -> Value {
    let mut node = node(name, version);
    node["spec"] = json!({"taints": "none"});
    node
}

fn list(version: &str, next_page: &str, items: Vec<Value>) -> (u16, String) {
    let metadata = json!({"resourceVersion": version, "continue": next_page});
    (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
}

fn events(events: &[(&str, Value)]) -> (u16, String) {
    (200, events.iter().map(|(kind, object)| format!("{}\n", json!({"type": kind, "object": object}))).collect())
}

/// The first events, in short, and the requests made until then.
async fn first_events(count: usize, server: ApiServer) -> (Vec<String>, Vec<String>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let watch = Watch::<object::Node>::new(&server.client, (), sender, SHORT);
    let watch = tokio::spawn(watch.run());
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await;
        seen.push(match event.unwrap_or_else(|_| panic!("no more events after {seen:?}")).unwrap() {
            ClusterEvent::NodeApplied(node) => format!("+{}", node.metadata.name),
            ClusterEvent::NodeDeleted(name) => format!("-{name}"),
            ClusterEvent::NodesSynced(names) => format!("={}", names.into_iter().collect::<Vec<_>>().join(",")),
            ClusterEvent::Unreadable(problem) => format!("?{problem}"),
            other => panic!("not of a node: {other:?}"),
        });
    }
    drop(receiver);
    tokio::time::timeout(Duration::from_secs(10), watch).await.expect("ends with its receiver").unwrap();
    (seen, server.requests.lock().clone())
}

#[tokio::test]
async fn lists_in_pages_then_watches() {
    let lists = vec![list("10", "next", vec![node("a", "1")]), list("10", "", vec![node("b", "2")])];
    let changes = events(&[("ADDED", node("c", "11")), ("MODIFIED", node("a", "12")), ("DELETED", node("b", "13"))]);
    let (seen, requests) = first_events(6, api_server(lists, vec![changes])).await;
    assert_eq!(seen, ["+a", "+b", "=a,b", "+c", "+a", "-b"]);
    assert!(requests[0].starts_with("GET /api/v1/nodes?") && requests[0].contains("limit=500"), "{requests:?}");
    assert!(requests[1].contains("continue=next"), "{requests:?}");
    assert!(requests[2].contains("resourceVersion=10") && requests[2].contains("timeoutSeconds=120"), "{requests:?}");
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let lists = vec![list("10", "", vec![])];
    let watches = vec![events(&[("ADDED", node("a", "11"))]), events(&[("ADDED", node("b", "12"))])];
    let (seen, requests) = first_events(3, api_server(lists, watches)).await;
    assert_eq!(seen, ["=", "+a", "+b"]);
    assert!(requests[2].contains("resourceVersion=11"), "{requests:?}");
}

#[tokio::test]
async fn a_malformed_object_is_reported_once_and_stops_nothing() {
    let lists = vec![list("10", "", vec![malformed("bad", "1"), node("a", "2")])];
    let watches = vec![events(&[
        ("MODIFIED", malformed("bad", "11")),
        ("ADDED", node("b", "12")),
        ("MODIFIED", node("bad", "13")),
        ("MODIFIED", malformed("bad", "14")),
        ("DELETED", malformed("bad", "15")),
    ])];
    let (seen, _) = first_events(7, api_server(lists, watches)).await;
    let problem = "?Node bad: (whole object): invalid type: string \"none\", expected a sequence";
    assert_eq!(seen, [problem, "+a", "=a,bad", "+b", "+bad", problem, "-bad"]);
}

#[tokio::test]
async fn an_expired_watch_lists_anew() {
    let lists = || vec![list("10", "", vec![node("a", "1"), node("b", "2")]), list("20", "", vec![node("b", "2")])];
    let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
    let (seen, _) = first_events(5, api_server(lists(), vec![events(&[("ERROR", gone)])])).await;
    assert_eq!(seen, ["+a", "+b", "=a,b", "+b", "=b"]);
    let refused_at_once = vec![failure(410, "Expired", "too old")];
    let (seen, _) = first_events(5, api_server(lists(), refused_at_once)).await;
    assert_eq!(seen, ["+a", "+b", "=a,b", "+b", "=b"]);
}

#[tokio::test]
async fn failures_are_retried() {
    let down = || (0, "connection refused".to_owned());
    let lists = vec![
        failure(500, "InternalError", "etcd is away"),
        down(),
        (200, "<html>no API server</html>".to_owned()),
        list("10", "next", vec![node("gone by then", "1")]),
        failure(410, "Expired", "continue token too old"),
        list("10", "", vec![node("a", "1")]),
    ];
    let watches = vec![down(), failure(503, "ServiceUnavailable", "starting"), events(&[("ADDED", node("b", "11"))])];
    let (seen, _) = first_events(4, api_server(lists, watches)).await;
    assert_eq!(seen, ["+gone by then", "+a", "=a", "+b"]);
}

#[tokio::test]
async fn pauses_grow_to_a_limit() {
    let (sender, _receiver) = mpsc::channel(1);
    let pauses = Pauses { shortest: Duration::from_millis(5), longest: Duration::from_millis(20) };
    let server = api_server(vec![], vec![]);
    let mut watch = Watch::<object::Node>::new(&server.client, (), sender, pauses);
    let started = std::time::Instant::now();
    for _ in 0..4 {
        assert!(watch.pause_after(&watcher::Error::NoResourceVersion).await.is_ok());
    }
    assert!(started.elapsed() >= Duration::from_millis(5 + 10 + 20 + 20));
    watch.failures = 31;
    assert!(watch.pause_after(&watcher::Error::NoResourceVersion).await.is_ok());
    assert_eq!(watch.failures, 31);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn pods_are_known_by_their_uid() {
    let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1"}});
    let answers = (list("10", "", vec![pod.clone()]), events(&[("DELETED", pod)]));
    let server = ApiServer::new(move |request| match (request.contains("/pods"), request.contains("watch=true")) {
        (true, false) => Some(answers.0.clone()),
        (true, true) => Some(answers.1.clone()),
        _ => None,
    });
    let (sender, mut receiver) = mpsc::channel(1);
    let watch = tokio::spawn(watch_cluster(server.client, sender, false));
    assert!(matches!(receiver.recv().await, Some(ClusterEvent::PodApplied(pod)) if pod.metadata.uid == "u"));
    assert_eq!(receiver.recv().await, Some(ClusterEvent::PodsSynced(["u".to_owned()].into())));
    assert_eq!(receiver.recv().await, Some(ClusterEvent::PodDeleted("u".into())));
    drop(receiver);
    watch.await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_seen_is_known_in_part_until_all_is_listed() {
    let claim = |name: &str| json!({"metadata": {"name": name, "namespace": "t", "uid": name, "resourceVersion": "1"}, "spec": {"devices": {}}});
    let list = |next_page: &str, items: Vec<Value>| {
        let metadata = json!({"resourceVersion": "10", "continue": next_page});
        (200, json!({"kind": "ResourceClaimList", "apiVersion": "resource.k8s.io/v1", "metadata": metadata, "items": items}).to_string())
    };
    let away: Vec<_> = (0..=PATIENCE).map(|_| failure(500, "InternalError", "etcd is away")).collect();
    // As an API server answers that has just started.
    let forbidden = vec![failure(403, "Forbidden", "cannot list resourceclaims"); 3];
    for failures in [away, forbidden] {
        let lists = [failures, vec![list("next", vec![claim("a")]), list("", vec![claim("b")])]].concat();
        let server = api_server(lists, vec![]);
        let (sender, mut receiver) = mpsc::channel(1);
        let watch = tokio::spawn(Watch::<devices::Claim>::new(&server.client, (), sender, SHORT).run());
        let mut seen = vec![];
        for _ in 0..5 {
            let event = tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await;
            seen.push(match event.expect("an event").expect("one more") {
                ClusterEvent::Unseen(DeviceList::Claims) => "unseen",
                ClusterEvent::Listing(DeviceList::Claims) => "listing",
                ClusterEvent::ClaimApplied(_) => "+",
                ClusterEvent::ClaimsSynced(_) => "=",
                other => panic!("not of a claim: {other:?}"),
            });
        }
        assert_eq!(seen, ["unseen", "listing", "+", "+", "="]);
        drop(receiver);
        watch.await.expect("ends with its receiver");
    }
}
