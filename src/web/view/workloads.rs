//! Who the pods on a node belong to, by number: forty thousand pods are of some hundred workloads.

use std::collections::HashMap;

use serde::Serialize;
use testudo_core::claims::ClaimKey;
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

/// The same by reference: whether a pod takes part in a gang, its namespace, and the name.
type Named<'h> = (bool, &'h str, &'h str);

/// What a holder is a part of. A pod that says nothing belongs with those whose names differ from its own only in what
/// controllers append: numbers and hashes.
fn named(holding: &Holding) -> Named<'_> {
    let namespace = holding.pod.namespace.as_str();
    // A pod that is planned by itself, for its claims, is nobody's gang.
    let gang = holding.gang.as_ref().filter(|gang| gang.is_of_several());
    match (gang, &holding.replica) {
        (Some(gang), _) => (true, namespace, &gang.name),
        (None, Some(replica)) => (false, namespace, &replica.service.name),
        (None, None) => (false, namespace, stem(&holding.pod.name)),
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
    /// By namespace and name; gangs apart.
    numbers: [HashMap<String, HashMap<String, u32>>; 2],
    by_number: Vec<Workload>,
}

/// How many workloads are numbered before numbers are given anew.
pub const MAX_WORKLOADS: usize = 32_768;

impl Workloads {
    /// The number of what a holder is a part of, a new one if it has none.
    pub fn of(&mut self, holding: &Holding) -> u32 {
        self.number(named(holding))
    }

    /// The same of a claim of which no pod is known: named like the pod that it was made for, as far as that can be told.
    pub fn of_claim(&mut self, claim: &ClaimKey) -> u32 {
        self.number((false, &claim.namespace, stem(&claim.name)))
    }

    fn number(&mut self, (gang, namespace, name): Named) -> u32 {
        // Asked for every pod of every node that changes: what is known is found without making a name.
        let numbers = &mut self.numbers[usize::from(gang)];
        if let Some(number) = numbers.get(namespace).and_then(|names| names.get(name)) {
            return *number;
        }
        let number = u32::try_from(self.by_number.len()).expect("far fewer workloads than that");
        numbers.entry(namespace.to_owned()).or_default().insert(name.to_owned(), number);
        self.by_number.push(Workload { namespace: namespace.to_owned(), name: name.to_owned(), gang });
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
        assert_eq!(["a", "b", "a"].map(|name| workloads.number((false, "team", name))), [0, 1, 0]);
        assert_eq!(workloads.number((true, "team", "a")), 2, "a gang is another workload");
        assert_eq!(workloads.number((false, "other", "a")), 3);
        assert_eq!(workloads.from(1)[0], Workload { namespace: "team".into(), name: "b".into(), gang: false });
        assert!(workloads.from(9).is_empty());
    }
}
