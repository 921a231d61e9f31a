//! Gangs of which only a part runs.

use super::*;

fn policy() -> GangPolicy {
    GangPolicy { regrouping: BTreeSet::from(["default".into()]), ..GangPolicy::default() }
}

/// Two of three nodes run members of a gang of three; the third node is gone, and the third member has been made anew.
fn torn(gangs: GangPolicy) -> World {
    let mut world = World::new(3);
    world.engine.policy = Arc::new(Policy { gangs, ..Policy::default() });
    for index in 0..3 {
        let whole = pod(&format!("g-{index}")).gpus(8).member_of("g", "", index, of(3));
        world.set(whole.on(&format!("n{index}")).build());
    }
    world.delete("g-2");
    world.apply(Change::NodeDeleted("n2".into()));
    world.set(pod("g-2b").gpus(8).member_of("g", "", 2, of(3)).build());
    world.plan();
    world
}

impl World {
    fn evictions(&mut self) -> Vec<String> {
        let orders = self.engine.orders(self.now_ms);
        let evicted = orders.into_iter().filter_map(|order| match order {
            Order::Evict { pod, .. } => Some(pod.key.name.clone()),
            _ => None,
        });
        evicted.collect()
    }
}

#[test]
fn the_part_that_runs_is_evicted_and_the_gang_starts_anew() {
    let gangs = policy();
    let after = gangs.regroup_after_ms;
    let mut world = torn(gangs);
    world.wait(after - 1);
    assert_eq!(world.evictions(), [""; 0], "places may still come free");
    world.wait(1);
    assert_eq!(world.evictions(), ["g-0", "g-1"]);
    assert_eq!(world.evictions(), [""; 0], "they have been asked to go");
    assert!(world.news().iter().any(|(kind, _)| *kind == NewsKind::Regrouping));
    // A node comes free meanwhile: it is too late for the rest to join those that go.
    let gpus = node("n9").instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 8);
    world.apply(Change::NodeApplied(Box::new(gpus.build())));
    assert_eq!(world.plan(), 0);
    for index in 0..2 {
        world.delete(&format!("g-{index}"));
        world.set(pod(&format!("g-{index}b")).gpus(8).member_of("g", "", index, of(3)).build());
    }
    world.wait(1);
    assert_eq!(world.plan(), 1);
    assert!(["g-0b", "g-1b", "g-2b"].iter().all(|name| world.filter(name).is_ok()), "all three have places");
}

#[test]
fn without_a_policy_it_waits() {
    let mut world = torn(GangPolicy::default());
    world.wait(24 * 3_600_000);
    assert_eq!(world.evictions(), [""; 0]);
}

#[test]
fn where_the_rest_does_not_exist_nobody_is_evicted() {
    let gangs = policy();
    let after = gangs.regroup_after_ms;
    let mut world = torn(gangs);
    world.delete("g-2b");
    world.wait(2 * after);
    assert_eq!(world.evictions(), [""; 0]);
}

#[test]
fn what_a_budget_protects_is_left_in_the_end() {
    let gangs = policy();
    let (after, clearing) = (gangs.regroup_after_ms, gangs.clearing_ms);
    let mut world = torn(gangs);
    world.wait(after);
    assert_eq!(world.evictions().len(), 2);
    world.wait(clearing);
    assert_eq!(world.evictions(), [""; 0]);
    let gpus = node("n9").instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 8);
    world.apply(Change::NodeApplied(Box::new(gpus.build())));
    world.plan();
    assert!(world.filter("g-2b").is_ok(), "it joins those that could not be evicted");
}
