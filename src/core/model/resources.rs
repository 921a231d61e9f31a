//! Amounts by resource name.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The name of a resource, for example `cpu` or `nvidia.com/mig-3g.20gb`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// CPU, counted in thousandths of a core.
    pub const CPU: &str = "cpu";
    /// Memory, in bytes.
    pub const MEMORY: &str = "memory";
    /// Pods: every pod takes one.
    pub const PODS: &str = "pods";

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for ResourceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Amounts of resources: CPU in thousandths, everything else in units (bytes, devices, pods). A name that is not listed
/// amounts to 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Resources(BTreeMap<ResourceName, i64>);

impl Resources {
    /// The amount of `name`.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Is `name` listed at all, be it with 0?
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets the amount of `name`.
    pub fn set(&mut self, name: ResourceName, amount: i64) {
        self.0.insert(name, amount);
    }

    /// Adds `other`, saturating: absurd requests stay absurd and never wrap round to small ones.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let sum = self.get(name.as_str()).saturating_add(amount);
            if sum != 0 {
                self.0.insert(name.clone(), sum);
            }
        }
    }

    /// Takes `other` away. What comes to 0 is listed no more, so that taking away undoes adding.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let left = self.get(name.as_str()).saturating_sub(amount);
            if left == 0 {
                self.0.remove(name);
            } else {
                self.0.insert(name.clone(), left);
            }
        }
    }

    /// Takes out the resources whose names begin so, under the rest of their names.
    pub fn take_out(&mut self, prefix: &str) -> Self {
        let taken = self.0.extract_if(.., |name, _| name.as_str().starts_with(prefix));
        taken.map(|(name, amount)| (ResourceName::from(&name.as_str()[prefix.len()..]), amount)).collect()
    }

    /// Raises every amount to at least that of `other`.
    pub fn raise_to(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let entry = self.0.entry(name.clone()).or_insert(amount);
            *entry = (*entry).max(amount);
        }
    }

    /// Names and amounts, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, i64)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }
}

impl FromIterator<(ResourceName, i64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (ResourceName, i64)>>(amounts: I) -> Self {
        Self(amounts.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, i64); N]> for Resources {
    fn from(amounts: [(&str, i64); N]) -> Self {
        amounts.into_iter().map(|(name, amount)| (name.into(), amount)).collect()
    }
}
