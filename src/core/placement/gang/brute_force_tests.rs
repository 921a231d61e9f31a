//! The planner against brute force: it finds a placement when, and only when, there is one, and what it finds is legal.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{Scene, label, preferred, required, zone};
use super::*;
use crate::cluster::{Cluster, Holding, Standing};
use crate::model::accelerator::Unit;
use crate::model::catalogue::LinkDomain;
use crate::model::gang::Relation::{Apart, Spread, Together};
use crate::model::gang::SpreadRule;
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::placement::check;
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const MILLI: &str = "alibabacloud.com/gpu-milli";
const DEVICE: &str = "aws.amazon.com/neuron";
const CORE: &str = "aws.amazon.com/neuroncore";

/// Members in the order of the formation: part, set, block.
fn members(formation: &Formation) -> Vec<(usize, usize, usize)> {
    let sets = formation
        .parts
        .iter()
        .enumerate()
        .flat_map(|(p, part)| part.sets.iter().enumerate().map(move |(s, set)| (p, s, set)));
    sets.flat_map(|(p, s, set)| set.members.iter().map(move |block| (p, s, *block))).collect()
}

/// Tries all nodes for one member after the other.
fn brute_force(scene: &mut Scene, names: &[NodeName], places: &mut Vec<NodeName>) -> bool {
    let all = members(&scene.formation);
    let Some((_, _, block)) = all.get(places.len()).copied() else {
        return is_legal(&scene.cluster, &scene.formation, places);
    };
    for name in names {
        let member = places.len();
        if place(scene, block, member, name) {
            places.push(name.clone());
            let found = brute_force(scene, names, places);
            scene.cluster.release(&uid(member));
            if found {
                return true;
            }
            places.pop();
        }
    }
    false
}

fn uid(member: usize) -> crate::model::pod::PodUid {
    format!("member-{member}").as_str().into()
}

/// Puts a member on a node if it fits there beside those before it.
fn place(scene: &mut Scene, block: usize, member: usize, name: &NodeName) -> bool {
    let demand = Arc::clone(&scene.formation.blocks[block].demand);
    if scene.has_refused(block, name) {
        return false;
    }
    if check(&demand, scene.cluster.node(name.as_str()).expect("a node")).is_err() {
        return false;
    }
    let pod = pod(&format!("member-{member}")).build();
    let holding = Holding { demand, ..Holding::of(&pod, name) };
    scene.cluster.hold(&uid(member), holding, Standing::Committed);
    true
}

/// Does a placement that fits keep to what is asked of sets, topology and relations?
fn is_legal(cluster: &Cluster, formation: &Formation, places: &[NodeName]) -> bool {
    let members = members(formation);
    let of = |wanted: &dyn Fn(usize, usize, usize) -> bool| -> Vec<(NodeName, Option<usize>)> {
        let new = members.iter().zip(places).filter(|((p, s, b), _)| wanted(*p, *s, *b));
        new.map(|((_, _, b), name)| (name.clone(), Some(*b))).collect()
    };
    let with = |mut new: Vec<(NodeName, Option<usize>)>, placed: Vec<&NodeName>| {
        new.extend(placed.into_iter().map(|name| (name.clone(), None)));
        new
    };
    let share = |level: &TopologyLevel, who: &[(NodeName, Option<usize>)]| shares(cluster, formation, level, who);
    let rules = |topology: &[TopologyRule], who: &[(NodeName, Option<usize>)]| {
        let required = topology.iter().filter(|rule| rule.strictness == crate::model::gang::Strictness::Required);
        required.map(|rule| &rule.level).all(|level| share(level, who))
    };
    let parts = formation.parts.iter().enumerate().all(|(p, part)| {
        let sets = part.sets.iter().enumerate().all(|(s, set)| {
            let new = of(&|part, at, _| (part, at) == (p, s));
            let bound = new.is_empty() || set.within.is_none();
            bound || share(set.within.as_ref().expect("bound"), &with(new, set.placed.iter().collect()))
        });
        let new = of(&|part, _, _| part == p);
        sets && (new.is_empty()
            || rules(&part.topology, &with(new, part.sets.iter().flat_map(|set| &set.placed).collect())))
    });
    let placed = formation.blocks.iter().flat_map(|block| &block.placed).collect();
    let gang = members.is_empty() || rules(&formation.topology, &with(of(&|_, _, _| true), placed));
    let relations = formation.blocks.iter().all(|block| {
        let is_kin = |other: usize| are_kin(block, &formation.blocks[other]);
        let new: Vec<NodeName> = of(&|_, _, b| is_kin(b)).into_iter().map(|(name, _)| name).collect();
        let placed = (0..formation.blocks.len()).filter(|b| is_kin(*b)).flat_map(|b| &formation.blocks[b].placed);
        let placed: Vec<&NodeName> = placed.collect();
        new.is_empty() || block.relations.iter().all(|relation| holds(cluster, relation, block, &new, &placed))
    });
    parts && gang && relations && are_exclusive(cluster, formation, places)
}

/// Do members of both count in each other's relations? Those of one role do that say the same of it, and where there are
/// no roles those that ask for the same. Who accepts other nodes is spread over other domains.
fn are_kin(a: &Block, b: &Block) -> bool {
    let has_role = !a.role.is_empty();
    let accept_alike = a.demand.affinity == b.demand.affinity && a.demand.tolerations == b.demand.tolerations;
    a.role == b.role && a.relations == b.relations && accept_alike && (has_role || a.demand == b.demand)
}

/// Is nobody in the domain of a part that has it to itself, and is that all in one?
fn are_exclusive(cluster: &Cluster, formation: &Formation, places: &[NodeName]) -> bool {
    let value = |key: &str, name: &NodeName| match key {
        HOST => Some(name.to_string()),
        key => cluster.node(name.as_str()).unwrap().node().unwrap().parts.labels.get(key).map(str::to_owned),
    };
    let members = members(formation);
    let new: Vec<(usize, &NodeName)> = members.iter().map(|(part, _, _)| *part).zip(places).collect();
    let parts = || formation.parts.iter().enumerate();
    let placed =
        parts().flat_map(|(p, part)| part.sets.iter().flat_map(move |set| set.placed.iter().map(move |n| (p, n))));
    let placed: Vec<(usize, &NodeName)> = placed.collect();
    let meet = |key: &str, a: &NodeName, b: &NodeName| value(key, a).is_some() && value(key, a) == value(key, b);
    parts().filter_map(|(p, part)| Some((p, part.exclusive.as_deref()?))).all(|(p, key)| {
        let own: Vec<(NodeName, Option<usize>)> =
            new.iter().chain(&placed).filter(|(of, _)| *of == p).map(|(_, n)| ((*n).clone(), None)).collect();
        let is_new = new.iter().any(|(of, _)| *of == p);
        let clash = |(a, on): &(usize, &NodeName), (b, other): &(usize, &NodeName)| {
            (*a == p) != (*b == p) && meet(key, on, other)
        };
        (!is_new || shares(cluster, formation, &label(key), &own))
            && !new.iter().any(|a| new.iter().chain(&placed).any(|b| clash(a, b)))
    })
}

fn trusted_clique(node: &Node) -> Option<(Option<&str>, &str)> {
    let reaches = match &node.inventory.machine {
        Some(machine) => matches!(machine.link_domain, LinkDomain::Clique { .. }),
        None => node.parts.labels.get("nvidia.com/gpu.clique").is_some(),
    };
    Some((node.place.zone.as_deref(), node.place.clique.as_deref().filter(|_| reaches)?))
}

fn shares(cluster: &Cluster, formation: &Formation, level: &TopologyLevel, who: &[(NodeName, Option<usize>)]) -> bool {
    let nodes: Vec<&Node> =
        who.iter().map(|(n, _)| cluster.node(n.as_str()).unwrap().node().unwrap().as_ref()).collect();
    fn same<'n, T: PartialEq>(nodes: &[&'n Node], key: impl Fn(&'n Node) -> Option<T>) -> bool {
        nodes.iter().all(|node| key(node).is_some() && key(node) == key(nodes[0]))
    }
    let one_node = same(&nodes, |node| Some(node.name()));
    match level {
        TopologyLevel::Node => one_node,
        TopologyLevel::Clique => same(&nodes, trusted_clique),
        TopologyLevel::Label(key) if &**key == HOST => one_node,
        TopologyLevel::Label(key) if &**key == ZONE => same(&nodes, |node| node.parts.labels.get(key)),
        TopologyLevel::Label(key) => {
            same(&nodes, |node| Some((node.parts.labels.get(ZONE), node.parts.labels.get(key)?)))
        }
        TopologyLevel::DeviceFabric => {
            let whole = |node: &&Node| node.inventory.pools.iter().all(|pool| pool.unit.joins_sets());
            let demands: Vec<&Demand> =
                who.iter().filter_map(|(_, block)| Some(formation.blocks[(*block)?].demand.as_ref())).collect();
            (same(&nodes, trusted_clique) && nodes.iter().all(whole)) || (one_node && is_linked(nodes[0], &demands))
        }
    }
}

fn is_linked(node: &Node, demands: &[&Demand]) -> bool {
    let inventory = &node.inventory;
    let asked = demands.iter().flat_map(|demand| demand.accelerators());
    let asked: Vec<(&Unit, i64)> =
        asked.map(|(name, _, n)| (&inventory.pool(name.as_str()).unwrap().unit, n)).collect();
    let shares = asked.iter().any(|(unit, _)| **unit == Unit::Thousandth);
    let units: i64 = asked
        .iter()
        .map(|(unit, n)| if shares { (n + 999) / 1000 } else { n * i64::from(unit != &&Unit::Thousandth) })
        .sum();
    let Some(fabric) = inventory.fabric.as_deref() else { return units <= 1 };
    // The machines here with cores have two on each device.
    let half_devices: i64 = asked.iter().map(|(unit, n)| if **unit == Unit::Core { *n } else { 2 * n }).sum();
    let largest = fabric.largest_linked(fabric.all()) as i64;
    units <= 1
        || (asked.iter().all(|(unit, _)| unit.joins_sets())
            && if shares { largest == fabric.len() as i64 } else { 2 * largest >= half_devices })
}

/// Does a relation of a block hold for new members, its own and those of its kin, beside all that were placed before?
fn holds(cluster: &Cluster, relation: &Relation, block: &Block, new: &[NodeName], placed: &[&NodeName]) -> bool {
    let node = |name: &NodeName| Arc::clone(cluster.node(name.as_str()).unwrap().node().unwrap());
    let value = |key: &str, name: &NodeName| match key {
        HOST => Some(name.to_string()),
        key => node(name).parts.labels.get(key).map(str::to_owned),
    };
    let all: Vec<&NodeName> = new.iter().chain(placed.iter().copied()).collect();
    match relation {
        Apart(key) => new.iter().enumerate().all(|(at, name)| {
            let others = all.iter().enumerate().filter(|(other, _)| *other != at);
            value(key, name).is_none() || others.into_iter().all(|(_, other)| value(key, other) != value(key, name))
        }),
        Together(key) => all.iter().all(|name| value(key, name).is_some() && value(key, name) == value(key, all[0])),
        Spread(SpreadRule { key, max_skew, min_domains, by_affinity, .. }) => {
            let accepted = cluster.slots().iter().flatten().filter_map(|state| state.node());
            let accepted = accepted
                .filter(|node| !by_affinity || block.demand.affinity.accepts(node.name().as_str(), &node.parts.labels));
            let count =
                |wanted: &str| all.iter().filter(|name| value(key, name).as_deref() == Some(wanted)).count() as u32;
            let domains: BTreeSet<String> = accepted.filter_map(|node| value(key, node.name())).collect();
            let least = domains.iter().map(|value| count(value)).min().unwrap_or(0);
            let least = if domains.len() < *min_domains as usize { 0 } else { least };
            new.iter().all(|name| value(key, name).is_some_and(|value| count(&value) <= least + max_skew))
        }
    }
}

/// Machine, GPUs, zone, rack, how much is in use, little CPU.
type NodeSpec = (usize, i64, usize, usize, i64, bool);

fn node_of(at: usize, (machine, gpus, zone, rack, _, poor): NodeSpec) -> NodeBuilder {
    let name = format!("n{at}");
    let gpu = "nvidia.com/gpu";
    let linked = || node(&name).product("NVIDIA-H100-80GB-HBM3");
    let tray = |clique: &str| {
        let tray = node(&name).instance("p6e-gb200.36xlarge").product("NVIDIA-GB200").has(gpu, 4);
        tray.label("nvidia.com/gpu.clique", clique)
    };
    let built = match machine {
        0 | 1 => linked().has(gpu, gpus),
        2 => node(&name).product("NVIDIA-L40S").has(gpu, gpus),
        3 | 4 => tray(["c0", "c1"][machine - 3]),
        5 => linked().instance("p5.48xlarge").has(gpu, 8).label("network.topology.nvidia.com/accelerator", "c0"),
        6 => linked().has_working(gpu, 4, gpus),
        7 => node(&name).instance("inf2.24xlarge").has(DEVICE, 6).has(CORE, 12),
        8 => node(&name).instance("p3.8xlarge").product("Tesla-V100-SXM2-16GB").has(MILLI, 1000 * gpus),
        9 => node(&name).product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-1g.5gb", 3).has(gpu, 2),
        _ => node(&name).has(gpu, gpus).label("nvidia.com/gpu.clique", "c1"),
    };
    let built = if zone < 2 { built.label(ZONE, ["a", "b"][zone]) } else { built };
    let built = if rack < 2 { built.label("rack", ["r0", "r1"][rack]) } else { built };
    if poor { built.has("cpu", 3000) } else { built }
}

/// What is asked for, how much of it, the relation, whether only nodes of one zone are accepted, where one is already.
type BlockSpec = (usize, i64, usize, bool, usize);

fn pod_of(name: &str, (kind, amount, _, selects, _): BlockSpec) -> PodBuilder {
    let asks = match kind {
        0..=3 => pod(name).gpus(amount),
        4 => pod(name).asks("cpu", 1000 * amount),
        5 => pod(name).asks(DEVICE, amount),
        6 => pod(name).asks(CORE, 2 * amount - 1),
        7 => pod(name).asks(MILLI, [0, 300, 500, 1000, 2000][amount as usize]),
        _ => pod(name).asks("nvidia.com/mig-1g.5gb", 1),
    };
    if selects { asks.selects(ZONE, "a") } else { asks }
}

fn relations_of(relation: usize) -> Vec<Relation> {
    let spread = |key: &str, max_skew| Spread(SpreadRule::new(key, max_skew));
    match relation {
        0 => vec![Apart(HOST.into())],
        1 => vec![Apart("rack".into())],
        2 => vec![Together(ZONE.into())],
        3 => vec![Together("rack".into()), Apart(HOST.into())],
        4 => vec![spread(ZONE, 1)],
        5 => vec![spread(HOST, 1)],
        6 => vec![spread("rack", 1), spread(HOST, 2)],
        7 => vec![Spread(SpreadRule { by_affinity: false, ..SpreadRule::new(ZONE, 1) })],
        8 => vec![Spread(SpreadRule { min_domains: 3, ..SpreadRule::new("rack", 1) })],
        _ => vec![],
    }
}

fn level_of(level: usize) -> Option<TopologyLevel> {
    match level {
        0 | 1 => Some(TopologyLevel::DeviceFabric),
        2 => Some(TopologyLevel::Node),
        3 => Some(TopologyLevel::Clique),
        4 => Some(label("rack")),
        5 => Some(zone()),
        _ => None,
    }
}

fn topology_of(rule: usize) -> Vec<TopologyRule> {
    let level = level_of(rule % 10);
    let rule = |level| if rule < 10 { required(level) } else { preferred(level) };
    level.into_iter().map(rule).collect()
}

/// The blocks of its members, what they share, where one of it is already.
type SetSpec = (Vec<usize>, usize, usize);
/// Where it must stand, and its sets, repeated.
type PartSpec = (usize, Vec<(SetSpec, usize)>);

const MOST_MEMBERS: usize = 5;

fn scene(nodes: Vec<NodeSpec>, blocks: Vec<BlockSpec>, gang: usize, parts: Vec<PartSpec>) -> Scene {
    let mut scene = Scene::default();
    for (at, spec) in nodes.iter().enumerate() {
        scene = scene.node(node_of(at, *spec));
        let (kind, amount) = match spec.0 {
            7 => (6, 2),
            8 => (7, spec.4.min(2)),
            _ => (0, spec.4),
        };
        if amount > 0 {
            let running = pod_of(&format!("running-{at}"), (kind, amount, 9, false, 0));
            scene = scene.runs(running.on(&format!("n{at}")));
        }
    }
    let placed = |at: usize| -> Vec<NodeName> {
        (0..nodes.len()).filter(|node| *node == at).map(|node| format!("n{node}").as_str().into()).collect()
    };
    for (at, spec) in blocks.iter().enumerate() {
        scene = scene.block(&format!("role-{at}"), pod_of("p", *spec), &relations_of(spec.2));
        scene.formation.blocks[at].placed = placed(spec.4);
    }
    let mut left = MOST_MEMBERS;
    for (rule, sets) in parts {
        scene = scene.part(&topology_of(rule));
        for ((members, within, at), copies) in sets {
            for copy in 0..copies {
                let members: Vec<usize> = members.iter().map(|block| block % blocks.len()).take(left).collect();
                left -= members.len();
                let placed = if copy == 0 { placed(at) } else { vec![] };
                let part = scene.formation.parts.last_mut().expect("a part");
                part.sets.push(Set { members, within: level_of(within), placed });
            }
        }
    }
    scene.gang(&topology_of(gang))
}

/// A member, by its place among all, the nodes that have refused it, what else it asks for, and whether it stands for those
/// that have their places already.
type SplitSpec = (usize, Vec<usize>, Option<i64>, bool);

/// Members become blocks of their own; all are of one role, or of none.
fn with_splits(mut scene: Scene, splits: &[SplitSpec], role: &str) -> Scene {
    for (member, nodes, amount, has_placed) in splits {
        let formation = &mut scene.formation;
        let own = formation.blocks.len();
        let mut members =
            formation.parts.iter_mut().flat_map(|part| part.sets.iter_mut().flat_map(|set| &mut set.members));
        let Some(block) = members.nth(*member) else { continue };
        let of = std::mem::replace(block, own);
        let mut split = Block { placed: vec![], ..formation.blocks[of].clone() };
        if *has_placed {
            std::mem::swap(&mut split.placed, &mut formation.blocks[of].placed);
        }
        if let Some(amount) = amount {
            Arc::make_mut(&mut split.demand).requests = pod("p").gpus(*amount).demand().requests;
        }
        formation.blocks.push(split);
        scene.refused.extend(nodes.iter().map(|node| (own, format!("n{node}").as_str().into())));
    }
    scene.formation.blocks.iter_mut().for_each(|block| block.role = role.into());
    scene
}

/// By part the label of which it has a domain to itself, if it is one.
fn with_exclusive(mut scene: Scene, keys: &[usize]) -> Scene {
    for (part, key) in scene.formation.parts.iter_mut().zip(keys) {
        part.exclusive = ["rack", ZONE, HOST].get(*key).map(|key| (*key).into());
    }
    scene
}

const ENOUGH: Budget = Budget { steps: 1 << 24 };

fn compare(mut scene: Scene) -> Result<(), TestCaseError> {
    let names: Vec<NodeName> = scene.cluster.slots().iter().flatten().map(|state| state.name().clone()).collect();
    let planned = scene.plan_within(ENOUGH);
    let searched = scene.search(ENOUGH);
    let mut found = vec![];
    let possible = brute_force(&mut scene, &names, &mut found);
    for result in [planned, searched] {
        match result {
            Ok(places) => judge(&mut scene, &places)?,
            Err(no) => prop_assert!(!possible && no.is_proven(), "{no}, but {found:?}"),
        }
    }
    Ok(())
}

/// Is a placement complete and legal?
fn judge(scene: &mut Scene, places: &Places) -> Result<(), TestCaseError> {
    let places: Vec<NodeName> = places.parts().iter().flatten().flatten().cloned().collect();
    let all = members(&scene.formation);
    prop_assert_eq!(places.len(), all.len());
    for (at, (name, (_, _, block))) in places.iter().zip(&all).enumerate() {
        prop_assert!(place(scene, *block, at, name), "{at} does not fit on {name}: {places:?}");
    }
    prop_assert!(is_legal(&scene.cluster, &scene.formation, &places), "not legal: {places:?}");
    (0..all.len()).for_each(|member| scene.cluster.release(&uid(member)));
    Ok(())
}

/// All kinds of nodes, half of them in use.
fn nodes(most: usize) -> impl Strategy<Value = Vec<NodeSpec>> {
    let used = prop_oneof![2 => Just(0), 1 => 1..3i64];
    let node = (0..11usize, 1..5i64, 0..3usize, 0..3usize, used, proptest::bool::weighted(0.2));
    proptest::collection::vec(node, 2..=most)
}

/// Few kinds of nodes with GPUs, so that what is asked may well fit.
fn alike(most: usize) -> impl Strategy<Value = Vec<NodeSpec>> {
    let machine = prop_oneof![3 => Just(0usize), 1 => Just(3), 1 => Just(4), 1 => Just(6)];
    let used = prop_oneof![2 => Just(0), 1 => 1..3i64];
    proptest::collection::vec((machine, 2..5i64, 0..3usize, 0..3usize, used, Just(false)), 3..=most)
}

fn blocks(kinds: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<BlockSpec>> {
    let amount = prop_oneof![3 => Just(1i64), 2 => Just(2), 1 => Just(3)];
    let placed = prop_oneof![5 => Just(NOWHERE), 1 => 0..4usize];
    proptest::collection::vec((kinds, amount, 0..20usize, proptest::bool::weighted(0.1), placed), 1..4)
}

/// Beyond all nodes.
const NOWHERE: usize = 99;

fn parts() -> impl Strategy<Value = Vec<PartSpec>> {
    let placed = prop_oneof![6 => Just(NOWHERE), 1 => 0..4usize];
    let set = (proptest::collection::vec(0..3usize, 1..4), 0..12usize, placed);
    let sets = proptest::collection::vec((set, 1..4usize), 1..3);
    proptest::collection::vec((0..20usize, sets), 1..3)
}

fn splits() -> impl Strategy<Value = Vec<SplitSpec>> {
    let amount = prop_oneof![3 => Just(None), 1 => (1..4i64).prop_map(Some)];
    let nodes = proptest::collection::vec(0..4usize, 0..3);
    proptest::collection::vec((0..MOST_MEMBERS, nodes, amount, proptest::bool::weighted(0.3)), 1..4)
}

fn gang() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(6usize), 1 => 0..6usize, 1 => 10..16usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn gangs_of_all_kinds(
        nodes in nodes(4),
        blocks in blocks(prop_oneof![4 => 0..4usize, 5 => 4..9usize]),
        gang in gang(),
        parts in parts(),
    ) {
        compare(scene(nodes, blocks, gang, parts))?;
    }

    /// Some parts have a domain to themselves.
    #[test]
    fn gangs_with_exclusive_parts(
        nodes in alike(5),
        blocks in blocks(prop_oneof![4 => Just(0usize), 1 => Just(4)]),
        gang in gang(),
        parts in parts(),
        exclusive in proptest::collection::vec(0..5usize, 3),
    ) {
        compare(with_exclusive(scene(nodes, blocks, gang, parts), &exclusive))?;
    }

    #[test]
    fn gangs_of_shares_with_exclusive_parts(
        gpus in proptest::collection::vec((1..4i64, 0..2usize, 0..2usize), 1..5),
        blocks in blocks(Just(7)),
        parts in parts(),
        exclusive in proptest::collection::vec(0..5usize, 3),
    ) {
        let nodes = gpus.into_iter().map(|(gpus, zone, rack)| (8, gpus, zone, rack, 0, false)).collect();
        compare(with_exclusive(scene(nodes, blocks, 6, parts), &exclusive))?;
    }

    /// Here it counts on which of its GPUs a node has room.
    #[test]
    fn gangs_of_shares(
        gpus in proptest::collection::vec((1..4i64, 0..3i64), 1..4),
        blocks in blocks(Just(7)),
        parts in parts(),
    ) {
        let nodes = gpus.into_iter().map(|(gpus, used)| (8, gpus, 0, 0, used, false)).collect();
        compare(scene(nodes, blocks, 6, parts))?;
    }

    /// Members that nodes have refused are blocks of their own, and still stand to the others as they ask.
    #[test]
    fn gangs_split_by_refusals(
        nodes in alike(4),
        gpus in 1..3i64,
        relation in 0..9usize,
        placed in prop_oneof![2 => Just(NOWHERE), 1 => 0..4usize],
        members in 2..5usize,
        splits in splits(),
        role in prop_oneof![Just(""), Just("worker")],
    ) {
        let parts = vec![(9, vec![((vec![0], 9, NOWHERE), members)])];
        let scene = scene(nodes, vec![(0, gpus, relation, false, placed)], 6, parts);
        compare(with_splits(scene, &splits, role))?;
    }

    #[test]
    fn gangs_of_several_kinds_split_by_refusals(
        nodes in alike(4),
        blocks in blocks(prop_oneof![3 => Just(0usize), 1 => Just(4)]),
        gang in gang(),
        parts in parts(),
        splits in splits(),
        role in prop_oneof![Just(""), Just("worker")],
    ) {
        compare(with_splits(scene(nodes, blocks, gang, parts), &splits, role))?;
    }

    #[test]
    fn gangs_of_gpus(nodes in alike(4), blocks in blocks(Just(0)), gang in gang(), parts in parts()) {
        compare(scene(nodes, blocks, gang, parts))?;
    }

    /// Jobs that are alike: here counts alone must find it.
    #[test]
    fn exclusive_gangs_of_equals(
        nodes in alike(5),
        gpus in 1..4i64,
        members in 1..3usize,
        key in 0..3usize,
        gang in gang(),
        jobs in 1..4usize,
        placed in prop_oneof![2 => Just(NOWHERE), 1 => 0..4usize],
    ) {
        let job = |at: usize| (9, vec![((vec![0; members], 9, if at == 0 { placed } else { NOWHERE }), 1)]);
        let scene = scene(nodes, vec![(0, gpus, 9, false, placed)], gang, (0..jobs).map(job).collect());
        compare(with_exclusive(scene, &[key; 3]))?;
    }

    /// One block and sets that are alike: here counts alone must find it.
    #[test]
    fn gangs_of_equals(
        nodes in alike(5),
        gpus in 1..4i64,
        relation in prop_oneof![3 => Just(9usize), 1 => Just(0)],
        members in 1..4usize,
        within in 0..10usize,
        rule in 0..20usize,
        gang in gang(),
        sizes in prop_oneof![(1..3usize, Just(1usize)), (1..4usize, 1..3usize)],
    ) {
        let set = |copies| ((vec![0; members], within, NOWHERE), copies);
        let parts = (0..sizes.1).map(|_| (rule, vec![set(sizes.0)])).collect();
        compare(scene(nodes, vec![(0, gpus, relation, false, NOWHERE)], gang, parts))?;
    }
}
