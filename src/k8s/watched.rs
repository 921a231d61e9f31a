//! Slim objects as kube's API types want them.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use super::gang::objects::{self, GroupObject};
use super::object;

/// A kind of slim object that the API server serves.
pub(super) trait Kind: DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// Cluster or namespace.
    type Scope;
    /// What of it is known only once the API server was asked.
    type Served: Clone + Send + Sync + 'static;
    fn kind(served: &Self::Served) -> &str;
    fn api_group(served: &Self::Served) -> &str;
    fn version(served: &Self::Served) -> &str;
    fn plural(served: &Self::Served) -> &str;
}

macro_rules! core_kind {
    ($object:ty, $kind:literal, $plural:literal, $scope:ty) => {
        impl Kind for $object {
            type Scope = $scope;
            type Served = ();
            fn kind((): &()) -> &str {
                $kind
            }
            fn api_group((): &()) -> &str {
                ""
            }
            fn version((): &()) -> &str {
                "v1"
            }
            fn plural((): &()) -> &str {
                $plural
            }
        }
    };
}

core_kind!(object::Node, "Node", "nodes", ClusterResourceScope);
core_kind!(object::Pod, "Pod", "pods", NamespaceResourceScope);

/// A kind of group object in the version in which it is watched.
#[derive(Debug, Clone)]
pub(super) struct ServedGroups {
    pub kind: &'static objects::Kind,
    pub version: &'static str,
    /// Which watch of it: what an earlier one still has to say is not heard any more.
    pub watch: u64,
}

impl Kind for GroupObject {
    type Scope = NamespaceResourceScope;
    type Served = ServedGroups;
    fn kind(served: &ServedGroups) -> &str {
        served.kind.name
    }
    fn api_group(served: &ServedGroups) -> &str {
        served.kind.api_group
    }
    fn version(served: &ServedGroups) -> &str {
        served.version
    }
    fn plural(served: &ServedGroups) -> &str {
        served.kind.plural
    }
}

/// An object, or why it could not be read. Reading one never fails, so no object can stop a list or a watch.
#[derive(Debug, Clone)]
pub(super) struct Watched<T> {
    /// Who it is, as far as that could be read: name, namespace, uid and resource version.
    pub meta: ObjectMeta,
    pub object: Result<T, String>,
}

impl<T: Kind> kube::Resource for Watched<T> {
    type DynamicType = T::Served;
    type Scope = T::Scope;

    fn kind(served: &T::Served) -> Cow<'_, str> {
        T::kind(served).into()
    }

    fn group(served: &T::Served) -> Cow<'_, str> {
        T::api_group(served).into()
    }

    fn version(served: &T::Served) -> Cow<'_, str> {
        T::version(served).into()
    }

    fn plural(served: &T::Served) -> Cow<'_, str> {
        T::plural(served).into()
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
