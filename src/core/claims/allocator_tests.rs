//! What fits, what does not, and what is an error: feature by feature.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::*;
use crate::model::taint::{Comparison, Toleration};

fn gpus(count: i64) -> Vec<Device> {
    (0..count).map(|index| device(&format!("gpu-{index}")).with("index", index).with("root", index / 2)).collect()
}

fn one(ask: Ask) -> Vec<Claim> {
    vec![claim("c", vec![request("r", ask)])]
}

#[test]
fn counts_and_selectors() {
    let mut four = allocator(vec![slice("n", gpus(4))]);
    for (claims, expected) in [
        (one(ask("any", 1)), "gpu-0"),
        (one(ask("any", 4)), "gpu-0+gpu-1+gpu-2+gpu-3"),
        (one(ask("any", 5)), "no"),
        (one(ask("any", 33)), "error"),
        (one(ask("even", 2)), "gpu-0+gpu-2"),
        (one(ask("even", 3)), "no"),
        (one(ask("even", 1).selected("device.attributes['d'].index > 0")), "gpu-2"),
        (one(ask("any", 1).all()), "gpu-0+gpu-1+gpu-2+gpu-3"),
        (one(ask("any", 1).selected("false").all()), "no"),
        (one(ask("nowhere", 1)), "error"),
        (one(ask("any", 1).selected("device.index")), "error"),
        (one(ask("any", 1).selected("device.attributes['d'].missing")), "error"),
        (vec![], ""),
    ] {
        assert_eq!(outcome(&mut four, &claims), expected, "{claims:?}");
    }
    let two = [one(ask("even", 1)), one(ask("any", 3))].concat();
    assert_eq!(outcome(&mut four, &two), "gpu-0 gpu-1+gpu-2+gpu-3");
    let greedy = [one(ask("any", 3)), one(ask("even", 1))].concat();
    assert_eq!(outcome(&mut four, &greedy).split(' ').next_back(), Some("gpu-2"));
    assert_eq!(outcome(&mut allocator(vec![]), &one(ask("any", 1).selected("nonsense("))), "no");
}

#[test]
fn a_selector_fails_only_where_upstream_comes_to_look() {
    let mut mixed = allocator(vec![slice("n", vec![device("a").with("index", 0), device("b")])]);
    assert_eq!(outcome(&mut mixed, &one(ask("even", 1))), "a");
    assert_eq!(outcome(&mut mixed, &one(ask("even", 2))), "error");
    mixed.take([held("b")]);
    assert_eq!(outcome(&mut mixed, &one(ask("even", 2))), "no");
    assert_eq!(outcome(&mut mixed, &one(ask("even", 1).all())), "error");
}

#[test]
fn what_is_in_use_is_not_given_again_save_for_administration() {
    let mut two = allocator(vec![slice("n", gpus(2))]);
    two.take([held("gpu-0")]);
    assert_eq!(outcome(&mut two, &one(ask("any", 1))), "gpu-1");
    assert_eq!(outcome(&mut two, &one(ask("any", 2))), "no");
    let admin = Ask { admin_access: true, ..ask("any", 2) };
    assert_eq!(outcome(&mut two, &one(admin.clone())), "gpu-0+gpu-1");
    assert_eq!(outcome(&mut two, &one(Ask { count: Count::Exactly(3), ..admin })), "no");
    assert_eq!(outcome(&mut two, &one(ask("any", 1).all())), "no");
}

#[test]
fn constraints_hold_within_a_claim() {
    let mut four = allocator(vec![slice("n", gpus(4))]);
    four.take([held("gpu-0")]);
    let pair = claim("c", vec![request("a", ask("any", 1)), request("b", ask("any", 1))]);
    assert_eq!(outcome(&mut four, &[pair.clone().matching("d/root")]), "gpu-2+gpu-3");
    let apart = outcome(&mut four, &[pair.clone().distinct("d/root")]);
    assert!(apart.starts_with("gpu-1+") || apart.ends_with("+gpu-1"), "{apart}");
    assert_eq!(outcome(&mut four, &[pair.clone().matching("d/missing")]), "no");
    let three = claim("c", vec![request("a", ask("any", 3))]);
    assert_eq!(outcome(&mut four, &[three.clone().matching("d/root")]), "no");
    assert_eq!(outcome(&mut four, &[three.distinct("d/root")]), "no");
    let all = claim("c", vec![request("a", ask("any", 1).selected("true").all())]);
    four.release([held("gpu-0")]);
    assert_eq!(outcome(&mut four, &[all.clone().matching("d/root")]), "error");
    // Where the first is in use that is a no, and an error once an earlier claim takes another instead.
    let earlier = one(ask("any", 1)).remove(0);
    let all_alike = all.matching("d/missing");
    assert_eq!(outcome(&mut four, &[earlier.clone(), all_alike.clone()]), "error");
    // It has nothing left, but the constraint is looked at first.
    let whole = device("nic").shareable().with_capacity("bandwidth", "10", None);
    assert_eq!(outcome(&mut allocator(vec![slice("n", vec![whole])]), &[earlier, all_alike]), "error");
}

#[test]
fn the_first_alternative_that_can_be_had_is_taken() {
    let mut two = allocator(vec![slice("n", gpus(2))]);
    let wish = || first_of("r", vec![("many", ask("any", 2)), ("even", ask("even", 1)), ("one", ask("any", 1))]);
    assert_eq!(outcome(&mut two, &[claim("c", vec![wish()])]), "gpu-0+gpu-1");
    // Of two such requests the first gets what it wants most, and the other what is left.
    assert_eq!(outcome(&mut two, &[claim("c", vec![request("x", ask("even", 1)), wish()])]), "gpu-0+gpu-1");
    two.take([held("gpu-0")]);
    assert_eq!(outcome(&mut two, &[claim("c", vec![wish()])]), "gpu-1");
    two.take([held("gpu-1")]);
    assert_eq!(outcome(&mut two, &[claim("c", vec![wish()])]), "no");
    let mut forty = allocator(vec![slice("n", gpus(40))]);
    let large = || first_of("r", vec![("large", ask("any", 20)), ("small", ask("any", 1))]);
    let both = outcome(&mut forty, &[claim("c", vec![large(), request("rest", ask("any", 20))])]);
    assert_eq!(both.split('+').count(), 21, "{both}");
}

#[test]
fn pools_are_used_when_they_are_whole() {
    let newer = |name: &str, generation, slices, devices| Slice {
        name: name.into(),
        generation,
        slices,
        ..slice("n", devices)
    };
    let old = newer("old", 1, 1, vec![device("old")]);
    for (slices, expected) in [
        (vec![old.clone(), newer("new", 2, 1, vec![device("new")])], "new"),
        (vec![old.clone(), newer("new", 2, 2, vec![device("new")])], "no"),
        (vec![newer("a", 1, 2, vec![device("x")]), newer("b", 1, 2, vec![device("y")])], "x"),
        (vec![newer("a", 1, 2, vec![device("x")]), newer("b", 1, 2, vec![device("x")])], "error"),
        (vec![slice("m", vec![device("elsewhere")])], "no"),
    ] {
        assert_eq!(outcome(&mut allocator(slices), &one(ask("any", 1))), expected);
    }
    let half = vec![
        newer("a", 1, 2, vec![device("x")]),
        Slice { pool: PoolId { driver: "e".into(), name: "n".into() }, ..slice("n", vec![device("z")]) },
    ];
    assert_eq!(outcome(&mut allocator(half.clone()), &one(ask("any", 1))), "z");
    assert_eq!(outcome(&mut allocator(half), &one(ask("any", 1).all())), "error");
}

#[test]
fn counters_bound_what_can_be_cut() {
    let set = |slices: &str| [("slices", slices)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let part = |name: &str, takes: &str| {
        let [(counter, value)] = set(takes);
        device(name).taking("gpu", &[(&counter, &value)])
    };
    let cut = || {
        let devices = vec![part("whole", "4"), part("half-0", "2"), part("half-1", "2"), part("more", "1")];
        with_counters("n", &[("gpu", &[("slices", "4")])], devices)
    };
    let mut gpu = allocator(cut());
    assert_eq!(outcome(&mut gpu, &one(ask("any", 1).selected("device.driver == 'd'"))).split('+').count(), 1);
    assert!(!outcome(&mut gpu, &one(ask("any", 2))).contains("whole"));
    assert_eq!(outcome(&mut gpu, &one(ask("any", 3))), "no");
    let before = gpu.usage().clone();
    gpu.take([held("half-0")]);
    assert_eq!(outcome(&mut gpu, &one(ask("any", 2))), "no");
    assert_ne!(outcome(&mut gpu, &one(ask("any", 1))), "whole");
    gpu.release([held("half-0")]);
    assert!(*gpu.usage() == before);
    let foreign = with_counters("n", &[("gpu", &[("slices", "4")])], vec![device("x").taking("other", &[("s", "1")])]);
    assert_eq!(outcome(&mut allocator(foreign), &one(ask("any", 1))), "error");
}

#[test]
fn shared_devices_are_filled() {
    let policy = RequestPolicy {
        default: Some(amount("10Gi")),
        valid: Valid::Range { min: amount("10Gi"), max: None, step: Some(amount("10Gi")) },
    };
    let nic = |name: &str, size: &str| device(name).shareable().with_capacity("memory", size, Some(policy.clone()));
    let mut two = allocator(vec![slice("n", vec![nic("large", "80Gi"), nic("small", "40Gi")])]);
    let part = |size: &str| Ask { capacity: amounts(&[("memory", size)]), ..ask("any", 1) };
    assert_eq!(outcome(&mut two, &one(part("35Gi"))), "small", "the smallest that suffices");
    assert_eq!(outcome(&mut two, &one(part("41Gi"))), "large");
    assert_eq!(outcome(&mut two, &one(part("81Gi"))), "no");
    assert_eq!(outcome(&mut two, &one(Ask { count: Count::Exactly(3), ..part("1Gi") })), "no", "once a request");
    let three = claim("c", ["a", "b", "d"].map(|name| request(name, part("40Gi"))).to_vec());
    let fit = {
        let mut scorer = choice::Thrifty::new(&two);
        two.allocate_on("n", std::slice::from_ref(&three), &mut scorer).expect("an answer")
    };
    let Verdict::Fits(fit) = fit.verdict else { panic!("it fits") };
    let shares: Vec<&Share> = fit.allocations[0].devices.iter().filter_map(|device| device.share.as_ref()).collect();
    assert_eq!(shares.len(), 3);
    assert!(shares.iter().all(|share| share.consumed["memory"].to_string() == "40Gi" && share.id.len() == 36));
    assert_ne!(shares[0].id, shares[1].id);
    let before = two.usage().clone();
    two.take(fit.allocations[0].holdings());
    assert_eq!(outcome(&mut two, &one(part("1Gi"))), "no");
    two.release(fit.allocations[0].holdings());
    assert!(*two.usage() == before);
}

#[test]
fn taints_keep_away_who_does_not_tolerate_them() {
    let mut two = allocator(vec![slice("n", vec![device("bad").tainted(), device("good")])]);
    let toleration = Toleration { key: Some("broken".into()), comparison: Comparison::Exists, effect: None };
    let tolerant = |count| Ask { tolerations: vec![toleration.clone()], ..ask("any", count) };
    assert_eq!(outcome(&mut two, &one(ask("any", 1))), "good");
    assert_eq!(outcome(&mut two, &one(ask("any", 2))), "no");
    assert_eq!(outcome(&mut two, &one(tolerant(2))), "bad+good");
    assert_eq!(outcome(&mut two, &one(ask("any", 1).all())), "no");
    assert_eq!(outcome(&mut two, &one(tolerant(1).all())), "bad+good");
}

#[test]
fn the_best_node_is_taken_and_errors_are_of_all() {
    let mut two = allocator(vec![slice("m", gpus(2)), slice("n", gpus(4))]);
    let mut scorer = choice::Thrifty::new(&two);
    let answer = two.allocate(&one(ask("any", 2)), &mut scorer).expect("an answer");
    let BestFit::Fits(fit) = answer.verdict else { panic!("it fits") };
    assert_eq!(&*fit.node, "m", "where less is left");
    let answer = two.allocate(&one(ask("any", 5)), &mut scorer).expect("an answer");
    let BestFit::Refused(refusals) = answer.verdict else { panic!("it does not fit") };
    assert_eq!(
        refusals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "claim default/c, request r needs 5 devices of class any, 2 of 2 can be had",
            "claim default/c, request r needs 5 devices of class any, 4 of 4 can be had"
        ]
    );
    assert!(two.allocate(&one(ask("nowhere", 1)), &mut scorer).is_err());
}

/// Whether any choice of devices serves all requests, by trying all.
fn brute_force(devices: &[(i64, i64)], requests: &[(u64, i64)], matching: bool) -> bool {
    fn serve(devices: &[(i64, i64)], used: u32, root: Option<i64>, rest: &[(u64, i64)], matching: bool) -> bool {
        let Some(((count, least), others)) = rest.split_first() else { return true };
        if *count == 0 {
            return serve(devices, used, root, others, matching);
        }
        (0..devices.len()).any(|at| {
            let (index, of) = devices[at];
            let free = used & 1 << at == 0 && index >= *least && (!matching || root.is_none_or(|root| root == of));
            let next = [&[(count - 1, *least)], others].concat();
            free && serve(devices, used | 1 << at, Some(of), &next, matching)
        })
    }
    serve(devices, 0, None, requests, matching)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn fits_when_trying_all_finds_a_way_and_gives_back_exactly(
        devices in prop::collection::vec((0i64..4, 0i64..3), 1..6),
        requests in prop::collection::vec((1u64..3, 0i64..4), 1..4),
        matching in any::<bool>(),
    ) {
        let published = devices.iter().enumerate().map(|(at, (index, root))| {
            device(&format!("gpu-{at}")).with("index", *index).with("root", *root)
        });
        let mut allocator = allocator(vec![slice("n", published.collect())]);
        let asks = requests.iter().zip(["a", "b", "c", "d"]).map(|((count, least), name)| {
            request(name, ask("any", *count).selected(&format!("device.attributes['d'].index >= {least}")))
        });
        let claim = claim("c", asks.collect());
        let claim = if matching { claim.matching("d/root") } else { claim };
        let before = allocator.usage().clone();
        let mut scorer = choice::Thrifty::new(&allocator);
        let answer = allocator.allocate_on("n", std::slice::from_ref(&claim), &mut scorer).expect("an answer");
        prop_assert_eq!(matches!(answer.verdict, Verdict::Fits(_)), brute_force(&devices, &requests, matching));
        if let Verdict::Fits(fit) = answer.verdict {
            let holdings: Vec<Holding> = fit.allocations[0].holdings().collect();
            let mut names: Vec<_> = holdings.iter().map(|holding| holding.device.clone()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), holdings.len());
            allocator.take(holdings.clone());
            prop_assert!(*allocator.usage() != before);
            allocator.release(holdings);
            prop_assert!(*allocator.usage() == before);
        }
    }
}

/// A pool of one GPU that is cut on demand: so many slices of memory, and a device for each.
fn cut(node: &str, memory: u32) -> Vec<Slice> {
    let names: Vec<String> = (0..memory).map(|at| format!("part-{at}")).collect();
    let devices = names.iter().map(|name| device(name).taking("gpu", &[("memory", "1")]));
    let whole = device("whole").taking("gpu", &[("memory", &memory.to_string())]);
    with_counters(node, &[("gpu", &[("memory", &memory.to_string())])], devices.chain([whole]).collect())
}

fn arcs(slices: Vec<Slice>) -> Vec<Arc<Slice>> {
    slices.into_iter().map(Arc::new).collect()
}

fn pool_of(node: &str) -> PoolId {
    PoolId { driver: "d".into(), name: node.into() }
}

#[test]
fn what_is_in_use_stays_so_when_a_pool_is_replaced() {
    let mut allocator = allocator(cut("n", 2));
    allocator.take([held("part-0")]);
    let (single, pair) = (one(ask("any", 1)), one(ask("any", 2)));
    assert_eq!(outcome(&mut allocator, &single), "part-1");
    assert_eq!(outcome(&mut allocator, &pair), "no");
    allocator.set_pool(&pool_of("n"), arcs(cut("n", 3)));
    assert_eq!(outcome(&mut allocator, &pair), "part-1+part-2");
    allocator.release([held("part-0")]);
    assert_eq!(outcome(&mut allocator, &one(ask("any", 3))), "part-0+part-1+part-2");
    allocator.set_pool(&pool_of("n"), vec![]);
    assert_eq!(outcome(&mut allocator, &single), "no");
}

#[test]
fn what_is_in_use_before_its_pool_is_known_is_not_handed_out() {
    let mut allocator = allocator(vec![]);
    allocator.take([held("part-0"), held("part-1")]);
    allocator.set_pool(&pool_of("n"), arcs(cut("n", 3)));
    assert_eq!(outcome(&mut allocator, &one(ask("any", 1))), "part-2");
}

#[test]
fn pools_that_are_replaced_again_and_again_do_not_pile_up() {
    let mut allocator = allocator(cut("m", 2));
    allocator.take([held("part-1")]);
    for _ in 0..1_000 {
        allocator.set_pool(&pool_of("n"), arcs(cut("n", 4)));
    }
    assert!(allocator.inventory().listings() < 5_000, "{}", allocator.inventory().listings());
    assert!(allocator.renewals() > 0);
    assert_eq!(outcome(&mut allocator, &one(ask("any", 3))), "part-0+part-2+part-3");
}

#[test]
fn many_nodes_together_take_no_more_steps_than_there_are() {
    let nodes = ["a", "b", "c"];
    let slices = nodes.map(|node| slice(node, gpus(8))).into();
    let effort = Effort { steps: 1_000, improvement: 0, on_all_nodes: 20 };
    let three = Inventory::new(nodes.map(node).into(), vec![class("any", None)], slices);
    let mut three = Allocator::new(three).with_effort(effort);
    let claims = one(ask("any", 8));
    let mut inquiry = three.ask(&claims).unwrap();
    let [first, _, last] = nodes.map(|node| inquiry.room(node, 1, &mut choice::FirstFit).unwrap());
    assert_eq!(first.map(|room| room.pods), Ok(1));
    assert!(inquiry.is_exhausted());
    assert!(last.is_err_and(|refusal| refusal.to_string().starts_with("the search gave up")));
}
