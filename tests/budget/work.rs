//! The pieces of work that have budgets.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use testudo::extender::answer::{Answer, Answers};
use testudo::extender::metrics::Metrics;
use testudo::extender::{Extender, Null};
use testudo::host::Host;
use testudo::k8s::watch::ClusterEvent;

use crate::{counted_work, fleet};

const NODES: usize = 1_000;

/// By name.
pub const ALL: [(&str, fn()); 6] = [
    ("filter by the null extender", null_filter),
    ("filter", filter),
    ("filter after a binding", filter_after_a_binding),
    ("filter of a demand never seen", filter_of_a_new_demand),
    ("prioritize", prioritize),
    ("take in a pod", take_in_a_pod),
];

/// Does the work of this name.
pub fn run(name: &str) {
    let (_, work) = ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("there is no work {name:?}"));
    work();
}

fn answers<E: Extender>(extender: E) -> Answers<E> {
    let metrics = Metrics::register(&mut Registry::default());
    Answers { extender: Arc::new(extender), max_nodes: NODES, metrics }
}

fn is_answered(answer: &Answer) {
    assert!(answer.status == 200 && answer.body.len() > NODES, "{}", String::from_utf8_lossy(&answer.body));
}

/// A host that has been asked before.
fn asked() -> (Answers<Host>, Vec<u8>) {
    let (answers, body) = (answers(fleet::testudo(NODES)), fleet::question(NODES).into_bytes());
    is_answered(&answers.filter(&body));
    is_answered(&answers.prioritize(&body));
    (answers, body)
}

fn null_filter() {
    let (answers, body) = (answers(Null), fleet::question(NODES).into_bytes());
    is_answered(&answers.filter(&body));
    is_answered(&counted_work(|| answers.filter(&body)));
}

fn filter() {
    let (answers, body) = asked();
    is_answered(&counted_work(|| answers.filter(&body)));
}

fn filter_after_a_binding() {
    let (answers, body) = asked();
    bind(&answers.extender, 1);
    is_answered(&counted_work(|| answers.filter(&body)));
}

fn filter_of_a_new_demand() {
    let answers = answers(fleet::testudo(NODES));
    let body = fleet::question(NODES).into_bytes();
    is_answered(&counted_work(|| answers.filter(&body)));
}

fn prioritize() {
    let (answers, body) = asked();
    is_answered(&counted_work(|| answers.prioritize(&body)));
}

fn take_in_a_pod() {
    let (answers, _) = asked();
    let host = Arc::clone(&answers.extender);
    // The first change after a snapshot copies what the snapshot holds.
    bind(&host, 1);
    counted_work(|| bind(&host, 2));
}

fn bind(host: &Host, on: usize) {
    let bound = fleet::read(fleet::pod(&format!("bound-{on}"), 1, Some(4 * on)));
    host.take([ClusterEvent::PodApplied(Box::new(bound))]);
}
