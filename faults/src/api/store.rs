//! What the API server keeps: objects, one version for all of them, and what has happened.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::facts::{Claim, Node, Pod};

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `resource.k8s.io/v1` ResourceClaim.
    Claim,
    /// `resource.k8s.io/v1` ResourceSlice.
    Slice,
    /// `resource.k8s.io/v1` DeviceClass.
    Class,
    /// `coordination.k8s.io/v1` Lease.
    Lease,
    /// `scheduling.k8s.io/v1alpha2` PodGroup.
    PodGroup,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::Node, Kind::Pod, Kind::Claim, Kind::Slice, Kind::Class, Kind::Lease, Kind::PodGroup];

    /// `v1`, and `Pod`.
    pub fn type_meta(self) -> (&'static str, &'static str) {
        match self {
            Self::Node => ("v1", "Node"),
            Self::Pod => ("v1", "Pod"),
            Self::Claim => ("resource.k8s.io/v1", "ResourceClaim"),
            Self::Slice => ("resource.k8s.io/v1", "ResourceSlice"),
            Self::Class => ("resource.k8s.io/v1", "DeviceClass"),
            Self::Lease => ("coordination.k8s.io/v1", "Lease"),
            Self::PodGroup => ("scheduling.k8s.io/v1alpha2", "PodGroup"),
        }
    }

    /// As it stands in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::Claim => "resourceclaims",
            Self::Slice => "resourceslices",
            Self::Class => "deviceclasses",
            Self::Lease => "leases",
            Self::PodGroup => "podgroups",
        }
    }
}

/// A version of an object.
pub type Object = Rc<Served>;

/// An object as it is served; what it says is read once, whoever asks.
#[derive(Debug)]
pub struct Served {
    json: Value,
    text: OnceCell<String>,
    pod: OnceCell<Pod>,
    node: OnceCell<Node>,
    claim: OnceCell<Claim>,
}

impl Served {
    fn new(json: Value) -> Object {
        let (text, pod, node, claim) = (OnceCell::new(), OnceCell::new(), OnceCell::new(), OnceCell::new());
        Rc::new(Self { json, text, pod, node, claim })
    }

    /// As it stands on the wire.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| self.json.to_string())
    }

    /// The pod that it is.
    pub fn pod(&self) -> &Pod {
        self.pod.get_or_init(|| Pod::read(&self.json))
    }

    /// The node that it is.
    pub fn node(&self) -> &Node {
        self.node.get_or_init(|| Node::read(&self.json))
    }

    /// The claim that it is.
    pub fn claim(&self) -> &Claim {
        self.claim.get_or_init(|| Claim::read(&self.json))
    }
}

impl std::ops::Deref for Served {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.json
    }
}

/// Namespace, empty where there are none, and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// In this namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object in no namespace.
    pub fn global(name: &str) -> Self {
        Self::new("", name)
    }

    /// Of this object.
    pub fn of(object: &Value) -> Self {
        Self::new(text(object, "/metadata/namespace"), text(object, "/metadata/name"))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It is another than before.
    Modified,
    /// It is gone.
    Deleted,
}

/// Something that happened, as watches tell it.
#[derive(Debug, Clone)]
pub struct Happened {
    /// When, in simulated milliseconds.
    pub at_ms: u64,
    /// The version of the store after it.
    pub version: u64,
    /// What.
    pub what: What,
    /// The object after it; the last that was, of one that is gone.
    pub object: Object,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// `Conflict`.
    pub reason: &'static str,
    /// What the API server says.
    pub message: String,
}

impl Refused {
    /// There is no such object.
    pub fn not_found(kind: Kind, key: &Key) -> Self {
        Self { code: 404, reason: "NotFound", message: format!("{} \"{}\" not found", kind.plural(), key.name) }
    }

    /// It has changed, or is another.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { code: 409, reason: "Conflict", message: message.into() }
    }

    /// It makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 422, reason: "Invalid", message: message.into() }
    }
}

/// The objects.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Kind, BTreeMap<Key, Object>>,
    history: BTreeMap<Kind, Vec<Happened>>,
    version: u64,
    /// What happened up to this version cannot be watched any more.
    compacted: u64,
    made: u64,
    now_ms: u64,
}

impl Store {
    /// It is this late.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The time as objects have it.
    pub fn timestamp(&self) -> String {
        timestamp(self.now_ms)
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All objects of a kind, by key.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Object)> + Clone {
        self.objects.get(&kind).into_iter().flatten()
    }

    /// An object.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Object> {
        self.objects.get(&kind)?.get(key)
    }

    /// What happened to objects of a kind after this version; an error if that is not known any more.
    pub fn since(&self, kind: Kind, version: u64) -> Result<&[Happened], Refused> {
        if version < self.compacted {
            let message = format!("too old resource version: {version} ({})", self.compacted);
            return Err(Refused { code: 410, reason: "Expired", message });
        }
        let history = self.history.get(&kind).map(Vec::as_slice).unwrap_or_default();
        Ok(&history[history.partition_point(|happened| happened.version <= version)..])
    }

    /// All that ever happened to objects of a kind after this version: for who looks on from outside.
    pub fn ever_since(&self, kind: Kind, version: u64) -> &[Happened] {
        let history = self.history.get(&kind).map(Vec::as_slice).unwrap_or_default();
        &history[history.partition_point(|happened| happened.version <= version)..]
    }

    /// Forgets what happened up to now.
    pub fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// Makes an object.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn create(&mut self, kind: Kind, mut object: Value) -> Result<Object, Refused> {
        let key = Key::of(&object);
        if self.get(kind, &key).is_some() {
            let message = format!("{} \"{}\" already exists", kind.plural(), key.name);
            return Err(Refused { code: 409, reason: "AlreadyExists", message });
        }
        self.made += 1;
        let (api_version, name) = kind.type_meta();
        (object["apiVersion"], object["kind"]) = (json!(api_version), json!(name));
        object["metadata"]["uid"] = json!(format!("{}-{:04}", name.to_lowercase(), self.made));
        object["metadata"]["creationTimestamp"] = json!(self.timestamp());
        Ok(self.put(kind, key, What::Added, object))
    }

    /// Changes an object; nothing happens where it stays the same.
    ///
    /// # Errors
    /// When it is not there, or `change` refuses.
    pub fn update(
        &mut self,
        kind: Kind,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Refused>,
    ) -> Result<Object, Refused> {
        let before = Rc::clone(self.get(kind, key).ok_or_else(|| Refused::not_found(kind, key))?);
        let mut object = before.json.clone();
        change(&mut object)?;
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object == before.json {
            return Ok(before);
        }
        if is_leaving(&object) && finalizers(&object).is_empty() && kind != Kind::Pod {
            return Ok(self.put(kind, key.clone(), What::Deleted, object));
        }
        Ok(self.put(kind, key.clone(), What::Modified, object))
    }

    /// Deletes an object: at once, or once nothing keeps it any more. A pod that has a node and has not ended ends first.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete(&mut self, kind: Kind, key: &Key) -> Result<(), Refused> {
        let object = Rc::clone(self.get(kind, key).ok_or_else(|| Refused::not_found(kind, key))?);
        let ends_first = kind == Kind::Pod && !text(&object, "/spec/nodeName").is_empty() && !has_ended(&object);
        if ends_first || !finalizers(&object).is_empty() {
            let now = self.timestamp();
            self.update(kind, key, |object| {
                if !is_leaving(object) {
                    object["metadata"]["deletionTimestamp"] = json!(now);
                }
                Ok(())
            })?;
        } else {
            self.put(kind, key.clone(), What::Deleted, object.json.clone());
        }
        Ok(())
    }

    /// Takes an object away, whatever keeps it: the kubelet says that a pod has ended, or that its node is gone.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        if let Some(object) = self.get(kind, key).cloned() {
            self.put(kind, key.clone(), What::Deleted, object.json.clone());
        }
    }

    fn put(&mut self, kind: Kind, key: Key, what: What, mut object: Value) -> Object {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Served::new(object);
        let objects = self.objects.entry(kind).or_default();
        match what {
            What::Added | What::Modified => _ = objects.insert(key, Rc::clone(&object)),
            What::Deleted => _ = objects.remove(&key),
        }
        let happened = Happened { at_ms: self.now_ms, version: self.version, what, object: Rc::clone(&object) };
        self.history.entry(kind).or_default().push(happened);
        object
    }
}

/// A simulation begins at this time: 2026-01-01T00:00:00Z, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_767_225_600_000;

/// A time of the simulation as objects have it.
pub fn timestamp(now_ms: u64) -> String {
    // Simulations last less than a day.
    let seconds = now_ms / 1000;
    format!("2026-01-01T{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// What is at a place in an object, null where nothing is. Other than [`Value::pointer`] it takes keys as they are, which is most
/// of what that costs.
pub fn at<'v>(object: &'v Value, path: &str) -> &'v Value {
    let step = |value: &'v Value, key: &str| match value {
        Value::Array(items) => key.parse().ok().and_then(|at: usize| items.get(at)).unwrap_or(&Value::Null),
        _ => &value[key],
    };
    path.split('/').skip(1).fold(object, step)
}

/// A text in an object, empty where there is none.
pub fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    at(object, path).as_str().unwrap_or_default()
}

/// Is it being deleted?
pub fn is_leaving(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Has the pod ended?
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// What keeps an object.
pub fn finalizers(object: &Value) -> &[Value] {
    object["metadata"]["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default()
}
