//! Jobs and groups that have a domain to themselves.

use super::*;
use crate::model::exclusive::{Exclusivity, Peers};

/// Racks of so many nodes of 8 GPUs: `r0-0`, `r0-1`, `r1-0`, ...
fn racks(nodes: &[usize]) -> World {
    let mut world = World::new(0);
    for (rack, nodes) in nodes.iter().enumerate() {
        for at in 0..*nodes {
            let gpus = node(&format!("r{rack}-{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
            let gpus = gpus.has("nvidia.com/gpu", 8).label("rack", &format!("r{rack}"));
            world.apply(Change::NodeApplied(Box::new(gpus.build())));
        }
    }
    world
}

fn is(pod: Pod, peers: Peers, topology: Option<&str>, part: Option<u32>, staged: bool) -> Pod {
    let exclusivity = Some(Exclusivity { peers, topology: topology.map(Into::into) });
    let membership = pod.membership.as_deref().cloned().map(|of| Membership { exclusivity, part, staged, ..of });
    Pod { membership: membership.map(Arc::new), ..pod }
}

/// What is said of a JobSet of so many jobs of so many pods, each job in a rack of its own.
fn of_jobs(jobs: u32, pods: u32) -> Terms {
    let members = Some(jobs * pods);
    let role = RoleTerms {
        min_member: members,
        total: members,
        part_size: Some(pods),
        exclusive: Some("rack".into()),
        ..RoleTerms::default()
    };
    Terms { min_member: members, total: members, roles: [("workers".into(), role)].into(), ..Terms::default() }
}

fn of_job(set: &str, job: u32, index: u32, terms: Terms) -> Pod {
    let pod = pod(&format!("{set}-{job}-{index}")).gpus(8).member_of(set, "workers", index, terms).build();
    is(pod, Peers::Jobs, Some("rack"), Some(job), false)
}

/// A JobSet all of whose pods exist; their names.
fn jobset(world: &mut World, set: &str, jobs: u32, pods: u32) -> Vec<String> {
    let members = (0..jobs).flat_map(|job| (0..pods).map(move |index| (job, index)));
    let members: Vec<Pod> = members.map(|(job, index)| of_job(set, job, index, of_jobs(jobs, pods))).collect();
    let names = members.iter().map(|pod| pod.key.name.clone()).collect();
    members.into_iter().for_each(|pod| world.set(pod));
    names
}

fn bind(world: &mut World, names: &[String]) {
    world.bind_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

fn rack(world: &mut World, name: &str) -> String {
    world.place(name).split('-').next().unwrap_or_default().to_owned()
}

const LEFT_OUT: &str = "left out: others are there, and an exclusive job or group shares its domain with no other";

#[test]
fn each_job_of_a_jobset_has_a_rack_of_its_own() {
    let mut world = racks(&[4, 2]);
    jobset(&mut world, "train", 2, 2);
    world.plan();
    let of: Vec<String> =
        ["train-0-0", "train-0-1", "train-1-0", "train-1-1"].map(|name| rack(&mut world, name)).into();
    assert!(of[0] == of[1] && of[2] == of[3] && of[0] != of[2], "{of:?}");
    let mut world = racks(&[4, 2]);
    jobset(&mut world, "train", 3, 1);
    world.plan();
    let text = "gang default/train: needs 3 times 8 GPUs, each in a domain of rack of its own; 2 have that free";
    assert_eq!(world.filter("train-0-0"), Err(text.into()));
}

#[test]
fn a_rack_that_is_promised_to_another_job_is_left_out() {
    let mut world = racks(&[4, 2]);
    let first = jobset(&mut world, "a", 1, 2);
    world.plan();
    assert_eq!(rack(&mut world, "a-0-0"), "r1");
    let second = jobset(&mut world, "b", 1, 2);
    world.plan();
    assert_eq!(rack(&mut world, "b-0-0"), "r0");
    bind(&mut world, &first);
    bind(&mut world, &second);
    jobset(&mut world, "c", 1, 2);
    world.plan();
    let text = world.filter("c-0-0").expect_err("two nodes are free in a rack that is taken");
    assert_eq!(
        text,
        format!(
            "gang default/c: no node takes role workers; the nearest 2: refused it lately, or kept for others; 2 domains of rack are {LEFT_OUT}"
        )
    );
    world.delete("a-0-0");
    world.plan();
    assert!(world.filter("c-0-0").is_err(), "the other pod of the job is still there");
    world.delete("a-0-1");
    world.plan();
    assert_eq!(rack(&mut world, "c-0-0"), "r1");
}

#[test]
fn jobs_that_are_not_exclusive_mind_only_those_that_are() {
    let plain = |set: &str| {
        let pod = pod(&format!("{set}-0-0")).gpus(8).member_of(set, "workers", 0, of(2)).build();
        let second = crate::testing::pod(&format!("{set}-0-1")).gpus(8).member_of(set, "workers", 1, of(2)).build();
        [pod, second].map(|pod| is(pod, Peers::Jobs, None, Some(0), false))
    };
    let mut world = racks(&[4]);
    plain("a").into_iter().chain(plain("b")).for_each(|pod| world.set(pod));
    world.plan();
    assert!(world.filter("a-0-0").is_ok() && world.filter("b-0-0").is_ok());
    let mut world = racks(&[4]);
    plain("a").into_iter().for_each(|pod| world.set(pod));
    world.plan();
    jobset(&mut world, "x", 1, 1);
    world.set(of_job("y", 0, 0, of_jobs(1, 2)));
    world.set(of_job("y", 0, 1, of_jobs(1, 2)));
    world.plan();
    assert!(world.filter("y-0-0").is_err_and(|text| text.contains("1 domain of rack is left out")));
    let mut world = racks(&[4]);
    jobset(&mut world, "x", 1, 2);
    world.plan();
    plain("a").into_iter().for_each(|pod| world.set(pod));
    world.plan();
    assert!(world.filter("a-0-0").is_err_and(|text| text.contains("1 domain of rack is left out")));
    world.set(pod("other").gpus(8).build());
    assert!(world.filter("other").is_ok(), "who is of no job minds nobody");
}

#[test]
fn groups_mind_those_of_their_namespace() {
    let group = |set: &str, index: u32, namespace: &str| {
        let pod = pod(&format!("{set}-{index}")).gpus(8).member_of(set, "", index, of(2)).build();
        is(pod, Peers::Groups(namespace.into()), Some("rack"), None, false)
    };
    for (namespace, fits) in [("default", false), ("elsewhere", true)] {
        let mut world = racks(&[4]);
        (0..2).for_each(|index| world.set(group("a", index, namespace)));
        world.plan();
        (0..2).for_each(|index| world.set(group("b", index, "default")));
        world.plan();
        assert_eq!(world.filter("b-0").is_ok(), fits, "{namespace}");
    }
}

#[test]
fn a_rack_is_kept_for_followers_that_do_not_exist_yet() {
    let mut world = racks(&[3, 3]);
    let leader = |set: &str, job| {
        let pod = of_job(set, job, 0, of_jobs(2, 2));
        is(pod, Peers::Jobs, Some("rack"), Some(job), true)
    };
    world.set(leader("a", 0));
    world.set(leader("a", 1));
    world.plan();
    assert_ne!(rack(&mut world, "a-0-0"), rack(&mut world, "a-1-0"));
    assert_eq!(world.gpus_in_use(), 32, "two more pods are expected");
    world.bind_all(&["a-0-0", "a-1-0"]);
    // A leader is lost while its follower is yet to come: the rack is that of the job all the same.
    world.delete("a-0-0");
    jobset(&mut world, "b", 1, 1);
    world.set(of_job("c", 0, 0, of_jobs(1, 2)));
    world.set(of_job("c", 0, 1, of_jobs(1, 2)));
    world.plan();
    assert!(world.filter("c-0-0").is_err_and(|text| text.contains("2 domains of rack are left out")));
}

#[test]
fn who_comes_to_a_rack_while_it_is_planned_for_ends_the_plan() {
    let mut world = racks(&[4]);
    jobset(&mut world, "a", 1, 2);
    let task = world.engine.next_plan(world.now_ms).expect("a gang that waits");
    let solved = task.solve();
    let stranger = pod("stranger").gpus(1).on("r0-3").member_of("s", "workers", 0, of(1)).build();
    world.set(is(stranger, Peers::Jobs, None, Some(0), false));
    world.engine.adopt(solved, world.now_ms);
    assert_eq!(world.gpus_in_use(), 1, "nothing is kept where kube-scheduler would refuse the leader");
    world.plan();
    assert!(world.filter("a-0-0").is_err_and(|text| text.contains(LEFT_OUT)));
    world.delete("stranger");
    world.plan();
    assert!(world.filter("a-0-0").is_ok());
}

#[test]
fn a_rack_that_is_left_by_whoever_held_no_gpu_is_tried_again() {
    let mut world = racks(&[2]);
    let poor = node("cpu").label("rack", "r0");
    world.apply(Change::NodeApplied(Box::new(poor.build())));
    let stranger = pod("stranger").asks("cpu", 1000).on("cpu").member_of("s", "driver", 0, of(1)).build();
    world.set(is(stranger, Peers::Jobs, None, Some(0), false));
    jobset(&mut world, "a", 1, 2);
    world.plan();
    assert!(world.filter("a-0-0").is_err_and(|text| text.contains(LEFT_OUT)));
    world.delete("stranger");
    assert_eq!(world.plan(), 1, "no node has changed that would take a member, but the rack has");
    assert_eq!(rack(&mut world, "a-0-0"), "r0");
}
