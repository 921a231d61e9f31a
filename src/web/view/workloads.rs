//! Who the pods on a node belong to, by number: forty thousand pods are of some hundred workloads.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::cluster::Holding;

/// What a pod is a part of: its gang, its service, or itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Is it a gang?
    pub gang: bool,
}

impl Workload {
    /// What a holder is a part of. A pod that says nothing belongs with those whose names differ from its own only in what
    /// controllers append: numbers and hashes.
    pub fn of(holding: &Holding) -> Self {
        let namespace = holding.pod.namespace.clone();
        match (&holding.gang, &holding.replica) {
            (Some(gang), _) => Self { namespace, name: gang.name.clone(), gang: true },
            (None, Some(replica)) => Self { namespace, name: replica.service.name.clone(), gang: false },
            (None, None) => Self { namespace, name: stem(&holding.pod.name).into(), gang: false },
        }
    }
}

/// A pod's name without what controllers append.
fn stem(name: &str) -> &str {
    let is_appended = |part: &str| !part.is_empty() && part.len() <= 10 && part.bytes().any(|b| b.is_ascii_digit());
    let mut stem = name;
    for _ in 0..2 {
        match stem.rsplit_once('-') {
            Some((rest, last)) if !rest.is_empty() && is_appended(last) => stem = rest,
            _ => break,
        }
    }
    stem
}

/// Workloads by number. It only grows; past [`MAX_WORKLOADS`] whoever keeps it begins anew.
#[derive(Debug, Default)]
pub struct Workloads {
    numbers: BTreeMap<Workload, u32>,
    by_number: Vec<Workload>,
}

/// How many workloads are numbered before numbers are given anew.
pub const MAX_WORKLOADS: usize = 32_768;

impl Workloads {
    /// The number of a workload, a new one if it has none.
    pub fn number(&mut self, workload: Workload) -> u32 {
        if let Some(number) = self.numbers.get(&workload) {
            return *number;
        }
        let number = u32::try_from(self.by_number.len()).expect("far fewer workloads than that");
        self.by_number.push(workload.clone());
        self.numbers.insert(workload, number);
        number
    }

    /// Those from this number on.
    pub fn from(&self, number: usize) -> &[Workload] {
        &self.by_number[number.min(self.by_number.len())..]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_number.len()
    }

    /// Is it time to begin anew?
    pub fn is_full(&self) -> bool {
        self.by_number.len() > MAX_WORKLOADS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_controllers_append() {
        for (name, expected) in [
            ("vllm-llama-8b-7d9f6c5b4-x2k9p", "vllm-llama-8b"),
            ("vllm-0", "vllm"),
            ("notebook", "notebook"),
            ("gateway-blue", "gateway-blue"),
            ("7-8", "7"),
            ("-1", "-1"),
        ] {
            assert_eq!(stem(name), expected, "{name}");
        }
    }

    #[test]
    fn a_workload_keeps_its_number() {
        let mut workloads = Workloads::default();
        let workload = |name: &str| Workload { namespace: "team".into(), name: name.into(), gang: false };
        assert_eq!(["a", "b", "a"].map(|name| workloads.number(workload(name))), [0, 1, 0]);
        assert_eq!(workloads.from(1), [workload("b")]);
        assert!(workloads.from(9).is_empty());
    }
}
