use super::*;
use crate::cluster::GangState;
use crate::engine::gangs::roster;
use crate::model::gang::{RoleTerms, Strictness, Terms};
use crate::testing::{PodBuilder, pod};

fn gang(members: Vec<PodBuilder>) -> Roster {
    let pods = members.into_iter().map(PodBuilder::build);
    let members = pods.map(|pod| (pod.uid.clone(), Arc::new(pod))).collect();
    roster::roster(&GangState { group: None, members }, &[], |_| true, |_| Ok(Needs::default()), 256)
        .expect("no shortage")
        .expect("a gang")
}

fn member(name: &str, role: &str, index: u32, gpus: i64, terms: &Terms) -> PodBuilder {
    pod(name).gpus(gpus).member_of("g", role, index, terms.clone())
}

/// Sets, part by part, by the names of their members; those who have their places in brackets.
fn sets(roster: &Roster) -> Result<Vec<Vec<String>>, String> {
    let question =
        question(roster, &Refusals::default(), |node| node.to_string()).map_err(|error| error.to_string())?;
    let mut seats = question.seats.iter();
    let part = |part: &Part| {
        part.sets
            .iter()
            .map(|set| {
                let placed = set.placed.iter().map(|node| format!("[{node}]"));
                let members: Vec<String> = { &mut seats }
                    .take(set.members.len())
                    .map(|at| roster.seats[*at].pod.as_ref().map_or("?".into(), |pod| pod.key.name.clone()))
                    .collect();
                placed.chain(members).collect::<Vec<_>>().join(" ")
            })
            .collect()
    };
    Ok(question.formation.parts.iter().map(part).collect())
}

fn parallel(tensor: u32, pipeline: Option<u32>, members: u32) -> Terms {
    let (tensor_parallel, min_member) = (Some(tensor), Some(members));
    Terms { tensor_parallel, pipeline_parallel: pipeline, min_member, ..Terms::default() }
}

#[test]
fn members_form_sets_in_the_order_of_their_numbers() {
    let terms = parallel(16, None, 4);
    let members = (0..4).rev().map(|index| member(&format!("m{index}"), "", index, 8, &terms));
    let roster = gang(members.collect());
    assert_eq!(sets(&roster), Ok(vec![vec!["m0 m1".into(), "m2 m3".into()]]));
    let within = question(&roster, &Refusals::default(), |node| node.to_string()).unwrap();
    assert!(within.formation.parts[0].sets.iter().all(|set| set.within == Some(TopologyLevel::DeviceFabric)));
}

#[test]
fn pipelines_are_parts() {
    let terms = parallel(8, Some(2), 4);
    let roster = gang((0..4).map(|index| member(&format!("m{index}"), "", index, 8, &terms)).collect());
    assert_eq!(sets(&roster), Ok(vec![vec!["m0".into(), "m1".into()], vec!["m2".into(), "m3".into()]]));
}

#[test]
fn a_leader_and_its_workers_share_a_set_and_roles_numbered_alike_do_not() {
    let terms = parallel(16, None, 2);
    let counted_on = gang(vec![member("l", "leader", 0, 8, &terms), member("w", "worker", 1, 8, &terms)]);
    assert_eq!(sets(&counted_on), Ok(vec![vec!["l w".into()]]));
    let terms = parallel(16, None, 4);
    let both = ["decode", "prefill"].into_iter().flat_map(|role| (0..2).map(move |index| (role, index)));
    let roster = gang(both.map(|(role, index)| member(&format!("{role}{index}"), role, index, 8, &terms)).collect());
    assert_eq!(sets(&roster), Ok(vec![vec!["decode0 decode1".into(), "prefill0 prefill1".into()]]));
}

#[test]
fn gpus_that_do_not_add_up_are_told() {
    let terms = parallel(12, None, 2);
    let roster = gang((0..2).map(|index| member(&format!("m{index}"), "", index, 8, &terms)).collect());
    assert_eq!(sets(&roster), Err("its GPUs do not form sets of 12: members have 16 together".into()));
    let terms = parallel(4, None, 2);
    let several_each = gang((0..2).map(|index| member(&format!("m{index}"), "", index, 8, &terms)).collect());
    assert_eq!(sets(&several_each), Ok(vec![vec!["m0".into(), "m1".into()]]));
}

#[test]
fn a_head_without_gpus_belongs_to_no_set() {
    let terms = parallel(16, None, 3);
    let head = pod("head").member_of("g", "head", 0, terms.clone());
    let roster = gang(vec![head, member("w0", "worker", 0, 8, &terms), member("w1", "worker", 1, 8, &terms)]);
    assert_eq!(sets(&roster), Ok(vec![vec!["w0 w1".into(), "head".into()]]));
}

#[test]
fn one_who_takes_the_place_of_another_joins_its_set() {
    let terms = parallel(16, None, 4);
    let numbered = gang(vec![
        member("m0", "", 0, 8, &terms).on("a"),
        member("new", "", 1, 8, &terms),
        member("m2", "", 2, 8, &terms).on("b"),
        member("m3", "", 3, 8, &terms).on("b"),
    ]);
    assert_eq!(sets(&numbered), Ok(vec![vec!["[a] new".into(), "[b] [b]".into()]]));
}

#[test]
fn a_role_with_rules_of_its_own_is_a_part() {
    let rule = TopologyRule { strictness: Strictness::Required, level: TopologyLevel::Clique };
    let said = RoleTerms { topology: vec![rule.clone()], ..RoleTerms::default() };
    let terms = Terms { min_member: Some(2), roles: [("b".into(), said)].into(), ..Terms::default() };
    let roster = gang(vec![member("m0", "a", 0, 8, &terms), member("m1", "b", 0, 8, &terms)]);
    let question = question(&roster, &Refusals::default(), |node| node.to_string()).unwrap();
    let topology: Vec<_> = question.formation.parts.iter().map(|part| part.topology.clone()).collect();
    assert_eq!(topology, [vec![], vec![rule]]);
}

#[test]
fn slices_are_sets_of_so_many_members() {
    let slices = Some(Slices { members: 2, within: TopologyLevel::Label("rack".into()) });
    let terms = Terms { min_member: Some(4), slices, ..Terms::default() };
    let roster = gang((0..4).map(|index| member(&format!("m{index}"), "", index, 8, &terms)).collect());
    assert_eq!(sets(&roster), Ok(vec![vec!["m0 m1".into(), "m2 m3".into()]]));
}

#[test]
fn a_part_that_has_a_domain_to_itself_is_a_part_here() {
    let said = RoleTerms { exclusive: Some("rack".into()), part_size: Some(2), ..RoleTerms::default() };
    let roles = |said: RoleTerms| [("w".into(), said)].into();
    let terms = Terms { min_member: Some(5), roles: roles(said.clone()), ..Terms::default() };
    let mut roster = gang(vec![
        member("w0", "w", 0, 8, &terms),
        member("w1", "w", 1, 8, &terms),
        member("w2", "w", 2, 8, &terms),
        member("w3", "w", 3, 8, &terms),
        member("driver", "d", 4, 0, &terms),
    ]);
    for (seat, part) in roster.seats.iter_mut().zip([Some(0), Some(0), Some(1), None, None]) {
        seat.part = part;
    }
    let all = Ok(vec![vec!["driver".into()], vec!["w0".into(), "w1".into()], vec!["w2".into(), "w3".into()]]);
    assert_eq!(
        sets(&roster).map(|mut parts| {
            parts.sort();
            parts
        }),
        all,
        "the number of the part of w3 is not known"
    );
    let question = |roster: &Roster| question(roster, &Refusals::default(), |node| node.to_string()).unwrap();
    let exclusive = |roster: &Roster| {
        let parts = question(roster).formation.parts;
        parts.iter().filter(|part| part.exclusive.as_deref() == Some("rack")).count()
    };
    assert_eq!(exclusive(&roster), 2);
    let alone = RoleTerms { part_size: Some(1), ..said };
    roster.seats.iter_mut().for_each(|seat| seat.part = None);
    roster.terms.roles = roles(alone);
    assert_eq!(exclusive(&roster), 4, "each member is a part");
    roster.terms.tensor_parallel = Some(16);
    assert_eq!(exclusive(&roster), 0, "sets go over two parts");
}

#[test]
fn who_was_refused_a_node_is_a_block_of_its_own() {
    let terms = Terms { min_member: Some(2), ..Terms::default() };
    let roster = gang((0..2).map(|index| member(&format!("m{index}"), "", index, 8, &terms)).collect());
    let uid = roster.seats[1].uid().cloned().unwrap();
    let refusals = Refusals::from([(uid, BTreeSet::from(["n".into()]))]);
    let question = question(&roster, &refusals, |node| node.to_string()).unwrap();
    assert_eq!(question.formation.blocks.len(), 2);
    assert_eq!(question.refused, [BTreeSet::new(), BTreeSet::from(["n".into()])]);
}
