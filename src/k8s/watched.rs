//! Slim objects as kube's API types want them.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use super::object;

/// A kind of slim object that the API server serves under `v1`.
pub(super) trait Kind: DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    const KIND: &str;
    const PLURAL: &str;
    type Scope;
}

impl Kind for object::Node {
    const KIND: &str = "Node";
    const PLURAL: &str = "nodes";
    type Scope = ClusterResourceScope;
}

impl Kind for object::Pod {
    const KIND: &str = "Pod";
    const PLURAL: &str = "pods";
    type Scope = NamespaceResourceScope;
}

/// An object, or why it could not be read. Reading one never fails, so no object can stop a list or a watch.
#[derive(Debug, Clone)]
pub(super) struct Watched<T> {
    /// Who it is, as far as that could be read: name, namespace, uid and resource version.
    pub meta: ObjectMeta,
    pub object: Result<T, String>,
}

impl<T: Kind> kube::Resource for Watched<T> {
    type DynamicType = ();
    type Scope = T::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        T::KIND.into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        T::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// The parts that slim objects have; the rest is skipped while reading.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl<'de, T: Kind> Deserialize<'de> for Watched<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { metadata, spec, status } = Parts::deserialize(deserializer)?;
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).map(str::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let parts = [("metadata", metadata), ("spec", spec), ("status", status)];
        let object = Value::Object(parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect());
        Ok(Self { meta, object: T::deserialize(object).map_err(|error| error.to_string()) })
    }
}
