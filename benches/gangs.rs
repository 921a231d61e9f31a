//! Planning gangs: all members at once, on fleets that are in use, with what is known of each node beforehand.
//!
//! Aims: a gang of 512 pods on 500 nodes in 10 ms, one of 72 pods on 5,000 nodes in 5 ms. What a plan stands beside is placing
//! pod by pod, each on the best of all nodes, as one may do who knows of no gangs: it asks less, since it keeps no topology.

#[path = "common/figures.rs"]
mod figures;
#[path = "common/in_turn.rs"]
mod in_turn;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group};
use figures::Figure;
use in_turn::{medians, timed};
use testudo_core::cluster::{Cluster, NodeState};
use testudo_core::engine::{Change, Engine, Offered, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::{Dialect, GangKey, Membership, Strictness, Terms, TopologyLevel, TopologyRule};
use testudo_core::model::node::{Node, NodeParts};
use testudo_core::model::pod::{Demand, Pod, PodKey, Stage};
use testudo_core::model::resources::Resources;
use testudo_core::placement::gang::{Block, Budget, Field, Formation, No, Part, Places, Set, Shares, plan};
use testudo_core::placement::{Asked, Rank, check};

const GPU: &str = "nvidia.com/gpu";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Nodes with eight linked GPUs, or trays of NVL72 racks, 18 to a rack; every fourth has two GPUs in use.
fn fleet(nodes: usize, trays: bool) -> Cluster {
    let mut cluster = Cluster::default();
    for at in 0..nodes {
        // Made in an order that is not that of the names.
        let at = at * 7919 % nodes;
        cluster.set_node(node(at, trays));
        if at.is_multiple_of(4) && !trays {
            let key = PodKey { namespace: "default".into(), name: format!("running-{at}") };
            let pod = Pod::new(key, format!("uid-{at}").as_str().into(), demand(2));
            cluster.set_pod(Pod { stage: Stage::Bound(name(at).as_str().into()), ..pod });
        }
    }
    cluster
}

fn name(at: usize) -> String {
    format!("ip-10-0-{}-{}.us-west-2.compute.internal", at / 256, at % 256)
}

fn node(at: usize, trays: bool) -> Node {
    let (instance, product, gpus, rack) = match trays {
        true => ("p6e-gb200.36xlarge", "NVIDIA-GB200", 4, at / 18),
        false => ("p5.48xlarge", "NVIDIA-H100-80GB-HBM3", 8, at / 16),
    };
    let layer = |layer: usize| format!("topology.k8s.aws/network-node-layer-{layer}");
    let mut labels = vec![
        ("kubernetes.io/hostname".to_owned(), name(at)),
        ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("eks.amazonaws.com/nodegroup".to_owned(), "gpus".to_owned()),
        ("node.kubernetes.io/instance-type".to_owned(), instance.to_owned()),
        ("nvidia.com/gpu.product".to_owned(), product.to_owned()),
        ("topology.kubernetes.io/region".to_owned(), "us-west-2".to_owned()),
        (ZONE.to_owned(), format!("us-west-2{}", ["a", "b", "c"][rack % 3])),
        (layer(1), format!("nn-top-{}", rack / 64)),
        (layer(2), format!("nn-mid-{}", rack / 8)),
        (layer(3), format!("nn-low-{rack}")),
    ];
    if trays {
        labels.push(("nvidia.com/gpu.clique".to_owned(), format!("c0ffee-{rack}.1")));
    }
    let resources = Resources::from([("cpu", 192_000), ("memory", 2 << 40), ("pods", 110), (GPU, gpus)]);
    let parts = NodeParts {
        name: name(at).as_str().into(),
        labels: labels.into_iter().collect(),
        taints: vec![],
        cordoned: false,
        capacity: resources.clone(),
        allocatable: resources,
    };
    Node::new(parts, &Catalogue::builtin()).0
}

fn demand(gpus: i64) -> Demand {
    let requests = Resources::from([("cpu", 8_000), ("memory", 64 << 30), ("pods", 1), (GPU, gpus)]);
    Demand { requests, ..Demand::default() }
}

/// One part of sets, all members alike.
fn formation(gpus: i64, sets: usize, members: usize, within: Option<TopologyLevel>, zone: bool) -> Formation {
    let rule = TopologyRule { strictness: Strictness::Required, level: TopologyLevel::Label(ZONE.into()) };
    let set = Set { members: vec![0; members], within, placed: vec![] };
    Formation {
        blocks: vec![block("", gpus)],
        topology: if zone { vec![rule] } else { vec![] },
        parts: vec![Part { topology: vec![], exclusive: None, sets: vec![set; sets] }],
    }
}

fn block(role: &str, gpus: i64) -> Block {
    Block { role: role.into(), demand: Arc::new(demand(gpus)), relations: vec![], placed: vec![] }
}

/// A leader and workers that ask for different things.
fn mixed(workers: usize) -> Formation {
    let set = |members: Vec<usize>| Set { members, within: None, placed: vec![] };
    let sets = std::iter::once(set(vec![0])).chain((0..workers).map(|_| set(vec![1]))).collect();
    Formation {
        blocks: vec![block("head", 0), block("worker", 8)],
        topology: vec![],
        parts: vec![Part { topology: vec![], exclusive: None, sets }],
    }
}

/// Members of three and of five GPUs that do not all fit, which no count tells.
fn puzzle() -> Formation {
    let set = |member| Set { members: vec![member], within: None, placed: vec![] };
    let sets = std::iter::repeat_n(set(0), 300).chain(std::iter::repeat_n(set(1), 701)).collect();
    Formation {
        blocks: vec![block("large", 5), block("small", 3)],
        topology: vec![],
        parts: vec![Part { topology: vec![], exclusive: None, sets }],
    }
}

struct Question {
    cluster: Cluster,
    formation: Formation,
    ranks: Vec<Vec<Option<Rank>>>,
}

impl Question {
    fn new(cluster: Cluster, formation: Formation) -> Self {
        let of = |block: &Block, state: &NodeState| {
            check(&block.demand, state).ok().map(|()| Asked::of(&block.demand).rank(state, 0))
        };
        let row = |block: &Block| cluster.slots().iter().map(|state| of(block, state.as_deref()?)).collect();
        let ranks = formation.blocks.iter().map(row).collect();
        Self { cluster, formation, ranks }
    }

    fn ask(&self) -> Result<Places, No> {
        let cluster = &self.cluster;
        let (slots, geography, domains) = (cluster.slots(), cluster.geography(), cluster.domains());
        let field = Field { slots, geography, domains, ranks: &self.ranks, devices: &[], shares: Shares::OnGpus };
        plan(&self.formation, field, Budget::default())
    }
}

/// Places pod by pod, each on the best of all nodes as they are then.
fn pod_by_pod(cluster: &mut Cluster, formation: &Formation) {
    let sets = formation.parts.iter().flat_map(|part| &part.sets);
    for (number, block) in sets.flat_map(|set| &set.members).enumerate() {
        let demand = &formation.blocks[*block].demand;
        let asked = Asked::of(demand);
        let fitting = cluster.slots().iter().flatten().filter(|state| asked.check(state).is_ok());
        let best = fitting.min_by_key(|state| asked.rank(state, 0).packed()).expect("it fits");
        let stage = Stage::Bound(best.name().clone());
        let key = PodKey { namespace: "default".into(), name: format!("member-{number}") };
        let pod = Pod::new(key, format!("uid-member-{number}").as_str().into(), (**demand).clone());
        cluster.set_pod(Pod { stage, ..pod });
    }
}

/// A gang and a fleet.
struct Case {
    title: &'static str,
    question: Question,
    fits: bool,
    aim: &'static str,
}

fn cases() -> Vec<Case> {
    let fabric = || Some(TopologyLevel::DeviceFabric);
    let case = |title, aim, cluster, formation, fits| {
        let question = Question::new(cluster, formation);
        let answer = question.ask();
        assert_eq!(answer.is_ok(), fits, "{title}: {:?}", answer.err().map(|no| no.to_string()));
        Case { title, question, fits, aim }
    };
    let many = |title, cluster, formation, fits| case(title, "<= 10 ms", cluster, formation, fits);
    let wide = |title, cluster, formation, fits| case(title, "<= 5 ms", cluster, formation, fits);
    vec![
        many(
            "512 pods on 500 nodes: 64 node-wide sets in one zone",
            fleet(500, false),
            formation(1, 64, 8, fabric(), true),
            true,
        ),
        many(
            "512 pods on 500 nodes: 64 sets in NVL72 cliques",
            fleet(500, true),
            formation(2, 64, 8, fabric(), false),
            true,
        ),
        many("512 pods on 500 nodes: single pods", fleet(500, false), formation(4, 512, 1, None, false), true),
        many(
            "512 pods on 500 nodes: too many for one zone",
            fleet(500, false),
            formation(4, 512, 1, None, true),
            false,
        ),
        wide(
            "72 pods on 5,000 nodes: one NVL72 clique",
            fleet(5_000, true),
            formation(1, 1, 72, fabric(), false),
            true,
        ),
        wide(
            "72 pods on 5,000 nodes: 72 nodes in one zone",
            fleet(5_000, false),
            formation(8, 72, 1, None, true),
            true,
        ),
        wide("72 pods on 5,000 nodes: head and workers", fleet(5_000, false), mixed(71), true),
        wide(
            "72 pods on 5,000 nodes: too many for a clique",
            fleet(5_000, true),
            formation(2, 1, 72, fabric(), false),
            false,
        ),
        case("1,001 pods on 500 nodes: a search that gives up", "", fleet(500, false), puzzle(), false),
    ]
}

fn gangs(criterion: &mut Criterion) {
    for case in cases() {
        criterion.bench_function(case.title, |bencher| bencher.iter(|| case.question.ask()));
    }
}

fn tell_plans() {
    for Case { title, question, fits, aim } in cases() {
        let [plan, pods] = medians(20, |_| {
            // Where the gang does not fit, pod by pod would place a part of it: not the same question.
            let mut cluster = fits.then(|| question.cluster.clone());
            let placed = || cluster.as_mut().map(|cluster| pod_by_pod(cluster, &question.formation));
            [timed(|| question.ask()), timed(placed)]
        });
        Figure {
            name: format!("gang planned: {title}"),
            value: plan / 1e3,
            unit: "ms",
            reference: fits.then_some(("pod by pod", pods / 1e3)),
            aim,
        }
        .tell();
    }
}

/// An engine with 5,000 nodes, all but 71 in use, and a gang of 72 that waits for whole ones.
fn waiting() -> (Engine, Vec<Pod>) {
    let mut engine = Engine::new(Policy::default());
    for at in 0..5_000 {
        engine.apply(Change::NodeApplied(Box::new(node(at, false))), 0);
        if at >= 71 {
            engine.apply(Change::PodApplied(Box::new(runs_on(at, 0))), 0);
        }
    }
    let terms = Terms { min_member: Some(72), ..Terms::default() };
    let gang = GangKey { namespace: "default".into(), name: "large".into(), dialect: Dialect::Testudo };
    let member = |index: u32| {
        let key = PodKey { namespace: "default".into(), name: format!("large-{index}") };
        let membership = Membership {
            gang: gang.clone(),
            also: vec![],
            role: "".into(),
            part: None,
            index: Some(index),
            staged: false,
            controller: None,
            terms: terms.clone(),
            relations: vec![],
            exclusivity: None,
        };
        let pod = Pod::new(key, format!("uid-large-{index}").as_str().into(), demand(8));
        Pod { membership: Some(Arc::new(membership)), ..pod }
    };
    let members: Vec<Pod> = (0..72).map(member).collect();
    for pod in &members {
        engine.apply(Change::PodApplied(Box::new(pod.clone())), 0);
    }
    settle(&mut engine);
    (engine, members)
}

/// A pod of four GPUs, the so-manieth on its node.
fn runs_on(at: usize, number: usize) -> Pod {
    let key = PodKey { namespace: "default".into(), name: format!("running-{at}-{number}") };
    let pod = Pod::new(key, format!("uid-{at}-{number}").as_str().into(), demand(4));
    Pod { stage: Stage::Bound(name(at).as_str().into()), ..pod }
}

/// What the process does after changes: gangs are looked at, and planned until nothing is left to plan.
fn settle(engine: &mut Engine) {
    engine.keep_gangs(0);
    while let Some(task) = engine.next_plan(0) {
        engine.adopt(task.solve(), 0);
    }
}

/// Asks filter about all members on one node each.
fn ask_all(engine: &mut Engine, members: &[Pod]) {
    let snapshot = engine.snapshot();
    for (at, pod) in members.iter().enumerate() {
        let verdict = snapshot.judge(pod).of(Offered::Named(&name(at)));
        assert!(verdict.rank().is_none(), "the gang does not fit");
    }
}

fn waiting_gang(criterion: &mut Criterion) {
    let (mut engine, members) = waiting();
    let snapshot = engine.snapshot();
    let node = name(0);
    criterion.bench_function("a waiting member of 72 on 5,000 nodes: one no", |bencher| {
        bencher.iter(|| snapshot.judge(&members[0]).of(Offered::Named(&node)))
    });
    criterion
        .bench_function("a waiting gang of 72 on 5,000 nodes: 1,000 changes, 72 questions after each", |bencher| {
            bencher.iter(|| (0..500).for_each(|at| come_and_go(&mut engine, &members, at)))
        });
}

/// Two changes: a pod comes to a used node and goes. After each all members are asked for.
fn come_and_go(engine: &mut Engine, members: &[Pod], at: usize) {
    let pod = runs_on(71 + at * 7, 1);
    let uid = pod.uid.clone();
    for change in [Change::PodApplied(Box::new(pod)), Change::PodDeleted(uid)] {
        engine.apply(change, 0);
        settle(engine);
        ask_all(engine, members);
    }
}

fn tell_waiting() {
    let (mut engine, members) = waiting();
    let snapshot = engine.snapshot();
    let node = name(0);
    let [thousand] = medians(20, |_| {
        [timed(|| {
            for _ in 0..1_000 {
                black_box(snapshot.judge(black_box(&members[0])).of(Offered::Named(&node)));
            }
        })]
    });
    Figure {
        name: "a waiting member of 72 on 5,000 nodes: one no".to_owned(),
        value: thousand / 1e3,
        unit: "us",
        reference: None,
        aim: "<= 5 us",
    }
    .tell();
    let mut cluster = Cluster::default();
    for at in 0..5_000 {
        cluster.set_node(self::node(at, false));
        if at >= 71 {
            cluster.set_pod(runs_on(at, 0));
        }
    }
    let question = Question::new(cluster, formation(8, 72, 1, None, false));
    let [changes, anew] = medians(500, |at| {
        [timed(|| come_and_go(&mut engine, &members, at)), timed(|| question.ask().expect_err("a node is missing"))]
    });
    Figure {
        name: "a waiting gang of 72 on 5,000 nodes: a change, and 72 questions".to_owned(),
        value: changes / 2.0,
        unit: "us",
        reference: Some(("planned anew", anew)),
        aim: "<= 100 us",
    }
    .tell();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = gangs, waiting_gang
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        tell_plans();
        tell_waiting();
    }
}
