//! `testudo explain`: where a pod fits and why not elsewhere, what a node is taken for, what counts as typical.

mod gang;
mod mix;

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use testudo_core::cluster::NodeState;
use testudo_core::engine::{Snapshot, Stance};
use testudo_core::model::accelerator::AcceleratorResource;
use testudo_core::model::pod::{Pod, Stage};
use testudo_core::placement::{self, Rank, Reason, deciding};

use super::Outcome;
use super::output::{Output, table};
use super::source::Source;
use gang::GangExplanation;
use mix::MixExplanation;

/// Flags of `testudo explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Where a pod fits, and what stands against it elsewhere. Exit 1 when it fits nowhere.
    Pod {
        /// The pod, as NAME or NAMESPACE/NAME.
        name: String,
        /// The namespace, when the name has none.
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// One row per node, instead of one per reason.
        #[arg(long)]
        all_nodes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// How far a gang has come, why not further, and where its members are. Exit 1 when it waits.
    Gang {
        /// The gang, as NAME or NAMESPACE/NAME. The group of a LeaderWorkerSet is named NAME/INDEX: give its namespace with
        /// --namespace.
        name: String,
        /// The namespace, when the name has none.
        #[arg(short, long)]
        namespace: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Which demands count as typical, and how much: places are chosen so that these lose least.
    Mix {
        #[command(flatten)]
        common: Common,
    },
    /// What a node is taken for: accelerators, fabric, what is in use, what could not be understood.
    Node {
        /// The node.
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Explains.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.subject {
        Subject::Pod { name, namespace, all_nodes, common } => {
            let (namespace, name) = name.split_once('/').unwrap_or((&namespace, &name));
            let host = common.source.look()?;
            let Some(pod) = host.pod(namespace, name) else {
                bail!("there is no pod {namespace}/{name} in {}", common.source);
            };
            let explanation = PodExplanation::new(&host.snapshot(), &pod);
            common.output.write(&explanation, |out| explanation.table(out, all_nodes))?;
            Ok(if explanation.fits() { Outcome::Done } else { Outcome::No })
        }
        Subject::Gang { name, namespace, common } => {
            let (namespace, name) = match (&namespace, name.split_once('/')) {
                (Some(namespace), _) => (namespace.as_str(), name.as_str()),
                (None, Some((namespace, name))) => (namespace, name),
                (None, None) => ("default", name.as_str()),
            };
            let gangs = common.source.look()?.gangs_named(namespace, name);
            if gangs.is_empty() {
                bail!(
                    "there is no gang {namespace}/{name} in {}: no pod names it, or its members start each for itself",
                    common.source
                );
            }
            let explanations: Vec<GangExplanation> = gangs.iter().map(GangExplanation::new).collect();
            common.output.write(&explanations, |out| explanations.iter().try_for_each(|gang| gang.table(out)))?;
            Ok(if explanations.iter().all(GangExplanation::has_places) { Outcome::Done } else { Outcome::No })
        }
        Subject::Mix { common } => {
            let explanation = MixExplanation::new(common.source.look()?.snapshot().mix());
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
        Subject::Node { name, common } => {
            let host = common.source.look()?;
            let snapshot = host.snapshot();
            let Some(state) = snapshot.node(&name).filter(|state| state.node().is_some()) else {
                bail!("there is no node {name} in {}", common.source);
            };
            let explanation = NodeExplanation::new(state, host.node_problems(&name));
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
    }
}

/// Where a pod fits, and what stands against it elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodExplanation {
    pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_to: Option<String>,
    treated_as: &'static str,
    requests: BTreeMap<String, i64>,
    nodes: Vec<NodeLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeLine {
    node: String,
    fits: bool,
    /// 1 is the best place.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// What the best place has before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<i64>,
}

impl PodExplanation {
    fn new(snapshot: &Snapshot, pod: &Pod) -> Self {
        let judgement = snapshot.judge(pod);
        let mut fitting: Vec<(Rank, String)> = vec![];
        let mut nodes: Vec<NodeLine> = vec![];
        for state in snapshot.nodes() {
            // Where the pod is bound it holds what it asks for: judge the place without it.
            let state = state.without([&pod.uid]);
            let node = state.name().to_string();
            match placement::check(&pod.demand, &state) {
                Ok(()) => fitting.push((judgement.rank_in(&state), node)),
                Err(reason) => {
                    let free = if let Reason::Insufficient { free, .. } = reason { Some(free) } else { None };
                    let reason = Some(reason.to_string());
                    nodes.push(NodeLine { node, fits: false, place: None, behind: None, reason, free });
                }
            }
        }
        fitting.sort_unstable_by(|(a, a_name), (b, b_name)| (a.packed(), a_name).cmp(&(b.packed(), b_name)));
        let best = fitting.first().map(|(rank, _)| *rank).unwrap_or_default();
        nodes.extend(fitting.into_iter().zip(1..).map(|((rank, node), place)| NodeLine {
            node,
            fits: true,
            place: Some(place),
            behind: (place > 1).then(|| deciding(&best, &rank).to_string()),
            reason: None,
            free: None,
        }));
        nodes.sort_by(|a, b| (a.place.unwrap_or(usize::MAX), &a.node).cmp(&(b.place.unwrap_or(usize::MAX), &b.node)));
        Self {
            pod: pod.key.to_string(),
            bound_to: if let Stage::Bound(node) = &pod.stage { Some(node.to_string()) } else { None },
            treated_as: match snapshot.stance(pod) {
                Stance::Placed => "placed by testudo",
                Stance::Unconcerned => "asks for no accelerators: kube-scheduler decides",
                Stance::Excluded => "excluded by the policy",
            },
            requests: pod.demand.requests.iter().map(|(name, amount)| (name.to_string(), amount)).collect(),
            nodes,
        }
    }

    fn fits(&self) -> bool {
        self.bound_to.is_some() || self.nodes.iter().any(|line| line.fits)
    }

    fn table(&self, out: &mut dyn Write, all_nodes: bool) -> std::io::Result<()> {
        let fitting = self.nodes.iter().filter(|line| line.fits).count();
        let asked: Vec<String> = self
            .requests
            .iter()
            .filter(|(name, _)| AcceleratorResource::parse(name).is_some())
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        writeln!(out, "Pod {}: {}", self.pod, self.treated_as)?;
        if !asked.is_empty() {
            writeln!(out, "Asks for {}", asked.join(", "))?;
        }
        match &self.bound_to {
            Some(node) => {
                writeln!(out, "Is on node {node}; without it, it would fit on {fitting} of {} nodes", self.nodes.len())?
            }
            None => writeln!(out, "Fits on {fitting} of {} nodes", self.nodes.len())?,
        }
        let mut table = table();
        if all_nodes {
            table.set_header(["NODE", "PLACE", "REASON", "FREE", "THE BEST IS BETTER IN"]);
            for line in &self.nodes {
                table.add_row([
                    line.node.clone(),
                    line.place.map_or_else(|| "-".into(), |place| place.to_string()),
                    line.reason.clone().unwrap_or_else(|| "fits".into()),
                    line.free.map_or_else(String::new, |free| free.to_string()),
                    line.behind.clone().unwrap_or_default(),
                ]);
            }
        } else {
            table.set_header(["NODES", "VERDICT", "FOR EXAMPLE"]);
            for (verdict, nodes) in self.by_verdict() {
                table.add_row([nodes.len().to_string(), verdict.into(), nodes[..nodes.len().min(3)].join(", ")]);
            }
        }
        writeln!(out, "{table}")
    }

    /// Nodes by what is said of them, the fitting ones first, then the reason that most of them share.
    fn by_verdict(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &self.nodes {
            groups.entry(line.reason.as_deref().unwrap_or("fits")).or_default().push(&line.node);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(verdict, nodes)| (*verdict != "fits", std::cmp::Reverse(nodes.len())));
        groups
    }
}

/// What a node is taken for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeExplanation {
    node: String,
    product: Option<String>,
    machine: Option<String>,
    instance_type: Option<String>,
    zone: Option<String>,
    clique: Option<String>,
    link_complete: bool,
    cordoned: bool,
    taints: Vec<String>,
    pools: Vec<PoolLine>,
    pods: Vec<String>,
    not_understood: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolLine {
    resource: String,
    unit: String,
    capacity: i64,
    allocatable: i64,
    free: i64,
}

impl NodeExplanation {
    fn new(state: &NodeState, not_understood: Vec<String>) -> Self {
        let node = state.node().expect("the caller found the node");
        let inventory = &node.inventory;
        Self {
            node: state.name().to_string(),
            product: inventory.product.as_ref().map(|product| product.name.clone()),
            machine: inventory.machine.as_ref().map(|machine| machine.name.clone()),
            instance_type: node.place.instance_type.clone(),
            zone: node.place.zone.clone(),
            clique: node.place.clique.clone(),
            link_complete: inventory.is_link_complete(),
            cordoned: node.parts.cordoned,
            taints: node.parts.taints.iter().map(ToString::to_string).collect(),
            pools: inventory
                .pools
                .iter()
                .map(|pool| PoolLine {
                    resource: pool.resource.to_string(),
                    unit: pool.unit.to_string(),
                    capacity: pool.capacity,
                    allocatable: pool.allocatable,
                    free: state.free_units(pool),
                })
                .collect(),
            pods: state.holders().values().map(|holding| holding.pod.to_string()).collect(),
            not_understood,
        }
    }

    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        writeln!(out, "Node {}", self.node)?;
        writeln!(out, "  product   {}", or_unknown(&self.product))?;
        writeln!(out, "  machine   {} (instance type {})", or_unknown(&self.machine), or_unknown(&self.instance_type))?;
        writeln!(out, "  zone      {}", or_unknown(&self.zone))?;
        if let Some(clique) = &self.clique {
            writeln!(out, "  clique    {clique}")?;
        }
        let links =
            if self.link_complete { "all devices are linked" } else { "not all devices are linked and healthy" };
        writeln!(out, "  links     {links}")?;
        for taint in &self.taints {
            writeln!(out, "  taint     {taint}")?;
        }
        if self.cordoned {
            writeln!(out, "  cordoned")?;
        }
        writeln!(out, "  pods      {}", self.pods.len())?;
        let mut table = table();
        table.set_header(["RESOURCE", "UNITS ARE", "CAPACITY", "ALLOCATABLE", "FREE"]);
        for pool in &self.pools {
            let counts = [pool.capacity, pool.allocatable, pool.free].map(|count| count.to_string());
            table.add_row([vec![pool.resource.clone(), pool.unit.clone()], counts.to_vec()].concat());
        }
        writeln!(out, "{table}")?;
        for problem in &self.not_understood {
            writeln!(out, "Not understood: {problem}")?;
        }
        Ok(())
    }
}
