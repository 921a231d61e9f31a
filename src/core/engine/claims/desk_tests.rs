//! What is kept of nodes is what would be found out anew, whatever has changed meanwhile.

use proptest::prelude::*;

use super::*;
use crate::claims::testing::{a30s, ask, claim, class, device, first_of, node, request, slice};
use crate::claims::{DeviceClass, DeviceId, HoldingKind, Node, Nodes, Slice};

const NODES: [&str; 4] = ["a", "b", "c", "d"];

/// Everything that a desk has heard, from which another can be made.
#[derive(Debug, Clone, Default)]
struct Heard {
    nodes: BTreeMap<String, Node>,
    classes: BTreeMap<String, DeviceClass>,
    pools: BTreeMap<PoolId, Vec<Slice>>,
    held: Vec<Holding>,
}

impl Heard {
    fn desk(&self) -> Desk {
        let slices = self.pools.values().flatten().cloned().collect();
        let inventory =
            Inventory::new(self.nodes.values().cloned().collect(), self.classes.values().cloned().collect(), slices);
        let mut allocator = Allocator::new(inventory);
        allocator.take(self.held.iter().cloned());
        let scorer = Thrifty::new(&allocator);
        Desk { allocator, scorer, ..Desk::new() }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A node is there or not, with these labels.
    Node(usize, bool),
    Class(bool),
    /// A node has so many plain GPUs and so many that are cut on demand.
    Pool(usize, usize, usize),
    /// Devices for all nodes.
    Fabric(usize),
    /// The device that one more pod would get on a node is taken.
    Take(usize, usize),
    /// The oldest holding, or a later one, ends.
    Release(usize),
    /// Nothing but questions.
    Ask,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..NODES.len();
    let step = prop_oneof![
        1 => (node.clone(), any::<bool>()).prop_map(|(node, is_there)| Step::Node(node, is_there)),
        1 => any::<bool>().prop_map(Step::Class),
        2 => (node.clone(), 0..3usize, 0..3usize).prop_map(|(node, whole, cut)| Step::Pool(node, whole, cut)),
        1 => (0..3usize).prop_map(Step::Fabric),
        6 => (node, 0..kinds().len()).prop_map(|(node, kind)| Step::Take(node, kind)),
        4 => (0..8usize).prop_map(Step::Release),
        2 => Just(Step::Ask),
    ];
    prop::collection::vec(step, 1..12)
}

/// Claims of several kinds: whole GPUs, partitions, one or the other, devices for all nodes.
fn kinds() -> Vec<Vec<Claim>> {
    let profile =
        |name: &str| ask("any", 1).selected(&format!("device.attributes['d'].?profile == optional.of('{name}')"));
    let whole = |count| ask("whole", count);
    let one = |request| vec![claim("c", vec![request])];
    vec![
        one(request("r", whole(1))),
        one(request("r", whole(2))),
        one(request("r", profile("1g.6gb"))),
        one(request("r", profile("2g.12gb"))),
        one(first_of("r", vec![("large", whole(1)), ("small", profile("1g.6gb"))])),
        one(request("r", ask("any", 1).selected("has(device.attributes['d'].fabric)"))),
    ]
}

fn pool_of(node: &str, whole: usize, cut: usize) -> Vec<Slice> {
    let mut slices = a30s(node, cut);
    slices[1].devices.extend((0..whole).map(|at| device(&format!("gpu-{}", cut + at)).with("whole", 1)));
    slices
}

impl Desk {
    fn set(&mut self, heard: &mut Heard, slices: Vec<Slice>) {
        let pool = slices[0].pool.clone();
        self.allocator.set_pool(&pool, slices.iter().cloned().map(Arc::new).collect());
        heard.pools.insert(pool, slices);
    }

    fn step(&mut self, heard: &mut Heard, step: &Step) {
        match *step {
            Step::Node(at, true) => {
                heard.nodes.insert(NODES[at].into(), node(NODES[at]));
                self.allocator.set_node(node(NODES[at]));
            }
            Step::Node(at, false) => {
                heard.nodes.remove(NODES[at]);
                self.allocator.remove_node(NODES[at]);
            }
            Step::Class(is_strict) => {
                let expression = if is_strict { "device.attributes['d'].?whole.orValue(0) == 1" } else { "true" };
                let class = class("whole", Some(expression));
                heard.classes.insert("whole".into(), class.clone());
                self.allocator.set_class(class);
            }
            Step::Pool(at, whole, cut) => self.set(heard, pool_of(NODES[at], whole, cut)),
            Step::Fabric(devices) => {
                let devices = (0..devices).map(|at| device(&format!("link-{at}")).with("fabric", 1)).collect();
                let shared = Slice { nodes: Nodes { all: true, ..Nodes::default() }, ..slice("fabric", devices) };
                self.set(heard, vec![shared]);
            }
            Step::Take(at, kind) => {
                let Ok(fit) = self.look(NODES[at], &kinds()[kind]) else { return };
                heard.held.extend(self.take(&fit));
            }
            Step::Release(at) if !heard.held.is_empty() => {
                let held = heard.held.remove(at % heard.held.len());
                self.give_back(vec![held]);
            }
            Step::Release(_) | Step::Ask => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_kept_is_what_would_be_found_out_anew(steps in steps()) {
        let (mut heard, mut desk) = (Heard::default(), Desk::new());
        for class in [class("any", None), class("whole", Some("has(device.attributes['d'].whole)"))] {
            heard.classes.insert(class.name.to_string(), class.clone());
            desk.allocator.set_class(class);
        }
        for name in NODES {
            heard.nodes.insert(name.into(), node(name));
            desk.allocator.set_node(node(name));
            desk.set(&mut heard, pool_of(name, 1, 1));
        }
        for (at, step) in steps.iter().enumerate() {
            desk.step(&mut heard, step);
            desk.judge_anew();
            let mut fresh = heard.desk();
            for claims in kinds() {
                let most = 1 + at as u32 % 3;
                let kept = desk.rooms(NODES.into_iter(), &claims, most);
                let anew = fresh.rooms(NODES.into_iter(), &claims, most);
                for (kept, anew) in kept.iter().zip(&anew) {
                    let reduced = |room: &Result<Arc<Room>, Arc<Refused>>| match room {
                        Ok(room) => Ok((room.pods.min(most), room.alternatives.clone(), room.cost)),
                        Err(refused) => Err(refused.clone()),
                    };
                    prop_assert_eq!(reduced(kept), reduced(anew), "after {:?}, for {:?}", step, claims);
                }
            }
        }
    }
}

#[test]
fn only_nodes_of_which_something_has_moved_are_looked_at_again() {
    let (mut heard, mut desk) = (Heard::default(), Desk::new());
    desk.allocator.set_class(class("whole", None));
    for name in NODES {
        desk.allocator.set_node(node(name));
        desk.set(&mut heard, pool_of(name, 2, 0));
    }
    let claims = &kinds()[0];
    let ask = |desk: &mut Desk| desk.rooms(NODES.into_iter(), claims, 2);
    let before = ask(&mut desk);
    let pool = PoolId { driver: "d".into(), name: "b".into() };
    let device = DeviceId { pool, name: "gpu-0".into() };
    desk.allocator.take([Holding { device, kind: HoldingKind::Exclusive }]);
    let after = ask(&mut desk);
    let is_kept = |at: usize| match (&before[at], &after[at]) {
        (Ok(before), Ok(after)) => Arc::ptr_eq(before, after),
        _ => false,
    };
    assert_eq!([0, 1, 2, 3].map(is_kept), [true, false, true, true]);
    assert_eq!(after[1].as_ref().map(|room| room.pods), Ok(1));
}
