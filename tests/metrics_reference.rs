//! `docs/metrics.md` is what the registry says. `UPDATE_RENDERED=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use prometheus_client::registry::Registry;
use testudo::config::Mode;
use testudo::extender::metrics::Metrics;
use testudo::host::{Bindings, Host, Leadership};
use testudo::k8s::manifests::{Limits, Reader};
use testudo::k8s::pulse::Pulse;
use testudo_core::engine::{AutoscalingPolicy, PlacementPolicy, Policy, Quotas};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::quota::{Item, Quota};

/// With the gang below, nodes that have something of all that gauges tell of: what has no value has no labels.
const NODES: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: gpu-1, labels: {nvidia.com/gpu.product: NVIDIA-L40S, eks.amazonaws.com/nodegroup: gpus}}
status:
  capacity: &all {nvidia.com/gpu: "8", cpu: "64", memory: 512Gi, pods: "110"}
  allocatable: *all
---
apiVersion: v1
kind: Node
metadata: {name: mig-1, labels: {nvidia.com/gpu.product: NVIDIA-A30, nvidia.com/mig.strategy: mixed}}
status:
  capacity: &all {nvidia.com/mig-1g.6gb: "4", cpu: "64", memory: 512Gi, pods: "110"}
  allocatable: *all
"#;

/// Members of a gang that is short of nodes.
fn member(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: team, uid: {name}, annotations: \
         {{testudo.dev/pod-group: g, testudo.dev/min-member: \"2\"}}}}\n\
         spec: {{containers: [{{name: c, resources: {{limits: {{nvidia.com/gpu: \"8\"}}}}}}]}}\n"
    )
}

/// One metric as it is exposed.
#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: Vec<String>,
}

/// All metrics, by name.
fn metrics() -> BTreeMap<String, Metric> {
    let mut registry = Registry::default();
    Leadership::contested().register(&mut registry);
    let autoscaling = Some(AutoscalingPolicy { show_after_ms: 0, ..AutoscalingPolicy::default() });
    let quotas = Quotas::new([("team".into(), Quota::default().limited(Item::Gpus, 64))], None);
    let placement = PlacementPolicy { quotas, ..PlacementPolicy::default() };
    let policy = Policy { autoscaling, placement, ..Policy::default() };
    let host = Arc::new(Host::new(policy, Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut registry));
    let mut cluster = Reader::new(Limits::default());
    cluster.add("nodes.yaml", NODES.as_bytes()).unwrap();
    for name in ["a", "b"] {
        cluster.add("pod.yaml", member(name).as_bytes()).unwrap();
    }
    host.take_manifests(cluster.finish());
    let pulse = Pulse::default();
    pulse.heard("pods");
    testudo::metrics::register(&mut registry, &host);
    testudo::metrics::register_watches(&mut registry, pulse);
    let _extender = Metrics::register(&mut registry);
    let _webhook = testudo::admission::server::register(&mut registry);
    let text = settled(&host, &registry);

    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            metrics.entry(current.clone()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let before = std::mem::replace(&mut metrics.entry(name.to_owned()).or_default().kind, kind.to_owned());
            assert!(before.is_empty(), "{name} is exposed twice");
        } else if let Some((_, labels)) = line.split_once('{') {
            let metric = metrics.entry(current.clone()).or_default();
            for label in labels.split('}').next().unwrap_or_default().split(',') {
                let label = label.split('=').next().unwrap_or_default().to_owned();
                if label != "le" && !metric.labels.contains(&label) {
                    metric.labels.push(label);
                }
            }
        }
    }
    metrics
}

/// What is exposed once it has been found out that the gang is short of nodes.
fn settled(host: &Arc<Host>, registry: &Registry) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    runtime.spawn(Arc::clone(host).plan_gangs(None));
    let begun = Instant::now();
    loop {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        if text.contains("testudo_short_gangs{") {
            runtime.shutdown_background();
            return text;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the gang is not found to be short of nodes:\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn page() -> String {
    let mut page =
        "# Metrics\n\nServed on `/metrics` of `metrics.bindAddress`, in the format of OpenMetrics. Written by \
                    `make rendered` from the program itself.\n\n\
                    | name | type | labels | meaning |\n|---|---|---|---|\n"
            .to_owned();
    for (name, Metric { kind, help, labels }) in metrics() {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    page
}

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_reference_is_up_to_date() {
    let path = workspace("docs/metrics.md");
    let wanted = page();
    if env::var_os("UPDATE_RENDERED").is_some_and(|value| !value.is_empty()) {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/metrics.md is not what the program exposes. Write it anew with: make rendered");
}

/// A family without a single set of labels is not exposed, and would be missing from the page and from a query over its first
/// minutes.
#[test]
fn every_metric_exists_from_the_start() {
    let exposed = metrics();
    let in_folder = |folder: &'static str, wanted: fn(&str) -> bool| {
        let names =
            fs::read_dir(workspace(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(move |name| wanted(name)).map(move |name| format!("{folder}/{name}"))
    };
    let files = ["src/extender/metrics.rs", "src/admission/server.rs"].map(str::to_owned).into_iter();
    let files = files.chain(in_folder("src/host", |name| name.contains("metrics")));
    let files = files.chain(in_folder("src/metrics", |name| name != "tests.rs"));
    let mut seen = 0;
    for file in files {
        let source = fs::read_to_string(workspace(&file)).unwrap();
        for (prefix, opening) in [("testudo_extender_", "name(\""), ("testudo_", "\"testudo_")] {
            for rest in source.split(opening).skip(1) {
                let name = format!("{prefix}{}", rest.split('"').next().unwrap_or_default());
                if name.contains('{') {
                    continue;
                }
                assert!(exposed.contains_key(&name), "{file}: {name} is not exposed before something is counted");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// Alerts and the dashboard ask for what there is.
#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let exposed = metrics();
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = fs::read_to_string(workspace("deploy/chart/testudo/files").join(file)).unwrap();
        let mut seen = 0;
        for rest in text.split("testudo_").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let full = format!("testudo_{name}");
            let base = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| full.strip_suffix(suffix));
            assert!(exposed.contains_key(base.unwrap_or(&full)), "{file}: {full}");
            seen += 1;
        }
        assert!(seen > 5, "{file}: {seen}");
    }
}
