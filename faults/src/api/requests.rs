//! Requests, as the API server answers them.

use http::Method;
use serde_json::{Value, json};

use super::patch::merge;
use super::store::{Key, Kind, Object, Refused, Store, is_leaving, text};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// `/api/v1/nodes`
    pub path: String,
    /// What is behind the question mark.
    pub query: String,
    /// The media type of the body.
    pub content_type: String,
    /// The body, null where there is none.
    pub body: Value,
}

impl Request {
    /// Does it change anything?
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// Status and body.
    Whole(u16, Value),
    /// What happens from now on.
    Watch {
        /// Of this kind.
        kind: Kind,
        /// After this version.
        after: u64,
    },
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    All(Kind),
    One {
        kind: Kind,
        key: Key,
        part: String,
    },
    /// `POST` of a new object into a namespace.
    Within(Kind, String),
    /// The API groups that testudo asks for.
    Groups,
    /// What is served of the API group of gangs.
    Resources,
    Events,
}

/// Answers a request.
pub fn answer(store: &mut Store, request: &Request) -> Answer {
    let Some(target) = target(&request.path) else {
        let message = format!("the server could not find {}", request.path);
        return refused(Refused { code: 404, reason: "NotFound", message });
    };
    let result = match target {
        Target::Groups => Ok(groups()),
        Target::Resources => Ok(resources()),
        Target::Events => Ok(request.body.clone()),
        Target::All(kind) if is_watch(request) => return watch(store, kind, request),
        Target::All(kind) | Target::Within(kind, _) if request.method == Method::GET => {
            Ok(list(store, kind, parameter(request, "labelSelector")))
        }
        Target::Within(kind, namespace) => {
            let mut object = request.body.clone();
            object["metadata"]["namespace"] = json!(namespace);
            store.create(kind, object).map(whole)
        }
        Target::All(kind) => store.create(kind, request.body.clone()).map(whole),
        Target::One { kind, key, part } => one(store, kind, &key, &part, request),
    };
    match result {
        Ok(body) => Answer::Whole(if request.method == Method::POST { 201 } else { 200 }, body),
        Err(error) => refused(error),
    }
}

fn groups() -> Value {
    let version = json!({"groupVersion": "scheduling.k8s.io/v1alpha2", "version": "v1alpha2"});
    let group = json!({"name": "scheduling.k8s.io", "versions": [version], "preferredVersion": version});
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
}

fn resources() -> Value {
    let (group_version, kind) = Kind::PodGroup.type_meta();
    let resource = json!({
        "name": Kind::PodGroup.plural(), "singularName": "podgroup", "kind": kind, "namespaced": true,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
    });
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": [resource]})
}

/// An answer that says why not.
pub fn refused(Refused { code, reason, message }: Refused) -> Answer {
    Answer::Whole(
        code,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }),
    )
}

fn target(path: &str) -> Option<Target> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["apis"] => return Some(Target::Groups),
        ["apis", "scheduling.k8s.io", "v1alpha2"] => return Some(Target::Resources),
        ["apis", "events.k8s.io", ..] => return Some(Target::Events),
        ["api", "v1", rest @ ..]
        | ["apis", "resource.k8s.io", "v1", rest @ ..]
        | ["apis", "coordination.k8s.io", "v1", rest @ ..]
        | ["apis", "scheduling.k8s.io", "v1alpha2", rest @ ..] => rest,
        _ => return None,
    };
    let kind = |plural: &str| Kind::ALL.into_iter().find(|kind| kind.plural() == plural);
    let one = |kind, namespace, name, part: &[&str]| Target::One {
        kind,
        key: Key::new(namespace, name),
        part: part.first().copied().unwrap_or_default().to_owned(),
    };
    match rest {
        ["namespaces", namespace, plural] => Some(Target::Within(kind(plural)?, (*namespace).to_owned())),
        ["namespaces", namespace, plural, name, part @ ..] => Some(one(kind(plural)?, namespace, name, part)),
        [plural] => Some(Target::All(kind(plural)?)),
        [plural, name, part @ ..] => Some(one(kind(plural)?, "", name, part)),
        [] => None,
    }
}

fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
}

fn is_watch(request: &Request) -> bool {
    matches!(parameter(request, "watch"), Some("true" | "1"))
}

fn watch(store: &Store, kind: Kind, request: &Request) -> Answer {
    let after = parameter(request, "resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    match store.since(kind, after) {
        Ok(_) => Answer::Watch { kind, after },
        Err(error) => refused(error),
    }
}

/// All objects of a kind, or those with a label: `name=value`, as it stands in a URL.
fn list(store: &Store, kind: Kind, selector: Option<&str>) -> Value {
    let (api_version, name) = kind.type_meta();
    let selector = selector.map(|selector| selector.replace("%2F", "/").replace("%3D", "="));
    let wanted = selector.as_deref().and_then(|selector| selector.split_once('='));
    let is_wanted = |object: &Object| wanted.is_none_or(|(label, value)| object["metadata"]["labels"][label] == value);
    let items: Vec<&Value> =
        store.all(kind).map(|(_, object)| object).filter(|o| is_wanted(o)).map(|object| &***object).collect();
    json!({
        "apiVersion": api_version, "kind": format!("{name}List"),
        "metadata": {"resourceVersion": store.version().to_string()}, "items": items,
    })
}

fn whole(object: Object) -> Value {
    Value::clone(&**object)
}

fn one(store: &mut Store, kind: Kind, key: &Key, part: &str, request: &Request) -> Result<Value, Refused> {
    let body = &request.body;
    match (&request.method, part) {
        (&Method::GET, "") => store.get(kind, key).cloned().map(whole).ok_or_else(|| Refused::not_found(kind, key)),
        (&Method::PATCH, part) => {
            let strategic = request.content_type.contains("strategic");
            store.update(kind, key, |object| patched(object, body, part, strategic)).map(whole)
        }
        (&Method::PUT, part) => store.update(kind, key, |object| replaced(kind, object, body, part)).map(whole),
        (&Method::POST, "binding") => bind(store, key, body),
        (&Method::POST, "eviction") => evict(store, key, body),
        (&Method::DELETE, "") => store.delete(kind, key).map(|()| json!({"kind": "Status", "status": "Success"})),
        _ => Err(Refused { code: 405, reason: "MethodNotAllowed", message: format!("{} {part}", request.method) }),
    }
}

/// That it is this very object, and the version that was read, as far as the request says.
fn check(object: &Value, said: &Value) -> Result<(), Refused> {
    for field in ["uid", "resourceVersion"] {
        let at = format!("/metadata/{field}");
        let (is, said) = (text(object, &at), text(said, &at));
        if !said.is_empty() && is != said {
            let message =
                format!("the object has been modified ({field} is {is}, not {said}); please apply your changes");
            return Err(Refused::conflict(message));
        }
    }
    Ok(())
}

fn patched(object: &mut Value, patch: &Value, part: &str, strategic: bool) -> Result<(), Refused> {
    check(object, patch)?;
    let before = object.clone();
    merge(object, patch, strategic);
    if part == "status" {
        // Of the metadata labels and annotations may be written with it.
        object["spec"] = before["spec"].clone();
        for field in ["finalizers", "ownerReferences"] {
            object["metadata"][field] = before["metadata"][field].clone();
        }
        clear_nulls(object);
    } else if object["status"] != before["status"] {
        object["status"] = before["status"].clone();
    }
    Ok(())
}

/// What was not there is not there.
fn clear_nulls(object: &mut Value) {
    let without_nulls = |fields: &mut Value| {
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    };
    without_nulls(&mut object["metadata"]);
    without_nulls(object);
}

fn replaced(kind: Kind, object: &mut Value, with: &Value, part: &str) -> Result<(), Refused> {
    check(object, with)?;
    match (kind, part) {
        (Kind::Claim, "status") => {
            let (before, after) = (&object["status"]["allocation"], &with["status"]["allocation"]);
            if !before.is_null() && !after.is_null() && before != after {
                return Err(Refused::invalid("status.allocation: Invalid value: field is immutable"));
            }
            let reserved = with["status"]["reservedFor"].as_array().is_some_and(|pods| !pods.is_empty());
            if after.is_null() && reserved {
                return Err(Refused::invalid("status.reservedFor: Forbidden: may not be specified without allocation"));
            }
            object["status"] = with["status"].clone();
        }
        (_, "status") => object["status"] = with["status"].clone(),
        _ => object["spec"] = with["spec"].clone(),
    }
    clear_nulls(object);
    Ok(())
}

/// Gives a pod its node.
pub fn bind(store: &mut Store, key: &Key, binding: &Value) -> Result<Value, Refused> {
    let node = text(binding, "/target/name").to_owned();
    store.update(Kind::Pod, key, |pod| {
        if text(binding, "/metadata/uid") != text(pod, "/metadata/uid") && !text(binding, "/metadata/uid").is_empty() {
            return Err(Refused::conflict("Precondition failed: UID in precondition does not match"));
        }
        if is_leaving(pod) {
            return Err(Refused::conflict(format!("pod {} is being deleted, cannot be assigned to a host", key.name)));
        }
        if !text(pod, "/spec/nodeName").is_empty() {
            return Err(Refused::conflict(format!("pod {} is already assigned to node", key.name)));
        }
        if !pod["spec"]["schedulingGates"].is_null() {
            return Err(Refused::conflict(format!("pod {} has non-empty .spec.schedulingGates", key.name)));
        }
        pod["spec"]["nodeName"] = json!(node);
        if let Some(status) = pod["status"].as_object_mut() {
            status.remove("nominatedNodeName");
        }
        pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
        let annotations = &binding["metadata"]["annotations"];
        if annotations.is_object() {
            merge(&mut pod["metadata"]["annotations"], annotations, false);
        }
        Ok(())
    })?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

fn evict(store: &mut Store, key: &Key, eviction: &Value) -> Result<Value, Refused> {
    let pod = store.get(Kind::Pod, key).ok_or_else(|| Refused::not_found(Kind::Pod, key))?;
    let uid = text(eviction, "/deleteOptions/preconditions/uid");
    if !uid.is_empty() && uid != text(pod, "/metadata/uid") {
        return Err(Refused::conflict("the UID in the precondition does not match"));
    }
    store.delete(Kind::Pod, key)?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &mut Store, method: Method, path: &str, body: Value) -> (u16, Value) {
        let content_type = "application/strategic-merge-patch+json".to_owned();
        let request = Request { method, path: path.into(), query: String::new(), content_type, body };
        match answer(store, &request) {
            Answer::Whole(code, body) => (code, body),
            Answer::Watch { .. } => panic!("no watch was asked for"),
        }
    }

    const POD: &str = "/api/v1/namespaces/team/pods/p";
    const CLAIM: &str = "/apis/resource.k8s.io/v1/namespaces/team/resourceclaims/c";

    fn store() -> Store {
        let mut store = Store::default();
        store.create(Kind::Pod, json!({"metadata": {"namespace": "team", "name": "p"}, "spec": {}})).unwrap();
        store.create(Kind::Claim, json!({"metadata": {"namespace": "team", "name": "c"}, "spec": {}})).unwrap();
        store
    }

    #[test]
    fn a_pod_is_bound_once_and_only_if_it_is_the_one_that_is_meant() {
        let mut store = store();
        let uid = ask(&mut store, Method::GET, POD, Value::Null).1["metadata"]["uid"].clone();
        let binding = |uid: Value| json!({"metadata": {"uid": uid}, "target": {"name": "n"}});
        let path = format!("{POD}/binding");
        assert_eq!(ask(&mut store, Method::POST, &path, binding(json!("another"))).0, 409);
        assert_eq!(ask(&mut store, Method::POST, &path, binding(uid.clone())).0, 201);
        assert_eq!(ask(&mut store, Method::POST, &path, binding(uid)).0, 409);
        assert_eq!(ask(&mut store, Method::GET, POD, Value::Null).1["spec"]["nodeName"], "n");
    }

    #[test]
    fn a_write_that_rests_on_an_older_version_is_refused() {
        let mut store = store();
        let (_, old) = ask(&mut store, Method::GET, CLAIM, Value::Null);
        let mark = json!({"metadata": {"annotations": {"a": "1"}}});
        assert_eq!(ask(&mut store, Method::PATCH, CLAIM, mark.clone()).0, 200);
        let path = format!("{CLAIM}/status");
        let given = |mut claim: Value, device: &str| {
            claim["status"] = json!({"allocation": {"devices": {"results": [{"device": device}]}}});
            claim
        };
        assert_eq!(ask(&mut store, Method::PUT, &path, given(old, "gpu-0")).0, 409);
        let (_, new) = ask(&mut store, Method::GET, CLAIM, Value::Null);
        let (code, new) = ask(&mut store, Method::PUT, &path, given(new, "gpu-0"));
        assert_eq!(code, 200);
        assert_eq!(ask(&mut store, Method::PUT, &path, given(new, "gpu-1")).0, 422, "an allocation is not replaced");
        let version = store.version();
        assert_eq!(ask(&mut store, Method::PATCH, CLAIM, mark).0, 200);
        assert_eq!(store.version(), version, "what changes nothing is no new version");
    }

    #[test]
    fn the_status_is_written_with_annotations_and_nothing_else() {
        let mut store = store();
        let patch = json!({
            "metadata": {"annotations": {"a": "1"}, "finalizers": ["f"]},
            "spec": {"nodeName": "n"},
            "status": {"nominatedNodeName": "n"},
        });
        let (_, pod) = ask(&mut store, Method::PATCH, &format!("{POD}/status"), patch);
        assert_eq!(pod["metadata"]["annotations"]["a"], "1");
        assert_eq!(pod["status"]["nominatedNodeName"], "n");
        assert_eq!((&pod["spec"], &pod["metadata"]["finalizers"]), (&json!({}), &Value::Null));
    }

    #[test]
    fn what_has_a_finalizer_goes_when_it_is_let_go() {
        let mut store = store();
        ask(&mut store, Method::PATCH, CLAIM, json!({"metadata": {"finalizers": ["f"]}}));
        ask(&mut store, Method::DELETE, CLAIM, Value::Null);
        let (_, claim) = ask(&mut store, Method::GET, CLAIM, Value::Null);
        assert!(is_leaving(&claim), "{claim}");
        let key = Key::new("team", "c");
        let let_go = store.update(Kind::Claim, &key, |claim| {
            claim["metadata"]["finalizers"] = json!([]);
            Ok(())
        });
        assert!(let_go.is_ok() && store.get(Kind::Claim, &key).is_none());
    }
}
