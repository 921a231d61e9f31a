//! The claim allocator beside upstream's, on the same objects in one run: how long a node takes, for one pod.
//!
//!     e2e/tools/build.sh && cargo bench -p testudo-e2e --bench claims
//!
//! Both have read the objects before, as a scheduler's caches have. What is measured is one pod's way over some of the nodes,
//! on one core. Upstream makes an allocator for each pod and looks at each device anew, with expressions that are compiled
//! already. Ours keeps what it found out of devices: for the first pod it compiles and looks at all of them, for the next
//! that asks the same it does not. Upstream takes the first devices that fit; ours also weighs which are the best.

#[path = "../../../benches/common/figures.rs"]
mod figures;
mod fleet;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use comfy_table::{Cell, CellAlignment, Table};
use figures::Figure;
use serde_json::{Value, json};
use testudo::claims::{Cluster, with_large_stack};
use testudo_core::claims::Verdict;
use testudo_e2e::devices::{of_profile, request};
use testudo_e2e::tools::dra_oracle;

const NODES: usize = 500;
/// Upstream takes long where there are counters: of so many nodes in a row one is asked then.
const STRIDE: usize = 10;
const ROUNDS: usize = 5;

struct Scenario {
    name: &'static str,
    objects: Vec<Value>,
    stride: usize,
}

/// What the nodes took together, and how many of them fit.
struct Measured {
    nanos: u64,
    fits: usize,
}

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (nodes, rounds) = if is_bench { (NODES, ROUNDS) } else { (3, 1) };
    let mut table = Table::new();
    table.set_header(["us a node", "fit", "upstream", "ours, first pod", "ratio", "ours, next pods", "ratio"]);
    for scenario in scenarios(nodes) {
        let names: Vec<String> = (0..nodes).step_by(scenario.stride).map(fleet::name_of).collect();
        let theirs = upstream(&scenario, &names, rounds);
        let [first, next] = ours(&scenario, &names, rounds);
        assert_eq!(theirs.fits, first.fits, "{}: upstream and ours differ in what fits", scenario.name);
        let each = |measured: &Measured| measured.nanos as f64 / 1_000.0 / names.len() as f64;
        let cells = [
            scenario.name.to_owned(),
            theirs.fits.to_string(),
            format!("{:.1}", each(&theirs)),
            format!("{:.1}", each(&first)),
            format!("{:.1}", each(&theirs) / each(&first)),
            format!("{:.1}", each(&next)),
            format!("{:.1}", each(&theirs) / each(&next)),
        ];
        let cells = cells.into_iter().enumerate().map(|(column, text)| {
            Cell::new(text).set_alignment(if column == 0 { CellAlignment::Left } else { CellAlignment::Right })
        });
        table.add_row(cells);
        for (pod, measured) in [("first", &first), ("next", &next)].into_iter().filter(|_| is_bench) {
            Figure {
                name: format!("devices chosen, a node: {}, {pod} pod", scenario.name),
                value: each(measured),
                unit: "us",
                reference: Some(("upstream's allocator (Go)", each(&theirs))),
                aim: "<= 0.1 x",
            }
            .tell();
        }
    }
    println!("{nodes} nodes x 8 GPUs (every {STRIDE}th with MIG), median of {rounds} rounds\n{table}");
}

fn scenarios(nodes: usize) -> Vec<Scenario> {
    let gpus = ["gpu-0", "gpu-1", "gpu-2", "gpu-3", "gpu-4", "gpu-5", "gpu-6", "gpu-7"];
    let partitions = [
        "gpu-0-mig-3g40gb-9-0",
        "gpu-1-mig-1g10gb-19-2",
        "gpu-2-mig-2g20gb-14-4",
        "gpu-3-mig-7g80gb-0-0",
        "gpu-5-mig-4g40gb-5-0",
        "gpu-6-mig-1g20gb-15-6",
    ];
    let in_use = || fleet::held(nodes, &gpus, 1);
    let cut_up = || fleet::held(nodes, &partitions, 2);
    let big = "device.attributes['gpu.nvidia.com'].productName.contains('H100') && \
               device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('80000Mi')) >= 0 && \
               device.attributes['gpu.nvidia.com'].driverVersion.isGreaterThan(semver('570.0.0'))";
    let root = json!({"matchAttribute": "resource.kubernetes.io/pcieRoot"});
    let numa = json!({"matchAttribute": "resource.kubernetes.io/numaNode"});
    let whole = |count, constraints| {
        vec![fleet::claim("wanted", vec![request("r", "gpu.nvidia.com", count, Some(big))], constraints)]
    };
    let partition = |name: &str, profile: &str| request(name, "mig.nvidia.com", 1, Some(profile));
    let with = |fleet: Vec<Value>, held: Vec<Value>, wanted: Vec<Value>| [fleet, held, wanted].concat();
    vec![
        Scenario {
            name: "1 GPU, selectors",
            objects: with(fleet::whole_gpus(nodes), in_use(), whole(1, vec![])),
            stride: 1,
        },
        Scenario {
            name: "4 GPUs, selectors",
            objects: with(fleet::whole_gpus(nodes), in_use(), whole(4, vec![])),
            stride: 1,
        },
        Scenario {
            name: "2 GPUs, matchAttribute pcieRoot",
            objects: with(fleet::whole_gpus(nodes), in_use(), whole(2, vec![root])),
            stride: 1,
        },
        Scenario {
            name: "4 GPUs, matchAttribute numaNode",
            objects: with(fleet::whole_gpus(nodes), in_use(), whole(4, vec![numa])),
            stride: 1,
        },
        Scenario {
            name: "dynamic MIG, 1g",
            objects: with(
                fleet::dynamic_mig(nodes),
                cut_up(),
                vec![fleet::claim("wanted", vec![partition("r", &of_profile("1g.10gb"))], vec![])],
            ),
            stride: STRIDE,
        },
        Scenario {
            name: "dynamic MIG, 3g + 2g + 1g",
            objects: with(
                fleet::dynamic_mig(nodes),
                cut_up(),
                vec![fleet::claim(
                    "wanted",
                    vec![
                        partition("a", &of_profile("3g.40gb")),
                        partition("b", &of_profile("2g.20gb")),
                        partition("c", &of_profile("1g.10gb")),
                    ],
                    vec![],
                )],
            ),
            stride: STRIDE,
        },
    ]
}

fn upstream(scenario: &Scenario, nodes: &[String], rounds: usize) -> Measured {
    let path = dra_oracle().unwrap_or_else(|error| panic!("{error:#}"));
    let mut process = Command::new(path)
        .args(["bench", &rounds.to_string()])
        // One core, as ours has.
        .env("GOMAXPROCS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut input = process.stdin.take().expect("its input is a pipe");
    writeln!(input, "{}", json!({"objects": scenario.objects, "nodes": nodes})).expect("the oracle reads");
    drop(input);
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("its output is a pipe")).read_line(&mut line).expect("text");
    process.wait().expect("the oracle ends");
    let answer: Value = serde_json::from_str(&line).expect("an answer");
    assert_eq!(answer["outcome"], "measured", "{}", answer["message"]);
    let nanos = answer["nanos"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    Measured { nanos: median(nanos), fits: answer["fits"].as_u64().expect("a number") as usize }
}

/// The first pod and the ones after it.
fn ours(scenario: &Scenario, nodes: &[String], rounds: usize) -> [Measured; 2] {
    let mut fits = 0;
    let (mut first, mut next) = (vec![], vec![]);
    for _ in 0..rounds {
        let mut cluster = Cluster::read(&scenario.objects).expect("the objects are sound");
        for nanos in [&mut first, &mut next] {
            let names = nodes.iter().map(String::as_str);
            let (verdicts, took) = with_large_stack(|| {
                let start = Instant::now();
                let verdicts = cluster.place_on_each(names)?;
                Ok((verdicts, start.elapsed()))
            })
            .expect("an answer");
            fits = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Fits(_))).count();
            nanos.push(took.as_nanos() as u64);
        }
    }
    [first, next].map(|nanos| Measured { nanos: median(nanos), fits })
}

fn median(mut nanos: Vec<u64>) -> u64 {
    nanos.sort_unstable();
    nanos[nanos.len() / 2]
}
