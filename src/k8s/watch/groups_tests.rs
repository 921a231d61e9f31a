//! An API server that has kinds of group objects, gets more and loses some.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::super::mock::{ApiServer, failure};
use super::super::REFUSALS;
use super::*;

const SHORT: Pauses = Pauses { shortest: Duration::from_millis(1), longest: Duration::from_millis(2) };

/// What the API server serves: versions of groups with their resources, and answers to lists and watches.
#[derive(Default)]
struct Cluster {
    served: Vec<(&'static str, &'static str, &'static [&'static str])>,
    /// By the beginning of the path; each answered once, save 403. What has no answer waits.
    answers: Vec<(&'static str, (u16, String))>,
}

impl Cluster {
    fn answer(&mut self, request: &str) -> Option<(u16, String)> {
        let path = request.strip_prefix("GET ")?.split(['?', ' ']).next()?;
        if path == "/apis" {
            let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            for (group, version, _) in &self.served {
                let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
                groups.entry(group).or_default().push(version);
            }
            let groups = groups.iter().map(|(name, versions)| json!({"name": name, "versions": versions}));
            let groups: Vec<Value> = groups.collect();
            return Some((200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}).to_string()));
        }
        let of_version = |(group, version, _): &&(&str, &str, _)| path == format!("/apis/{group}/{version}");
        if let Some((group, version, resources)) = self.served.iter().find(of_version) {
            let resource = |name: &&str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "X", "verbs": ["get", "list", "watch"]});
            let resources: Vec<Value> = resources.iter().map(resource).collect();
            let list = json!({"kind": "APIResourceList", "groupVersion": format!("{group}/{version}"), "resources": resources});
            return Some((200, list.to_string()));
        }
        let watch = if request.contains("watch=true") { "watch " } else { "list " };
        let asked = format!("{watch}{path}");
        let at = self.answers.iter().position(|(begin, _)| asked.starts_with(begin))?;
        let forbidden = self.answers[at].1.0 == 403;
        Some(if forbidden { self.answers[at].1.clone() } else { self.answers.remove(at).1 })
    }
}

fn list(items: Vec<Value>) -> (u16, String) {
    (
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "10"}, "items": items}).to_string(),
    )
}

fn watch(events: &[(&str, Value)]) -> (u16, String) {
    (200, events.iter().map(|(kind, object)| format!("{}\n", json!({"type": kind, "object": object}))).collect())
}

fn pod_group(name: &str, min_member: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "1"});
    json!({"metadata": metadata, "spec": {"minMember": min_member}})
}

/// The next events, in short.
async fn next(events: &mut mpsc::Receiver<ClusterEvent>, count: usize) -> Vec<String> {
    let mut seen = vec![];
    while seen.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        seen.push(match event.unwrap_or_else(|_| panic!("no more events after {seen:?}")).unwrap() {
            ClusterEvent::GroupApplied(group) => format!("+{} {:?}", group.key, group.terms.min_member),
            ClusterEvent::GroupDeleted(key) => format!("-{key}"),
            ClusterEvent::GroupsSynced(keys) => {
                format!("={}", keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            ClusterEvent::GroupProblems { object, problems } => format!("?{object} {}", problems.len()),
            ClusterEvent::Unreadable(problem) => format!("!{problem}"),
            other => panic!("not of a group: {other:?}"),
        });
    }
    seen
}

struct Running {
    cluster: Arc<Mutex<Cluster>>,
    events: mpsc::Receiver<ClusterEvent>,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

fn run(cluster: Cluster) -> Running {
    let cluster = Arc::new(Mutex::new(cluster));
    let answering = Arc::clone(&cluster);
    let server = ApiServer::new(move |request| answering.lock().answer(request));
    let (sender, events) = mpsc::channel(1);
    let task = tokio::spawn(watch_groups(server.client, sender, SHORT, Duration::from_millis(20)));
    Running { cluster, events, requests: server.requests, task }
}

impl Running {
    async fn end(self) -> Vec<String> {
        drop(self.events);
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("ends with its receiver").unwrap();
        self.requests.lock().clone()
    }
}

#[tokio::test]
async fn a_cluster_without_any_says_so() {
    let mut running = run(Cluster { served: vec![("apps", "v1", &["deployments"])], ..Cluster::default() });
    assert_eq!(next(&mut running.events, 1).await, ["="]);
    assert!(running.end().await.iter().all(|request| request == "GET /apis"));
}

#[tokio::test]
async fn what_is_served_is_listed_then_watched() {
    let native = ("scheduling.k8s.io", "v1alpha2", &["podgroups", "workloads"][..]);
    let old = ("scheduling.k8s.io", "v1", &["priorityclasses"][..]);
    let mut running = run(Cluster {
        served: vec![old, native, ("scheduling.x-k8s.io", "v1alpha1", &["podgroups"])],
        answers: vec![
            (
                "list /apis/scheduling.x-k8s.io/v1alpha1/podgroups",
                list(vec![pod_group("a", 2.into()), pod_group("b", 3.into())]),
            ),
            (
                "watch /apis/scheduling.x-k8s.io/v1alpha1/podgroups",
                watch(&[
                    ("MODIFIED", pod_group("a", (-1).into())),
                    ("MODIFIED", pod_group("a", "many".into())),
                    ("MODIFIED", pod_group("a", 4.into())),
                    ("DELETED", pod_group("b", 3.into())),
                ]),
            ),
        ],
    });
    let first = ["+team/a Some(2)", "+team/b Some(3)"];
    assert_eq!(next(&mut running.events, 2).await, first, "the other kind of the group has no list yet");
    let unreadable = "!PodGroup team/a: spec: invalid type: string \"many\", expected i64";
    let changes =
        ["+team/a Some(10000)", "?PodGroup team/a 1", unreadable, "+team/a Some(4)", "?PodGroup team/a 0", "-team/b"];
    assert_eq!(next(&mut running.events, 6).await, changes);
    running.end().await;
}

#[tokio::test]
async fn a_kind_that_we_may_not_see_holds_nobody_up() {
    let mut running = run(Cluster {
        served: vec![("ray.io", "v1", &["rayclusters"]), ("scheduling.x-k8s.io", "v1alpha1", &["podgroups"])],
        answers: vec![
            ("list /apis/ray.io/v1/rayclusters", failure(403, "Forbidden", "rayclusters.ray.io is forbidden")),
            ("list /apis/scheduling.x-k8s.io/v1alpha1/podgroups", list(vec![pod_group("a", 2.into())])),
        ],
    });
    let mut seen = next(&mut running.events, 2).await;
    seen.sort();
    assert_eq!(seen, ["+team/a Some(2)", "=team/a"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let requests = running.end().await;
    let asked = requests.iter().filter(|request| request.contains("rayclusters")).count();
    assert!(asked <= REFUSALS as usize + 1, "asked {asked} times, and not given up");
}

#[tokio::test]
async fn a_kind_that_cannot_be_listed_holds_nobody_up_for_long() {
    let conversion = failure(500, "InternalError", "conversion webhook for jobset.x-k8s.io/v1alpha2 failed");
    let mut running = run(Cluster {
        served: vec![("jobset.x-k8s.io", "v1alpha2", &["jobsets"])],
        answers: vec![("list /apis/jobset.x-k8s.io/v1alpha2/jobsets", conversion); 7],
    });
    assert_eq!(next(&mut running.events, 1).await, ["="]);
    let list = list(vec![json!({"metadata": {"name": "t", "namespace": "team", "uid": "u"}, "spec": {}})]);
    running.cluster.lock().answers.push(("list /apis/jobset.x-k8s.io/v1alpha2/jobsets", list));
    assert_eq!(next(&mut running.events, 2).await, ["+team/t Some(0)", "=team/t"], "once it can be");
    running.end().await;
}

#[tokio::test]
async fn discovery_that_fails_holds_nobody_up_for_long() {
    for (code, most_asked) in [(403, 1), (503, 5)] {
        let server = ApiServer::new(move |_| Some(failure(code, "No", "not now")));
        let (sender, mut events) = mpsc::channel(1);
        let task = tokio::spawn(watch_groups(server.client, sender, SHORT, Duration::from_secs(60)));
        assert_eq!(next(&mut events, 1).await, ["="]);
        assert!(server.requests.lock().len() <= most_asked + 1, "{:?}", server.requests.lock());
        drop(events);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn kinds_come_and_go() {
    let mut running = run(Cluster::default());
    assert_eq!(next(&mut running.events, 1).await, ["="]);
    {
        let mut cluster = running.cluster.lock();
        cluster.served = vec![("scheduling.volcano.sh", "v1beta1", &["podgroups"])];
        cluster.answers =
            vec![("list /apis/scheduling.volcano.sh/v1beta1/podgroups", list(vec![pod_group("a", 2.into())]))];
    }
    assert_eq!(next(&mut running.events, 2).await, ["+team/a Some(2)", "=team/a"]);
    running.cluster.lock().served.clear();
    assert_eq!(next(&mut running.events, 1).await, ["-team/a"]);
    running.end().await;
}

#[tokio::test]
async fn the_newest_version_that_we_understand_is_watched() {
    let found = async |versions: &[(&'static str, &'static [&'static str])]| {
        let served = versions.iter().map(|(version, resources)| ("scheduling.k8s.io", *version, *resources)).collect();
        let mut cluster = Cluster { served, ..Cluster::default() };
        let found = discover(&ApiServer::new(move |request| cluster.answer(request)).client).await.unwrap();
        (found["podgroups.scheduling.k8s.io"].1, found["workloads.scheduling.k8s.io"].1)
    };
    let both = &["podgroups", "podgroups/status", "workloads"][..];
    assert_eq!(found(&[]).await, (None, None));
    assert_eq!(
        found(&[("v1", &["priorityclasses"]), ("v1alpha1", &["workloads"])]).await,
        (None, Some("v1alpha1")),
        "1.35"
    );
    assert_eq!(found(&[("v1", &["priorityclasses"]), ("v1alpha2", both)]).await, (Some("v1alpha2"), None), "1.36");
    assert_eq!(
        found(&[("v1alpha2", both), ("v1alpha3", both), ("v1beta1", both)]).await,
        (Some("v1beta1"), None),
        "1.37"
    );
    assert_eq!(found(&[("v1alpha3", &["compositepodgroups"]), ("v9", both)]).await, (None, None));
}

#[tokio::test]
async fn asking_again_does_not_list_again() {
    let mut running = run(Cluster {
        served: vec![("scheduling.x-k8s.io", "v1alpha1", &["podgroups"])],
        answers: vec![("list /apis/scheduling.x-k8s.io/v1alpha1/podgroups", list(vec![pod_group("a", 2.into())]))],
    });
    assert_eq!(next(&mut running.events, 2).await, ["+team/a Some(2)", "=team/a"]);
    tokio::time::sleep(Duration::from_millis(80)).await;
    let requests = running.end().await;
    let count = |what: &str| requests.iter().filter(|request| request.contains(what)).count();
    assert!(requests.iter().filter(|request| *request == "GET /apis").count() > 1, "{requests:?}");
    assert_eq!(count("limit=500"), 1, "{requests:?}");
}
