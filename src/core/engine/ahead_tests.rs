use super::*;
use crate::engine::{Change, GangPolicy};
use crate::model::node::NodeName;
use crate::model::pod::Steering;
use crate::testing::{self, node};

const POLICY: AheadPolicy = AheadPolicy { min_waiting: 4, skipped: 2, max_kept: 3, max_at_once: 2, keep_ms: 1_000 };

struct World {
    engine: Engine,
    now_ms: u64,
}

impl World {
    /// Two nodes of so many GPUs each.
    fn new(gpus: i64) -> Self {
        let policy = Policy { ahead: POLICY, gangs: GangPolicy::default(), ..Policy::default() };
        let mut world = Self { engine: Engine::new(policy), now_ms: 1_000_000 };
        for name in ["a", "b"] {
            world.apply(Change::NodeApplied(Box::new(node(name).has("nvidia.com/gpu", gpus).build())));
        }
        world
    }

    fn apply(&mut self, change: Change) {
        self.engine.apply(change, self.now_ms);
    }

    fn set(&mut self, pod: Pod) {
        self.apply(Change::PodApplied(Box::new(pod)));
    }

    /// Pods of one GPU each.
    fn come(&mut self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        names.into_iter().for_each(|name| self.set(one(name.as_ref())));
    }

    /// Who is shown a node now.
    fn hints(&mut self) -> Vec<(String, String)> {
        let hint = |order| match order {
            Order::Hint { pod, node } => Some((pod.key.name.clone(), node.to_string())),
            _ => None,
        };
        self.engine.orders(self.now_ms).into_iter().filter_map(hint).collect()
    }

    fn kept(&self) -> usize {
        self.engine.cluster().unconfirmed().len()
    }

    fn bind(&mut self, name: &str, node: &str) {
        self.engine.assume(&one(name), &NodeName::from(node), self.now_ms + 60_000).expect("it fits");
        self.engine.commit(&one(name).uid);
        self.set(Pod { stage: Stage::Bound(NodeName::from(node)), ..one(name) });
    }
}

fn one(name: &str) -> Pod {
    testing::pod(name).gpus(1).build()
}

fn names(hints: &[(String, String)]) -> Vec<&str> {
    hints.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_next_of_a_long_queue_are_shown_their_nodes_a_few_at_a_time() {
    let mut world = World::new(8);
    world.come(["p0", "p1", "p2"]);
    assert_eq!(world.hints(), [], "three are no queue");
    world.come(["p3", "p4", "p5", "p6", "p7"]);
    let hints = world.hints();
    assert_eq!(names(&hints), ["p2", "p3"], "the first two are in the scheduler's hands by now");
    assert_eq!(hints[0].1, hints[1].1, "packed as they would be one after the other");
    assert_eq!(names(&world.hints()), ["p0"], "as many as may be kept, and whoever came first is still there");
    assert_eq!(world.hints(), []);
    assert_eq!(world.kept(), 3);
    world.bind("p2", &hints[0].1);
    assert_eq!(names(&world.hints()), ["p1"], "one has gone, so another is shown its node");
}

#[test]
fn what_is_kept_is_in_use_for_everybody_else() {
    let mut world = World::new(2);
    world.come(["p0", "p1", "p2", "p3", "p4"]);
    assert_eq!((world.hints().len(), world.hints().len()), (2, 1));
    let snapshot = world.engine.snapshot();
    let fits = |pod: &Pod| {
        let judgement = snapshot.judge(pod);
        ["a", "b"].into_iter().filter(|node| judgement.of(crate::engine::Offered::Named(node)).rank().is_some()).count()
    };
    assert_eq!(fits(&one("new")), 1, "three of four are kept");
    assert_eq!(fits(&testing::pod("new").gpus(2).build()), 0);
    assert_eq!(fits(&one("p2")), 2, "nobody stands in his own way");
}

#[test]
fn a_node_that_was_shown_binds_nobody() {
    let mut world = World::new(2);
    world.come(["p0", "p1", "p2", "p3"]);
    let shown = world.hints().remove(0);
    let other = if shown.1 == "a" { "b" } else { "a" };
    world.bind(&shown.0, other);
    assert_eq!(world.engine.cluster().node(other).expect("a node").holders().len(), 1);
    assert_eq!(world.kept(), 1, "of the other who was shown one");
}

#[test]
fn places_are_given_up_in_time_and_when_the_scheduler_has_refused_them() {
    let mut world = World::new(2);
    world.come(["p0", "p1", "p2", "p3"]);
    assert_eq!(names(&world.hints()), ["p2", "p3"]);
    let unscheduled = Some("0/2 nodes are available".into());
    world.set(Pod { steering: Steering { unscheduled, ..Steering::default() }, ..one("p2") });
    assert_eq!(world.kept(), 1, "a volume, a port");
    assert_eq!(world.hints(), [], "two that are left are no queue");
    world.now_ms += POLICY.keep_ms;
    assert_eq!(world.hints(), []);
    assert_eq!(world.kept(), 0);
    world.come(["p4", "p5", "p6"]);
    assert_eq!(names(&world.hints()), ["p4", "p5"], "nobody is shown a node twice");
    world.engine.stand_by();
    assert_eq!(world.kept(), 0, "another leads");
    world.come(["p7", "p8"]);
    assert_eq!(world.hints(), []);
}

#[test]
fn nothing_is_kept_from_who_is_more_important() {
    let mut world = World::new(2);
    world.come(["p0", "p1", "p2", "p3"]);
    assert_eq!(world.hints().len(), 2);
    world.set(Pod { priority: 10, ..testing::pod("cpu").build() });
    assert_eq!(world.kept(), 2, "it takes none of them");
    world.set(Pod { priority: 10, ..one("important") });
    assert_eq!(world.kept(), 0);
}

#[test]
fn only_pods_that_are_placed_alone_are_shown_nodes() {
    let mut world = World::new(8);
    world.come(["p0", "p1"]);
    world.set(Pod { steering: Steering { gate: Gate::Ours, ..Steering::default() }, ..one("gated") });
    world.set(testing::pod("cpu").build());
    world.set(testing::pod("m").gpus(1).member_of("g", "", 0, crate::model::gang::Terms::default()).build());
    world.set(Pod { leaving: true, ..one("leaving") });
    assert_eq!(world.hints(), [], "two wait");
    world.come(["p2", "p3", "p4"]);
    world.set(Pod { priority: 10, ..one("important") });
    world.apply(Change::PodDeleted(one("p1").uid));
    assert_eq!(names(&world.hints()), ["p2", "p3"], "in the order of their turns: important, p0, p2, p3, p4");
}

#[test]
fn who_is_bound_before_the_watch_shows_it_keeps_its_node() {
    let mut world = World::new(8);
    let late = one("late");
    world.engine.assume(&late, &NodeName::from("b"), world.now_ms + 60_000).expect("it fits");
    world.engine.commit(&late.uid);
    world.come(["late", "p1", "p2", "p3", "p4", "p5"]);
    for _ in 0..3 {
        assert!(!names(&world.hints()).contains(&"late"));
    }
    assert_eq!(world.kept(), 3);
    let holding = world.engine.cluster().holding(&late.uid).expect("it is bound");
    assert_eq!((holding.holding.node.as_str(), holding.standing), ("b", crate::cluster::Standing::Committed));
}

#[test]
fn who_is_missing_in_a_new_list_keeps_no_place() {
    let mut world = World::new(8);
    world.come(["p0", "p1", "p2", "p3", "p4"]);
    assert_eq!(names(&world.hints()), ["p2", "p3"]);
    world.apply(Change::PodsListed([one("p0").uid, one("p3").uid].into()));
    assert_eq!(world.kept(), 1, "p3 is still there, p2 was deleted while nobody watched");
}
