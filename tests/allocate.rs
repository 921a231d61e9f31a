//! `testudo claims allocate` as scripts call it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/claims.yaml");

/// Runs the command on what is given as the standard input.
fn allocate(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(["claims", "allocate"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // It may end without reading anything.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn example() -> String {
    std::fs::read_to_string(EXAMPLE).expect("the example")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The device of the claim that was to be allocated.
fn device(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    list.pointer("/items/1/status/allocation/devices/results/0/device").cloned().unwrap_or_default()
}

#[test]
fn the_example_is_allocated_as_the_documentation_says() {
    let output = allocate(&["-f", EXAMPLE], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/claims.md")).expect("the page");
    for line in text(&output.stdout).lines() {
        assert!(documented.contains(line.trim_end()), "{line:?} is not in docs/claims.md");
    }
}

#[test]
fn claims_come_out_as_a_list_in_each_form() {
    let output = allocate(&["-f", "-", "-o", "json"], &example());
    assert_eq!(device(&output), "gpu-0-mig-2g12gb-5-0");
    let yaml = allocate(&["-f", "-", "-o", "yaml"], &example());
    let (from_yaml, from_json): (Value, Value) = (
        serde_saphyr::from_str(text(&yaml.stdout)).expect("YAML"),
        serde_json::from_slice(&output.stdout).expect("JSON"),
    );
    assert_eq!(from_yaml, from_json);
    // What came out can go in again: then nothing is left to allocate.
    let nodes = example().split("kind: ResourceClaim\n").next().expect("the rest").to_owned();
    let nodes = nodes.rsplit_once("---").expect("a document").0;
    let again = allocate(&["-f", "-", "-o", "json"], &format!("{nodes}---\n{}", text(&yaml.stdout)));
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).expect("JSON"), from_json);
}

#[test]
fn a_node_can_be_named() {
    let output = allocate(&["-f", "-", "-o", "json", "--node", "hgx-1"], &example());
    assert_eq!(device(&output), "gpu-0");
    let output = allocate(&["-f", "-", "--node", "nowhere"], &example());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), "error: there is no node nowhere\n"));
}

#[test]
fn what_does_not_fit_is_told_request_by_request() {
    let greedy = example()
        .replace("profile == '2g.12gb'", "profile == '9g'")
        .replace("- name: whole", "- count: 5\n        name: whole");
    let output = allocate(&["-f", "-"], &greedy);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr).split_once("steps: ").expect("steps").1,
        "0 of 2 nodes fit; \
         1 (hgx-1): claim default/half, request gpu/half needs 1 device of class mig.nvidia.com, 0 of 4 can be had \
         (4 not selected); or request gpu/whole needs 5 devices of class gpu.nvidia.com, 4 of 4 can be had; \
         1 (mig-1): claim default/half, request gpu/half needs 1 device of class mig.nvidia.com, 0 of 8 can be had \
         (1 in use, 7 not selected); or request gpu/whole needs 5 devices of class gpu.nvidia.com, 0 of 8 can be had \
         (1 in use, 6 not selected, 1 without free counters)\n"
    );
}

#[test]
fn what_is_wrong_is_told_by_object_and_field() {
    let bad = |from: &str, to: &str| {
        let output = allocate(&["-f", "-"], &example().replace(from, to));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr).to_owned()
    };
    let error = bad("memory: {value: 80Gi}", "memory: {value: 80 GB}");
    assert!(
        error.contains("ResourceSlice hgx-1: spec.devices[0].capacity[memory].value: \"80 GB\" is no quantity"),
        "{error}"
    );
    let error = bad("resourceSliceCount: 1}", "resourceSliceCount: one}");
    assert!(error.contains("ResourceSlice hgx-1: spec.pool.resourceSliceCount: invalid type"), "{error}");
    let error = bad("deviceClassName: gpu.nvidia.com", "deviceClassName: gpu.example.com");
    assert!(error.contains("request gpu/whole: there is no device class gpu.example.com"), "{error}");
    let error = bad(".profile == '2g.12gb'", ".profil == '2g.12gb'");
    assert!(error.contains("request gpu/half, selector #0, on device"), "{error}");
    assert!(error.contains("no such key: profil"), "{error}");
    let error = bad("profile == '2g.12gb'", "profile == ");
    assert!(error.contains("selector #0: syntax error"), "{error}");
    let error = bad("resource.k8s.io/v1\nkind: ResourceClaim", "resource.k8s.io/v1beta1\nkind: ResourceClaim");
    assert!(error.contains("use resource.k8s.io/v1"), "{error}");
    assert_eq!(allocate(&["-f", "/nowhere/claims.yaml"], "").status.code(), Some(2));
    assert_eq!(allocate(&["-f", "-"], "a: [").status.code(), Some(2));
}
