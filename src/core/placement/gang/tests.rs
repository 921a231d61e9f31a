use std::collections::BTreeSet;

use super::*;
use crate::cluster::{Cluster, NodeState};
use crate::model::gang::Strictness;
use crate::placement::{Asked, check};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
pub(super) const HOST: &str = "kubernetes.io/hostname";

/// A cluster, and what to ask of it.
#[derive(Default)]
pub(super) struct Scene {
    pub cluster: Cluster,
    pub formation: Formation,
    /// Nodes that have refused members of a block.
    pub refused: BTreeSet<(usize, NodeName)>,
}

impl Scene {
    pub fn node(mut self, node: NodeBuilder) -> Self {
        self.cluster.set_node(node.build());
        self
    }

    pub fn nodes(self, count: usize, named: impl Fn(usize) -> NodeBuilder) -> Self {
        (0..count).fold(self, |scene, at| scene.node(named(at)))
    }

    pub fn runs(mut self, pod: PodBuilder) -> Self {
        self.cluster.set_pod(pod.build());
        self
    }

    pub fn block(mut self, role: &str, pod: PodBuilder, relations: &[Relation]) -> Self {
        let block =
            Block { role: role.into(), demand: Arc::new(pod.demand()), relations: relations.to_vec(), placed: vec![] };
        self.formation.blocks.push(block);
        self
    }

    /// A new part.
    pub fn part(mut self, topology: &[TopologyRule]) -> Self {
        self.formation.parts.push(Part { topology: topology.to_vec(), exclusive: None, sets: vec![] });
        self
    }

    /// The last part is to have a domain of this label to itself.
    pub fn exclusive(mut self, key: &str) -> Self {
        self.formation.parts.last_mut().expect("a part").exclusive = Some(key.into());
        self
    }

    /// So many sets more in the last part.
    pub fn sets(mut self, count: usize, members: &[usize], within: Option<TopologyLevel>) -> Self {
        let set = Set { members: members.to_vec(), within, placed: vec![] };
        let part = self.formation.parts.last_mut().expect("a part");
        part.sets.extend(std::iter::repeat_n(set, count));
        self
    }

    pub fn gang(mut self, topology: &[TopologyRule]) -> Self {
        self.formation.topology = topology.to_vec();
        self
    }

    pub fn has_refused(&self, block: usize, node: &NodeName) -> bool {
        self.refused.contains(&(block, node.clone()))
    }

    pub fn ranks(&self) -> Vec<Vec<Option<Rank>>> {
        let of = |block: &Block, state: &NodeState| {
            check(&block.demand, state).ok().map(|()| Asked::of(&block.demand).rank(state, 0))
        };
        let blocks = self.formation.blocks.iter().enumerate();
        let rank = |(at, block): (usize, &Block), state: &NodeState| match self.has_refused(at, state.name()) {
            true => None,
            false => of(block, state),
        };
        let row = |block| self.cluster.slots().iter().map(|state| rank(block, state.as_deref()?)).collect();
        blocks.map(row).collect()
    }

    fn field<'a>(&'a self, ranks: &'a [Vec<Option<Rank>>]) -> Field<'a> {
        let cluster = &self.cluster;
        Field {
            slots: cluster.slots(),
            geography: cluster.geography(),
            domains: cluster.domains(),
            ranks,
            devices: &[],
            shares: Shares::OnGpus,
        }
    }

    pub fn plan(&self) -> Result<Places, No> {
        self.plan_within(Budget::default())
    }

    pub fn plan_within(&self, budget: Budget) -> Result<Places, No> {
        let ranks = self.ranks();
        let field = self.field(&ranks);
        plan(&self.formation, field, budget)
    }

    /// By search alone.
    pub fn search(&self, budget: Budget) -> Result<Places, No> {
        let ranks = self.ranks();
        let field = self.field(&ranks);
        Question::of(&self.formation, field)?.by_search(&mut Steps::within(budget))
    }

    /// By set in order: the nodes, joined.
    pub fn told(&self) -> String {
        match self.plan() {
            Ok(places) => {
                let set = |set: &Vec<NodeName>| set.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
                places.parts().iter().flatten().map(set).collect::<Vec<_>>().join(" | ")
            }
            Err(no) => no.to_string(),
        }
    }
}

pub(super) fn required(level: TopologyLevel) -> TopologyRule {
    TopologyRule { strictness: Strictness::Required, level }
}

pub(super) fn preferred(level: TopologyLevel) -> TopologyRule {
    TopologyRule { strictness: Strictness::Preferred, level }
}

pub(super) fn label(key: &str) -> TopologyLevel {
    TopologyLevel::Label(key.into())
}

pub(super) fn zone() -> TopologyLevel {
    label(ZONE)
}

/// Eight linked GPUs.
pub(super) fn h100(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-H100-80GB-HBM3").instance("p5.48xlarge").has("nvidia.com/gpu", 8)
}

/// Four GPUs of an NVLink domain of many.
pub(super) fn gb200(name: &str, clique: &str) -> NodeBuilder {
    let tray = node(name).instance("p6e-gb200.36xlarge").has("nvidia.com/gpu", 4);
    tray.product("NVIDIA-GB200").label("nvidia.com/gpu.clique", clique)
}

fn fabric() -> Option<TopologyLevel> {
    Some(TopologyLevel::DeviceFabric)
}

/// Nodes of eight linked GPUs, in turn in zones a and b.
pub(super) fn fleet(count: usize) -> Scene {
    Scene::default().nodes(count, |at| h100(&format!("n{at}")).label(ZONE, ["a", "b"][at % 2]))
}

/// Members of one block that stand for themselves.
pub(super) fn singles(scene: Scene, count: usize, gpus: i64, relations: &[Relation]) -> Scene {
    scene.block("", pod("p").gpus(gpus), relations).part(&[]).sets(count, &[0], None)
}

#[test]
fn sets_stay_on_linked_nodes() {
    let scene = fleet(4).block("", pod("p").gpus(4), &[]).part(&[required(zone())]);
    let scene = scene.sets(2, &[0, 0], fabric());
    assert_eq!(scene.told(), "n0 n0 | n2 n2");
    let scene = scene.sets(1, &[0, 0], fabric());
    assert_eq!(scene.told(), "needs 3 NVLink sets of 8 GPUs in one zone; a has 2");
    let pcie = |gpus| {
        let scene = Scene::default().node(node("l40s").product("NVIDIA-L40S").has("nvidia.com/gpu", 8));
        scene.block("", pod("p").gpus(gpus), &[]).part(&[]).sets(2, &[0], fabric()).told()
    };
    assert_eq!(pcie(1), "l40s | l40s", "one GPU needs no link");
    assert_eq!(pcie(2), "needs 2 GPUs in one NVLink fabric, no node that takes them is in any");
}

#[test]
fn a_set_is_as_large_as_what_is_linked() {
    let v100 = || Scene::default().node(node("p3").instance("p3.16xlarge").has("nvidia.com/gpu", 8));
    let set =
        |members: &[usize]| v100().block("", pod("p").gpus(2), &[]).part(&[]).sets(1, members, fabric()).plan().is_ok();
    assert!(set(&[0, 0]) && !set(&[0, 0, 0]), "the mesh links four at most");
    let cores = |count| {
        let inf2 = Scene::default().node(node("i").instance("inf2.24xlarge").has("aws.amazon.com/neuroncore", 12));
        inf2.block("", pod("p").asks("aws.amazon.com/neuroncore", count), &[]).part(&[]).sets(1, &[0, 0], fabric())
    };
    assert_eq!(cores(6).told(), "i i", "twelve cores are six devices in a ring");
}

#[test]
fn a_set_goes_over_the_trays_of_a_clique() {
    let scene = Scene::default().nodes(8, |at| gb200(&format!("t{at}"), if at < 3 { "x.1" } else { "y.1" }));
    let scene = scene.block("", pod("p").gpus(4), &[]).part(&[]);
    assert_eq!(scene.sets(1, &[0; 4], fabric()).told(), "t3 t4 t5 t6");
    let scene = Scene::default().nodes(3, |at| gb200(&format!("t{at}"), "x.1"));
    let scene = scene.block("", pod("p").gpus(4), &[]).part(&[]).sets(1, &[0; 4], fabric());
    assert_eq!(scene.told(), "needs 4 places for members asking for 4 nvidia.com/gpu, 3 are free");
    let scene = scene.nodes(1, |_| gb200("u", "z.1"));
    assert_eq!(scene.told(), "needs 16 GPUs in one NVLink fabric, the largest free is 12 in x.1");
}

#[test]
fn not_every_label_that_claims_a_clique_is_believed() {
    let two = |named: &dyn Fn(&str) -> NodeBuilder| {
        let scene = Scene::default().node(named("n0")).node(named("n1"));
        scene.block("", pod("p").gpus(4), &[]).part(&[]).sets(1, &[0; 2], fabric()).plan().is_ok()
    };
    let gpus = |name: &str| node(name).product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 4);
    let own = |node: NodeBuilder| node.label("nvidia.com/gpu.clique", "x.1");
    let block = |node: NodeBuilder| node.label("network.topology.nvidia.com/accelerator", "cr-1");
    let p5 = |name: &str| gpus(name).instance("p5.48xlarge");
    let tray = |name: &str| node(name).instance("p6e-gb200.36xlarge").product("NVIDIA-GB200").has("nvidia.com/gpu", 4);
    assert!(!two(&|name| block(p5(name))), "a capacity block");
    assert!(!two(&|name| own(p5(name))), "a machine whose links end with it");
    assert!(!two(&|name| block(gpus(name))), "nothing says that links go further");
    assert!(two(&|name| own(gpus(name))), "feature discovery found the domain");
    assert!(two(&|name| block(tray(name))), "an UltraServer");
    assert!(!two(&|name| own(tray(name)).label(ZONE, name)), "no clique spans zones");
}

#[test]
fn slices_are_of_no_clique() {
    let scene = Scene::default().nodes(2, |at| gb200(&format!("t{at}"), "x.1").has("nvidia.com/mig-1g.23gb", 7));
    let scene = scene.block("", pod("p").asks("nvidia.com/mig-1g.23gb", 1), &[]).part(&[]);
    assert_eq!(
        scene.sets(1, &[0; 2], fabric()).told(),
        "needs 2 nvidia.com/mig-1g.23gb in one NVLink fabric, no node that takes them is in any"
    );
}

#[test]
fn nodes_with_failed_devices_come_last() {
    let scene = Scene::default().node(h100("a").has_working("nvidia.com/gpu", 8, 7)).node(h100("b"));
    let scene = scene.block("", pod("p").gpus(1), &[]).part(&[]).sets(1, &[0; 7], fabric());
    assert_eq!(scene.told(), ["b"; 7].join(" "));
    assert_eq!(scene.sets(1, &[0; 7], fabric()).told(), format!("{} | {}", ["b"; 7].join(" "), ["a"; 7].join(" ")));
}

#[test]
fn racks_have_the_same_names_in_every_zone() {
    let scene =
        Scene::default().nodes(4, |at| h100(&format!("n{at}")).label(ZONE, ["a", "b"][at % 2]).label("rack", "r1"));
    let scene = scene.block("", pod("p").gpus(8), &[]).part(&[required(label("rack"))]);
    assert_eq!(scene.sets(2, &[0], None).told(), "n0 | n2");
    let scene = Scene::default().node(h100("n0").label("rack", "")).node(h100("n1"));
    let scene = scene.block("", pod("p").gpus(8), &[]).part(&[required(label("rack"))]).sets(1, &[0], None);
    assert_eq!(scene.told(), "needs 8 GPUs in one domain of rack, no node that takes them is in any");
}

/// Where the members of a gang go on a fleet of two zones, whose nodes hang on switches, two or three on each.
fn on_switches(topology: &[TopologyRule], members: usize) -> String {
    let place =
        |at: usize| [("a", "s1"), ("a", "s1"), ("b", "s2"), ("b", "s2"), ("b", "s2"), ("a", "s3"), ("a", "s3")][at];
    let scene = Scene::default().nodes(7, |at| {
        let (zone, switch) = place(at);
        h100(&format!("n{at}")).label(ZONE, zone).label("topology.k8s.aws/network-node-layer-1", switch)
    });
    singles(scene, members, 8, &[]).gang(topology).told().replace(" |", "")
}

#[test]
fn of_what_suffices_the_closest_and_of_that_the_smallest() {
    assert_eq!(on_switches(&[], 2), "n0 n1");
    assert_eq!(on_switches(&[], 3), "n2 n3 n4", "one switch");
    assert_eq!(on_switches(&[], 4), "n0 n1 n5 n6", "one zone");
    assert_eq!(on_switches(&[], 5), "n0 n1 n2 n3 n4", "what there is");
    assert_eq!(on_switches(&[preferred(zone())], 2), "n2 n3", "a zone was wished for: the smallest");
    assert_eq!(on_switches(&[preferred(zone())], 7), "n0 n1 n2 n3 n4 n5 n6");
    assert_eq!(on_switches(&[required(zone())], 3), "n2 n3 n4", "one switch in one zone");
    assert_eq!(on_switches(&[required(zone())], 5), "needs 40 GPUs in one zone, the largest free is 32 in a");
    let both = [preferred(zone()), preferred(TopologyLevel::Node)];
    assert_eq!(on_switches(&both, 2), "n2 n3", "no node takes both, so the wider wish");
}

#[test]
fn of_equal_domains_the_one_with_the_better_nodes() {
    let scene = fleet(4).runs(pod("r").gpus(4).on("n1")).runs(pod("s").gpus(4).on("n3"));
    assert_eq!(singles(scene, 2, 4, &[]).told(), "n1 | n3", "half-used nodes are filled");
    let scene = fleet(4).runs(pod("r").gpus(2).on("n1"));
    assert_eq!(singles(scene, 2, 8, &[]).told(), "n0 | n2");
}

#[test]
fn sets_fill_cliques_and_leave_the_largest_whole() {
    let trays = |cliques: &[usize]| {
        let of = cliques.iter().enumerate().flat_map(|(clique, trays)| (0..*trays).map(move |at| (clique, at)));
        of.fold(Scene::default(), |scene, (clique, at)| {
            scene.node(gb200(&format!("c{clique}-{at}"), &format!("c{clique}.1")))
        })
    };
    let used = |cliques: &[usize], sets: usize| {
        let scene = trays(cliques).block("", pod("p").gpus(4), &[]).part(&[]).sets(sets, &[0, 0], fabric());
        let places = scene.plan().expect("room");
        let mut used: Vec<String> =
            places.parts().iter().flatten().map(|set| set[0].as_str().split('-').next().unwrap().into()).collect();
        used.sort();
        used.join(" ")
    };
    assert_eq!(used(&[6, 2], 1), "c1", "the smallest that suffices");
    assert_eq!(used(&[6, 2, 4], 2), "c2 c2", "one clique for both");
    assert_eq!(used(&[8, 2, 4], 5), "c0 c0 c0 c0 c1", "filled ones");
    assert_eq!(used(&[4, 3, 5], 4), "c0 c0 c2 c2", "the odd trays are of no use");
}

#[test]
fn parts_stay_close_each_for_itself() {
    let scene = Scene::default()
        .nodes(6, |at| h100(&format!("n{at}")).label("topology.k8s.aws/network-node-layer-1", ["s", "t"][at % 2]));
    let scene = scene.block("", pod("p").gpus(8), &[]);
    let scene = scene.part(&[]).sets(2, &[0], None).part(&[]).sets(2, &[0], None);
    assert_eq!(scene.told(), "n0 | n2 | n1 | n3");
}

#[test]
fn others_of_the_set_say_where_it_is() {
    let trays = |at: usize| gb200(&format!("t{at}"), if at < 4 { "x.1" } else { "y.1" });
    let mut scene =
        Scene::default().nodes(7, trays).block("", pod("p").gpus(4), &[]).part(&[]).sets(2, &[0, 0], fabric());
    scene.formation.parts[0].sets[1].placed = vec!["t5".into()];
    let scene = scene.runs(pod("r").gpus(4).on("t5"));
    assert_eq!(scene.told(), "t0 t1 | t4 t6");
    let mut split = scene;
    split.formation.parts[0].sets[1].placed.push("t3".into());
    assert_eq!(split.told(), "running members are not in one NVLink fabric");
    split.formation.parts[0].sets[1].placed = vec!["gone".into()];
    assert_eq!(split.told(), "running members are not in one NVLink fabric");
}

#[test]
fn a_set_with_a_rack_leaves_the_clique_to_those_that_need_it() {
    let mut scene = Scene::default().node(gb200("t0", "x.1").label("rack", "r")).node(h100("n1").label("rack", "r"));
    scene = scene.block("", pod("p").gpus(4), &[]).part(&[]).sets(1, &[0], Some(label("rack")));
    scene.formation.parts[0].sets[0].placed = vec!["n1".into()];
    let scene = scene.sets(1, &[0], Some(TopologyLevel::Clique));
    assert_eq!(scene.told(), "n1 | t0");
}

#[test]
fn who_runs_already_says_where_the_gang_is() {
    let running = |scene: Scene, name: &str| scene.runs(pod(name).gpus(8).on(name));
    let in_use = || ["n3", "n4", "n6"].into_iter().fold(fleet(8), running);
    let told = |topology: &[TopologyRule], placed: &[&str]| {
        let mut scene = singles(in_use(), 2, 8, &[]).gang(topology);
        scene.formation.blocks[0].placed = placed.iter().map(|name| NodeName::from(*name)).collect();
        scene.told()
    };
    assert_eq!(told(&[required(zone())], &[]), "n0 | n2");
    assert_eq!(told(&[required(zone())], &["n3"]), "n1 | n5");
    assert_eq!(told(&[], &["n3"]), "n1 | n5", "near those that run, even unasked");
    assert_eq!(told(&[required(zone())], &["n3", "n4"]), "running members are not in one zone");
}

#[test]
fn heads_and_workers_share_what_is_free() {
    let scene = Scene::default().node(h100("n0").has("cpu", 18_000)).node(h100("n1").has("cpu", 20_000));
    let scene = scene.block("head", pod("h").asks("cpu", 4_000), &[]).block(
        "worker",
        pod("w").gpus(8).asks("cpu", 16_000),
        &[],
    );
    let scene = scene.part(&[]).sets(1, &[0], None).sets(2, &[1], None);
    assert_eq!(scene.told(), "n1 | n0 | n1", "the head goes where a worker leaves room for it");
    let scene = scene.sets(1, &[0], None);
    assert_eq!(scene.told(), "no combination of places exists");
}

#[test]
fn names_of_the_same_hardware_are_counted_as_one() {
    let trn = Scene::default().node(
        node("t").instance("trn1.32xlarge").has("aws.amazon.com/neuron", 16).has("aws.amazon.com/neuroncore", 32),
    );
    let gang = |devices, cores| {
        let scene = Scene { cluster: trn.cluster.clone(), ..Scene::default() };
        let scene = scene.block("a", pod("a").asks("aws.amazon.com/neuron", devices), &[]);
        let scene = scene.block("b", pod("b").asks("aws.amazon.com/neuroncore", cores), &[]);
        scene.part(&[]).sets(1, &[0], None).sets(2, &[1], None).plan().is_ok()
    };
    assert!(gang(12, 4) && !gang(13, 4) && gang(13, 3) && !gang(14, 3));
}

#[test]
fn shares_of_gpus_are_given_one_after_the_other() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let gang = |shares: [i64; 4]| {
        let scene = Scene::default().node(node("n").has(MILLI, 2000));
        let scene = shares
            .iter()
            .enumerate()
            .fold(scene, |scene, (at, share)| scene.block(&at.to_string(), pod("p").asks(MILLI, *share), &[]));
        (0..4).fold(scene.part(&[]), |scene, at| scene.sets(1, &[at], None)).plan().is_ok()
    };
    assert!(gang([600, 400, 600, 400]), "the first two fill one GPU");
    assert!(!gang([400, 400, 600, 600]), "the last finds 200 on one and 400 on the other");
    assert!(gang([400, 600, 400, 600]));
}

#[test]
fn a_search_ends_with_its_budget() {
    let scene =
        fleet(6).block("a", pod("a").gpus(3), &[]).block("b", pod("b").gpus(5), &[Relation::Apart(HOST.into())]);
    let scene = scene.part(&[]).sets(6, &[1], None).sets(7, &[0], None);
    assert_eq!(scene.plan(), Err(No::NoCombination));
    let no = scene.plan_within(Budget { steps: 9 }).expect_err("too little");
    assert_eq!((no.to_string().as_str(), no.is_proven()), ("gave up after 9 steps", false));
}

#[test]
fn nodes_of_different_racks_are_not_alike() {
    let scene = Scene::default().nodes(3, |at| h100(&format!("n{at}")).label("rack", ["r1", "r1", "r0"][at]));
    let scene = scene.block("", pod("p").gpus(8), &[]).part(&[]).sets(1, &[0], None);
    let scene = scene.part(&[]).sets(1, &[0, 0], Some(label("rack")));
    let places = scene.search(Budget::default()).expect("a rack of two is left");
    assert_eq!(places.of(0, 0), ["n2".into()]);
}

#[test]
fn a_no_says_what_is_missing() {
    let told = |scene: Scene| scene.told();
    let cordoned = Scene::default().node(h100("n").cordoned());
    let roles = || cordoned.cluster.clone();
    let of = |role: &str| {
        Scene { cluster: roles(), ..Scene::default() }.block(role, pod("p").gpus(1), &[]).part(&[]).sets(1, &[0], None)
    };
    assert_eq!(told(of("head")), "no node takes role head; the nearest: node is cordoned");
    assert_eq!(told(of("")), "no node takes any member; the nearest: node is cordoned");
    let nowhere = Scene::default().block("", pod("p").gpus(1), &[]).part(&[]).sets(1, &[0], None);
    assert_eq!(told(nowhere), "no node takes any member; there are no nodes");
    let full =
        Scene::default().node(h100("n0").cordoned()).node(node("n1")).nodes(2, |at| h100(&format!("n{}", at + 2)));
    let full = full.runs(pod("a").gpus(1).on("n2")).runs(pod("b").gpus(5).on("n3"));
    let full = full.block("", pod("p").gpus(8), &[]).part(&[]).sets(1, &[0], None);
    assert_eq!(told(full), "no node takes any member; the nearest 2: needs 8 nvidia.com/gpu, too few are free");
    let cpus = |milli| fleet(1).block("w", pod("p").asks("cpu", milli), &[]).part(&[]).sets(97, &[0], None);
    assert_eq!(told(cpus(1000)), "needs 97 places for w asking for 1 cpu, 96 are free");
    assert_eq!(told(cpus(95_500)), "needs 97 places for w asking for 95500m cpu, 1 is free");
    let claims_only = fleet(1).block("w", pod("p").asks("cpu", 0), &[]).part(&[]).sets(200, &[0], None);
    assert_eq!(told(claims_only), "needs 200 places for w, 110 are free");
    let sets = |level| fleet(3).block("", pod("p").gpus(4), &[]).part(&[]).sets(4, &[0, 0], Some(level));
    assert_eq!(
        told(sets(TopologyLevel::DeviceFabric)),
        "needs 8 places for members asking for 4 nvidia.com/gpu, 6 are free"
    );
    let used =
        |level| sets(level).runs(pod("r").gpus(4).on("n0")).node(h100("n4")).node(h100("n5").has("nvidia.com/gpu", 4));
    assert_eq!(told(used(TopologyLevel::DeviceFabric)), "needs 4 NVLink sets of 8 GPUs; there are 3");
    assert_eq!(told(used(zone())), "needs 4 zone sets of 8 GPUs; there are 2");
    assert_eq!(told(used(TopologyLevel::Clique)), "needs 8 GPUs in one clique, no node that takes them is in any");
}

/// With nodes on which members of single blocks may not stand, though they would fit.
fn told_without(scene: &Scene, barred: &[(usize, usize)]) -> String {
    let mut ranks = scene.ranks();
    barred.iter().for_each(|(block, slot)| ranks[*block][*slot] = None);
    let field = scene.field(&ranks);
    plan(&scene.formation, field, Budget::default()).map_or_else(|no| no.to_string(), |_| "placed".into())
}

#[test]
fn a_node_that_refused_a_member_is_no_node_without_room() {
    let scene = fleet(2).block("", pod("p").gpus(8), &[]).part(&[]).sets(1, &[0], None);
    let text = "no node takes any member; the nearest 2: refused it lately, or kept for others";
    assert_eq!(told_without(&scene, &[(0, 0), (0, 1)]), text);
}

#[test]
fn members_that_ask_for_the_same_are_counted_together() {
    // Of four the last was refused by the first node, so it is a block of its own.
    let of = |nodes| fleet(nodes).block("", pod("p").gpus(8), &[]).block("", pod("q").gpus(8), &[]);
    let of = |nodes| of(nodes).part(&[]).sets(3, &[0], None).sets(1, &[1], None);
    let text = "needs 4 places for members asking for 8 nvidia.com/gpu, 3 are free";
    assert_eq!(told_without(&of(3), &[(1, 0)]), text);
    assert_eq!(told_without(&of(4), &[(1, 0)]), "placed");
    let roles = fleet(1).block("leader", pod("l").gpus(8), &[]).block("worker", pod("w").gpus(8), &[]);
    let roles = roles.part(&[]).sets(1, &[0], None).sets(1, &[1], None);
    assert_eq!(roles.told(), "needs 2 places for members asking for 8 nvidia.com/gpu, 1 is free");
}

#[test]
fn nothing_is_asked_of_nobody() {
    let mut scene = fleet(1).block("", pod("p").gpus(8), &[]).part(&[required(label("rack"))]).sets(1, &[], fabric());
    scene.formation.parts[0].sets[0].placed = vec!["n0".into()];
    assert_eq!(scene.gang(&[required(label("rack"))]).told(), "");
}

#[test]
fn slots_do_not_matter() {
    let scene = |order: [usize; 4]| {
        let scene = order.into_iter().fold(Scene::default(), |scene, at| scene.node(h100(&format!("n{at}"))));
        singles(scene, 2, 8, &[]).told()
    };
    assert_eq!(scene([0, 1, 2, 3]), "n0 | n1");
    assert_eq!(scene([3, 1, 0, 2]), "n0 | n1");
}
