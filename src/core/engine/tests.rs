use std::collections::BTreeSet;

use super::*;
use crate::model::gpu_share;
use crate::model::pod::PodUid;
use crate::model::selector::Requirement;
use crate::placement::{CapacityPolicy, ZonePolicy};
use crate::testing::{PodBuilder, node, pod};
use proptest::prelude::*;

const NOW: u64 = 1_000_000;
const UNTIL: u64 = NOW + ASSUME_TTL_MS;

fn engine(nodes: &[(&str, i64)]) -> Engine {
    let mut engine = Engine::new(Policy::default());
    for (name, gpus) in nodes {
        engine.apply(Change::NodeApplied(Box::new(node(name).has("nvidia.com/gpu", *gpus).build())), NOW);
    }
    engine
}

fn uid(name: &str) -> PodUid {
    format!("uid-{name}").as_str().into()
}

fn fits(engine: &mut Engine, pod: PodBuilder, node: &str) -> bool {
    matches!(engine.snapshot().judge(&pod.build()).of(Offered::Named(node)), Verdict::Fits(_))
}

#[test]
fn what_is_assumed_is_taken_for_the_next_filter() {
    let mut engine = engine(&[("n", 8)]);
    assert!(fits(&mut engine, pod("b").gpus(4), "n"));
    engine.assume(&pod("a").gpus(6).build(), &"n".into(), UNTIL).unwrap();
    assert!(!fits(&mut engine, pod("b").gpus(4), "n"));
    engine.roll_back(&uid("a"));
    assert!(fits(&mut engine, pod("b").gpus(4), "n"));
}

#[test]
fn two_pods_that_were_told_the_same_place_do_not_both_get_it() {
    let mut engine = engine(&[("n", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    let refused = engine.assume(&pod("b").gpus(8).build(), &"n".into(), UNTIL).unwrap_err();
    assert_eq!(refused.to_string(), "pod default/b no longer fits on node n: needs 8 nvidia.com/gpu, too few are free");
}

#[test]
fn a_binding_in_doubt_does_not_stand_in_its_own_way() {
    let mut engine = engine(&[("n", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    assert!(fits(&mut engine, pod("a").gpus(8), "n"));
    assert!(!fits(&mut engine, pod("b").gpus(8), "n"));
}

#[test]
fn a_repeated_bind_is_no_error_but_one_elsewhere_is() {
    let mut engine = engine(&[("n", 8), ("m", 8)]);
    let a = pod("a").gpus(8).build();
    engine.assume(&a, &"n".into(), UNTIL).unwrap();
    assert_eq!(engine.assume(&a, &"n".into(), UNTIL), Ok(None));
    assert!(matches!(engine.assume(&a, &"m".into(), UNTIL), Err(AssumeError::Elsewhere { .. })));
    engine.apply(Change::PodApplied(Box::new(pod("a").gpus(8).finished().build())), NOW);
    assert!(matches!(engine.assume(&a, &"m".into(), UNTIL), Err(AssumeError::Finished { .. })));
}

#[test]
fn an_old_sight_of_a_pending_pod_does_not_undo_its_binding() {
    let mut engine = engine(&[("n", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    engine.commit(&uid("a"));
    engine.apply(Change::PodApplied(Box::new(pod("a").gpus(8).build())), NOW);
    assert!(!fits(&mut engine, pod("b").gpus(1), "n"));
    assert_eq!(engine.tick(NOW + 10 * ASSUME_TTL_MS), [], "a binding that was accepted does not expire");
    engine.apply(Change::PodDeleted(uid("a")), NOW);
    assert!(fits(&mut engine, pod("b").gpus(1), "n"));
}

#[test]
fn an_assumption_that_nothing_confirms_expires() {
    let mut engine = engine(&[("n", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    assert_eq!(engine.tick(NOW + ASSUME_TTL_MS - 1), []);
    let expired = engine.tick(NOW + ASSUME_TTL_MS);
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].pod.to_string(), "default/a");
    assert!(fits(&mut engine, pod("b").gpus(8), "n"));
}

#[test]
fn an_assumption_lasts_from_the_last_attempt_to_bind() {
    let mut engine = engine(&[("n", 8)]);
    let a = pod("a").gpus(8).build();
    engine.assume(&a, &"n".into(), UNTIL).unwrap();
    engine.doubt(&a.uid);
    engine.assume(&a, &"n".into(), UNTIL + 5_000).unwrap();
    assert_eq!(engine.tick(UNTIL + 4_999), [], "that one may succeed");
    engine.assume(&a, &"n".into(), UNTIL).unwrap();
    assert_eq!(engine.tick(UNTIL + 4_999), []);
    assert_eq!(engine.tick(UNTIL + 5_000).len(), 1);
}

#[test]
fn a_list_without_a_pod_that_was_just_bound_is_doubted_first() {
    let mut engine = engine(&[("n", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    engine.commit(&uid("a"));
    engine.apply(Change::PodsListed(BTreeSet::new()), NOW);
    assert!(!fits(&mut engine, pod("b").gpus(1), "n"));
    engine.tick(NOW + ASSUME_TTL_MS);
    assert!(fits(&mut engine, pod("b").gpus(1), "n"));
}

#[test]
fn the_sight_of_a_pod_on_its_node_settles_it() {
    let mut engine = engine(&[("n", 8), ("m", 8)]);
    engine.assume(&pod("a").gpus(8).build(), &"n".into(), UNTIL).unwrap();
    engine.apply(Change::PodApplied(Box::new(pod("a").gpus(8).on("m").build())), NOW);
    engine.roll_back(&uid("a"));
    assert!(fits(&mut engine, pod("b").gpus(8), "n"));
    assert!(!fits(&mut engine, pod("b").gpus(8), "m"), "what is seen is not rolled back");
}

#[test]
fn pods_without_accelerators_and_excluded_ones_are_not_checked() {
    let no_batch = Exclusion { namespaces: BTreeSet::from(["batch".into()]), labels: vec![] };
    let by_label = Exclusion { namespaces: BTreeSet::new(), labels: vec![Requirement::equals("testudo", "off")] };
    let mut engine = Engine::new(Policy { exclusions: vec![no_batch, by_label], ..Policy::default() });
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.stance(&pod("a").gpus(1).build()), Stance::Placed);
    assert_eq!(snapshot.stance(&pod("a").build()), Stance::Unconcerned);
    assert_eq!(snapshot.stance(&pod("a").gpus(1).label("testudo", "off").build()), Stance::Excluded);
    let mut elsewhere = pod("a").gpus(1).build();
    elsewhere.key.namespace = "batch".into();
    assert_eq!(snapshot.stance(&elsewhere), Stance::Excluded);
}

#[test]
fn a_node_described_in_the_request_is_judged_as_idle() {
    let mut engine = engine(&[]);
    let snapshot = engine.snapshot();
    let template = node("template").has("nvidia.com/gpu", 8).build();
    let judgement = snapshot.judge(&pod("a").gpus(8).build());
    assert!(matches!(judgement.of(Offered::Described(&template)), Verdict::Fits(_)));
    assert!(matches!(judgement.of(Offered::Named("nobody")), Verdict::No(r) if r.label == "unknown_node"));
    assert_eq!(judgement.fitting([Offered::Described(&template)].into_iter()).len(), 1);
    // Of a node of that name only a pod was seen.
    engine.apply(Change::PodApplied(Box::new(pod("agent").on("template").build())), NOW);
    let snapshot = engine.snapshot();
    let judgement = snapshot.judge(&pod("a").gpus(8).build());
    assert_eq!(judgement.fitting([Offered::Described(&template)].into_iter()).len(), 1);
}

#[test]
fn a_node_that_is_gone_is_room_for_nobody() {
    let mut engine = engine(&[("n", 8)]);
    let whole = pod("a").gpus(8).build();
    assert!(engine.snapshot().fits_somewhere(&whole.demand));
    engine.apply(Change::NodeDeleted("n".into()), NOW);
    assert!(!engine.snapshot().fits_somewhere(&whole.demand));
}

#[test]
fn victims_help_only_where_they_free_what_is_short() {
    let mut engine = engine(&[("n", 8), ("m", 4)]);
    engine.apply(Change::PodApplied(Box::new(pod("gpu").gpus(6).on("n").build())), NOW);
    engine.apply(Change::PodApplied(Box::new(pod("cpu").on("n").build())), NOW);
    let snapshot = engine.snapshot();
    let wanted = pod("a").gpus(4).demand();
    assert!(snapshot.victims_help(&wanted, "n", [&uid("gpu")]));
    assert!(!snapshot.victims_help(&wanted, "n", [&uid("cpu")]));
    assert!(!snapshot.victims_help(&pod("a").gpus(8).demand(), "m", [&uid("gpu")]), "the node is too small");
    assert!(
        snapshot.victims_help(&pod("a").gpus(2).demand(), "n", [&uid("cpu")]),
        "it fits: the victims serve another end"
    );
}

proptest! {
    /// Verdicts that are kept and brought up to date are those that a fresh engine gives, though the mix changes, too.
    #[test]
    fn kept_verdicts_are_fresh_ones(
        steps in proptest::collection::vec((0..4usize, 0..9i64, 0..6usize, 0..3u8), 1..40)
    ) {
        let mut engine = engine(&[("n0", 8), ("n1", 4)]);
        for (step, (n, gpus, p, what)) in steps.into_iter().enumerate() {
            let name = format!("n{n}");
            let change = match (what, gpus) {
                (0, 0) => Change::NodeDeleted(name.as_str().into()),
                (0, _) => Change::PodDeleted(uid(&format!("p{p}"))),
                (1, 0) => Change::NodeApplied(Box::new(node(&name).has("nvidia.com/gpu", p as i64).build())),
                (1, _) => Change::PodApplied(Box::new(pod(&format!("p{p}")).gpus(gpus).on(&name).build())),
                _ => {
                    // Pods that wait change what is typical, and nothing on any node.
                    let generation = engine.cluster.generation();
                    for at in 0..16 {
                        let waiting = pod(&format!("w{step}-{at}")).gpus(gpus).asks("cpu", 1000 << p);
                        engine.apply(Change::PodApplied(Box::new(waiting.build())), NOW);
                    }
                    prop_assert_eq!(engine.cluster.generation(), generation);
                    continue;
                }
            };
            engine.apply(change, NOW);
            let (kept, fresh) = (engine.snapshot(), engine_copy(&engine).snapshot());
            prop_assert_eq!(kept.mix(), fresh.mix());
            for asked in [pod("asked").gpus(2).build(), pod("asked").build()] {
                for n in 0..4 {
                    let name = format!("n{n}");
                    let kept = kept.judge(&asked).of(Offered::Named(&name));
                    prop_assert_eq!(kept, fresh.judge(&asked).of(Offered::Named(&name)));
                }
                let judgement = kept.judge(&asked);
                let refined = |name: &String| Some((judgement.refined(Offered::Named(name))?.packed(), name.clone()));
                let best = (0..4).map(|n| format!("n{n}")).filter_map(|name| refined(&name)).min();
                prop_assert_eq!(judgement.best().map(ToString::to_string), best.map(|(_, name)| name));
            }
        }
    }
}

#[test]
fn a_change_of_the_mix_alone_reaches_verdicts_that_are_kept() {
    let mut engine = engine(&[("a", 8), ("b", 4), ("c", 4)]);
    let asked = pod("asked").gpus(1).build();
    let ranks = |snapshot: &Snapshot| ["a", "b"].map(|name| snapshot.judge(&asked).of(Offered::Named(name)).rank());
    let before = engine.snapshot();
    let old_ranks = ranks(&before);
    for at in 0..64 {
        engine.apply(Change::PodApplied(Box::new(pod(&format!("p{at}")).gpus(8).build())), NOW);
    }
    assert!(engine.has_moved_on(&before), "without any change of a node");
    let after = engine.snapshot();
    assert_eq!(before.generation(), after.generation());
    assert_ne!(ranks(&after), old_ranks);
    assert_eq!(ranks(&after), ranks(&engine_copy(&engine).snapshot()));
    assert_eq!(ranks(&before), old_ranks, "who holds an old snapshot still gets its answers");
    assert!(!engine.has_moved_on(&after));
}

fn engine_copy(engine: &Engine) -> Engine {
    Engine {
        cluster: engine.cluster.clone(),
        policy: Arc::clone(&engine.policy),
        verdicts: Arc::default(),
        mix: MixKeeper::default(),
        gangs: GangKeeper::default(),
        ahead: Ahead::default(),
    }
}

#[test]
fn an_assumption_names_the_gpus_that_it_is_given() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let mut engine = Engine::new(Policy::default());
    engine.apply(Change::NodeApplied(Box::new(node("n").has(MILLI, 2000).build())), 0);
    let assume = |engine: &mut Engine, name, milli| {
        let gpus = engine.assume(&pod(name).asks(MILLI, milli).build(), &"n".into(), UNTIL).unwrap();
        gpus.map(gpu_share::format_indices)
    };
    assert_eq!(assume(&mut engine, "a", 600).as_deref(), Some("0"));
    assert_eq!(assume(&mut engine, "b", 500).as_deref(), Some("1"));
    assert_eq!(assume(&mut engine, "b", 500).as_deref(), Some("1"), "asked again, the same answer");
    assert_eq!(assume(&mut engine, "c", 500).as_deref(), Some("1"));
    assert!(engine.assume(&pod("d").asks(MILLI, 500).build(), &"n".into(), UNTIL).is_err());
}

/// An engine with equal nodes of these names, zones and capacity types.
fn zoned(policy: Policy, nodes: &[(&str, &str, &str)]) -> Engine {
    let mut engine = Engine::new(policy);
    for (name, zone, capacity) in nodes {
        let node = node(name)
            .has("nvidia.com/gpu", 8)
            .label("topology.kubernetes.io/zone", zone)
            .label("karpenter.sh/capacity-type", capacity);
        engine.apply(Change::NodeApplied(Box::new(node.build())), NOW);
    }
    engine
}

fn best(engine: &mut Engine, pod: &Pod) -> String {
    engine.snapshot().judge(pod).best().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn of_equal_places_one_in_the_zone_of_the_service_and_away_from_its_replicas_is_taken() {
    let on_demand = |name, zone| (name, zone, "on-demand");
    let nodes = [on_demand("n1", "a"), on_demand("n2", "b"), on_demand("n3", "b"), on_demand("n4", "b")];
    let mut engine = zoned(Policy::default(), &nodes);
    let replica = |name: &str| pod(name).gpus(8).label("app", "vllm");
    assert_eq!(best(&mut engine, &replica("first").build()), "n1", "nothing speaks for any: the first by name");
    engine.apply(Change::PodApplied(Box::new(replica("first").on("n4").build())), NOW);
    assert_eq!(best(&mut engine, &replica("second").build()), "n2", "in the zone of the first");
    assert_eq!(best(&mut engine, &pod("stranger").gpus(8).build()), "n1");
    // Replicas without GPUs of their own: they are in nobody's way but that of the next replica.
    engine.apply(Change::PodApplied(Box::new(pod("router").label("app", "vllm").asks("cpu", 0).on("n2").build())), NOW);
    assert_eq!(best(&mut engine, &replica("third").build()), "n3");
    let profile = Profile { zones: ZonePolicy::Spread, ..Profile::default() };
    let mut spreading = zoned(Policy { placement: profile.into(), ..Policy::default() }, &nodes);
    spreading.apply(Change::PodApplied(Box::new(replica("first").on("n4").build())), NOW);
    assert_eq!(best(&mut spreading, &replica("second").build()), "n1", "in another zone");
}

#[test]
fn what_matters_keeps_off_spot_nodes_and_what_does_not_seeks_them() {
    let nodes = [("n1", "a", "on-demand"), ("n2", "a", "spot"), ("n3", "a", "reserved")];
    let mut engine = zoned(Policy::default(), &nodes);
    let of_priority = |priority| Pod { priority, ..pod("p").gpus(1).build() };
    assert_eq!(best(&mut engine, &of_priority(1000)), "n3");
    assert_eq!(best(&mut engine, &of_priority(-1)), "n2");
    assert_eq!(best(&mut engine, &of_priority(0)), "n1", "no priority, no preference");
    let capacity = CapacityPolicy { spot_up_to: 0, ..CapacityPolicy::default() };
    let placement = Profile { capacity, ..Profile::default() }.into();
    let mut thrifty = zoned(Policy { placement, ..Policy::default() }, &nodes);
    assert_eq!(best(&mut thrifty, &of_priority(0)), "n2");
}
