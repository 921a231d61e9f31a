//! The scheduling cycle: one pod at a time, from the queue to its node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::filters::No;
use super::groups::Cycle;
use super::{Against, Around, Hanging, Queue, Room, Scheduler, Waiting};
use crate::api::store::{Kind, text};
use crate::facts::{Claim, Pod};
use crate::service::{NoAnswer, TIMEOUT_MS};

/// Pods that are tried in one step, at most.
const AT_ONCE: usize = 4;

/// What became of an attempt.
pub(super) enum Attempt {
    Place(String),
    /// No node will do.
    NoPlace(Refusals),
    /// It came to no end.
    Error(String),
    /// It has not come to an end yet.
    Hangs(usize),
}

/// What stands against each node, and whether evicting others could help.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub nodes: BTreeMap<String, (String, bool)>,
    pub against: Against,
}

impl Refusals {
    fn of_scheduler(&mut self, node: &str, no: No) {
        match no {
            No::Room(_) => self.against.room = true,
            No::Claims(_) => self.against.claims = true,
            No::Other(_) => self.against.other = true,
        }
        self.nodes.insert(node.to_owned(), (no.text().to_owned(), no.is_curable()));
    }

    fn of_testudo(&mut self, node: &str, text: &str, is_curable: bool) {
        self.against.extender = true;
        self.nodes.insert(node.to_owned(), (text.to_owned(), is_curable));
    }

    /// As kube-scheduler words it.
    pub(super) fn message(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (text, _) in self.nodes.values() {
            *counts.entry(text).or_default() += 1;
        }
        let mut reasons: Vec<String> = counts.iter().map(|(text, count)| format!("{count} {text}")).collect();
        reasons.sort();
        format!("0/{} nodes are available: {}.", self.nodes.len(), reasons.join(", "))
    }
}

impl Scheduler {
    /// Tries pods that wait: the most important first, then the oldest.
    pub(super) fn place_next(&mut self, around: &mut Around<'_>) {
        for _ in 0..AT_ONCE {
            let active = self.waiting.values().filter(|waiting| waiting.place == Queue::Active);
            let Some(waiting) = active.min_by_key(|waiting| waiting.turn()).cloned() else { return };
            let uid = waiting.pod.uid.clone();
            if let Some(group) = &waiting.pod.group {
                if let Cycle::Hangs { uid, replica } = self.place_group(group, around) {
                    self.hangs = Some(Hanging { uid, replica, until_ms: around.now_ms + TIMEOUT_MS });
                    return;
                }
                continue;
            }
            if let Some(waiting) = self.waiting.get_mut(&uid) {
                waiting.attempts += 1;
            }
            match self.attempt(&waiting, around) {
                Attempt::Place(node) => self.start_binding(waiting, node, around),
                Attempt::NoPlace(refusals) => {
                    let nominated = self.after_filter(&waiting, &refusals, around);
                    if let Some(waiting) = self.waiting.get_mut(&uid) {
                        waiting.pod.nominated.clone_from(&nominated);
                    }
                    self.put_aside(&waiting.pod, &refusals.message(), nominated, around);
                    self.rest(&uid, Queue::Aside { since_ms: around.now_ms, against: refusals.against });
                }
                Attempt::Error(error) => self.fail(&waiting.pod, &error, around),
                Attempt::Hangs(replica) => {
                    self.hangs = Some(Hanging { uid, replica, until_ms: around.now_ms + TIMEOUT_MS });
                    return;
                }
            }
        }
    }

    /// Does a call still hang? One whose replica runs again or has gone comes to its end, too late to be of use.
    pub(super) fn still_hangs(&mut self, around: &mut Around<'_>) -> bool {
        let Some(Hanging { uid, replica, until_ms }) = &self.hangs else { return false };
        if around.now_ms < *until_ms && around.service.hangs(*replica, around.now_ms) {
            return true;
        }
        let uid = uid.clone();
        self.hangs = None;
        if let Some(waiting) = self.waiting.get(&uid).cloned() {
            self.fail(&waiting.pod, "Post \"http://testudo/filter\": context deadline exceeded", around);
        }
        false
    }

    /// Looks at the members of a gang in the way of the native gang cycle: asks testudo about each, and does nothing.
    pub fn only_look(&mut self, gang: &str, around: &mut Around<'_>) {
        let is_member = |it: &&Waiting| it.pod.is_of(gang);
        let members: Vec<Waiting> = self.waiting.values().filter(is_member).cloned().collect();
        for member in members {
            _ = self.attempt(&member, around);
        }
    }

    pub(super) fn attempt(&mut self, waiting: &Waiting, around: &mut Around<'_>) -> Attempt {
        let rooms = self.room();
        if rooms.is_empty() {
            return Attempt::Error("no nodes available to schedule pods".into());
        }
        let claims = self.claims_of(&waiting.pod);
        if let Some(room) = waiting.pod.nominated.as_ref().and_then(|node| rooms.get(node)) {
            match self.filter(waiting, [room].into_iter(), &claims, around) {
                Ok((passed, _)) if !passed.is_empty() => return Attempt::Place(passed[0].clone()),
                Err(NoAnswer::Hangs(replica)) => return Attempt::Hangs(replica),
                _ => {}
            }
        }
        match self.filter(waiting, rooms.values(), &claims, around) {
            Err(NoAnswer::Error(error)) => Attempt::Error(error),
            Err(NoAnswer::Hangs(replica)) => Attempt::Hangs(replica),
            Ok((passed, refusals)) if passed.is_empty() => Attempt::NoPlace(refusals),
            Ok((passed, _)) => Attempt::Place(self.choose(waiting, passed, around)),
        }
    }

    /// The nodes that pass its own filters and then testudo's.
    fn filter<'r>(
        &self,
        waiting: &Waiting,
        rooms: impl Iterator<Item = &'r Room>,
        claims: &Result<Vec<Claim>, No>,
        around: &Around<'_>,
    ) -> Result<(Vec<String>, Refusals), NoAnswer> {
        let (mut passed, mut refusals) = (vec![], Refusals::default());
        for room in rooms {
            match self.admits(&waiting.pod, room, claims) {
                Ok(()) => passed.push(room.node.name.clone()),
                Err(no) => refusals.of_scheduler(&room.node.name, no),
            }
        }
        if passed.is_empty() {
            return Ok((passed, refusals));
        }
        let body = json!({"Pod": **waiting.object, "NodeNames": passed});
        let answer = around.service.ask("filter", &body, around.now_ms)?;
        let error = text(&answer, "/Error");
        if !error.is_empty() {
            return Err(NoAnswer::Error(error.to_owned()));
        }
        for (list, is_curable) in [("FailedNodes", true), ("FailedAndUnresolvableNodes", false)] {
            for (node, text) in answer[list].as_object().into_iter().flatten() {
                refusals.of_testudo(node, text.as_str().unwrap_or_default(), is_curable);
            }
        }
        let names = answer["NodeNames"].as_array().into_iter().flatten();
        Ok((names.filter_map(|name| name.as_str().map(str::to_owned)).collect(), refusals))
    }

    /// The best of several by testudo's scores; among equals any.
    fn choose(&mut self, waiting: &Waiting, passed: Vec<String>, around: &Around<'_>) -> String {
        let scores = match passed.len() {
            1 => Err(NoAnswer::Error(String::new())),
            _ => {
                around.service.ask("prioritize", &json!({"Pod": **waiting.object, "NodeNames": passed}), around.now_ms)
            }
        };
        // Its errors are swallowed.
        let scores = scores.unwrap_or_default();
        let score = |name: &str| {
            let of_node = scores.as_array().into_iter().flatten().find(|it| it["Host"] == name);
            of_node.and_then(|it| it["Score"].as_i64()).unwrap_or(0)
        };
        let best = passed.iter().map(|name| score(name)).max().unwrap_or(0);
        let equals: Vec<&String> = passed.iter().filter(|name| score(name) == best).collect();
        equals[self.rng.below(equals.len())].clone()
    }

    /// The attempt has come to no end: the pod is tried again after a while.
    pub(super) fn fail(&mut self, pod: &Pod, error: &str, around: &mut Around<'_>) {
        self.put_aside(pod, error, None, around);
        if let Some(waiting) = self.waiting.get_mut(&pod.uid) {
            waiting.place = Queue::BackOff { until_ms: around.now_ms + waiting.back_off_ms() };
        }
    }

    pub(super) fn rest(&mut self, uid: &str, place: Queue) {
        if let Some(waiting) = self.waiting.get_mut(uid) {
            waiting.place = place;
        }
    }

    /// Writes on the pod why it has no node. A nomination with which the attempt began is gone.
    pub(super) fn put_aside(&self, pod: &Pod, message: &str, nominated: Option<String>, around: &mut Around<'_>) {
        let uid = pod.uid.clone();
        let name = &pod.key;
        around.story.tell(around.now_ms, || format!("kube-scheduler: {name}: {message}"));
        let message = message.to_owned();
        // Who is gone needs no reason.
        let _ = around.store.update(Kind::Pod, &pod.key, |pod| {
            if text(pod, "/metadata/uid") != uid || !text(pod, "/spec/nodeName").is_empty() {
                return Ok(());
            }
            let condition =
                json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
            pod["status"]["conditions"] = json!([condition]);
            match (nominated, pod["status"].as_object_mut()) {
                (Some(node), _) => pod["status"]["nominatedNodeName"] = Value::from(node),
                (None, Some(status)) => _ = status.remove("nominatedNodeName"),
                _ => {}
            }
            Ok(())
        });
    }
}
