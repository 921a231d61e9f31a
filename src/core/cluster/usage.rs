//! How much of what each namespace has: of devices, what its pods hold, whoever placed them.

use std::collections::BTreeMap;

use crate::model::quota::Amounts;

/// How much of what each namespace has. It is as large as there are namespaces that have something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage(BTreeMap<Box<str>, Amounts>);

impl Usage {
    /// What a namespace has.
    pub fn of(&self, namespace: &str) -> Amounts {
        self.0.get(namespace).copied().unwrap_or_default()
    }

    /// Namespaces that have something, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|namespace| &**namespace)
    }

    /// A namespace has these, too.
    pub fn add(&mut self, namespace: &str, amounts: &Amounts) {
        match self.0.get_mut(namespace) {
            Some(sum) => *sum = sum.plus(amounts),
            None if amounts.is_zero() => {}
            None => drop(self.0.insert(namespace.into(), *amounts)),
        }
    }

    /// A namespace has these no longer.
    pub fn remove(&mut self, namespace: &str, amounts: &Amounts) {
        let Some(sum) = self.0.get_mut(namespace) else { return };
        *sum = sum.less(amounts);
        if sum.is_zero() {
            self.0.remove(namespace);
        }
    }
}
