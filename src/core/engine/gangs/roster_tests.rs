use super::*;
use crate::model::gang::{Dialect, GangKey, Membership, ObjectRef};
use crate::model::pod::End;
use crate::testing::pod;

/// Members by `name role index gpus`, a line each; `*` before the name for one that is bound.
fn gang(members: &str, terms: &Terms) -> GangState {
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let mut word = || words.next().expect("name, role, index, GPUs");
        let (name, role, index, gpus) = (word(), word(), word(), word());
        let bound = name.starts_with('*');
        let pod = pod(name.trim_start_matches('*')).gpus(gpus.parse().expect("GPUs"));
        let pod = pod.member_of("g", role, index.parse().expect("a number"), terms.clone());
        if bound { pod.on("n") } else { pod }.build()
    };
    let members = members.lines().filter(|line| !line.trim().is_empty()).map(read);
    GangState { group: None, members: members.map(|pod| (pod.uid.clone(), Arc::new(pod))).collect() }
}

fn of(gang: &GangState) -> Result<Option<Roster>, String> {
    roster(gang, &[], |_| true, |_| Ok(Needs::default()), 256).map_err(|shortage| shortage.to_string())
}

/// The names of those who must start together, in their order, then of the others.
fn names(gang: &GangState) -> (Vec<String>, Vec<String>) {
    let roster = of(gang).expect("no shortage").expect("a gang");
    let name = |seat: &Seat| match (&seat.pod, seat.index) {
        (Some(pod), _) => pod.key.name.clone(),
        (None, Some(index)) => format!("({} {index})", seat.role),
        (None, None) => format!("({})", seat.role),
    };
    (roster.seats.iter().map(name).collect(), roster.extras.iter().map(name).collect())
}

fn min(count: u32) -> Terms {
    Terms { min_member: Some(count), ..Terms::default() }
}

fn role(min_member: u32) -> RoleTerms {
    RoleTerms { min_member: Some(min_member), ..RoleTerms::default() }
}

/// Controllers make the others only after these are ready.
fn staged(mut gang: GangState) -> GangState {
    for pod in gang.members.values_mut() {
        let membership = pod.membership.as_deref().cloned().map(|m| Arc::new(Membership { staged: true, ..m }));
        *pod = Arc::new(Pod { membership, ..Pod::clone(pod) });
    }
    gang
}

#[test]
fn one_for_itself_is_no_gang() {
    assert_eq!(of(&gang("a - 0 8", &min(1))), Ok(None));
    assert_eq!(of(&gang("", &min(2))), Ok(None));
    assert_eq!(
        of(&gang("a - 0 8", &Terms::default())),
        Err("nothing says how many members it needs (group object, or testudo.dev/min-member)".into())
    );
}

#[test]
fn who_runs_comes_before_who_waits() {
    let (seats, extras) = names(&gang("a - 0 8\nb - 1 8\n*c - 2 8\nd - 3 8", &min(2)));
    assert_eq!((seats, extras), (vec!["a".to_owned(), "c".into()], vec!["b".to_owned(), "d".into()]));
}

#[test]
fn each_role_gets_what_it_needs_first() {
    let roles = [("decode".into(), role(1)), ("prefill".into(), role(2))].into();
    let terms = Terms { min_member: Some(4), roles, ..Terms::default() };
    let all = "d0 decode 0 8\nd1 decode 1 8\nd2 decode 2 8\np0 prefill 0 8\np1 prefill 1 8";
    let (seats, extras) = names(&gang(all, &terms));
    assert_eq!(seats, ["d0", "d1", "p0", "p1"]);
    assert_eq!(extras, ["d2"]);
    let lacking = of(&gang("d0 decode 0 8\nd1 decode 1 8\nd2 decode 2 8\np0 prefill 0 8", &terms));
    assert_eq!(lacking, Err("1 of 2 members exist in role prefill".into()));
}

#[test]
fn a_role_of_which_none_must_start_waits_for_nobody() {
    let roles = [("init".into(), role(0)), ("train".into(), role(2))].into();
    let gang = gang("i init 0 0\nt0 train 0 8\nt1 train 1 8", &Terms { roles, ..Terms::default() });
    let roster = of(&gang).unwrap().unwrap();
    assert_eq!(
        roster.free.iter().filter_map(|seat| seat.pod.as_ref()).map(|p| &*p.key.name).collect::<Vec<_>>(),
        ["i"]
    );
    assert_eq!(names(&gang).0, ["t0", "t1"]);
}

#[test]
fn what_parallelism_says_is_enough() {
    let terms = Terms { tensor_parallel: Some(8), pipeline_parallel: Some(2), ..Terms::default() };
    assert_eq!(of(&gang("a - 0 4\nb - 1 4\nc - 2 4", &terms)), Err("3 of 4 members exist".into()));
    assert_eq!(names(&gang("a - 0 8\nb - 1 8\nc - 2 8", &terms)).0, ["a", "b"]);
}

#[test]
fn parallelism_does_not_stand_for_an_object_that_is_not_seen_yet() {
    let terms = Terms { tensor_parallel: Some(8), ..Terms::default() };
    let mut gang = gang("a - 0 8\nb - 1 8", &terms);
    assert_eq!(of(&gang), Ok(None), "nothing else says how many it needs");
    for pod in gang.members.values_mut() {
        let membership = pod.membership.as_deref().cloned().map(|mut membership| {
            membership.gang.dialect = Dialect::JobSet;
            Arc::new(membership)
        });
        *pod = Arc::new(Pod { membership, ..Pod::clone(pod) });
    }
    assert!(of(&gang).is_err(), "its JobSet does");
}

#[test]
fn who_started_waits_for_nobody_who_is_missing() {
    let (seats, _) = names(&gang("*a - 0 8\nb - 1 8", &min(4)));
    assert_eq!(seats, ["a", "b"]);
}

/// Changes those of these names.
fn with(mut gang: GangState, names: &[&str], change: impl Fn(&mut Pod)) -> GangState {
    for name in names {
        let pod = gang.members.get_mut(&PodUid::from(format!("uid-{name}").as_str())).expect("a member");
        change(Arc::make_mut(pod));
    }
    gang
}

#[test]
fn an_earlier_generation_that_leaves_is_no_part_that_runs() {
    let again = || gang("*old-a - 0 8\n*old-b - 1 8\na - 0 8", &min(2));
    let leaving = with(again(), &["old-a", "old-b"], |pod| pod.leaving = true);
    assert_eq!(of(&leaving), Err("1 of 2 members exist".into()));
    let failed = with(again(), &["old-a", "old-b"], |pod| pod.stage = Stage::Finished(End::Failed));
    assert_eq!(of(&failed), Err("1 of 2 members exist".into()));
    let one_runs = with(again(), &["old-b"], |pod| pod.leaving = true);
    assert_eq!(names(&one_runs).0, ["a", "old-a"]);
}

#[test]
fn who_has_succeeded_is_not_missing() {
    let made_by = |gang, names: &[&str], job: &str| {
        with(gang, names, |pod| {
            let membership = pod.membership.as_deref().cloned();
            let controller = Some(job.into());
            pod.membership = membership.map(|of| Arc::new(Membership { controller, ..of }));
        })
    };
    let ended = with(gang("*a - 0 8\n*b - 1 8\nc - 2 8", &min(3)), &["a", "b"], |pod| {
        pod.stage = Stage::Finished(End::Succeeded);
    });
    assert_eq!(names(&ended).0, ["c"], "of those that nobody makes anew");
    let retried = made_by(ended, &["a", "b", "c"], "Job/train");
    assert_eq!(names(&retried).0, ["c"]);
    let next_run = made_by(retried, &["c"], "Job/train-2");
    assert_eq!(of(&next_run), Err("1 of 3 members exist".into()), "what is left of the last run of a CronJob");
    let of_jobset = staged(gang(
        "*a w 0 8\n*b w 1 8\n*c w 2 8",
        &Terms { roles: [("w".into(), role(3))].into(), ..Terms::default() },
    ));
    let ended = with(of_jobset, &["a"], |pod| pod.stage = Stage::Finished(End::Succeeded));
    assert_eq!(names(&ended).0, ["b", "c"], "nobody is expected in its place");
    let failed = with(ended, &["a"], |pod| pod.stage = Stage::Finished(End::Failed));
    assert_eq!(names(&failed).0, ["(w 0)", "b", "c"]);
}

#[test]
fn who_is_held_back_by_others_is_not_expected_as_if_yet_to_be_made() {
    let roles = || [("leader".into(), role(1)), ("worker".into(), role(2))].into();
    let gated = |names: &[&str]| {
        let terms = Terms { roles: roles(), ..Terms::default() };
        let gang = staged(gang("l leader 0 8\nw1 worker 1 8\nw2 worker 2 8", &terms));
        with(gang, names, |pod| pod.steering.gate = Gate::Foreign)
    };
    let held = |exist, role, required, gated| {
        Err(format!("{exist} of {required} members exist in role {role}, {gated} more have other scheduling gates"))
    };
    assert_eq!(of(&gated(&["l", "w1", "w2"])), held(0, "leader", 1, 3));
    assert_eq!(of(&gated(&["w1", "w2"])), held(0, "worker", 2, 2));
    let running = with(gated(&["w2"]), &["l"], |pod| pod.stage = Stage::Bound("n".into()));
    assert_eq!(names(&running).0, ["l", "w1"], "it runs: who may starts, nobody is thought of for the other");
}

#[test]
fn fewer_in_all_than_the_roles_need_together_are_enough() {
    let roles = [("master".into(), role(1)), ("worker".into(), role(10))].into();
    let terms = Terms { min_member: Some(3), roles, ..Terms::default() };
    let (seats, extras) = names(&gang("w0 worker 0 8\nw1 worker 1 8\nw2 worker 2 8\nw3 worker 3 8", &terms));
    assert_eq!((seats.len(), extras.len()), (3, 1), "the master is made when workers run");
    let one = Terms { min_member: Some(1), ..terms };
    assert_eq!(of(&gang("w0 worker 0 8", &one)), Ok(None), "each for itself");
}

#[test]
fn who_is_left_of_a_native_gang_waits_until_kube_scheduler_lets_it_pass() {
    let native = |members: &str| {
        let mut gang = gang(members, &min(2));
        for pod in gang.members.values_mut() {
            let membership = pod.membership.as_deref().cloned().map(|mut membership| {
                membership.gang.dialect = Dialect::Native;
                Arc::new(membership)
            });
            *pod = Arc::new(Pod { membership, ..Pod::clone(pod) });
        }
        gang
    };
    let left = native("*a - 0 8\n*b - 1 8\nc - 2 8");
    assert_eq!(names(&left).1, ["c"], "two run");
    let left = with(left, &["a", "b"], |pod| pod.stage = Stage::Finished(End::Succeeded));
    let text = "1 of 2 members exist that have not ended: kube-scheduler lets none through before";
    assert_eq!(of(&left), Err(text.into()));
    assert_eq!(names(&native("*a - 0 8")).0, ["a"], "nobody waits");
}

#[test]
fn those_yet_to_be_made_take_the_numbers_that_are_left() {
    let roles = [("worker".into(), RoleTerms { first: 1, total: Some(3), ..RoleTerms::default() })].into();
    let terms = Terms { total: Some(4), roles, ..Terms::default() };
    assert_eq!(names(&staged(gang("l leader 0 8", &terms))).0, ["l", "(worker 1)", "(worker 2)", "(worker 3)"]);
    let some = staged(gang("*l leader 0 8\nw2 worker 2 8", &terms));
    assert_eq!(names(&some).0, ["l", "(worker 1)", "w2", "(worker 3)"]);
    assert_eq!(of(&gang("l leader 0 8", &terms)), Err("1 of 4 members exist".into()), "all are made at once");
}

#[test]
fn a_pod_with_gates_of_others_is_not_there_yet() {
    let mut gang = gang("a - 0 8\nb - 1 8", &min(2));
    let (uid, pod) = gang.members.iter().next().map(|(uid, pod)| (uid.clone(), Pod::clone(pod))).unwrap();
    let steering = crate::model::pod::Steering { gate: Gate::Foreign, ..Default::default() };
    gang.members.insert(uid, Arc::new(Pod { steering, ..pod }));
    assert_eq!(of(&gang), Err("1 of 2 members exist, 1 more have other scheduling gates".into()));
}

#[test]
fn an_object_that_makes_no_sense_holds_all_back() {
    let key = GangKey { namespace: "default".into(), name: "g".into(), dialect: Dialect::Testudo };
    let fault = Some("minMember is 0".into());
    let (object, terms) = (ObjectRef::default(), Terms::default());
    let group = Group { key, object, created_s: 0, priority: None, terms, fault };
    let outcome =
        roster(&gang("a - 0 8\nb - 1 8", &min(2)), &[Arc::new(group)], |_| true, |_| Ok(Needs::default()), 256);
    assert_eq!(outcome.unwrap_err().to_string(), "minMember is 0");
}

#[test]
fn the_next_set_of_extras_joins_as_a_whole() {
    let terms = Terms { min_member: Some(2), tensor_parallel: Some(16), ..Terms::default() };
    let five = gang("*a - 0 8\n*b - 1 8\nc - 2 8\nd - 3 8\ne - 4 8", &terms);
    let next = of(&five).unwrap().unwrap().with_next_extras(|_| false).expect("two more");
    assert_eq!((next.seats.len(), next.extras.len()), (4, 1));
    assert!(next.with_next_extras(|_| false).is_none(), "half a set");
}

/// The same, with the number of each pod as its part, of so many hosts.
fn in_parts(mut gang: GangState, hosts: u32) -> GangState {
    for pod in gang.members.values_mut() {
        let membership = pod.membership.as_deref().cloned().map(|mut membership| {
            let number = membership.index.unwrap_or(0);
            if *membership.role == *"w" {
                (membership.part, membership.index) = (Some(number / hosts), Some(number % hosts));
            }
            Arc::new(membership)
        });
        *pod = Arc::new(Pod { membership, ..Pod::clone(pod) });
    }
    gang
}

fn next(roster: &Roster) -> Vec<&str> {
    roster.next_extras(|_| false).into_iter().flatten().map(Seat::name).collect()
}

#[test]
fn replicas_of_several_hosts_join_as_a_whole() {
    let workers = RoleTerms { part_size: Some(2), ..role(2) };
    let terms = Terms { roles: [("head".into(), role(1)), ("w".into(), workers)].into(), ..Terms::default() };
    let all = "*h head 0 0\n*w0 w 0 8\n*w1 w 1 8\nw2 w 2 8\nw4 w 4 8\nw5 w 5 8";
    let roster = of(&in_parts(gang(all, &terms), 2)).unwrap().unwrap();
    assert_eq!(next(&roster), ["w4", "w5"], "the other host of the second replica is yet to be made");
    let roster = of(&in_parts(gang(&all.replace("w4", "*w4"), &terms), 2)).unwrap().unwrap();
    assert_eq!(next(&roster), ["w5"], "what is missing of one that runs");
}

#[test]
fn replicas_and_sets_of_which_none_must_start_with_the_others_do_not_start_in_part() {
    let optional =
        |workers| Terms { roles: [("head".into(), role(1)), ("w".into(), workers)].into(), ..Terms::default() };
    let replicas = optional(RoleTerms { part_size: Some(2), ..role(0) });
    let roster = of(&in_parts(gang("h head 0 0\nw0 w 0 8\nw1 w 1 8\nw2 w 2 8", &replicas), 2)).unwrap().unwrap();
    assert_eq!((roster.seats.len(), roster.free.len(), next(&roster)), (1, 0, vec!["w0", "w1"]));
    let sets = optional(RoleTerms { tensor_parallel: Some(8), ..role(0) });
    let roster = of(&gang("*h head 0 0\nw0 w 0 4\nw1 w 1 4\nw2 w 2 4", &sets)).unwrap().unwrap();
    assert_eq!((roster.extras.len(), next(&roster)), (3, vec!["w0", "w1"]));
    let before = optional(RoleTerms { part_size: Some(2), precedes: true, ..role(0) });
    assert_eq!(of(&in_parts(gang("w0 w 0 8\nw1 w 1 8", &before), 2)), Ok(None), "others wait for it to end");
    let each = optional(RoleTerms { tensor_parallel: Some(4), ..role(0) });
    assert_eq!(of(&gang("*h head 0 0\nw0 w 0 4", &each)), Ok(None), "a set in itself");
}

#[test]
fn half_a_set_does_not_stop_those_of_another_role() {
    let set = || RoleTerms { tensor_parallel: Some(16), ..role(2) };
    let terms = Terms { roles: [("a".into(), set()), ("b".into(), set())].into(), ..Terms::default() };
    let all = "*a0 a 0 8\n*a1 a 1 8\na2 a 2 8\n*b0 b 0 8\n*b1 b 1 8\nb2 b 2 8\nb3 b 3 8";
    assert_eq!(next(&of(&gang(all, &terms)).unwrap().unwrap()), ["b2", "b3"]);
}
