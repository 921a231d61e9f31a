//! What is known to be wrong with objects, so that it is told once.

use std::collections::BTreeMap;

/// Objects whose problems are remembered. Past this many, further ones are not told of: the log would drown.
const MAX_OBJECTS: usize = 10_000;

/// How a node is remembered.
pub fn node_key(name: &str) -> String {
    format!("node {name}")
}

/// How a pod is remembered.
pub fn pod_key(uid: &str) -> String {
    format!("pod {uid}")
}

/// Problems by object.
#[derive(Debug, Default)]
pub struct KnownProblems(BTreeMap<String, Vec<String>>);

impl KnownProblems {
    /// Takes in the problems that an object has now, and returns those that it did not have before.
    pub fn news(&mut self, object: String, problems: Vec<String>) -> Vec<String> {
        if problems.is_empty() {
            self.0.remove(&object);
            return vec![];
        }
        if self.0.len() >= MAX_OBJECTS && !self.0.contains_key(&object) {
            return vec![];
        }
        let before = self.0.insert(object, problems.clone()).unwrap_or_default();
        problems.into_iter().filter(|problem| !before.contains(problem)).collect()
    }

    /// The problems that an object has.
    pub fn of(&self, object: &str) -> &[String] {
        self.0.get(object).map_or(&[], Vec::as_slice)
    }

    /// Of the objects whose keys begin like this, all are gone but those that are there by what follows in the key.
    pub fn retain(&mut self, prefix: &str, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| key.strip_prefix(prefix).is_none_or(&is_there));
    }

    /// The object is gone.
    pub fn forget(&mut self, object: &str) {
        self.0.remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_news_once() {
        let mut known = KnownProblems::default();
        let news = |known: &mut KnownProblems, problems: &[&str]| {
            known.news(node_key("n"), problems.iter().map(|p| (*p).to_owned()).collect())
        };
        assert_eq!(news(&mut known, &["a", "b"]), ["a", "b"]);
        assert!(news(&mut known, &["b", "a"]).is_empty());
        assert_eq!(news(&mut known, &["b", "c"]), ["c"]);
        assert!(news(&mut known, &[]).is_empty());
        assert_eq!(news(&mut known, &["b"]), ["b"], "it had gone");
    }

    #[test]
    fn who_is_gone_takes_no_room() {
        let mut known = KnownProblems::default();
        for key in [node_key("a"), node_key("b"), pod_key("a")] {
            known.news(key, vec!["odd".into()]);
        }
        known.retain(&node_key(""), |name| name == "b");
        assert_eq!(known.0.keys().collect::<Vec<_>>(), ["node b", "pod a"]);
    }
}
