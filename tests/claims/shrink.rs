//! The smallest case that still shows a disagreement.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::Case;
use crate::compare::{Disagreement, compare};
use crate::oracle::{Selectors, Session, hasty_question};
use crate::ours::ours;

/// More is not worth the wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes things away as long as upstream and ours disagree in the same way, and the API server would admit the rest.
pub fn shrink(case: &Case, disagreement: &Disagreement, admitted: bool) -> Case {
    let mut judge = Judge {
        allocator: Session::new("allocate"),
        admission: admitted.then(|| Session::new("admit")),
        selectors: Selectors::new(),
        kind: &disagreement.kind,
        until: Instant::now() + PATIENCE,
    };
    let mut smallest = case.clone();
    loop {
        let before = smallest.clone();
        let mut path = vec![];
        let objects = json!(smallest.objects);
        thin(&objects, &mut path, &mut smallest, &mut judge);
        if smallest == before || Instant::now() > judge.until {
            return smallest;
        }
    }
}

struct Judge<'a> {
    allocator: Session,
    admission: Option<Session>,
    selectors: Selectors,
    kind: &'a str,
    until: Instant,
}

impl Judge<'_> {
    fn still_disagree(&mut self, case: &Case) -> bool {
        if Instant::now() > self.until {
            return false;
        }
        if let Some(admission) = &mut self.admission
            && admission.ask(&json!({"objects": case.objects})).outcome != "admitted"
        {
            return false;
        }
        let upstream = self.allocator.ask(&hasty_question(case));
        if upstream.outcome == "bad-input" {
            return false;
        }
        let ours = ours(case, Some(&case.node));
        compare(case, &upstream, &ours, &mut self.selectors).is_err_and(|disagreement| disagreement.kind == self.kind)
    }
}

/// Takes away what is below a path, big things first: each item itself, and then what is in it.
fn thin(seen: &Value, path: &mut Vec<String>, smallest: &mut Case, judge: &mut Judge<'_>) {
    let keys: Vec<String> = match seen {
        // From the end, so that what is taken away does not move what is still to come.
        Value::Array(items) => (0..items.len()).rev().map(|index| index.to_string()).collect(),
        Value::Object(fields) => fields.keys().cloned().collect(),
        _ => return,
    };
    for key in keys {
        path.push(key.clone());
        let mut smaller = smallest.clone();
        if remove(&mut smaller.objects, path) && judge.still_disagree(&smaller) {
            *smallest = smaller;
        } else {
            let child = match seen {
                Value::Array(items) => &items[key.parse::<usize>().expect("an index")],
                fields => &fields[key.as_str()],
            };
            thin(child, path, smallest, judge);
        }
        path.pop();
    }
}

fn remove(objects: &mut Vec<Value>, path: &[String]) -> bool {
    let mut all = json!(objects);
    let (last, parents) = path.split_last().expect("a path has a key");
    let pointer: String = parents.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
    let removed = match all.pointer_mut(&pointer) {
        Some(Value::Array(items)) => items.remove(last.parse::<usize>().expect("an index")),
        Some(Value::Object(fields)) => fields.remove(last).expect("a field that was seen"),
        _ => return false,
    };
    *objects = all.as_array().expect("objects").clone();
    !removed.is_null()
}
