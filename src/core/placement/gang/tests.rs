use super::*;
use crate::cluster::Cluster;
use crate::model::gang::Strictness;
use crate::placement::{check, rank};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

/// A cluster, and what to ask of it.
#[derive(Default)]
pub(super) struct Scene {
    pub cluster: Cluster,
    pub formation: Formation,
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
        self.formation.parts.push(Part { topology: topology.to_vec(), sets: vec![] });
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

    pub fn ranks(&self) -> Vec<Vec<Option<Rank>>> {
        let of =
            |block: &Block, state: &NodeState| check(&block.demand, state).ok().map(|()| rank(&block.demand, state, 0));
        let row = |block: &Block| self.cluster.slots().iter().map(|state| of(block, state.as_deref()?)).collect();
        self.formation.blocks.iter().map(row).collect()
    }

    pub fn plan(&self) -> Result<Places, No> {
        self.plan_within(Budget::default())
    }

    pub fn plan_within(&self, budget: Budget) -> Result<Places, No> {
        let ranks = self.ranks();
        let field = Field { slots: self.cluster.slots(), domains: self.cluster.domains(), ranks: &ranks };
        plan(&self.formation, field, budget)
    }

    /// By search alone.
    pub fn search(&self, budget: Budget) -> Result<Places, No> {
        let ranks = self.ranks();
        let field = Field { slots: self.cluster.slots(), domains: self.cluster.domains(), ranks: &ranks };
        Question::of(&self.formation, field)?.by_search(budget)
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
    label("topology.kubernetes.io/zone")
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

fn fleet(count: usize) -> Scene {
    Scene::default().nodes(count, |at| h100(&format!("n{at}")).label("topology.kubernetes.io/zone", ["a", "b"][at % 2]))
}

#[test]
fn sets_stay_on_linked_nodes() {
    let scene = fleet(4).block("", pod("p").gpus(4), &[]).part(&[required(zone())]);
    let scene = scene.sets(2, &[0, 0], Some(TopologyLevel::DeviceFabric));
    assert_eq!(scene.told(), "n0 n0 | n2 n2");
    let scene = scene.sets(1, &[0, 0], Some(TopologyLevel::DeviceFabric));
    assert_eq!(scene.told(), "needs 3 NVLink sets of 8 GPUs in one zone; a has 2");
}

#[test]
fn a_set_goes_over_the_trays_of_a_clique() {
    let scene = Scene::default().nodes(8, |at| gb200(&format!("t{at}"), if at < 3 { "x.1" } else { "y.1" }));
    let scene = scene.block("", pod("p").gpus(4), &[]).part(&[]);
    let fabric = || Some(TopologyLevel::DeviceFabric);
    assert_eq!(scene.sets(1, &[0; 4], fabric()).told(), "t3 t4 t5 t6");
    let scene = Scene::default().nodes(3, |at| gb200(&format!("t{at}"), "x.1"));
    let scene = scene.block("", pod("p").gpus(4), &[]).part(&[]).sets(1, &[0; 4], fabric());
    assert_eq!(scene.told(), "needs 4 places for members asking for 4 nvidia.com/gpu, 3 are free");
    let scene = scene.nodes(1, |_| gb200("u", "z.1"));
    assert_eq!(scene.told(), "needs 16 GPUs in one NVLink fabric, the largest free is 12 in x.1");
}
