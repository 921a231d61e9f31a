//! Testudo's ledger says what the cluster says: which pod is where and what it has there, and which claim has which devices.

use std::collections::{BTreeMap, BTreeSet};

use testudo_core::claims::ClaimKey;
use testudo_core::cluster::{NodeState, Standing};
use testudo_core::engine::Engine;
use testudo_core::model::pod::PodUid;

use super::{Rule, Violation, wrong};
use crate::actors::users::NAMESPACE;
use crate::api::store::{Kind, Store};
use crate::facts::{Amounts, Claim, Device, GPU, Pod};

/// When it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While things happen: places may be held beside what the cluster shows.
    Any,
    /// When nothing happens any more: nobody is on the way.
    End,
}

/// Where they differ.
pub fn differs(store: &Store, engine: &Engine, moment: Moment) -> Option<Violation> {
    let pods = store.all(Kind::Pod).map(|(_, pod)| pod.pod()).filter(|pod| !pod.ended && pod.node.is_some());
    let pods: BTreeMap<&str, &Pod> = pods.map(|pod| (pod.uid.as_str(), pod)).collect();
    let missing = pods.values().find_map(|pod| is_missing(pod, engine));
    let stray = || engine.cluster().slots().iter().flatten().find_map(|state| is_stray(state, &pods, engine, moment));
    let wrong_claim = || store.all(Kind::Claim).find_map(|(_, claim)| is_of_others(claim.claim(), engine, moment));
    let found = missing.or_else(stray).or_else(wrong_claim);
    // One that was read beside the watch, just before it was deleted, is known for a while.
    if moment == Moment::Any { found } else { found.or_else(|| is_too_many(store, engine)) }
}

/// A pod that is on its node, and not in the ledger as such.
fn is_missing(pod: &Pod, engine: &Engine) -> Option<Violation> {
    let node = pod.node.as_deref()?;
    let entry = engine.cluster().holding(&PodUid::from(pod.uid.as_str()));
    if entry.is_some_and(|it| it.holding.node.as_str() == node && it.standing == Standing::Observed) {
        return None;
    }
    let said = entry.map_or("nothing".to_owned(), |it| format!("{:?} on {}", it.standing, it.holding.node));
    wrong(Rule::Ledger, format!("pod {} is on {node}, and the ledger says {said}", pod.key))
}

/// What is held on a node for somebody who is not there, or so much of it as nobody asks for.
fn is_stray(state: &NodeState, pods: &BTreeMap<&str, &Pod>, engine: &Engine, moment: Moment) -> Option<Violation> {
    let node = state.name().as_str();
    let is_seen = |uid: &PodUid| {
        moment == Moment::End || engine.cluster().holding(uid).is_some_and(|it| it.standing == Standing::Observed)
    };
    let is_there = |uid: &PodUid| pods.get(uid.as_str()).is_some_and(|pod| pod.is_on(node));
    let strange = state.holders().iter().find(|(uid, _)| is_seen(uid) && !is_there(uid));
    if let Some((uid, holding)) = strange {
        let text = format!("the ledger holds {node} for {} ({uid}), which is not there", holding.pod);
        return wrong(Rule::Ledger, text);
    }
    let used: Amounts = pods.values().filter(|pod| pod.is_on(node)).map(|pod| pod.asks).sum();
    let said = (state.used().get("cpu"), state.used().get(GPU));
    let text = || {
        format!(
            "pods on {node} have {} thousandths of CPUs and {} GPUs, and the ledger says {said:?}",
            used.cpu, used.gpus
        )
    };
    (moment == Moment::End && said != (used.cpu, used.gpus)).then(|| wrong(Rule::Ledger, text()))?
}

/// A claim that has other devices in the ledger.
fn is_of_others(claim: &Claim, engine: &Engine, moment: Moment) -> Option<Violation> {
    let key = ClaimKey { namespace: claim.key.namespace.as_str().into(), name: claim.key.name.as_str().into() };
    let has: BTreeSet<Device> = claim.devices.iter().flatten().cloned().collect();
    let view = engine.claim(&key);
    // What is being given to it is shown, too.
    if moment == Moment::Any && claim.devices.is_none() && view.is_some() {
        return None;
    }
    let device = |pool: &str, driver: &str, name: &str| (driver.to_owned(), pool.to_owned(), name.to_owned());
    let said: Option<BTreeSet<Device>> =
        view.map(|view| view.devices.iter().map(|it| device(&it.pool.name, &it.pool.driver, &it.name)).collect());
    let text = || format!("claim {} has {has:?}, and the ledger says {said:?}", claim.key);
    (said.as_ref() != Some(&has)).then(|| wrong(Rule::Ledger, text()))?
}

/// A claim of which only the ledger knows.
fn is_too_many(store: &Store, engine: &Engine) -> Option<Violation> {
    let keys: BTreeSet<String> = store.all(Kind::Claim).map(|(_, claim)| claim.claim().key.to_string()).collect();
    let known = { engine.claim_names() }.map(|(key, _)| key).filter(|key| &*key.namespace == NAMESPACE);
    let strange = { known }.find(|key| !keys.contains(&key.to_string()))?;
    wrong(Rule::Ledger, format!("the ledger has claim {strange}, which is not there"))
}
