use super::*;
use crate::cluster::Cluster;
use crate::testing::{PodBuilder, node, pod};
use proptest::prelude::*;

fn fleet() -> Cluster {
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").product("NVIDIA-L40S").has("nvidia.com/gpu", 8).build());
    cluster
}

fn mix_of(cluster: &Cluster) -> Mix {
    let fleet = Fleet::of(cluster.slots());
    Mix::of(cluster.tally(), &fleet, &Prior::of(&fleet, &Expected::new()))
}

/// The mix of pods on a fleet of GPUs.
fn mix(pods: impl IntoIterator<Item = PodBuilder>) -> Mix {
    let mut cluster = fleet();
    for pod in pods {
        cluster.set_pod(pod.build());
    }
    mix_of(&cluster)
}

/// So many pods of a namespace with so many GPUs each; their memory tells them from the prior.
fn pods(namespace: &str, count: usize, gpus: i64) -> impl Iterator<Item = PodBuilder> {
    let name = move |at| format!("{namespace}-{gpus}-{at}");
    let namespace = namespace.to_owned();
    (0..count).map(move |at| pod(&name(at)).namespace(&namespace).gpus(gpus).asks("memory", 1 << 30))
}

/// The weight of the pods with so many GPUs, in pods, apart from the prior.
fn weight(mix: &Mix, gpus: i64) -> u64 {
    let own = mix.entries.iter().filter(|entry| entry.shape.units == gpus && entry.shape.memory == 1 << 30);
    own.map(|entry| entry.weight).sum::<u64>() / PARTS
}

/// The conditions of pods that go wherever their accelerator is.
fn of_the_prior() -> Demand {
    Demand { tolerations: pod("p").tolerates(None).demand().tolerations, ..Demand::default() }
}

#[test]
fn no_namespace_outweighs_all_others_together() {
    let others = || (0..20).flat_map(|at| pods(&format!("other{at}"), 100, 2).collect::<Vec<_>>());
    let flooded = mix(pods("flood", 10_000, 1).chain(others()));
    assert_eq!((weight(&flooded, 1), weight(&flooded, 2)), (1024, 1024));
    // Many shapes help no more than weights are rounded.
    let shapes = (1..=16).filter(|gpus| *gpus != 2).flat_map(|gpus| pods("flood", 667, gpus));
    let flooded = mix(shapes.chain(others()));
    let flood: u64 = (1..=16).filter(|gpus| *gpus != 2).map(|gpus| weight(&flooded, gpus)).sum();
    assert!(flood <= 2000, "{flood}");
}

#[test]
fn a_lone_namespace_is_itself_beside_the_prior() {
    let empty = mix([]);
    let alone = mix(pods("a", 32, 1).chain(pods("a", 8, 4)));
    assert_eq!((weight(&alone, 1), weight(&alone, 4)), (32, 8));
    let expected = |mix: &Mix| -> Vec<(Arc<Shape>, u64)> {
        let prior = mix.entries.iter().filter(|entry| entry.shape.memory != 1 << 30);
        prior.map(|entry| (Arc::clone(&entry.shape), entry.weight)).collect()
    };
    assert_eq!(expected(&alone).len() + 2, alone.entries.len());
    assert_eq!(expected(&alone), expected(&empty));
}

#[test]
fn a_lone_namespace_counts_for_a_thousand_pods_at_most() {
    assert_eq!(weight(&mix(pods("a", 5000, 1)), 1), 1024);
}

#[test]
fn one_pod_more_of_a_thousand_changes_nothing() {
    let of = |first, second| mix(pods("a", first, 1).chain(pods("b", second, 2)));
    assert_eq!(of(1000, 900), of(1001, 900));
    assert_eq!(of(1000, 900), of(1000, 899));
    assert_ne!(of(1000, 900), of(1000, 90));
}

#[test]
fn finished_pods_and_those_without_accelerators_count_for_nothing() {
    let idle = (0..10).map(|at| pod(&format!("cpu{at}")));
    let done = pods("a", 10, 1).map(PodBuilder::finished);
    assert_eq!(mix(idle.chain(done)), mix([]));
}

#[test]
fn those_that_ask_for_the_largest_share_of_devices_come_first() {
    let mix = mix(pods("a", 64, 1).chain(pods("a", 32, 8)));
    let demanded: Vec<i64> = mix.entries.iter().map(|entry| entry.weight as i64 * entry.shape.units).collect();
    assert!(demanded.is_sorted_by_key(|demanded| Reverse(*demanded)), "{demanded:?}");
    assert_eq!(mix.entries[0].shape.units, 8);
}

#[test]
fn of_more_conditions_than_can_be_told_apart_the_weightiest_are_kept() {
    let number = |at: usize| format!("{at:03}");
    let selecting = (0..200).flat_map(|at| {
        let count = if at % 10 == 0 { 16 } else { 1 };
        let name = move |copy| format!("p{at}-{copy}");
        (0..count).map(move |copy| pod(&name(copy)).gpus(1).selects("team", &number(at)))
    });
    let mix = mix(selecting);
    assert_eq!(mix.conditions.len(), MAX_CONDITIONS);
    for entry in &mix.entries {
        assert_eq!(mix.conditions[entry.conditions], entry.shape.conditions);
    }
    for at in (0..200).step_by(10) {
        let demand = pod("p").gpus(1).selects("team", &number(at)).demand();
        let conditions = Shape::of(&demand).unwrap().conditions;
        assert!(mix.conditions.contains(&conditions), "{at}");
    }
    assert!(mix.conditions.contains(&of_the_prior()), "the prior");
}

#[test]
fn of_more_shapes_than_are_kept_the_largest_remain() {
    let many = mix((1..=1500).map(|gpus| pod(&format!("p{gpus}")).gpus(gpus)));
    assert_eq!(many.entries.len(), MAX_SHAPES);
    let units: Vec<i64> = many.entries.iter().map(|entry| entry.shape.units).collect();
    assert!(units.contains(&1500) && !units.contains(&40), "{units:?}");
}

#[test]
fn every_accelerator_of_the_fleet_is_expected_before_any_pod() {
    let mut cluster = fleet();
    let mig = node("mig").product("NVIDIA-A100-SXM4-40GB");
    cluster.set_node(mig.has("nvidia.com/mig-3g.20gb", 2).has("nvidia.com/mig-1g.5gb", 7).build());
    cluster.set_node(node("shares").has("alibabacloud.com/gpu-milli", 4000).build());
    let trainium = node("trn1").instance("trn1.32xlarge");
    cluster.set_node(trainium.has("aws.amazon.com/neuron", 16).has("aws.amazon.com/neuroncore", 32).build());
    cluster.set_node(node("cpu").build());
    let mix = mix_of(&cluster);
    for resource in [
        "nvidia.com/gpu",
        "nvidia.com/mig-3g.20gb",
        "nvidia.com/mig-1g.5gb",
        "alibabacloud.com/gpu-milli",
        "aws.amazon.com/neuron",
        "aws.amazon.com/neuroncore",
    ] {
        let own = mix.entries.iter().filter(|entry| entry.shape.accelerator.as_str() == resource);
        assert!(own.map(|entry| entry.weight).sum::<u64>() >= 15 * PARTS, "{resource}");
    }
    assert_eq!(mix.conditions, [of_the_prior()]);
}

#[test]
fn accelerators_that_no_node_has_come_last() {
    let mix = mix((0..100).map(|at| pod(&format!("p{at}")).asks("aws.amazon.com/neuron", 16)));
    assert_eq!(mix.entries.last().map(|entry| entry.shape.accelerator.as_str()), Some("aws.amazon.com/neuron"));
}

#[test]
fn weights_are_powers_of_two() {
    assert_eq!([0, 1, 2, 3, 4, 5, 7, 8, 1000, u64::MAX].map(coarse), [0, 1, 2, 2, 4, 4, 4, 8, 512, 1 << 63]);
}

fn any_pods() -> impl Strategy<Value = Vec<(usize, i64, usize)>> {
    proptest::collection::vec((0..4usize, 1..5i64, 0..4usize), 0..40)
}

proptest! {
    #[test]
    fn the_order_in_which_pods_came_does_not_matter(
        (pods, shuffled) in any_pods().prop_flat_map(|pods| {
            let numbered: Vec<_> = pods.into_iter().enumerate().collect();
            (Just(numbered.clone()), Just(numbered).prop_shuffle())
        })
    ) {
        let build = |(at, (namespace, gpus, team)): &(usize, (usize, i64, usize))| {
            let pod = pod(&format!("p{at}")).namespace(&format!("ns{namespace}")).gpus(*gpus);
            if *team == 0 { pod } else { pod.selects("team", &team.to_string()) }
        };
        prop_assert_eq!(mix(pods.iter().map(build)), mix(shuffled.iter().map(build)));
    }
}
