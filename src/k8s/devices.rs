//! Objects of `resource.k8s.io/v1` as they are watched: read by [`crate::claims`] while they come in.

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use testudo_core::claims::{DeviceClass, SeenClaim, Slice};

use super::watched::Kind;
use crate::claims::{self, MalformedObject, Template};

/// What of `resource.k8s.io/v1` testudo watches.
pub const API_GROUP: &str = "resource.k8s.io";

macro_rules! device_kind {
    ($(#[doc = $doc:literal] $object:ident($value:ty), $kind:literal, $plural:literal, $scope:ty, $read:path;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone)]
        pub struct $object(pub $value);

        impl<'de> Deserialize<'de> for $object {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let object = Value::deserialize(deserializer)?;
                let malformed = |MalformedObject { field, what, .. }| D::Error::custom(format!("{field}: {what}"));
                $read(&object).map(Self).map_err(malformed)
            }
        }

        impl Kind for $object {
            type Scope = $scope;
            type Served = ();
            fn kind((): &()) -> &str {
                $kind
            }
            fn api_group((): &()) -> &str {
                API_GROUP
            }
            fn version((): &()) -> &str {
                "v1"
            }
            fn plural((): &()) -> &str {
                $plural
            }
        }
    )*};
}

device_kind! {
    /// A ResourceClaim.
    Claim(SeenClaim), "ResourceClaim", "resourceclaims", NamespaceResourceScope, claims::seen_claim;
    /// A ResourceClaimTemplate.
    ClaimTemplate(Template), "ResourceClaimTemplate", "resourceclaimtemplates", NamespaceResourceScope, claims::template;
    /// A ResourceSlice.
    DeviceSlice(Slice), "ResourceSlice", "resourceslices", ClusterResourceScope, claims::slice;
    /// A DeviceClass.
    Class(DeviceClass), "DeviceClass", "deviceclasses", ClusterResourceScope, claims::class;
}
