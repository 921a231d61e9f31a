use std::fs;

use testudo_core::model::quota::Item;
use testudo_core::placement::{Aim, CapacityPolicy, Order, ZonePolicy};

use super::*;

fn read(body: &str) -> Result<Read, String> {
    let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}");
    parse(&text, Path::new("policy.yaml")).map_err(|error| error.to_string())
}

fn error(body: &str) -> String {
    read(body).expect_err("must be refused")
}

#[test]
fn an_empty_policy_is_what_is_done_without_one() {
    assert_eq!(read(""), Ok(Read::default()));
}

#[test]
fn a_profile_is_what_it_is_like_and_what_stands_beside() {
    let read = read(
        "profiles:
  - name: chat
    when: pod.namespace == 'chat'
    like: latency-serving
    zones: together
  - name: training
    when: pod.namespace == 'training' && pod.labels['tier'] == 'gold'
    order: [spreading, links]
    capacity: {spotUpTo: 10, steadyFrom: 11}
    starvation: {limit: 90s}
  - name: rest
    capacity: {steadyFrom: 5}
",
    )
    .unwrap();
    assert!(read.warnings.is_empty(), "{read:?}");
    let profiles: Vec<_> = read.policy.profiles.iter().cloned().collect();
    assert_eq!(profiles.iter().map(|profile| &*profile.name).collect::<Vec<_>>(), ["chat", "training", "rest"]);
    assert_eq!(profiles[0].order, ready_made::profile("latency-serving").unwrap().order);
    assert_eq!(profiles[0].zones, ZonePolicy::Together);
    assert_eq!(profiles[1].order, Order::of(&[Aim::Spreading, Aim::Links]).unwrap());
    assert_eq!(profiles[1].capacity, CapacityPolicy { spot_up_to: 10, steady_from: 11 });
    let starvation = profiles[1].starvation.unwrap();
    assert_eq!((starvation.after_ms, starvation.keep_free_ms), (90_000, 30 * 60_000));
    assert_eq!(profiles[2].capacity, CapacityPolicy { spot_up_to: -1, steady_from: 5 });
    assert_eq!((profiles[2].order, profiles[2].starvation), (Order::DEFAULT, None));
}

#[test]
fn a_part_that_is_left_out_is_that_of_the_profile_which_it_is_like() {
    let capacity = |beside: &str| {
        let body = format!("profiles:\n  - name: a\n    like: batch\n    capacity: {beside}\n");
        read(&body).map(|read| read.policy.profiles.iter().next().unwrap().capacity)
    };
    let of_batch = ready_made::profile("batch").unwrap().capacity;
    assert_eq!(capacity("{}"), Ok(of_batch));
    assert_eq!(capacity("{spotUpTo: 5}"), Ok(CapacityPolicy { spot_up_to: 5, ..of_batch }));
    let error = capacity("{steadyFrom: 5}").unwrap_err();
    assert!(
        error.contains("policy.yaml:6:15: spotUpTo must be below steadyFrom, and they are 999999999 and 5"),
        "{error}"
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (body, wanted) in [
        ("profile: []\n", "policy.yaml:3:1: unknown field `profile`"),
        ("profiles:\n  - when: 'true'\n", "missing field `name`"),
        ("profiles:\n  - {name: a, order: [packing, speed]}\n", "policy.yaml:4:32: "),
        ("profiles:\n  - name: a\n    order: [zone, zone]\n", "policy.yaml:5:12: zone is named twice"),
        (
            "profiles:\n  - name: a\n    order: [spreading, packing]\n",
            "policy.yaml:5:12: packing and spreading contradict",
        ),
        (
            "profiles:\n  - name: a\n    when: pod.namspace == 'x'\n",
            "policy.yaml:5:11: profile \"a\": when: undefined field",
        ),
        ("profiles:\n  - name: a\n    when: pod.name == \n", "policy.yaml:5:11: profile \"a\": when: syntax error"),
        (
            "profiles:\n  - name: a\n    like: quick\n",
            "policy.yaml:5:11: there is no ready-made profile \"quick\"; there are",
        ),
        ("profiles:\n  - {name: a, when: 'true'}\n  - {name: a}\n", "policy.yaml:5:12: there are two profiles \"a\""),
        ("profiles:\n  - name: a\n  - name: b\n", "policy.yaml:5:11: no pod would get profile \"b\""),
        ("profiles: [{name: ''}]\n", "a profile needs a name"),
        (
            "profiles:\n  - name: a\n    capacity: {spotUpTo: 1}\n",
            "policy.yaml:5:15: spotUpTo must be below steadyFrom",
        ),
        ("profiles:\n  - name: a\n    zones: apart\n", "policy.yaml:5:12: "),
        ("profiles:\n  - name: a\n    starvation: {limit: 5}\n", "no duration such as"),
    ] {
        let error = error(body);
        assert!(error.contains(wanted), "{body}: {error}");
    }
}

#[test]
fn quotas_are_those_of_each_namespace() {
    let read = read(
        "quotas:
  - {namespaces: [a, b], gpus: 8, gangs: 2}
  - {migSlices: 4}
",
    )
    .unwrap();
    let limits = |namespace: &str| {
        let quota = read.policy.quotas.of(namespace).unwrap();
        quota.limits().map(|(item, milli)| (item, milli / 1000)).collect::<Vec<_>>()
    };
    assert_eq!(limits("a"), [(Item::Gpus, 8), (Item::Gangs, 2)]);
    assert_eq!(limits("b"), limits("a"));
    assert_eq!(limits("c"), [(Item::MigSlices, 4)]);
    for (body, wanted) in [
        ("quotas:\n  - {namespaces: [a, b, a], gpus: 1}\n", "policy.yaml:4:25: namespace \"a\" has two quotas"),
        ("quotas:\n  - {gpus: 1}\n  - {gpus: 2}\n", "policy.yaml:5:5: there are two quotas without `namespaces`"),
        ("quotas:\n  - namespaces: [a]\n", "policy.yaml:4:5: a quota needs a limit"),
        ("quotas: [{namespaces: [a], gpus: -1}]\n", "policy.yaml:3:"),
        ("quotas: [{namespaces: [a], gpu: 1}]\n", "unknown field `gpu`"),
    ] {
        let error = error(body);
        assert!(error.contains(wanted), "{body}: {error}");
    }
}

#[test]
fn what_is_expected_is_said_by_resource() {
    let read = read(
        "mix: {prior: [{resource: nvidia.com/gpu, units: 8, pods: 20}, {resource: nvidia.com/gpu, units: 1, pods: 2}]}\n",
    );
    let expected = read.unwrap().policy.expected;
    assert_eq!(expected.into_iter().collect::<Vec<_>>(), [("nvidia.com/gpu".into(), vec![(8, 20), (1, 2)])]);
    for (entry, wanted) in [
        ("{resource: cpu, units: 1, pods: 1}", "policy.yaml:5:5: \"cpu\" is no resource of accelerators"),
        ("{resource: nvidia.com/gpu, units: 0, pods: 1}", "policy.yaml:5:5: units are from 1"),
        ("{resource: nvidia.com/gpu, units: 1, pods: 2000}", "and pods from 1 to 1024"),
    ] {
        let error = error(&format!("mix:\n  prior:\n  - {entry}\n"));
        assert!(error.contains(wanted), "{entry}: {error}");
    }
}

#[test]
fn another_version_is_refused_where_it_stands() {
    let text = "kind: PlacementPolicy\napiVersion: policy.testudo.dev/v2\n";
    let error = parse(text, Path::new("f")).unwrap_err().to_string();
    assert_eq!(
        error,
        "f:2:13: policy.testudo.dev/v2 is not known to this version of testudo; use policy.testudo.dev/v1alpha1"
    );
}

#[test]
fn a_selector_by_which_anybody_can_have_nodes_kept_free_is_warned_of() {
    let with = |when: &str| {
        let body = format!("profiles:\n  - name: a\n    when: {when}\n    starvation: {{}}\n");
        read(&body).unwrap().warnings
    };
    assert!(with("pod.labels['tier'] == 'gold'")[0].contains("does not ask for pod.namespace"));
    assert!(with("pod.namespace == 'training'").is_empty());
}

#[test]
fn the_ready_made_profiles_are_there() {
    let names: Vec<&str> = ready_made::names().collect();
    assert_eq!(names, ["latency-serving", "batch", "dense-small-models", "ultra-server"]);
    assert!(ready_made::profile("ultra-server").unwrap().order.has(Aim::Domains));
    assert_eq!(ready_made::profile("default"), None);
}

/// `UPDATE_RENDERED=1` writes it anew.
#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let wanted = reference::markdown();
    if std::env::var_os("UPDATE_RENDERED").is_some_and(|value| !value.is_empty()) {
        fs::write(&path, &wanted).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == wanted, "docs/policy.md is out of date: make rendered");
}

/// The policy on the page is one.
#[test]
fn the_example_of_the_reference_can_be_used() {
    let page = reference::markdown();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        assert!(parse(example, Path::new("docs/policy.md")).is_ok_and(|read| read.warnings.is_empty()));
    }
}
