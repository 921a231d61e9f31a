//! Attributes that constraints compare.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pools::Device;

/// The values of an attribute, each with its type; none if the device does not have it. Unqualified names are of the
/// driver's domain.
pub fn values(device: &Device<'_>, attribute: &str) -> Option<BTreeSet<String>> {
    let attributes = &device.device["attributes"];
    let own = attribute.strip_prefix(device.driver()).and_then(|rest| rest.strip_prefix('/'));
    let found =
        [Some(attribute), own].into_iter().flatten().map(|name| &attributes[name]).find(|found| !found.is_null())?;
    let (kind, value) = found.as_object()?.iter().next()?;
    // A list of strings and one string are of one type.
    let kind = kind.trim_end_matches('s');
    let tagged = |value: &Value| format!("{kind}:{value}");
    Some(value.as_array().map_or_else(|| [tagged(value)].into(), |values| values.iter().map(tagged).collect()))
}
