//! Asking an autoscaler for the nodes of a whole gang by a ProvisioningRequest, where the cluster has that kind.
//!
//! A request has a template for each kind of member and how many there are of it. Members say that they consume it: from
//! then on the autoscaler makes no nodes for them one by one. So they say it only while there is a request, and one that has
//! failed, or whose booking is over, is made anew. All that is made belongs to the object that describes the gang, or to its
//! first member, and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use testudo_core::engine::NodeRequest;
use testudo_core::model::gang::ObjectRef;
use testudo_core::model::pod::{Pod, PodKey, PodUid};

use super::watch::discovery::is_served;

const GROUP: &str = "autoscaling.x-k8s.io";
const VERSION: &str = "v1";
const PLURAL: &str = "provisioningrequests";

/// Names the request whose nodes a pod is for.
const CONSUME_ANNOTATION: &str = "autoscaling.x-k8s.io/consume-provisioning-request";

/// Names its class.
const CLASS_ANNOTATION: &str = "autoscaling.x-k8s.io/provisioning-class-name";

/// The conditions after which a request brings nothing any more.
const OVER: [&str; 3] = ["Failed", "BookingExpired", "CapacityRevoked"];

/// Kinds of pods in one request, at most.
const MAX_POD_SETS: usize = 32;

/// How often the cluster is asked whether it has the kind.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(60);

/// Pods that are remembered to say what they consume; past this many all are forgotten, and written once more.
const MAX_REMEMBERED: usize = 100_000;

/// Makes ProvisioningRequests.
#[derive(Clone)]
pub struct Provisioner {
    client: Client,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Does the cluster have the kind, and when was that asked?
    served: Option<(bool, Instant)>,
    /// Pods that say what they consume, and the request that this is.
    consuming: BTreeMap<PodUid, String>,
}

/// What became of asking for nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It cannot be: the cluster does not have the kind, or the gang has more kinds of members than a request takes. Members
    /// are shown to the autoscaler without.
    Impossible,
    /// There is a request.
    Standing,
    /// It was just made.
    Made,
    /// The last one is over, and was taken away; another will be made.
    Over,
}

impl Provisioner {
    /// One that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::default() }
    }

    /// Sees to it that there is a request for the gang's nodes, and that its members say that they consume it.
    ///
    /// # Errors
    /// When the API server refuses or does not answer: nothing is shown to the autoscaler then, so that it does not make
    /// nodes twice.
    pub async fn ask(&self, request: &NodeRequest) -> Result<Asked, kube::Error> {
        if request.kinds.is_empty() || request.kinds.len() > MAX_POD_SETS || !self.is_served().await? {
            return Ok(Asked::Impossible);
        }
        let name = name_of(request);
        let requests = self.requests(&request.gang.namespace);
        let asked = match requests.get_opt(&name).await? {
            None => {
                self.make(&name, request).await?;
                Asked::Made
            }
            Some(found) if is_over(&found.data) => {
                let preconditions =
                    Some(Preconditions { uid: found.uid(), resource_version: found.resource_version() });
                requests.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await?;
                return Ok(Asked::Over);
            }
            Some(_) => Asked::Standing,
        };
        // Of another size before, the gang had another request: that one would bring nodes for nobody.
        for former in self.consumed_before(request, &name) {
            match requests.delete(&former, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                result => result.map(drop)?,
            }
        }
        for pod in &request.members {
            self.say_consuming(pod, &name, &request.class).await?;
        }
        Ok(asked)
    }

    fn consumed_before(&self, request: &NodeRequest, name: &str) -> BTreeSet<String> {
        let known = self.known.lock();
        let consumed = request.members.iter().filter_map(|pod| known.consuming.get(&pod.uid));
        consumed.filter(|consumed| *consumed != name).cloned().collect()
    }

    async fn is_served(&self) -> Result<bool, kube::Error> {
        let known = self.known.lock().served.filter(|(_, at)| at.elapsed() < DISCOVERY_PERIOD);
        if let Some((served, _)) = known {
            return Ok(served);
        }
        let served = is_served(&self.client, GROUP, VERSION, PLURAL, &["get", "create", "delete"]).await?;
        self.known.lock().served = Some((served, Instant::now()));
        Ok(served)
    }

    /// Templates first: the request names them.
    async fn make(&self, name: &str, request: &NodeRequest) -> Result<(), kube::Error> {
        let namespace = &request.gang.namespace;
        let owner = owner_of(request);
        let templates: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &pod_template());
        let mut pod_sets = vec![];
        for (at, (pod, count)) in request.kinds.iter().enumerate() {
            let of_kind = format!("{name}-{at}");
            let pod = self.read(&pod.key).await?;
            let template = json!({
                "apiVersion": "v1",
                "kind": "PodTemplate",
                "metadata": {"name": of_kind, "namespace": namespace, "ownerReferences": [owner]},
                "template": template_of(&pod, name, &request.class),
            });
            exists(templates.create(&PostParams::default(), &object(template)?).await)?;
            pod_sets.push(json!({"podTemplateRef": {"name": of_kind}, "count": count}));
        }
        let body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "ProvisioningRequest",
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
            "spec": {"provisioningClassName": &*request.class, "podSets": pod_sets},
        });
        exists(self.requests(namespace).create(&PostParams::default(), &object(body)?).await)
    }

    /// The pod as it is, with all that testudo does not read otherwise.
    async fn read(&self, pod: &PodKey) -> Result<Value, kube::Error> {
        let pods: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &pod.namespace, &plain("Pod", "pods"));
        serde_json::to_value(pods.get(&pod.name).await?).map_err(kube::Error::SerdeError)
    }

    /// Annotations may be written with the status, for which no permission to change pods is needed.
    async fn say_consuming(&self, pod: &Pod, name: &str, class: &str) -> Result<(), kube::Error> {
        if self.known.lock().consuming.get(&pod.uid).is_some_and(|consumed| consumed == name) {
            return Ok(());
        }
        let annotations = json!({CONSUME_ANNOTATION: name, CLASS_ANNOTATION: class});
        let patch = json!({"metadata": {"uid": pod.uid.as_str(), "annotations": annotations}});
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &pod.key.namespace, &plain("Pod", "pods"));
        match pods.patch_status(&pod.key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            // Gone, or another of its name: with another unique id the API server takes the patch for a conflict.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(()),
            result => result.map(drop)?,
        }
        let mut known = self.known.lock();
        if known.consuming.len() >= MAX_REMEMBERED {
            known.consuming.clear();
        }
        known.consuming.insert(pod.uid.clone(), name.to_owned());
        Ok(())
    }

    fn requests(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, "ProvisioningRequest");
        let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }
}

fn plain(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

fn pod_template() -> ApiResource {
    plain("PodTemplate", "podtemplates")
}

fn object(body: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(body).map_err(kube::Error::SerdeError)
}

/// Made now or before.
fn exists(result: Result<DynamicObject, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => Ok(()),
        result => result.map(drop),
    }
}

/// The longest name of an object whose name a label may carry.
const MAX_NAME: usize = 63;

/// The same for the same gang of as many members that ask for the same, and another for a gang of another size or of pods that
/// ask for something else: its request asks for other nodes, by templates of the same name.
fn name_of(request: &NodeRequest) -> String {
    let asks = |pod: &Pod| {
        let amounts = pod.demand.requests.iter().map(|(resource, amount)| format!("{}={amount}", resource.as_str()));
        amounts.collect::<Vec<_>>().join(",")
    };
    let kinds = request.kinds.iter().map(|(pod, count)| format!("{count}x{}", asks(pod)));
    let sizes = kinds.collect::<Vec<_>>().join("-");
    let gang = &request.gang;
    let told_apart = format!("{:08x}", fnv1a(format!("{:?}/{}/{sizes}", gang.dialect, gang.name).as_bytes()));
    let room = MAX_NAME - "testudo--".len() - told_apart.len() - "-99".len();
    let readable: String = gang.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(room).collect();
    format!("testudo-{}-{told_apart}", readable.to_ascii_lowercase().trim_matches('-'))
}

/// FNV-1a: the same in every process.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn owner_of(request: &NodeRequest) -> Value {
    match &request.group {
        Some(group) => {
            let ObjectRef { api_version, kind, name, uid, .. } = &group.object;
            json!({"apiVersion": &**api_version, "kind": &**kind, "name": &**name, "uid": &**uid})
        }
        None => match request.members.first() {
            Some(pod) => json!({"apiVersion": "v1", "kind": "Pod", "name": pod.key.name, "uid": pod.uid.as_str()}),
            None => Value::Null,
        },
    }
}

/// What pods like this one ask for, without what only this one has.
fn template_of(pod: &Value, name: &str, class: &str) -> Value {
    let mut spec = pod["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        for field in ["nodeName", "schedulingGates", "hostname"] {
            spec.remove(field);
        }
    }
    let labels = pod["metadata"]["labels"].clone();
    json!({
        "metadata": {"labels": labels, "annotations": {CONSUME_ANNOTATION: name, CLASS_ANNOTATION: class}},
        "spec": spec,
    })
}

fn is_over(request: &Value) -> bool {
    let conditions = request.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| {
        condition["status"] == "True" && condition["type"].as_str().is_some_and(|kind| OVER.contains(&kind))
    })
}

#[cfg(test)]
mod tests {
    use testudo_core::model::gang::{Dialect, GangKey};
    use testudo_core::model::pod::Demand;

    use super::super::mock::{ApiServer, failure};
    use super::*;

    const REQUESTS: &str = "/apis/autoscaling.x-k8s.io/v1/namespaces/team/provisioningrequests";

    fn request() -> NodeRequest {
        let pod = |name: &str| {
            let key = PodKey { namespace: "team".into(), name: name.into() };
            Arc::new(Pod::new(key, format!("uid-{name}").as_str().into(), Demand::default()))
        };
        let gang = GangKey { namespace: "team".into(), name: "Llama_405b".into(), dialect: Dialect::Testudo };
        let members = vec![pod("a"), pod("b")];
        let kinds = vec![(Arc::clone(&members[0]), 2)];
        NodeRequest { gang, group: None, class: "check-capacity.autoscaling.x-k8s.io".into(), kinds, members }
    }

    /// A cluster that has the kind, and this request of ours.
    fn cluster(standing: Option<Value>) -> ApiServer {
        ApiServer::new(move |line| {
            let verbs = ["create", "delete", "get", "list"];
            let resource = json!({"name": PLURAL, "singularName": "", "namespaced": true, "kind": "P", "verbs": verbs});
            let kinds = json!({"groupVersion": "autoscaling.x-k8s.io/v1", "resources": [resource]});
            let pod = json!({"metadata": {"name": "a", "labels": {"app": "llama"}, "annotations": {"other": "1"}}, "spec": {
                "nodeName": "", "schedulingGates": [{"name": "testudo.dev/gang"}], "containers": [{"name": "c"}],
            }});
            Some(match (line, &standing) {
                ("GET /apis/autoscaling.x-k8s.io/v1", _) => (200, kinds.to_string()),
                (line, Some(found)) if line.starts_with(&format!("GET {REQUESTS}/")) => (200, found.to_string()),
                (line, None) if line.starts_with(&format!("GET {REQUESTS}/")) => failure(404, "NotFound", "none"),
                (line, _) if line.starts_with("DELETE") => {
                    (200, json!({"kind": "Status", "status": "Success"}).to_string())
                }
                _ => (200, pod.to_string()),
            })
        })
    }

    fn body(request: &str) -> Value {
        serde_json::from_str(&request[request.find('{').expect("a body")..]).expect("JSON")
    }

    #[tokio::test]
    async fn templates_come_first_then_the_request_and_then_the_pods_say_that_they_consume_it() {
        let server = cluster(None);
        let provisioner = Provisioner::new(server.client.clone());
        assert_eq!(provisioner.ask(&request()).await.unwrap(), Asked::Made);
        let requests = server.requests.lock().clone();
        let writes: Vec<&String> = requests.iter().filter(|request| !request.starts_with("GET")).collect();
        assert_eq!(writes.len(), 4, "{requests:?}");
        assert!(writes[0].starts_with("POST /api/v1/namespaces/team/podtemplates"), "{writes:?}");
        assert!(writes[1].starts_with(&format!("POST {REQUESTS}")), "{writes:?}");
        assert!(writes[2].starts_with("PATCH /api/v1/namespaces/team/pods/a/status"), "{writes:?}");
        let (template, made, pod) = (body(writes[0]), body(writes[1]), body(writes[2]));
        let name = made["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("testudo-llama405b-"), "{name}");
        let spec = &template["template"]["spec"];
        assert!(spec.get("schedulingGates").is_none() && spec["containers"][0]["name"] == "c", "{template}");
        assert_eq!(template["template"]["metadata"]["labels"], json!({"app": "llama"}));
        let set = json!([{"podTemplateRef": {"name": format!("{name}-0")}, "count": 2}]);
        assert_eq!(made["spec"]["podSets"], set);
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "uid-a");
        assert_eq!(pod["metadata"]["annotations"][CONSUME_ANNOTATION], name);

        let standing = cluster(Some(json!({"metadata": {"name": name}})));
        let provisioner = Provisioner::new(standing.client.clone());
        for _ in 0..2 {
            assert_eq!(provisioner.ask(&request()).await.unwrap(), Asked::Standing);
        }
        let patches = standing.requests.lock().iter().filter(|request| request.starts_with("PATCH")).count();
        assert_eq!(patches, 2, "each pod once");
    }

    #[tokio::test]
    async fn a_gang_of_another_size_consumes_another_request_and_the_former_goes() {
        let server = cluster(None);
        let provisioner = Provisioner::new(server.client.clone());
        let (former, mut larger) = (request(), request());
        larger.kinds[0].1 = 3;
        provisioner.ask(&former).await.unwrap();
        server.requests.lock().clear();
        provisioner.ask(&larger).await.unwrap();
        let requests = server.requests.lock().clone();
        let deleted = format!("DELETE {REQUESTS}/{}", name_of(&former));
        assert!(requests.iter().any(|request| request.starts_with(&deleted)), "{requests:?}");
        let said = requests.iter().filter(|request| request.starts_with("PATCH"));
        let said: Vec<Value> =
            said.map(|patch| body(patch)["metadata"]["annotations"][CONSUME_ANNOTATION].clone()).collect();
        assert_eq!(said, [json!(name_of(&larger)), json!(name_of(&larger))]);
    }

    #[tokio::test]
    async fn a_request_that_brings_nothing_any_more_is_deleted() {
        let conditions = json!([{"type": "Accepted", "status": "True"}, {"type": "Failed", "status": "True"}]);
        let over = json!({
            "metadata": {"name": "r", "uid": "u", "resourceVersion": "9"}, "status": {"conditions": conditions},
        });
        let server = cluster(Some(over));
        assert_eq!(Provisioner::new(server.client.clone()).ask(&request()).await.unwrap(), Asked::Over);
        let requests = server.requests.lock().clone();
        let deleted = requests.iter().find(|request| request.starts_with("DELETE")).expect("a deletion");
        assert_eq!(body(deleted)["preconditions"], json!({"uid": "u", "resourceVersion": "9"}));
        assert!(!requests.iter().any(|request| request.starts_with("PATCH")), "{requests:?}");
    }

    #[tokio::test]
    async fn without_the_kind_nothing_is_written() {
        let server = ApiServer::new(|_| Some(failure(404, "NotFound", "no such group")));
        let provisioner = Provisioner::new(server.client.clone());
        for _ in 0..2 {
            assert_eq!(provisioner.ask(&request()).await.unwrap(), Asked::Impossible);
        }
        assert_eq!(server.requests.lock().len(), 1, "asked once a minute");
    }

    #[test]
    fn names_are_those_of_objects_and_told_apart_by_what_is_asked_for() {
        let name = |gang: &str, count: u32| {
            let mut request = request();
            request.gang.name = gang.into();
            request.kinds[0].1 = count;
            name_of(&request)
        };
        assert_eq!(name("g", 2), name("g", 2));
        assert_ne!(name("g", 2), name("g", 3));
        let asking = |gpus: i64| {
            let mut request = request();
            let mut pod = Pod::clone(&request.kinds[0].0);
            let mut demand = Demand::default();
            demand.requests.set("nvidia.com/gpu".into(), gpus);
            pod.demand = Arc::new(demand);
            request.kinds[0].0 = Arc::new(pod);
            name_of(&request)
        };
        assert_ne!(asking(4), asking(8), "its templates are others");
        assert!(name(&"long".repeat(60), 2).len() + "-99".len() <= MAX_NAME);
    }
}
