//! From the body of a request to its answer, without any network.
//!
//! kube-scheduler shows an answer's `Error` on the pod, but of an answer that is not a 200 only the status. So whatever
//! was understood is refused in the `Error` of the result where the result has one (filter and bind), and a 4xx is left
//! for what could not be read.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use tracing::Span;

use super::metrics::{BadRequest, Metrics, Verb};
use super::wire::{
    ExtenderArgs, ExtenderBindingArgs, ExtenderBindingResult, ExtenderFilterResult, ExtenderPreemptionArgs,
    ExtenderPreemptionResult, MetaVictims, ReadExtenderArgs, candidates,
};
use super::{Binding, Extender, MAX_SCORE, Offer, OfferedNode, Refusal, write};
use crate::k8s::object::{Node, Pod};

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the body is JSON; it is text otherwise.
    pub json: bool,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A text that says what is wrong.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self { status, json: false, body: text.into().into_bytes() }
    }

    fn json(size_hint: usize, value: &impl Serialize) -> Self {
        let mut body = Vec::with_capacity(size_hint);
        match serde_json::to_writer(&mut body, value) {
            Ok(()) => Self::of_json(body),
            Err(error) => Self::text(500, format!("the answer cannot be written: {error}")),
        }
    }

    fn of_json(body: Vec<u8>) -> Self {
        Self { status: 200, json: true, body }
    }

    fn error(verb: Verb, status: u16, text: &str) -> Self {
        match verb {
            Verb::Filter => Self::json(text.len() + 128, &ExtenderFilterResult::of_error(text)),
            Verb::Bind => Self::json(text.len() + 16, &ExtenderBindingResult { error: text }),
            Verb::Prioritize | Verb::Preempt => Self::text(status, text),
        }
    }
}

/// What is wrong with a request.
#[derive(Debug)]
struct Problem {
    reason: BadRequest,
    text: String,
}

impl Problem {
    fn new(reason: BadRequest, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    fn json(what: &str, error: &serde_json::Error) -> Self {
        let reason = if error.classify() == Category::Data { BadRequest::WrongType } else { BadRequest::InvalidJson };
        Self::new(reason, format!("{what}: {error}"))
    }
}

enum NoAnswer {
    Problem(Problem),
    Refusal(Refusal),
}

impl From<Problem> for NoAnswer {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refusal> for NoAnswer {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Answers the verbs of an extender.
#[derive(Debug)]
pub struct Answers<E> {
    /// What decides.
    pub extender: Arc<E>,
    /// How many nodes one request may name.
    pub max_nodes: usize,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl<E: Extender> Answers<E> {
    /// Answers filter.
    pub fn filter(&self, body: &[u8]) -> Answer {
        self.guarded(Verb::Filter, || {
            let (pod, offer) = self.pod_and_offer(body)?;
            let verdicts = self.extender.filter(&pod, &offer)?;
            same_length("verdicts", verdicts.len(), &offer)?;
            Ok(Answer::of_json(write::filter_result(&offer, &verdicts)))
        })
    }

    /// Answers prioritize.
    pub fn prioritize(&self, body: &[u8]) -> Answer {
        self.guarded(Verb::Prioritize, || {
            let (pod, offer) = self.pod_and_offer(body)?;
            let mut scores = self.extender.prioritize(&pod, &offer)?;
            same_length("scores", scores.len(), &offer)?;
            scores.iter_mut().for_each(|score| *score = (*score).min(MAX_SCORE));
            Ok(Answer::of_json(write::priorities(&offer, &scores)))
        })
    }

    /// Answers preempt.
    pub fn preempt(&self, body: &[u8]) -> Answer {
        self.guarded(Verb::Preempt, || {
            let args: ExtenderPreemptionArgs = object("ExtenderPreemptionArgs", body)?;
            let candidates = match (args.node_name_to_victims, args.node_name_to_meta_victims) {
                (Some(victims), None) => candidates(victims),
                (None, Some(victims)) => candidates(victims),
                (victims, _) => {
                    return Err(form("NodeNameToVictims", "NodeNameToMetaVictims", victims.is_some()).into());
                }
            };
            let pod = pod(args.pod)?;
            self.check_count(candidates.len())?;
            let kept = self.extender.preempt(&pod, candidates)?;
            let node_name_to_meta_victims: BTreeMap<_, _> =
                kept.into_iter().map(|(node, candidate)| (node, MetaVictims::from(candidate))).collect();
            Ok(Answer::json(256, &ExtenderPreemptionResult { node_name_to_meta_victims }))
        })
    }

    /// Reads what bind is asked, or answers that it cannot be read.
    pub fn binding(&self, body: &[u8]) -> Result<Binding, Answer> {
        let read = || {
            let args: ExtenderBindingArgs = object("ExtenderBindingArgs", body)?;
            let fields = [
                ("PodName", &args.pod_name),
                ("PodNamespace", &args.pod_namespace),
                ("PodUID", &args.pod_uid),
                ("Node", &args.node),
            ];
            match fields.iter().find(|(_, value)| value.is_empty()) {
                Some((name, _)) => Err(missing(name).into()),
                None => Ok(Binding::from(args)),
            }
        };
        read().map_err(|why| self.no_answer(Verb::Bind, why))
    }

    /// Answers bind.
    pub fn bound(&self, outcome: Result<(), Refusal>) -> Answer {
        match outcome {
            Ok(()) => Answer::error(Verb::Bind, 200, ""),
            Err(refusal) => self.no_answer(Verb::Bind, refusal.into()),
        }
    }

    /// Answers a request whose decision panicked.
    pub fn panicked(&self, verb: Verb, cause: &(dyn Any + Send)) -> Answer {
        let text = cause.downcast_ref::<&str>().copied();
        let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        tracing::error!(%verb, panic = text, "the extender panicked; this is a bug");
        self.metrics.panicked(verb);
        Answer::error(verb, 500, &format!("testudo: internal error in {verb}, see its log"))
    }

    fn guarded(&self, verb: Verb, decide: impl FnOnce() -> Result<Answer, NoAnswer>) -> Answer {
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => self.no_answer(verb, why),
            Err(cause) => self.panicked(verb, &*cause),
        }
    }

    fn no_answer(&self, verb: Verb, why: NoAnswer) -> Answer {
        match why {
            NoAnswer::Problem(Problem { reason, text }) => {
                tracing::debug!(%verb, ?reason, text, "bad request");
                self.metrics.bad_request(reason);
                let text = format!("testudo: {text}");
                match reason {
                    BadRequest::Form | BadRequest::MissingField | BadRequest::TooManyNodes => {
                        Answer::error(verb, 400, &text)
                    }
                    _ => Answer::text(400, text),
                }
            }
            NoAnswer::Refusal(Refusal::Error(text)) => {
                self.metrics.refused(verb);
                Answer::error(verb, 500, &text)
            }
            NoAnswer::Refusal(Refusal::Unavailable(text)) => {
                self.metrics.refused(verb);
                Answer::text(503, text)
            }
        }
    }

    fn pod_and_offer<'a>(&self, body: &'a [u8]) -> Result<(Pod, Offer<'a>), Problem> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let args = ReadExtenderArgs { max_nodes: self.max_nodes }
            .deserialize(&mut reader)
            .and_then(|args| reader.end().map(|()| args))
            .map_err(|error| Problem::json("the body is no ExtenderArgs", &error))?;
        let ExtenderArgs { pod: asked, nodes, node_names } = args;
        let offer = match (nodes, node_names) {
            (Some(nodes), None) => {
                self.check_count(nodes.total)?;
                Offer::Nodes(distinct(offered_nodes(nodes.items)?, |offered| &offered.node.metadata.name))
            }
            (None, Some(names)) => {
                self.check_count(names.total)?;
                Offer::Names(distinct(names.items, Cow::as_ref))
            }
            (nodes, _) => return Err(form("Nodes", "NodeNames", nodes.is_some())),
        };
        self.metrics.offered(offer.len());
        Span::current().record("nodes", offer.len());
        Ok((pod(asked)?, offer))
    }

    fn check_count(&self, nodes: usize) -> Result<(), Problem> {
        if nodes <= self.max_nodes {
            return Ok(());
        }
        let text = format!("the request names {nodes} nodes, the limit is {}", self.max_nodes);
        Err(Problem::new(BadRequest::TooManyNodes, text))
    }
}

fn object<'a, T: Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::json(&format!("the body is no {what}"), &error))
}

fn pod(pod: Option<Pod>) -> Result<Pod, Problem> {
    pod.ok_or_else(|| missing("Pod"))
}

fn missing(field: &str) -> Problem {
    Problem::new(BadRequest::MissingField, format!("the request has no {field}"))
}

fn form(one: &str, other: &str, both: bool) -> Problem {
    let found = if both { "has both" } else { "has neither" };
    Problem::new(BadRequest::Form, format!("exactly one of {one} and {other} must be set, the request {found}"))
}

fn same_length(what: &str, found: usize, offer: &Offer<'_>) -> Result<(), Refusal> {
    if found == offer.len() {
        return Ok(());
    }
    Err(Refusal::Error(format!("testudo: internal error, {found} {what} for {} nodes", offer.len())))
}

fn offered_nodes(items: Vec<&RawValue>) -> Result<Vec<OfferedNode<'_>>, Problem> {
    let mut offered = Vec::with_capacity(items.len());
    for (index, raw) in items.into_iter().enumerate() {
        let node: Node = serde_json::from_str(raw.get())
            .map_err(|error| Problem::json(&format!("Nodes.items[{index}] is no Node"), &error))?;
        offered.push(OfferedNode { raw, node });
    }
    Ok(offered)
}

/// Drops all but the first of each name.
fn distinct<T>(items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    // Seeded anew in each process: names that collide cannot be made up.
    let mut seen = HashSet::with_capacity_and_hasher(items.len(), RandomState::default());
    let first: Vec<bool> = items.iter().map(|item| seen.insert(name(item))).collect();
    if first.iter().all(|first| *first) {
        return items;
    }
    items.into_iter().zip(first).filter_map(|(item, first)| first.then_some(item)).collect()
}
