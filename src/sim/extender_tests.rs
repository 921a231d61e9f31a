use super::super::placer::Ties;
use super::super::policy::Policy;
use super::super::testing::{node, pod, world};
use super::*;

fn placer(world: &World) -> ExtenderPlacer<'_> {
    ExtenderPlacer::new(world, TieBreak::Random).expect("a server")
}

fn arrival(id: usize, pod: usize) -> Arrival {
    Arrival { id, pod }
}

#[test]
fn who_goes_gives_back_on_both_sides() {
    // The extender counts the GPU, the scheduler the CPU.
    let world = world(&[node("n", 4000, 1)], &[pod("gpu", 1000, 1000), pod("cpu", 4000, 0)]);
    let (mut placer, mut rng) = (placer(&world), Rng::new(1));
    let mut place = |placer: &mut ExtenderPlacer<'_>, id, pod| placer.place(arrival(id, pod), &mut rng);
    assert_eq!(place(&mut placer, 0, 0), Some(0));
    assert_eq!(place(&mut placer, 1, 0), None, "no GPU is left");
    assert_eq!(place(&mut placer, 2, 1), None, "not all CPU is left");
    placer.remove(arrival(0, 0));
    assert_eq!(place(&mut placer, 2, 1), Some(0), "all is free again");
    placer.remove(arrival(1, 0));
    assert_eq!(place(&mut placer, 3, 0), None, "who was never placed gives nothing back");
    placer.remove(arrival(2, 1));
    assert_eq!(place(&mut placer, 3, 0), Some(0));
}

/// Where they go in turn: as many as there are, each of the kinds in turn.
fn course(placer: &mut dyn Placer, arrivals: usize, seed: u64) -> Vec<(Option<usize>, Option<f64>)> {
    let mut rng = Rng::new(seed);
    let place = |id: usize| (placer.place(arrival(id, id % 3), &mut rng), placer.fragmentation());
    (0..arrivals).map(place).collect()
}

#[test]
fn pods_with_gpus_go_where_the_engine_itself_puts_them_whatever_is_drawn() {
    let nodes: Vec<_> = (0..12).map(|at| node(&format!("n{at:02}"), 8000 + 2000 * (at % 4), 1 + at % 3)).collect();
    let world = world(&nodes, &[pod("a", 1000, 300), pod("b", 2000, 1000), pod("c", 3000, 700)]);
    let inside = course(&mut *Policy::Testudo.placer(&world, TieBreak::Random), 45, 1);
    let placed = inside.iter().filter(|(node, _)| node.is_some()).count();
    assert!((20..45).contains(&placed), "{placed} of 45: some fit and some do not");
    for seed in 1..4 {
        assert_eq!(course(&mut placer(&world), 45, seed), inside, "seed {seed}");
    }
}

#[test]
fn equals_are_chosen_from_as_the_experiment_says() {
    let nodes: Vec<_> = (0..8).map(|at| node(&format!("n{at}"), 8000, 0)).chain([node("gpus", 8000, 1)]).collect();
    let world = world(&nodes, &[pod("gpu", 1, 1000), pod("cpu", 8000, 0)]);
    let order = |ties: Ties, seed: u64| -> Vec<Option<usize>> {
        let mut rng = Rng::new(seed);
        let mut placer = ExtenderPlacer::new(&world, TieBreak::new(ties, 9, &mut Rng::new(1))).expect("a server");
        (0..5).map(|id| placer.place(arrival(id, 1), &mut rng)).collect()
    };
    assert_ne!(order(Ties::Random, 1), order(Ties::Random, 2));
    assert_eq!(order(Ties::Random, 1), order(Ties::Random, 1));
    assert_eq!(order(Ties::Fixed, 1), order(Ties::Fixed, 2));
}
