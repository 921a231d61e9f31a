//! An autoscaler of one group of nodes, as Cluster Autoscaler works: it counts. Pods that are shown unschedulable and for
//! which no node has enough left, by resources alone, get nodes; nodes on which nothing runs are marked, and go a little later,
//! whoever has come there meanwhile.

use std::collections::BTreeMap;

use testudo::sim::rng::Rng;

use super::machines::Station;
use crate::api::store::{Key, Kind, Store};
use crate::facts::{Amounts, Node, Pod};
use crate::script::NodeGroup;
use crate::story::Story;

/// The annotation that keeps a node from being removed.
const KEEP: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

/// A node may go when it has been idle for so long.
const IDLE_MS: u64 = 4_000;

/// The autoscaler.
pub struct Autoscaler {
    rng: Rng,
    group: NodeGroup,
    due_ms: u64,
    /// When the nodes will be there that were asked for.
    coming: Vec<u64>,
    /// The machines of its nodes, by number.
    nodes: Vec<usize>,
    /// Since when nodes are idle.
    idle: BTreeMap<String, u64>,
    /// When nodes that are marked go.
    going: BTreeMap<String, u64>,
}

impl Autoscaler {
    /// One whose group has no nodes yet.
    pub fn new(group: NodeGroup, rng: Rng) -> Self {
        let (idle, going) = (BTreeMap::new(), BTreeMap::new());
        Self { rng, group, due_ms: 0, coming: vec![], nodes: vec![], idle, going }
    }

    /// Nodes that it may still add.
    pub fn could_add(&self) -> Vec<Node> {
        let missing = self.group.most.saturating_sub(self.nodes.len() + self.coming.len());
        let has = self.whole();
        (0..missing).map(|index| Node { name: format!("new-{index}"), has, closed: false }).collect()
    }

    /// What a node of the group has.
    fn whole(&self) -> Amounts {
        Station::new(0, self.group.machine.clone()).has()
    }

    /// When it does something next.
    pub fn next_ms(&self) -> u64 {
        self.coming.iter().chain(self.going.values()).copied().fold(self.due_ms, u64::min)
    }

    /// Does what is due. Nodes are marked for removal only while it `shrinks`.
    pub fn step(
        &mut self,
        stations: &mut Vec<Station>,
        store: &mut Store,
        story: &mut Story,
        now_ms: u64,
        shrinks: bool,
    ) {
        for _ in self.coming.extract_if(.., |at| *at <= now_ms) {
            let mut station = Station::new(stations.len(), self.group.machine.clone());
            story.tell(now_ms, || format!("node {} comes, as the autoscaler wanted", station.name));
            station.join(store);
            self.nodes.push(stations.len());
            stations.push(station);
        }
        self.take_away(stations, store, story, now_ms);
        if now_ms < self.due_ms {
            return;
        }
        self.due_ms = now_ms + 1_000 + self.rng.below(2_000) as u64;
        let pods: Vec<Pod> = store.all(Kind::Pod).map(|(_, pod)| pod.pod().clone()).collect();
        self.grow(&pods, store, story, now_ms);
        self.look_for_idle(&pods, stations, store, now_ms);
        if shrinks {
            self.mark(stations, store, story, now_ms);
        }
    }

    fn grow(&mut self, pods: &[Pod], store: &Store, story: &mut Story, now_ms: u64) {
        let nodes = store.all(Kind::Node).map(|(_, node)| node.node()).filter(|node| !node.closed);
        let used = |node: &Node| pods.iter().filter(|pod| pod.is_on(&node.name)).map(|pod| pod.asks).sum::<Amounts>();
        let mut free: Vec<Amounts> = nodes.map(|node| node.has - used(node)).collect();
        let whole = self.whole();
        free.extend(self.coming.iter().map(|_| whole));
        // Pods with claims it leaves to others.
        let is_short = |pod: &&Pod| {
            pod.is_ours && pod.is_pending() && !pod.gated && !pod.message.is_empty() && pod.claims.is_empty()
        };
        for pod in pods.iter().filter(is_short) {
            if let Some(room) = free.iter_mut().find(|free| free.covers(pod.asks)) {
                *room = *room - pod.asks;
            } else if self.nodes.len() + self.coming.len() < self.group.most && whole.covers(pod.asks) {
                story.tell(now_ms, || format!("the autoscaler wants a node for {}", pod.key));
                self.coming.push(now_ms + 2_000 + self.rng.below(4_000) as u64);
                free.push(whole - pod.asks);
            }
        }
    }

    fn look_for_idle(&mut self, pods: &[Pod], stations: &[Station], store: &Store, now_ms: u64) {
        let names = self.nodes.iter().map(|index| stations[*index].name.as_str());
        let is_idle = |name: &&str| {
            store.get(Kind::Node, &Key::global(name)).is_some() && !pods.iter().any(|pod| pod.is_on(name))
        };
        let known = std::mem::take(&mut self.idle);
        let since = |name: &str| known.get(name).copied().unwrap_or(now_ms);
        self.idle = names.filter(is_idle).map(|name| (name.to_owned(), since(name))).collect();
    }

    fn mark(&mut self, stations: &[Station], store: &mut Store, story: &mut Story, now_ms: u64) {
        for station in self.nodes.iter().map(|index| &stations[*index]) {
            let key = Key::global(&station.name);
            let is_kept =
                store.get(Kind::Node, &key).is_none_or(|node| node["metadata"]["annotations"][KEEP] == "true");
            let has_been_idle = self.idle.get(&station.name).is_some_and(|since| since + IDLE_MS <= now_ms);
            if has_been_idle && !is_kept && !self.going.contains_key(&station.name) {
                story.tell(now_ms, || format!("the autoscaler marks node {}", station.name));
                station.mark_for_removal(store);
                self.going.insert(station.name.clone(), now_ms + 500 + self.rng.below(2_000) as u64);
            }
        }
    }

    fn take_away(&mut self, stations: &mut [Station], store: &mut Store, story: &mut Story, now_ms: u64) {
        for (name, _) in self.going.extract_if(.., |_, at| *at <= now_ms) {
            story.tell(now_ms, || format!("the autoscaler removes node {name}"));
            self.nodes.retain(|index| stations[*index].name != name);
            if let Some(station) = stations.iter_mut().find(|station| station.name == name) {
                station.leave(u64::MAX, store);
            }
        }
    }
}
