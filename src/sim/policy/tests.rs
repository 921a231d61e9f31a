use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use super::super::occupancy::{Free, Occupancy, Place, Seat, class};
use super::super::placer::{Arrival, Ties};
use super::super::testing::{node, node_with, placements, pod, pod_with, world};
use super::super::world::{GpuAsk, World};
use super::*;

/// A world of one node with these GPUs left, and of one pod (and another, for there to be one that asks for GPUs).
fn place(cpu: i64, gpus: &[i64], asks: (i64, i64)) -> (World, Free) {
    let world = world(&[node("n", 128_000, gpus.len() as i64)], &[pod("p", asks.0, asks.1), pod("q", 1, 1000)]);
    let free = Free { cpu, gpus: gpus.to_vec(), ..Free::idle(&world.machines[0]) };
    (world, free)
}

fn score(scorer: &dyn Scorer, cpu: i64, gpus: &[i64], asks: (i64, i64)) -> i64 {
    let (world, free) = place(cpu, gpus, asks);
    scorer.score(&Place { kind: &world.kinds[0], node: 0, machine: &world.machines[0], free: &free })
}

#[test]
fn gpu_packing_scores_as_published() {
    // The examples of gpu_packing_score_test.go, but for the one that asks for shares of two GPUs.
    let score = |gpus: &[i64], milli| score(&gpu_packing::GpuPacking, 1000, gpus, (100, milli));
    assert_eq!(score(&[200, 1000, 1000, 500], 2000), 48);
    assert_eq!(score(&[1000; 4], 2000), 29);
    assert_eq!(score(&[1000; 8], 2000), 25);
    assert_eq!(score(&[200, 1000, 1000, 500], 200), 98);
    assert_eq!(score(&[200, 1000, 1000, 500], 0), 0);
}

#[test]
fn fragmentation_is_as_published() {
    // The example of frag_test.go: what typical pods ask for (CPU, GPU), and how many of 10,000 ask for that.
    const TYPICAL: [(i64, i64, usize); 31] = [
        (15700, 1000, 2869),
        (11900, 1000, 1893),
        (11400, 1000, 1227),
        (1000, 0, 736),
        (18710, 1000, 485),
        (8200, 1000, 379),
        (16400, 1000, 331),
        (9810, 1000, 197),
        (15200, 1000, 187),
        (11200, 1000, 181),
        (14200, 1000, 176),
        (12000, 0, 165),
        (14900, 1000, 139),
        (60200, 4000, 123),
        (64200, 8000, 107),
        (32200, 4000, 101),
        (17400, 2000, 91),
        (30200, 2000, 69),
        (16000, 1000, 64),
        (15000, 1000, 59),
        (64000, 8000, 53),
        (15000, 0, 53),
        (11910, 1000, 53),
        (120200, 8000, 48),
        (11300, 1000, 37),
        (30000, 2000, 32),
        (9800, 1000, 32),
        (8000, 1000, 32),
        (2000, 1000, 27),
        (2000, 80, 27),
        (1000, 1000, 27),
    ];
    let pods: Vec<_> =
        TYPICAL.iter().enumerate().map(|(at, (cpu, gpu, _))| pod(&format!("p{at}"), *cpu, *gpu)).collect();
    let mut world = world(&[node("n", 64_000, 8)], &pods);
    for (kind, (_, _, pods)) in world.kinds.iter_mut().zip(TYPICAL) {
        kind.pods = pods;
    }
    let typical = TypicalPods::covering(&world, 100);
    let of = |cpu, gpus: [i64; 8]| {
        typical.fragmentation(&[Free { cpu, gpus: gpus.to_vec(), ..Free::idle(&world.machines[0]) }])
    };
    let near = |found: f64, published: f64| assert!((found - published).abs() < 0.01, "{found} is not {published}");
    near(of(64_000, [1000; 8]), 887.20);
    near(of(32_000, [1000, 1000, 1000, 1000, 0, 0, 0, 0]), 554.4);
    near(of(0, [1000, 1000, 1000, 1000, 0, 0, 0, 0]), 4000.0);
}

#[test]
fn fgd_takes_the_crumb_that_is_of_no_use() {
    // Whole GPUs are typical: the GPU that has 300 left serves none of them, so it is the place for a share.
    let mut pods: Vec<_> = (0..30).map(|at| pod(&format!("whole-{at}"), 1000, 1000)).collect();
    pods.push(pod("share", 1000, 300));
    let world = world(&[node("n", 128_000, 3)], &pods);
    let fgd = fgd::Fgd::new(&world);
    let free = Free { gpus: vec![1000, 300, 1000], ..Free::idle(&world.machines[0]) };
    let place = Place { kind: world.kind(30), node: 0, machine: &world.machines[0], free: &free };
    assert_eq!(fgd.gpus(&place, &mut Rng::new(1)), [1]);
    // The crumb alone was wasted: 300 thousandths less give sigmoid(0.3) = 0.574.
    assert_eq!(fgd.score(&place), 57);
}

#[test]
fn best_fit_and_dot_prod_score_what_is_left() {
    // Left over: 64 of 128 cores and 3 of 8 GPUs: 1 - (0.25 + 0.1875).
    assert_eq!(score(&best_fit::BestFit, 96_000, &[1000; 4], (32_000, 1000)), 56);
    // 0.75 x 0.25 for CPU and 0.5 x 0.125 for GPUs, halved: 0.125.
    assert_eq!(score(&dot_prod::DotProd, 96_000, &[1000; 4], (32_000, 1000)), 87);
}

#[test]
fn the_default_scheduler_spreads_or_packs() {
    // CPU 64 of 128 used, memory none, GPUs 1 of 4: (50 + 100 + 75) / 3 and (50 + 0 + 25) / 3.
    let asks = (32_000, 1000);
    assert_eq!(score(&default_scheduler::LeastAllocated, 96_000, &[1000; 4], asks), 75);
    assert_eq!(score(&default_scheduler::MostAllocated, 96_000, &[1000; 4], asks), 25);
    // Who asks for no GPU does not look at them.
    assert_eq!(score(&default_scheduler::MostAllocated, 96_000, &[0; 4], (32_000, 0)), 25);
}

#[test]
fn gpu_clustering_keeps_sorts_together() {
    let (world, idle) = place(128_000, &[1000; 4], (1000, 1000));
    let with = |tenants: &[GpuAsk], gpus: &[i64]| {
        let tenants = tenants.iter().map(|ask| (class(*ask), 1)).collect();
        let free = Free { tenants, gpus: gpus.to_vec(), ..idle.clone() };
        let place = Place { kind: &world.kinds[0], node: 0, machine: &world.machines[0], free: &free };
        gpu_clustering::GpuClustering.score(&place)
    };
    let (one, share) = (GpuAsk { count: 1, milli: 1000 }, GpuAsk { count: 1, milli: 300 });
    // 3 GPUs left of the largest 8: 25 x 5 / 8 = 15 in the quarter of each case.
    assert_eq!(with(&[one], &[0, 1000, 1000, 1000]), 15 + 75);
    assert_eq!(with(&[one, share], &[0, 1000, 1000, 1000]), 15 + 50);
    assert_eq!(with(&[share], &[0, 1000, 1000, 1000]), 15);
    assert_eq!(with(&[], &[1000; 4]), 12 + 25);
}

#[test]
fn where_policies_put_two_pods() {
    let nodes = [node("a-idle", 64_000, 4), node("b-small", 32_000, 1), node("c-idle", 64_000, 4)];
    let world = world(&nodes, &[pod("p", 8000, 1000), pod("q", 8000, 1000)]);
    let names = |policy| placements(&world, policy).into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
    assert_eq!(names(Policy::FirstFit), ["a-idle", "a-idle"]);
    assert_eq!(names(Policy::BestFit)[0], "b-small");
    assert_eq!(names(Policy::MostAllocated)[0], "b-small");
    let spread = names(Policy::Spread);
    assert!(spread[0].ends_with("idle") && spread[1].ends_with("idle") && spread[0] != spread[1], "{spread:?}");
}

#[test]
fn what_does_not_fit_is_not_placed() {
    let nodes = [node("n", 4000, 2)];
    let pods = [
        pod("share", 1000, 600),
        pod("another", 1000, 600),
        // 800 are free in total, but no GPU has as much.
        pod("too-big", 1000, 800),
        pod("crumb", 1000, 400),
        pod("no-cpu-left", 2000, 0),
    ];
    let world = world(&nodes, &pods);
    for policy in Policy::ALL {
        let placed: Vec<bool> = placements(&world, policy).iter().map(Option::is_some).collect();
        assert_eq!(placed, [true, true, false, true, false], "{policy}");
    }
}

#[test]
fn slices_and_replicas_are_counted() {
    let product = [("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB")];
    let nodes = [node_with("n", 64_000, &[("nvidia.com/mig-1g.5gb", 2)], &product)];
    let slice = |name| pod_with(name, 1000, Some(("nvidia.com/mig-1g.5gb", 1)));
    let world = world(&nodes, &[slice("a"), slice("b"), slice("c")]);
    assert_eq!(world.gpu_milli, 2000);
    for policy in Policy::ALL {
        let placed: Vec<bool> = placements(&world, policy).iter().map(Option::is_some).collect();
        assert_eq!(placed, [true, true, false], "{policy}");
    }
}

#[test]
fn neuron_devices_and_cores_are_the_same_hardware() {
    let (device, core) = ("aws.amazon.com/neuron", "aws.amazon.com/neuroncore");
    let nodes = [node_with("n", 64_000, &[(device, 2), (core, 16)], &[])];
    let asks = |name, resource, count| pod_with(name, 1000, Some((resource, count)));
    // One core is taken of the second device when the first is: nothing whole is left.
    let pods = [asks("a", device, 1), asks("b", core, 1), asks("c", device, 1), asks("d", core, 7), asks("e", core, 1)];
    let world = world(&nodes, &pods);
    assert_eq!((world.gpu_milli, world.kind(0).gpu_milli, world.kind(1).gpu_milli), (2000, 1000, 125));
    for policy in Policy::ALL {
        let placed: Vec<bool> = placements(&world, policy).iter().map(Option::is_some).collect();
        assert_eq!(placed, [true, true, false, true, false], "{policy}");
    }
}

#[test]
fn what_cannot_be_reckoned_with_is_refused() {
    let against = |nodes: &[crate::k8s::object::Node], pods: &[crate::k8s::object::Pod]| {
        World::new(super::super::input::Input::of(nodes, pods).unwrap()).unwrap_err().to_string()
    };
    let (gpu, product) = ("nvidia.com/gpu", [("nvidia.com/gpu.product", "NVIDIA-L4")]);
    let huge = node_with("n", 1, &[(gpu, i64::MAX)], &product);
    assert!(against(&[huge], &[pod("p", 1, 1000)]).starts_with("Node n: 9223372036854775807 nvidia.com/gpu is more"));
    let odd = against(&[node("n", 1, 2)], &[pod("p", 1, 1500)]);
    assert!(odd.starts_with("Pod test/p asks for 1500 alibabacloud.com/gpu-milli"), "{odd}");
    let greedy = pod("p", 1, i64::MAX / 1000 * 1000);
    assert!(against(&[node("n", 1, 2)], &[greedy]).starts_with("Pod test/p: "));
    assert!(against(&[], &[pod("p", 1, 1000)]).starts_with("there is no node"));
    assert!(against(&[node("n", 1, 1)], &[]).starts_with("there is no pod"));
}

#[test]
fn what_goes_gives_everything_back() {
    let world = world(&[node("n", 4000, 2)], &[pod("share", 1000, 600), pod("whole", 1000, 1000)]);
    let mut occupancy = Occupancy::idle(&world);
    let seats = [Seat { node: 0, kind: 0, gpus: vec![1] }, Seat { node: 0, kind: 1, gpus: vec![0] }];
    seats.iter().for_each(|seat| occupancy.take(seat));
    let free = &occupancy.nodes()[0];
    assert_eq!((free.cpu, free.gpus.as_slice(), free.tenants.len()), (2000, [0, 400].as_slice(), 2));
    seats.iter().for_each(|seat| occupancy.give_back(seat));
    let free = &occupancy.nodes()[0];
    assert_eq!((free.cpu, free.gpus.as_slice(), free.tenants.len()), (4000, [1000, 1000].as_slice(), 0));
}

#[test]
fn names_are_found_again() {
    for policy in Policy::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    let error = "fdg".parse::<Policy>().unwrap_err().to_string();
    assert!(error.contains("\"fdg\"") && error.contains("fgd") && error.contains("gpu-packing"), "{error}");
}

/// The best place, found by looking at every node.
fn best(occupancy: &Occupancy<'_>, scorer: &dyn Scorer, kind: usize, ties: &TieBreak) -> Option<usize> {
    let nodes = 0..occupancy.nodes().len();
    let scores: Vec<(usize, i64)> = nodes
        .filter(|node| occupancy.place(kind, *node).fits())
        .map(|node| (node, scorer.score(&occupancy.place(kind, node))))
        .collect();
    let highest = scores.iter().map(|(_, score)| *score).max()?;
    let equals: Vec<usize> = scores.iter().filter(|(_, score)| *score == highest).map(|(node, _)| *node).collect();
    ties.choose(&equals, &mut Rng::new(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is remembered between two pods is as good as looking again, and nothing is ever given twice.
    #[test]
    fn remembering_changes_nothing(
        nodes in prop::collection::vec((1i64..64, 0i64..5), 1..8),
        pods in prop::collection::vec((1i64..16, prop::sample::select(vec![0, 100, 300, 500, 700, 1000, 2000])), 2..8),
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..60),
        seed in any::<u64>(),
    ) {
        let mut nodes: Vec<_> = nodes.iter().enumerate().map(|(at, (cpu, gpus))| node(&format!("n{at}"), cpu * 1000, *gpus)).collect();
        nodes.push(node("last", 8000, 1));
        let mut pods: Vec<_> = pods.iter().enumerate().map(|(at, (cpu, gpu))| pod(&format!("p{at}"), cpu * 1000, *gpu)).collect();
        pods.push(pod("last", 1000, 1000));
        let world = world(&nodes, &pods);
        for policy in Policy::ALL {
            // What is random cannot be looked up again.
            let Some(scorer) = policy.scorer(&world).filter(|scorer| !scorer.is_random()) else { continue };
            let ties = TieBreak::new(Ties::Fixed, world.machines.len(), &mut Rng::new(seed));
            let mut placer = policy.placer(&world, ties.clone());
            let mut occupancy = Occupancy::idle(&world);
            let mut running: Vec<(Arrival, Seat)> = vec![];
            for (id, (comes, which)) in steps.iter().enumerate() {
                if *comes || running.is_empty() {
                    let arrival = Arrival { id, pod: which.index(world.pods.len()) };
                    let kind = world.kind_of[arrival.pod];
                    let expected = best(&occupancy, &*scorer, kind, &ties);
                    prop_assert_eq!(placer.place(arrival, &mut Rng::new(0)), expected, "{}", policy);
                    if let Some(node) = expected {
                        let gpus = scorer.gpus(&occupancy.place(kind, node), &mut Rng::new(0));
                        let seat = Seat { node, kind, gpus };
                        occupancy.take(&seat);
                        running.push((arrival, seat));
                    }
                } else {
                    let (arrival, seat) = running.swap_remove(which.index(running.len()));
                    placer.remove(arrival);
                    occupancy.give_back(&seat);
                }
                for free in occupancy.nodes() {
                    prop_assert!(free.cpu >= 0 && free.memory >= 0);
                    prop_assert!(free.gpus.iter().all(|milli| (0..=1000).contains(milli)), "{:?}", free.gpus);
                    prop_assert!(free.counts.iter().all(|count| *count >= 0));
                }
            }
        }
    }
}

/// A profile is found by its name, and all pods have it.
#[test]
fn ready_made_profiles_are_policies_of_their_own() {
    let world = world(&[node("a", 64_000, 4), node("b", 64_000, 4)], &[pod("p", 4000, 1000)]);
    let placed = |name: &str| {
        let policy: Policy = name.parse().unwrap();
        assert_eq!(policy.name(), name);
        let mut rng = Rng::new(1);
        let mut placer = policy.placer(&world, TieBreak::new(Ties::Random, world.machines.len(), &mut rng));
        [0, 1].map(|id| placer.place(Arrival { id, pod: 0 }, &mut rng).unwrap())
    };
    assert_eq!(placed("testudo:dense-small-models"), [0, 0]);
    for profile in ReadyMade::all() {
        let placement = profile.placement();
        let names: Vec<&str> = placement.profiles.iter().map(|profile| &*profile.name).collect();
        assert_eq!(names, [profile.0.trim_start_matches(PREFIX)], "all pods have it");
    }
    assert!("testudo:fast".parse::<Policy>().unwrap_err().to_string().contains("testudo:latency-serving"));
}
